/*
 * New arrays for results.
 *
 * An optimisation loop lets go of half a dozen pictures in every step and asks for as many. The C library
 * gives blocks of this size back to the system, whose fresh pages then cost more than the arithmetic on them:
 * so a few blocks wait here for the next array of their size.
 */
#ifndef CNV_PYTHON_ARRAY_H
#define CNV_PYTHON_ARRAY_H

#include "python/numpy_api.h"

/* A new float32 array in C order, its numbers undefined; NULL with an exception. */
PyObject *cnv_new_array(int ndim, const npy_intp *dim);

#endif
