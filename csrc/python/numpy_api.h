/* NumPy's C interface, whose table of functions module.c imports and every file here shares. */
#ifndef CNV_PYTHON_NUMPY_API_H
#define CNV_PYTHON_NUMPY_API_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#define PY_ARRAY_UNIQUE_SYMBOL cnv_numpy_api
#ifndef CNV_IMPORTS_NUMPY
#define NO_IMPORT_ARRAY
#endif
#include <numpy/arrayobject.h>

#endif
