/*
 * Products of plain rows with a matrix of weights: a linear layer, forward and the gradient of its input; see
 * kernels/rows.h for the promise about bits. A batch of pictures has few rows, so reading w takes most of the
 * time: the kernels read several rows of w at once and prefetch each ahead of its use.
 */
#ifndef CNV_FAST_ROWS_H
#define CNV_FAST_ROWS_H

#include <stdbool.h>

#include "kernels/rows.h"
#include "runtime/threads.h"

/* y[n,o] = b[o] + sum over i of x[n,i] * w[o,i].   y: rows,out   x: rows,in   w: out,in   b: out or NULL */
typedef void cnv_rows_forward_kernel(float *y, const float *x, const float *w, const float *b,
                                     const cnv_rows *s, cnv_run *run);

/* dx[n,i] = sum over o of dy[n,o] * w[o,i], or += if accumulate. Rows of w whose dy is 0 in a batch element
 * are not read for it.   dx: rows,in   dy: rows,out   w: out,in */
typedef void cnv_rows_backward_kernel(float *dx, const float *dy, const float *w, bool accumulate,
                                      const cnv_rows *s, cnv_run *run);

#endif
