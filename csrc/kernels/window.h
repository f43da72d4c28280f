/*
 * Windows that slide over a picture, and their arithmetic along one axis: output o looks at input
 * o * stride - pad + tap * dilation.
 */
#ifndef CNV_KERNELS_WINDOW_H
#define CNV_KERNELS_WINDOW_H

#include <stdint.h>

/* Of a convolution or a pooling layer: the picture, the outputs and the window between them. */
typedef struct cnv_window {
    int64_t ih;
    int64_t iw;
    int64_t oh;
    int64_t ow;
    int64_t kernel[2]; /* rows, columns, here and below */
    int64_t stride[2];
    int64_t pad[4]; /* top, left, bottom, right */
    int64_t dilation[2];
} cnv_window;

/* Pixels of the picture, pixels of the output, taps of the window. */
static inline int64_t cnv_window_inputs(const cnv_window *v)
{
    return v->ih * v->iw;
}

static inline int64_t cnv_window_outputs(const cnv_window *v)
{
    return v->oh * v->ow;
}

static inline int64_t cnv_window_taps(const cnv_window *v)
{
    return v->kernel[0] * v->kernel[1];
}

/* Half-open range of outputs or taps. */
typedef struct {
    int64_t begin;
    int64_t end;
} cnv_span;

/* The outputs of 0..n_out-1 for which the tap at `offset` (tap * dilation - pad) is in 0..extent-1. */
static inline cnv_span cnv_outputs_inside(int64_t extent, int64_t n_out, int64_t stride, int64_t offset)
{
    cnv_span span = {0, 0};
    if (offset < 0) span.begin = (-offset + stride - 1) / stride;
    if (offset < extent) span.end = (extent - 1 - offset) / stride + 1;
    if (span.end > n_out) span.end = n_out;
    if (span.begin > span.end) span.begin = span.end;
    return span;
}

/* The taps of 0..n_taps-1 that are in 0..extent-1 if tap 0 is at `start`. */
static inline cnv_span cnv_taps_inside(int64_t extent, int64_t n_taps, int64_t dilation, int64_t start)
{
    cnv_span span = {0, n_taps};
    if (start < 0) span.begin = (-start + dilation - 1) / dilation;
    if (start + (n_taps - 1) * dilation >= extent)
        span.end = start < extent ? (extent - 1 - start) / dilation + 1 : 0;
    if (span.begin > span.end) span.begin = span.end;
    return span;
}

#endif
