/*
 * What the fast kernels do to sixteen channels of a pixel besides summing: the way in and the way out.
 */
#ifndef CNV_FAST_LANES_H
#define CNV_FAST_LANES_H

#include <math.h>
#include <string.h>

#include "kernels/fast/blocked.h"
#include "kernels/vec.h"

/* Stores one pixel's sum; see cnv_finish. NaN passes a rectifier. */
CNV_INLINE void lanes_finish(float *y, v16 sum, const float *add, uint16_t *bits, const cnv_finish *f)
{
    if (f->accumulate) sum = v16_add(v16_load(y), sum);
    if (add != NULL) sum = v16_add(sum, v16_load(add));
    if (f->rectify) {
        const v16 zero = v16_zero(), high = v16_all(f->high);
        if (bits != NULL) {
            uint16_t below = f->high < INFINITY ? v16_greater(high, sum) : 0xffff;
            *bits = v16_greater(sum, zero) & below;
            if (f->above != 0) bits[f->above] = (uint16_t)~below;
        }
        sum = v16_min(high, v16_max(zero, sum));
    }
    v16_store(y, sum);
}

/* Whether a finish changes the sum at all. */
CNV_INLINE bool finish_is_plain(const cnv_finish *f)
{
    return !f->accumulate && !f->rectify && f->add == NULL;
}

/* The gradient that a rectifier lets through, see cnv_relu_rule; `redirected` here means a dead image. */
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

/* The rule for one image: redirected only differs from plain where plain passes nothing. */
CNV_INLINE cnv_relu_rule gate_rule(const cnv_gate *gate, int64_t image)
{
    if (gate->rule != CNV_RELU_REDIRECTED) return gate->rule;
    return gate->dead[image] ? CNV_RELU_REDIRECTED : CNV_RELU_PLAIN;
}

/* Copies `count` pixels that lie `gap` pixels apart, through a gate unless bits is NULL. */
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

CNV_INLINE void lanes_clear(float *to, int64_t count)
{
    memset(to, 0, (size_t)(count * 16) * sizeof(float));
}

#endif
