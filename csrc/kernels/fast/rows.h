/*
 * A linear layer on plain rows, forward and the gradient of its input; see kernels/portable/linear.h, whose
 * promise about bits it keeps. A picture batch has few rows, so reading w is what takes the time: several
 * rows of w are read at once, each page of them ahead of its use.
 */
#ifndef CNV_FAST_ROWS_H
#define CNV_FAST_ROWS_H

#include <stdbool.h>
#include <stdint.h>

#include "kernels/portable/linear.h"
#include "runtime/threads.h"

/* y[n,o] = b[o] + sum over i of x[n,i] * w[o,i]; b may be NULL. */
typedef void cnv_rows_forward_kernel(float *y, const float *x, const float *w, const float *b,
                                     const cnv_rows *s, cnv_run *run);

/* dx[n,i] = or += sum over o of dy[n,o] * w[o,i]; rows of w that meet only zeros are not read. */
typedef void cnv_rows_backward_kernel(float *dx, const float *dy, const float *w, bool accumulate,
                                      const cnv_rows *s, cnv_run *run);

#endif
