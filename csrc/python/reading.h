/* The methods of Plan that read its values and describe it. */
#ifndef CNV_PYTHON_READING_H
#define CNV_PYTHON_READING_H

#include "python/numpy_api.h"

PyObject *cnv_plan_object_shape(PyObject *self, PyObject *value);
PyObject *cnv_plan_object_read(PyObject *self, PyObject *value);
PyObject *cnv_plan_object_gradient(PyObject *self, PyObject *value);
PyObject *cnv_plan_object_describe(PyObject *self, PyObject *unused);

#endif
