/*
 * Pooling of blocked pictures, forward and backward. The gradient of a maximum goes from each window to the
 * taps that won it; that of an average is gathered, every pixel of dx looking at the windows that contain it.
 */
#ifndef CNV_FAST_POOL_H
#define CNV_FAST_POOL_H

#include "kernels/fast/blocked.h"
#include "runtime/threads.h"

/* The largest kernel extent and stride of these kernels: a tap's number has to fit into one byte. */
#define CNV_POOL_KERNEL 16
#define CNV_POOL_STRIDE 8

typedef struct cnv_fast_pool {
    int64_t images, channels;
    int64_t ih, iw, oh, ow;
    int64_t kernel[2], stride[2], dilation[2];
    int64_t pad[4];         /* rows above, columns on the left, rows below, columns on the right */
    bool count_include_pad; /* the divisor of an average also counts the taps on the padding */
} cnv_fast_pool;

/* Padding counts as -inf, the first of equal maxima wins, and NaN wins over all numbers. index: the tap of
 * each winner, or NULL.   y, index: N,C/16,OH,OW,16   x: N,C/16,IH,IW,16 */
typedef void cnv_max_forward_kernel(float *y, uint8_t *index, const float *x, const cnv_fast_pool *p,
                                    cnv_run *run);
typedef void cnv_max_backward_kernel(float *dx, const float *dy, const uint8_t *index, bool accumulate,
                                     const cnv_fast_pool *p, cnv_run *run);

/* The average of a window without a counted tap is 0; taps beyond the padding are never counted. */
typedef void cnv_average_forward_kernel(float *y, const float *x, const cnv_fast_pool *p, cnv_run *run);
typedef void cnv_average_backward_kernel(float *dx, const float *dy, bool accumulate, const cnv_fast_pool *p,
                                         cnv_run *run);

/* The mean of all pixels.   y, dy: N,C   x, dx: N,C/16,IH,IW,16 */
typedef void cnv_mean_forward_kernel(float *y, const float *x, const cnv_fast_pool *p, cnv_run *run);
typedef void cnv_mean_backward_kernel(float *dx, const float *dy, bool accumulate, const cnv_fast_pool *p,
                                      cnv_run *run);

#endif
