/* The type Plan: its methods come from sources, builders, passes and reading. */
#ifndef CNV_PYTHON_PLAN_TYPE_H
#define CNV_PYTHON_PLAN_TYPE_H

#include "python/numpy_api.h"

/* A new reference; NULL with an exception. */
PyObject *cnv_new_plan_type(void);

#endif
