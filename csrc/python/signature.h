/* The signature of a builder method, written from its operator's table of arguments. */
#ifndef CNV_PYTHON_SIGNATURE_H
#define CNV_PYTHON_SIGNATURE_H

#include "python/numpy_api.h"

#include "plan/argument.h"

/* A new str as inspect.signature reads it from __text_signature__: "($self, x, w, b=None, *, ..., name)". */
PyObject *cnv_signature(const cnv_argument *table);

#endif
