/*
 * Operations of the fast kernels on sixteen channels of a pixel other than sums: finishing a sum, gating a
 * gradient, copying and transposing. Part of the templates; parameter: VEC_ZMM, see vec.h.
 */
#ifndef CNV_FAST_LANES_H
#define CNV_FAST_LANES_H

#include <math.h>
#include <string.h>

#include "kernels/fast/blocked.h"
#include "kernels/fast/vec.h"

/* The kinds of cnv_finish that matter for speed and have code of their own; FINISH_ANY is every other. */
typedef enum {
    FINISH_PLAIN,
    FINISH_RELU,
    FINISH_ADD_RELU,
    FINISH_CLIP,
    FINISH_ACCUMULATE,
    FINISH_ANY
} finish_kind;

CNV_INLINE finish_kind finish_kind_of(const cnv_finish *f)
{
    if (f->rectify && !f->accumulate) {
        if (f->high < INFINITY) return f->add == NULL ? FINISH_CLIP : FINISH_ANY;
        return f->add != NULL ? FINISH_ADD_RELU : FINISH_RELU;
    }
    if (f->rectify || f->add != NULL) return FINISH_ANY;
    return f->accumulate ? FINISH_ACCUMULATE : FINISH_PLAIN;
}

/* Clips a sum to 0..high and writes the bits of the rectifier unless bits is NULL; see cnv_finish. NaN
 * passes. */
CNV_INLINE v16 lanes_clip(v16 sum, uint16_t *bits, bool bounded, const cnv_finish *f)
{
    const v16 zero = v16_zero(), high = v16_all(f->high), positive = v16_max(zero, sum);
    if (bits != NULL) {
        const uint16_t below = bounded ? v16_greater(high, sum) : 0xffff;
        *bits = v16_greater(sum, zero) & below;
        if (bounded && f->above != 0) bits[f->above] = (uint16_t)~below;
    }
    return bounded ? v16_min(high, positive) : positive;
}

/* Finishes one pixel's sum, see cnv_finish, and stores it. A literal kind leaves next to no branches. */
CNV_INLINE void lanes_finish(finish_kind kind, float *y, v16 sum, const float *add, uint16_t *bits,
                             const cnv_finish *f)
{
    const bool any = kind == FINISH_ANY;
    if (kind == FINISH_ACCUMULATE || (any && f->accumulate)) sum = v16_add(v16_load(y), sum);
    if (kind == FINISH_ADD_RELU || (any && add != NULL)) sum = v16_add(sum, v16_load(add));
    if (kind == FINISH_RELU || kind == FINISH_ADD_RELU) sum = lanes_clip(sum, bits, false, f);
    if (kind == FINISH_CLIP) sum = lanes_clip(sum, bits, true, f);
    if (any && f->rectify) sum = lanes_clip(sum, bits, f->high < INFINITY, f);
    v16_store(y, sum);
}

/* Finishes `count` sums, from_gap floats apart, into pixels of y that are `gap` pixels apart. */
CNV_INLINE void lanes_finish_run_as(finish_kind kind, float *y, const float *add, uint16_t *bits, int64_t gap,
                                    const float *from, int64_t from_gap, v16 bias, int64_t count,
                                    const cnv_finish *f)
{
    for (int64_t i = 0; i < count; i++)
        lanes_finish(kind, y + i * gap * 16, v16_add(v16_load(from + i * from_gap), bias),
                     add != NULL ? add + i * gap * 16 : NULL, bits != NULL ? bits + i * gap : NULL, f);
}

CNV_INLINE void lanes_finish_run(finish_kind kind, float *y, const float *add, uint16_t *bits, int64_t gap,
                                 const float *from, int64_t from_gap, v16 bias, int64_t count,
                                 const cnv_finish *f)
{
    switch (kind) {
    case FINISH_PLAIN:
        lanes_finish_run_as(FINISH_PLAIN, y, add, bits, gap, from, from_gap, bias, count, f);
        return;
    case FINISH_RELU:
        lanes_finish_run_as(FINISH_RELU, y, add, bits, gap, from, from_gap, bias, count, f);
        return;
    case FINISH_ADD_RELU:
        lanes_finish_run_as(FINISH_ADD_RELU, y, add, bits, gap, from, from_gap, bias, count, f);
        return;
    case FINISH_CLIP:
        lanes_finish_run_as(FINISH_CLIP, y, add, bits, gap, from, from_gap, bias, count, f);
        return;
    case FINISH_ACCUMULATE:
        lanes_finish_run_as(FINISH_ACCUMULATE, y, add, bits, gap, from, from_gap, bias, count, f);
        return;
    default:
        lanes_finish_run_as(FINISH_ANY, y, add, bits, gap, from, from_gap, bias, count, f);
        return;
    }
}

/* The gradient that a rectifier passes back by a rule, see cnv_relu_rule; redirected means a dead image. */
CNV_INLINE v16 lanes_gate(v16 g, const uint16_t *bits, const cnv_gate *gate, cnv_relu_rule rule)
{
    const v16 zero = v16_zero();
    switch (rule) {
    case CNV_RELU_GUIDED:
        return v16_keep(*bits, v16_max(zero, g));
    case CNV_RELU_DECONV:
        return v16_max(zero, g);
    case CNV_RELU_REDIRECTED: {
        const v16 up = v16_blend(*bits, v16_max(zero, g), g);
        return gate->above != 0 ? v16_blend(bits[gate->above], up, v16_min(zero, g)) : up;
    }
    default:
        return v16_keep(*bits, g);
    }
}

/* The rule of one image: redirected differs from plain only if plain passes nothing of the image. */
CNV_INLINE cnv_relu_rule gate_rule(const cnv_gate *gate, int64_t image)
{
    if (gate->rule != CNV_RELU_REDIRECTED) return gate->rule;
    return gate->dead[image] ? CNV_RELU_REDIRECTED : CNV_RELU_PLAIN;
}

/* Copies `count` pixels, `gap` pixels apart in `from`, through the gate unless bits is NULL. */
CNV_INLINE void lanes_copy(float *to, const float *from, const uint16_t *bits, int64_t count, int64_t gap,
                           const cnv_gate *gate, cnv_relu_rule rule)
{
    if (bits == NULL) {
        for (int64_t i = 0; i < count; i++) v16_store(to + i * 16, v16_load(from + i * gap * 16));
    } else if (rule == CNV_RELU_PLAIN) {
        for (int64_t i = 0; i < count; i++)
            v16_store(to + i * 16, v16_keep(bits[i * gap], v16_load(from + i * gap * 16)));
    } else {
        for (int64_t i = 0; i < count; i++)
            v16_store(to + i * 16, lanes_gate(v16_load(from + i * gap * 16), bits + i * gap, gate, rule));
    }
}

/* Zeroes `count` pixels, which are so few that a call of memset would cost more than the stores. */
CNV_INLINE void lanes_clear(float *to, int64_t count)
{
    for (int64_t i = 0; i < count; i++) v16_store(to + i * 16, v16_zero());
}

/* Columns 0..3 of sixteen rows, `gap` floats apart, as four vectors: lane l is row l. */
CNV_INLINE void lanes_columns(v16 *columns, const float *rows, int64_t gap)
{
    /* Lanes 4k..4k+3 of r_i are row 4k + i. */
    const v16 r0 = v16_load4(rows, 4 * gap), r1 = v16_load4(rows + gap, 4 * gap);
    const v16 r2 = v16_load4(rows + 2 * gap, 4 * gap), r3 = v16_load4(rows + 3 * gap, 4 * gap);
    const v16 low01 = v16_zip_low(r0, r1), low23 = v16_zip_low(r2, r3);
    const v16 high01 = v16_zip_high(r0, r1), high23 = v16_zip_high(r2, r3);
    columns[0] = v16_pair_low(low01, low23);
    columns[1] = v16_pair_high(low01, low23);
    columns[2] = v16_pair_low(high01, high23);
    columns[3] = v16_pair_high(high01, high23);
}

/* The number of channels by which weights are prefetched ahead of their use. */
#define LANES_AHEAD 4

/* Prefetches sixteen kernels of `size` floats into L1. */
CNV_INLINE void lanes_fetch(const float *w, int64_t size)
{
    for (int64_t i = 0; i < 16 * size; i += 16) _mm_prefetch((const char *)(w + i), _MM_HINT_T0);
}

#endif
