/*
 * Depthwise convolution of blocked pictures, one filter per channel, forward and backward.
 *
 * Every lane is a channel with its own weights, so both passes are sums of products of whole vectors. The
 * backward pass takes the pixels of dx by phases, as direct convolution does: along each axis, pixels with
 * the same remainder by the stride see the same taps.
 */
#ifndef CNV_FAST_DEPTHWISE_H
#define CNV_FAST_DEPTHWISE_H

#include "kernels/fast/blocked.h"
#include "runtime/threads.h"

#define CNV_DEPTHWISE_KERNEL 16 /* the largest extent of a kernel */
#define CNV_DEPTHWISE_TAPS (CNV_DEPTHWISE_KERNEL * CNV_DEPTHWISE_KERNEL)

typedef struct cnv_depthwise {
    int64_t images, channels;
    int64_t ih, iw, oh, ow;
    int64_t kernel[2], stride[2], pad[2], dilation[2];
    int64_t strip; /* rows of the result per item, a multiple of the stride */
} cnv_depthwise;

/* Fills in `strip` from the other fields. */
void cnv_depthwise_describe(cnv_depthwise *d);

/* Scratch bytes of one worker of the backward pass, which copies a strip's rows of dy through the gate. */
size_t cnv_depthwise_backward_scratch(const cnv_depthwise *d);

/* Bytes of the packed weights, and the packing.   packed: [blocks][KH*KW][16]   w: C,1,KH,KW */
size_t cnv_depthwise_weights(const cnv_depthwise *d);
void cnv_depthwise_pack(float *packed, const float *w, const cnv_depthwise *d);

/* y, x: blocked   bias: blocks,16, or NULL */
typedef void cnv_depthwise_forward_kernel(float *y, const float *x, const float *packed, const float *bias,
                                          const cnv_finish *finish, const cnv_depthwise *d, cnv_run *run);
typedef void cnv_depthwise_backward_kernel(float *dx, const float *dy, const float *packed,
                                           const cnv_gate *gate, bool accumulate, const cnv_depthwise *d,
                                           void *scratch, size_t scratch_stride, cnv_run *run);

#endif
