/*
 * Template: the kernel of image_gradient.h, the gradient of a picture of few channels.
 *
 * Parameter: VEC_ZMM, see vec.h. It sets the number of vectors of a tile.
 */
#ifndef CNV_FAST_IMAGE_GRADIENT_TEMPLATE_H
#define CNV_FAST_IMAGE_GRADIENT_TEMPLATE_H

#include "kernels/fast/image_gradient.h"
#include "kernels/fast/lanes.h"
#include "kernels/fast/lanewise_template.h"

/* The number of vectors of pixels that share the loads of the weights. With three channels the sums of 7
 * vectors are 21 of 32 zmm registers, and cover half a row of 224 pixels; those of 2 vectors are 12 of 16 ymm
 * registers. */
#if VEC_ZMM
#define GRADIENT_VECTORS 7
#else
#define GRADIENT_VECTORS 2
#endif
#define GRADIENT_COPY 64 /* pixels that pass the gate together before they are transposed into planes */

typedef struct gradient_call {
    float *dx;
    const float *dy, *packed;
    const cnv_gate *gate;
    bool accumulate;
    const cnv_image_gradient *d;
    char *scratch;
    size_t scratch_stride;
    int64_t strips;
} gradient_call;

/* Copies one row of one block of dy into `channels` rows of single channels, with zeros on both sides. The
 * rows of all channels are contiguous, which is the order of use. src is NULL outside of dy. */
static void gradient_copy_row(float *to, const float *src, const uint16_t *bits, int64_t channels,
                              const gradient_call *c, cnv_relu_rule rule)
{
    const cnv_image_gradient *d = c->d;
    const int64_t plane = d->pitch;
    int64_t begin = d->low[1] < 0 ? -d->low[1] : 0, skip = d->low[1] > 0 ? d->low[1] : 0;
    int64_t count = d->g.ow - skip < d->pitch - begin ? d->g.ow - skip : d->pitch - begin;
    if (src == NULL || count < 0) begin = count = 0;
    for (int64_t k = 0; k < channels; k++) {
        memset(to + k * plane, 0, (size_t)begin * sizeof(float));
        memset(to + k * plane + begin + count, 0, (size_t)(d->pitch - begin - count) * sizeof(float));
    }
    float gated[GRADIENT_COPY * 16];
    for (int64_t p = 0; p < count; p += GRADIENT_COPY) {
        const int64_t n = count - p < GRADIENT_COPY ? count - p : GRADIENT_COPY;
        lanes_copy(gated, src + (skip + p) * 16, bits != NULL ? bits + skip + p : NULL, n, 1, c->gate, rule);
        lanewise_block_out(to + begin + p, gated, plane, channels, n, false);
    }
}

/* Copies the rows of dy that the strip from row `first` of each phase on reads. */
static void gradient_copy(float *to, int64_t image, int64_t first, const gradient_call *c)
{
    const cnv_image_gradient *d = c->d;
    const cnv_geometry *g = &d->g;
    const cnv_relu_rule rule = gate_rule(c->gate, image);
    for (int64_t b = 0; b < cnv_blocks(g->oc); b++) {
        const int64_t channels = g->oc - b * 16 < 16 ? g->oc - b * 16 : 16;
        const int64_t block = (image * cnv_blocks(g->oc) + b) * g->oh * g->ow;
        for (int64_t r = 0; r < d->rows; r++) {
            const int64_t row = first + d->low[0] + r, at = block + row * g->ow;
            const bool inside = row >= 0 && row < g->oh;
            gradient_copy_row(to + (r * g->oc + b * 16) * d->pitch, inside ? c->dy + at * 16 : NULL,
                              inside && c->gate->bits != NULL ? c->gate->bits + at : NULL, channels, c, rule);
        }
    }
}

#if VEC_ZMM
CNV_INLINE void gradient_vector(int channels, v16 *acc, const float *dy, const float *w)
{
    const v16 g = v16_pinned(v16_load(dy));
    acc[0] = v16_fma(g, v16_all(w[0]), acc[0]);
    if (channels > 1) acc[1] = v16_fma(g, v16_all(w[1]), acc[1]);
    if (channels > 2) acc[2] = v16_fma(g, v16_all(w[2]), acc[2]);
    if (channels > 3) acc[3] = v16_fma(g, v16_all(w[3]), acc[3]);
}
#else
CNV_INLINE void gradient_eight(int channels, const float *dy, const float *w, __m256 *s0, __m256 *s1,
                               __m256 *s2, __m256 *s3)
{
    const __m256 eight = _mm256_loadu_ps(dy);
    v8_add_product(s0, eight, _mm256_broadcast_ss(w));
    if (channels > 1) v8_add_product(s1, eight, _mm256_broadcast_ss(w + 1));
    if (channels > 2) v8_add_product(s2, eight, _mm256_broadcast_ss(w + 2));
    if (channels > 3) v8_add_product(s3, eight, _mm256_broadcast_ss(w + 3));
}

/* Half a vector at a time: three channels have twelve sums and three weights, which leaves one register for
 * dy. A sum that is spilled to memory would be a dependency chain twice as long as the others. */
CNV_INLINE void gradient_vector(int channels, v16 *acc, const float *dy, const float *w)
{
    gradient_eight(channels, dy, w, &acc[0].low, &acc[1].low, &acc[2].low, &acc[3].low);
    gradient_eight(channels, dy + 8, w, &acc[0].high, &acc[1].high, &acc[2].high, &acc[3].high);
}
#endif

CNV_INLINE void gradient_put(int channels, float *sums, const v16 *acc)
{
    v16_store(sums, acc[0]);
    if (channels > 1) v16_store(sums + GRADIENT_VECTORS * 16, acc[1]);
    if (channels > 2) v16_store(sums + 2 * GRADIENT_VECTORS * 16, acc[2]);
    if (channels > 3) v16_store(sums + 3 * GRADIENT_VECTORS * 16, acc[3]);
}

/* Computes sums[channel][pixel] of GRADIENT_VECTORS vectors of pixels. As in tile.h, sums are only indexed by
 * constants. offset[t]: floats from dy to tap t in the copy. */
CNV_INLINE void gradient_tile(int channels, float *sums, const float *dy, const float *w,
                              const int64_t *offset, int64_t taps, const cnv_image_gradient *d)
{
    const int n = channels;
    const v16 zero = v16_zero();
    v16 a0[4] = {zero, zero, zero, zero}, a1[4] = {zero, zero, zero, zero};
#if GRADIENT_VECTORS > 2
    v16 a2[4] = {zero, zero, zero, zero}, a3[4] = {zero, zero, zero, zero}, a4[4] = {zero, zero, zero, zero};
    v16 a5[4] = {zero, zero, zero, zero}, a6[4] = {zero, zero, zero, zero};
#endif
    for (int64_t o = 0; o < d->g.oc; o++, dy += d->pitch) {
        for (int64_t t = 0; t < taps; t++, w += n) {
            const float *at = dy + offset[t];
            gradient_vector(n, a0, at, w);
            gradient_vector(n, a1, at + 16, w);
#if GRADIENT_VECTORS > 2
            gradient_vector(n, a2, at + 2 * 16, w);
            gradient_vector(n, a3, at + 3 * 16, w);
            gradient_vector(n, a4, at + 4 * 16, w);
            gradient_vector(n, a5, at + 5 * 16, w);
            gradient_vector(n, a6, at + 6 * 16, w);
#endif
        }
    }
    gradient_put(n, sums, a0);
    gradient_put(n, sums + 16, a1);
#if GRADIENT_VECTORS > 2
    gradient_put(n, sums + 2 * 16, a2);
    gradient_put(n, sums + 3 * 16, a3);
    gradient_put(n, sums + 4 * 16, a4);
    gradient_put(n, sums + 5 * 16, a5);
    gradient_put(n, sums + 6 * 16, a6);
#endif
}

static __attribute__((noinline)) void gradient_sums(float *sums, const float *dy, const float *w,
                                                    const int64_t *offset, int64_t taps,
                                                    const cnv_image_gradient *d)
{
    switch (d->g.ic) {
    case 1:
        gradient_tile(1, sums, dy, w, offset, taps, d);
        return;
    case 2:
        gradient_tile(2, sums, dy, w, offset, taps, d);
        return;
    case 3:
        gradient_tile(3, sums, dy, w, offset, taps, d);
        return;
    default:
        gradient_tile(4, sums, dy, w, offset, taps, d);
        return;
    }
}

/* Computes one row of one phase. out is its first pixel in channel 0 of dx, dy the row of the copy that the
 * smallest shift reads. */
static void gradient_row(float *out, const float *dy, int64_t phase, const float *w, const int64_t *offset,
                         const gradient_call *c)
{
    const cnv_image_gradient *d = c->d;
    const cnv_geometry *g = &d->g;
    const int64_t step = g->stride[1], points = cnv_ceil_div(g->iw - phase % step, step);
    float sums[CNV_GRADIENT_CHANNELS * GRADIENT_VECTORS * 16];
    for (int64_t p = 0; p < points; p += GRADIENT_VECTORS * 16) {
        const int64_t count = points - p < GRADIENT_VECTORS * 16 ? points - p : GRADIENT_VECTORS * 16;
        gradient_sums(sums, dy + p, w, offset, d->first[phase + 1] - d->first[phase], d);
        for (int64_t k = 0; k < g->ic; k++) {
            float *to = out + k * g->ih * g->iw + p * step;
            const float *from = sums + k * GRADIENT_VECTORS * 16;
            if (c->accumulate)
                for (int64_t i = 0; i < count; i++) to[i * step] += from[i];
            else
                for (int64_t i = 0; i < count; i++) to[i * step] = from[i];
        }
    }
}

static void gradient_item(void *context, int64_t item, int worker)
{
    const gradient_call *c = context;
    const cnv_image_gradient *d = c->d;
    const cnv_geometry *g = &d->g;
    const int64_t image = item / c->strips, first = item % c->strips * d->strip;
    float *copy = (float *)(c->scratch + (size_t)worker * c->scratch_stride);
    float *dx = c->dx + image * g->ic * g->ih * g->iw;
    int64_t offset[CNV_MAX_TAPS];
    gradient_copy(copy, image, first, c);
    for (int64_t p = 0; p < d->phases; p++) {
        const float *w = c->packed + d->first[p] * g->oc * g->ic;
        for (int64_t t = d->first[p]; t < d->first[p + 1]; t++)
            offset[t - d->first[p]] =
                (d->shift[t][0] - d->low[0]) * g->oc * d->pitch + d->shift[t][1] - d->low[1];
        for (int64_t r = 0; r < d->strip; r++) {
            const int64_t row = p / g->stride[1] + (first + r) * g->stride[0];
            if (row < g->ih && p % g->stride[1] < g->iw)
                gradient_row(dx + row * g->iw + p % g->stride[1], copy + r * g->oc * d->pitch, p, w, offset,
                             c);
        }
    }
}

static void gradient_run(float *dx, const float *dy, const float *packed, const cnv_gate *gate,
                         bool accumulate, const cnv_image_gradient *d, void *scratch, size_t scratch_stride,
                         cnv_run *run)
{
    gradient_call c = {.dx = dx,
                       .dy = dy,
                       .packed = packed,
                       .gate = gate,
                       .accumulate = accumulate,
                       .d = d,
                       .scratch = scratch,
                       .scratch_stride = scratch_stride,
                       .strips = cnv_ceil_div(cnv_ceil_div(d->g.ih, d->g.stride[0]), d->strip)};
    cnv_parallel(run, d->g.images * c.strips, gradient_item, &c);
}

#endif
