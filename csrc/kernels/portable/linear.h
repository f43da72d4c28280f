/*
 * Products of rows with a matrix, whose bits do not depend on how many rows there are: a linear layer, its
 * backward, and two-dimensional matrix products. Row n of the result is computed from row n of the input in
 * one fixed order, which a GEMM does not promise; each piece of the matrix is read once for all rows, and
 * at the few rows of a picture batch reading it is what takes the time.
 */
#ifndef CNV_KERNELS_LINEAR_H
#define CNV_KERNELS_LINEAR_H

#include <stdint.h>

#include "runtime/threads.h"

/* rows: how many rows x and y have; w has `out` rows of `in` numbers. */
typedef struct cnv_rows {
    int64_t rows;
    int64_t in;
    int64_t out;
} cnv_rows;

/* y[n,o] = b[o] + sum over i of x[n,i] * w[o,i].   x: rows,in   w: out,in   b: out, may be NULL   y: rows,out
 */
void cnv_rows_forward(float *y, const float *x, const float *w, const float *b, const cnv_rows *s,
                      cnv_run *run);
/* As cnv_rows_forward without b, but adds to y. */
void cnv_rows_forward_add(float *y, const float *x, const float *w, const cnv_rows *s, cnv_run *run);
/* dx[n,i] += sum over o of dy[n,o] * w[o,i]. Rows of w that meet only zeros are not read: the gradient of one
 * logit costs one row. */
void cnv_rows_backward_data(float *dx, const float *dy, const float *w, const cnv_rows *s, cnv_run *run);
/* The same sum as a product: y[n,i] = sum over o of x[n,o] * w[o,i], with every row of w. */
void cnv_rows_product(float *y, const float *x, const float *w, const cnv_rows *s, cnv_run *run);
/* dw[o,i] += sum over n of dy[n,o] * x[n,i], rows in order */
void cnv_rows_backward_weight(float *dw, const float *dy, const float *x, const cnv_rows *s, cnv_run *run);
/* db[o] += sum over n of dy[n,o] */
void cnv_rows_backward_bias(float *db, const float *dy, const cnv_rows *s, cnv_run *run);

#endif
