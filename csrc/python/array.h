/*
 * New arrays for results.
 *
 * An optimisation loop frees half a dozen pictures in every step and allocates as many. The C library returns
 * blocks of this size to the system, whose fresh pages then cost more than the arithmetic on them. So a few
 * freed blocks are kept here for the next array of their size.
 */
#ifndef CNV_PYTHON_ARRAY_H
#define CNV_PYTHON_ARRAY_H

#include "python/numpy_api.h"

/* A new float32 array in C order, with undefined numbers; NULL with an exception. */
PyObject *cnv_new_array(int ndim, const npy_intp *dim);

#endif
