/* Python's and NumPy's headers, in the order and with the symbol that every file of the extension shares. */
#ifndef CNV_PYTHON_NUMPY_API_H
#define CNV_PYTHON_NUMPY_API_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#define PY_ARRAY_UNIQUE_SYMBOL cnv_numpy_api
#ifndef CNV_IMPORTS_NUMPY
#define NO_IMPORT_ARRAY
#endif
#include <numpy/arrayobject.h>

/* Fills NumPy's table of functions. Returns 0, or -1 with an exception. */
int cnv_import_numpy(void);

#endif
