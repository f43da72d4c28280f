/*
 * The layout of the fast tier: N, C/16, H, W, 16.
 *
 * Sixteen channels of a pixel are neighbours in memory: a block. The lanes of the last block past C hold
 * zero, because weights and biases are padded with zeros, except where a sum meets an infinity or NaN: there
 * they hold NaN, so no kernel may read them as channels.
 */
#ifndef CNV_FAST_BLOCKED_H
#define CNV_FAST_BLOCKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/types.h"

#define CNV_LANES 16

static inline int64_t cnv_ceil_div(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

static inline int64_t cnv_blocks(int64_t channels)
{
    return cnv_ceil_div(channels, CNV_LANES);
}

/* The number of floats of one image. */
static inline int64_t cnv_blocked_size(int64_t channels, int64_t h, int64_t w)
{
    return cnv_blocks(channels) * h * w * CNV_LANES;
}

/* The operations on a convolution's sum before it is stored:  y = rectified([y +] sum [+ add]).  The bits of
 * a rectifier are one uint16_t for each pixel and block of channels, [blocks][pixels] per image: bit i is
 * lane i. */
typedef struct cnv_finish {
    const float *add; /* laid out as y; NULL adds nothing */
    bool accumulate;  /* the sum is added to what y holds */
    bool rectify;     /* y is clipped to 0..high; high is INFINITY for a plain ReLU */
    float high;
    uint16_t *bits; /* set where 0 < y < high, for the backward pass; NULL if there is none */
    int64_t above;  /* if not 0, bits[above + i] is set where y >= high; see cnv_gate */
} cnv_finish;

/* The backward pass of the rectifier that the forward kernel has fused, applied to a gradient as a
 * backward kernel reads it. dead[n] says, for CNV_RELU_REDIRECTED, that the plain rule would pass
 * nothing of image n. */
typedef struct cnv_gate {
    const uint16_t *bits; /* NULL if there is no rectifier: the whole gradient passes */
    cnv_relu_rule rule;
    const bool *dead;
    int64_t above; /* as in cnv_finish: a dead image's gradient does not push values at `high` further up */
} cnv_gate;

#endif
