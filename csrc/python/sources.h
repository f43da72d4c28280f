/* The methods of Plan that append the values which no operator computes. */
#ifndef CNV_PYTHON_SOURCES_H
#define CNV_PYTHON_SOURCES_H

#include "python/numpy_api.h"

PyObject *cnv_plan_object_input(PyObject *self, PyObject *args, PyObject *kwargs);
PyObject *cnv_plan_object_constant(PyObject *self, PyObject *args, PyObject *kwargs);

#endif
