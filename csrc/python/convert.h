/* Conversions between Python's objects and the core's types. Every function here needs the GIL. */
#ifndef CNV_PYTHON_CONVERT_H
#define CNV_PYTHON_CONVERT_H

#include "python/numpy_api.h"

#include "cnnviz.h"

/* Raises the exception of a failed status: ValueError, MemoryError, RuntimeError, or the one that a signal
 * handler has raised. Returns NULL. */
PyObject *cnv_raise(cnv_status status, const cnv_error *err);

/* The functions below return 0, or -1 with a TypeError or ValueError set that calls the object `what`. */

int cnv_to_int64(PyObject *object, const char *what, int64_t *number);
int cnv_to_float(PyObject *object, const char *what, float *number);
int cnv_to_value(PyObject *object, const char *what, cnv_value_id *value);

/* A C string without a NUL character inside, borrowed from the object, a str. */
int cnv_to_text(PyObject *object, const char *what, const char **text);

/* A sequence of at most `most` integers; *n is its length. */
int cnv_to_int64s(PyObject *object, const char *what, int64_t *numbers, int most, int *n);

/* A sequence of value ids in a new block, to be given to PyMem_Free. */
int cnv_to_values(PyObject *object, const char *what, cnv_value_id **values, int *n);

int cnv_to_shape(PyObject *object, const char *what, cnv_shape *shape);

/* Checks that object is a float32 array in C order, aligned, in the machine's byte order, and, unless shape
 * is NULL, of this shape. */
int cnv_check_array(PyObject *object, const char *what, const cnv_shape *shape);

/* The shape of an array of at most CNV_MAX_NDIM dimensions. */
int cnv_array_shape(PyArrayObject *array, const char *what, cnv_shape *shape);

/* A new tuple. */
PyObject *cnv_from_shape(const cnv_shape *shape);

/* A new array with a copy of the numbers. */
PyObject *cnv_from_data(const float *data, const cnv_shape *shape);

#endif
