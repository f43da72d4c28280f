#ifndef CNV_PYTHON_CONSTANT_TYPE_H
#define CNV_PYTHON_CONSTANT_TYPE_H

#include "python/numpy_api.h"

#include "cnnviz.h"

/* The type Constant, new. */
PyObject *cnv_new_constant_type(void);

/* The constant inside a Constant, borrowed; NULL, without an exception, when object is none. */
cnv_constant *cnv_constant_of(PyObject *object);

#endif
