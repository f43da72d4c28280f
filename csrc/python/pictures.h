/* The module's functions on whole pictures, see kernels/pictures; the last entry is empty. */
#ifndef CNV_PYTHON_PICTURES_H
#define CNV_PYTHON_PICTURES_H

#include "python/numpy_api.h"

extern PyMethodDef cnv_picture_functions[];

#endif
