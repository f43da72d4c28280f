/*
 * Pooling of blocked pictures, forward and backward. The gradient of a maximum goes from each window to the
 * taps that won it; that of an average is gathered, every pixel of dx looking at the windows that contain it.
 */
#ifndef CNV_FAST_POOL_H
#define CNV_FAST_POOL_H

#include "kernels/fast/blocked.h"
#include "runtime/threads.h"

/* The largest extents that the kernels serve: taps are numbered by one byte. */
#define CNV_POOL_KERNEL 16
#define CNV_POOL_STRIDE 8

typedef struct cnv_fast_pool {
    int64_t images, channels;
    int64_t ih, iw, oh, ow;
    int64_t kernel[2], stride[2], dilation[2];
    int64_t pad[4];         /* top, left, bottom, right */
    bool count_include_pad; /* average: the divisor counts the taps that fall on padding, too */
} cnv_fast_pool;

/* The winner's tap is one byte per lane, [images][blocks][pixels of y][16]: at most 256 taps. index may be
 * NULL. Padding counts as -inf, the first of equal maxima wins, NaN wins over all numbers. */
typedef void cnv_max_forward_kernel(float *y, uint8_t *index, const float *x, const cnv_fast_pool *p,
                                    cnv_run *run);
typedef void cnv_max_backward_kernel(float *dx, const float *dy, const uint8_t *index, bool accumulate,
                                     const cnv_fast_pool *p, cnv_run *run);

/* A window without a countable tap averages to 0; taps beyond the padding are never counted. */
typedef void cnv_average_forward_kernel(float *y, const float *x, const cnv_fast_pool *p, cnv_run *run);
typedef void cnv_average_backward_kernel(float *dx, const float *dy, bool accumulate, const cnv_fast_pool *p,
                                         cnv_run *run);

/* The mean of all pixels, into and from N,C without blocks. */
typedef void cnv_mean_forward_kernel(float *y, const float *x, const cnv_fast_pool *p, cnv_run *run);
typedef void cnv_mean_backward_kernel(float *dx, const float *dy, bool accumulate, const cnv_fast_pool *p,
                                      cnv_run *run);

#endif
