/* The methods of Plan that prepare it and run its passes. */
#ifndef CNV_PYTHON_PASSES_H
#define CNV_PYTHON_PASSES_H

#include "python/numpy_api.h"

PyObject *cnv_plan_object_prepare(PyObject *self, PyObject *args, PyObject *kwargs);
PyObject *cnv_plan_object_forward(PyObject *self, PyObject *inputs);
PyObject *cnv_plan_object_backward(PyObject *self, PyObject *args, PyObject *kwargs);

#endif
