/*
 * The layout of the fast tier: N, C/16, H, W, 16.
 *
 * Sixteen channels of a pixel are neighbours. The lanes of the last block past C hold zero: kernels keep it
 * so, because weights and biases are padded with zeros. Only where a sum meets an infinity or NaN do they
 * hold NaN, so nothing may read them as if they were channels.
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

/* Floats of one image. */
static inline int64_t cnv_blocked_size(int64_t channels, int64_t h, int64_t w)
{
    return cnv_blocks(channels) * h * w * CNV_LANES;
}

/* What happens to a sum before it is stored:  y = rectified([y +] sum [+ add]).  Bits of a rectifier are one
 * uint16_t per pixel and block of channels, [blocks][pixels] per image: bit i is lane i. */
typedef struct cnv_finish {
    const float *add; /* laid out as y; NULL: nothing */
    bool accumulate;  /* y holds something already */
    bool rectify;     /* clip to 0..high, which is INFINITY for a plain ReLU */
    float high;
    uint16_t *bits; /* where 0 < y < high, for backward; NULL: not wanted */
    int64_t above;  /* not 0: where y >= high is noted, too, so many elements behind its bits */
} cnv_finish;

/* What happens to a gradient on its way into a backward kernel: the rectifier that the forward kernel had
 * fused passes it or not. For CNV_RELU_REDIRECTED, dead[n] says that plain would pass nothing of image n. */
typedef struct cnv_gate {
    const uint16_t *bits; /* NULL: there was no rectifier, everything passes */
    cnv_relu_rule rule;
    const bool *dead;
    int64_t
        above; /* as in cnv_finish: what was clipped there, a dead image's gradient does not push further */
} cnv_gate;

#endif
