/*
 * Softmax and its logarithm along the middle axis.   x, y, dx, dy: outer, n, inner
 */
#ifndef CNV_KERNELS_SOFTMAX_H
#define CNV_KERNELS_SOFTMAX_H

#include <stdint.h>

#include "runtime/threads.h"

typedef struct cnv_softmax {
    int64_t outer;
    int64_t n;
    int64_t inner;
} cnv_softmax;

/* y may be x. The maximum is subtracted first, so no exponential overflows; sums are in double. */
void cnv_softmax_forward(float *y, const float *x, const cnv_softmax *s, cnv_run *run);
void cnv_log_softmax_forward(float *y, const float *x, const cnv_softmax *s, cnv_run *run);

/* dx += y * (dy - sum of dy * y) */
void cnv_softmax_backward(float *dx, const float *dy, const float *y, const cnv_softmax *s, cnv_run *run);
/* dx += dy - exp(y) * sum of dy */
void cnv_log_softmax_backward(float *dx, const float *dy, const float *y, const cnv_softmax *s, cnv_run *run);

#endif
