/*
 * Copies of rows and of strided views, and their adjoints, which add.
 */
#ifndef CNV_KERNELS_SHAPE_H
#define CNV_KERNELS_SHAPE_H

#include <stdint.h>

#include "runtime/types.h"
#include "runtime/threads.h"

/* y[r * y_stride + i] = x[r * x_stride + i] for r < rows, i < n, as a concatenation copies each operand. */
void cnv_copy_rows(float *y, int64_t y_stride, const float *x, int64_t x_stride, int64_t rows, int64_t n,
                   cnv_run *run);
/* y[r * y_stride + i] += x[r * x_stride + i] for r < rows, i < n. */
void cnv_add_rows(float *y, int64_t y_stride, const float *x, int64_t x_stride, int64_t rows, int64_t n,
                  cnv_run *run);

/* A view of an array under other axes: element i0,i1,... is at offset + i0*stride[0] + i1*stride[1] + ... No
 * two elements have the same address. Transposition and slices with steps, also negative ones, are views. */
typedef struct cnv_strided {
    int ndim;
    int64_t dim[CNV_MAX_NDIM];
    int64_t stride[CNV_MAX_NDIM];
    int64_t offset;
} cnv_strided;

/* y: the view's axes, contiguous   x: the viewed array */
void cnv_strided_gather(float *y, const float *x, const cnv_strided *view, cnv_run *run);
/* The adjoint: adds dy to the elements of dx that the view shows. */
void cnv_strided_scatter_add(float *dx, const float *dy, const cnv_strided *view, cnv_run *run);

#endif
