/*
 * Rounding to a range of integers, whose gradient passes straight through.
 */
#ifndef CNV_KERNELS_QUANTIZE_H
#define CNV_KERNELS_QUANTIZE_H

#include <stdint.h>

#include "runtime/threads.h"

/* The largest amount of an end of the range: the rounding below is exact up to here. */
#define CNV_QUANTIZE_MOST 4194304.0f

/* y is the integer next to x, halves to even, held within low..high; NaN stays NaN. y may be x. */
void cnv_quantize_forward(float *y, const float *x, int64_t n, float low, float high, cnv_run *run);
/* dx += dy where x lies within low..high. */
void cnv_quantize_backward(float *dx, const float *dy, const float *x, int64_t n, float low, float high,
                           cnv_run *run);

#endif
