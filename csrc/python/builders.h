/*
 * The builder methods of Plan: one for each operator of the core's table. A method is a descriptor that holds
 * its operator's row, so that one function serves all of them and a new operator needs no line here.
 */
#ifndef CNV_PYTHON_BUILDERS_H
#define CNV_PYTHON_BUILDERS_H

#include "python/numpy_api.h"

/* Sets the methods on the type. Returns 0, or -1 with an exception. */
int cnv_add_builders(PyObject *plan_type);

#endif
