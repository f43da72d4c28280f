/*
 * Products of rows with a matrix: a linear layer, its backward passes, and two-dimensional matrix products.
 * Each piece of the matrix is read once for all rows: a batch of pictures has few rows, so reading the matrix
 * takes most of the time. See kernels/rows.h for the promise about bits.
 */
#ifndef CNV_KERNELS_LINEAR_H
#define CNV_KERNELS_LINEAR_H

#include "kernels/rows.h"
#include "runtime/threads.h"

/* y[n,o] = b[o] + sum over i of x[n,i] * w[o,i].   y: rows,out   x: rows,in   w: out,in   b: out or NULL */
void cnv_rows_forward(float *y, const float *x, const float *w, const float *b, const cnv_rows *s,
                      cnv_run *run);
/* y[n,o] += sum over i of x[n,i] * w[o,i]. */
void cnv_rows_forward_add(float *y, const float *x, const float *w, const cnv_rows *s, cnv_run *run);
/* dx[n,i] += sum over o of dy[n,o] * w[o,i]. Rows of w whose dy is 0 are not read: the gradient of one logit
 * costs one row. */
void cnv_rows_backward_data(float *dx, const float *dy, const float *w, const cnv_rows *s, cnv_run *run);
/* y[n,i] = sum over o of x[n,o] * w[o,i], with every row of w.   y: rows,in   x: rows,out */
void cnv_rows_product(float *y, const float *x, const float *w, const cnv_rows *s, cnv_run *run);
/* dw[o,i] += sum over n of dy[n,o] * x[n,i], rows in order. */
void cnv_rows_backward_weight(float *dw, const float *dy, const float *x, const cnv_rows *s, cnv_run *run);
/* db[o] += sum over n of dy[n,o]. */
void cnv_rows_backward_bias(float *db, const float *dy, const cnv_rows *s, cnv_run *run);

#endif
