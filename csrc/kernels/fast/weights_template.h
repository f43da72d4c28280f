/*
 * Weights in the form that the micro-kernel reads, made block by block of output channels: once when they are
 * packed, or by every pass where there is no room for packed ones. Both ways give the same bits.
 */
#ifndef CNV_FAST_WEIGHTS_IMPL_H
#define CNV_FAST_WEIGHTS_IMPL_H

#include "kernels/fast/direct.h"
#include "kernels/fast/winograd.h"
#include "kernels/fast/vec.h"

/* Channels whose weights are fetched in advance, where those of two channels lie pages apart. */
#define WEIGHTS_AHEAD 4

/* Columns 0..3 of sixteen rows, `gap` floats apart, as four vectors: lane l is row l. */
CNV_INLINE void weights_columns(v16 *columns, const float *rows, int64_t gap)
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

/* Sixteen 3x3 kernels, `gap` floats apart, as nine vectors; lanes past `lanes` are zero. */
CNV_INLINE void weights_kernels(v16 *kernels, const float *w, int64_t gap, int64_t lanes)
{
    float padded[16 * 9] = {0};
    if (lanes < 16) {
        for (int64_t l = 0; l < lanes; l++)
            for (int64_t t = 0; t < 9; t++) padded[l * 9 + t] = w[l * gap + t];
        w = padded;
        gap = 9;
    }
    v16 last[4];
    weights_columns(kernels, w, gap);
    weights_columns(kernels + 4, w + 4, gap);
    weights_columns(last, w + 5, gap);
    kernels[8] = last[3];
}

/* G w of three values for the points 0, 1, -1, 2, -2, infinity: rows (1/4, 0, 0), -(1, 1, 1)/6,
 * (-1, 1, -1)/6, (1, 2, 4)/24, (1, -2, 4)/24, (0, 0, 1). */
CNV_INLINE void weights_six(float *to, int64_t gap, v16 w0, v16 w1, v16 w2)
{
    const v16 sixth = v16_all(1.0f / 6), twelfth = v16_all(1.0f / 12);
    const v16 even = v16_mul(v16_all(-1.0f / 6), v16_add(w0, w2));
    const v16 far = v16_fma(v16_all(1.0f / 24), w0, v16_mul(sixth, w2));
    v16_store(to, v16_mul(v16_all(0.25f), w0));
    v16_store(to + gap, v16_fma(v16_all(-1.0f / 6), w1, even));
    v16_store(to + 2 * gap, v16_fma(sixth, w1, even));
    v16_store(to + 3 * gap, v16_fma(twelfth, w1, far));
    v16_store(to + 4 * gap, v16_fma(v16_all(-1.0f / 12), w1, far));
    v16_store(to + 5 * gap, w2);
}

/* For the points 0, 1, -1, infinity: (1, 0, 0), (1, 1, 1)/2, (1, -1, 1)/2, (0, 0, 1). */
CNV_INLINE void weights_four(float *to, int64_t gap, v16 w0, v16 w1, v16 w2)
{
    const v16 half = v16_all(0.5f), even = v16_mul(half, v16_add(w0, w2));
    v16_store(to, w0);
    v16_store(to + gap, v16_fma(half, w1, even));
    v16_store(to + 2 * gap, v16_fma(v16_all(-0.5f), w1, even));
    v16_store(to + 3 * gap, w2);
}

/* G w G^T of sixteen kernels at once. */
CNV_INLINE void weights_transform(float *u, int64_t position, const v16 *w, bool flipped, int64_t n)
{
    float rows[6 * 3 * 16];
    for (int s = 0; s < 3; s++) {
        const v16 w0 = flipped ? w[8 - s] : w[s], w1 = flipped ? w[5 - s] : w[3 + s];
        const v16 w2 = flipped ? w[2 - s] : w[6 + s];
        if (n == 6)
            weights_six(rows + s * 16, 3 * 16, w0, w1, w2);
        else
            weights_four(rows + s * 16, 3 * 16, w0, w1, w2);
    }
    for (int64_t i = 0; i < n; i++, u += n * position) {
        const float *row = rows + i * 3 * 16;
        const v16 w0 = v16_load(row), w1 = v16_load(row + 16), w2 = v16_load(row + 32);
        if (n == 6)
            weights_six(u, position, w0, w1, w2);
        else
            weights_four(u, position, w0, w1, w2);
    }
}

/* Brings sixteen kernels of `size` floats to L1. */
CNV_INLINE void weights_fetch(const float *w, int64_t size)
{
    for (int64_t i = 0; i < 16 * size; i += 16) _mm_prefetch((const char *)(w + i), _MM_HINT_T0);
}

CNV_INLINE void winograd_weights_of(float *u, int64_t position, const float *w, const cnv_winograd *d,
                                    int64_t begin, int64_t end, bool backward, int64_t n)
{
    const int64_t per_out = backward ? 9 : d->ic * 9, per_in = backward ? d->oc * 9 : 9;
    for (int64_t b = begin; b < end; b++) {
        const int64_t lanes = d->oc - b * 16 < 16 ? d->oc - b * 16 : 16;
        const float *from = w + b * 16 * per_out;
        for (int64_t c = 0; c < d->ic; c++, from += per_in, u += 16) {
            v16 kernels[9];
            if (backward && c + WEIGHTS_AHEAD < d->ic) weights_fetch(from + WEIGHTS_AHEAD * per_in, 9);
            weights_kernels(kernels, from, per_out, lanes);
            weights_transform(u, position, kernels, backward, n);
        }
    }
}

/* U of output blocks begin..end-1 from O,I,3,3, `position` floats between two positions. */
static void winograd_weights(float *u, int64_t position, const float *w, const cnv_winograd *d, int64_t begin,
                             int64_t end)
{
    if (d->m == 4 && d->backward)
        winograd_weights_of(u, position, w, d, begin, end, true, 6);
    else if (d->m == 4)
        winograd_weights_of(u, position, w, d, begin, end, false, 6);
    else if (d->backward)
        winograd_weights_of(u, position, w, d, begin, end, true, 4);
    else
        winograd_weights_of(u, position, w, d, begin, end, false, 4);
}

/* U of all output blocks. */
static void winograd_pack(float *packed, const float *w, const cnv_winograd *d)
{
    const int64_t blocks = cnv_blocks(d->oc);
    winograd_weights(packed, cnv_winograd_position(blocks, d->ic), w, d, 0, blocks);
}

/* Channels c0..c0+15 of sixteen outputs forward: rows of 16 * taps neighbours become columns. */
static void direct_weights_forward(float *to, const float *w, const cnv_direct *d)
{
    const int64_t taps = d->kernel_size;
    v16 columns[4];
    for (int64_t j = 0; j < 16 * taps; j += 4) {
        weights_columns(columns, w + j, d->ic * taps);
        for (int k = 0; k < 4; k++) v16_store(to + ((j + k) % taps * 16 + (j + k) / taps) * 16, columns[k]);
    }
}

/* One channel, `to_tap` floats between its taps: lane l is the output that begins l * gap floats further. */
static void direct_weights_channel(float *to, int64_t to_tap, const float *w, int64_t gap, int64_t lanes,
                                   const cnv_direct *d)
{
    for (int64_t t = 0; t < d->taps; t++, to += to_tap) {
        const float *from = w + d->tap[t];
        if (gap == 1 && lanes == 16)
            v16_store(to, v16_load(from));
        else
            for (int64_t l = 0; l < 16; l++) to[l] = l < lanes ? from[l * gap] : 0;
    }
}

/* Packed weights of output blocks begin..end-1, the same as cnv_direct_pack's. */
static void direct_weights(float *packed, const float *w, const cnv_direct *d, int64_t begin, int64_t end)
{
    const int64_t per_out = d->backward ? d->kernel_size : d->ic * d->kernel_size;
    const int64_t per_in = d->backward ? d->oc * d->kernel_size : d->kernel_size;
    for (int64_t b = begin; b < end; b++) {
        const int64_t lanes = d->oc - b * 16 < 16 ? d->oc - b * 16 : 16;
        for (int64_t c0 = 0; c0 < d->ic; c0 += 16) {
            const int64_t channels = d->ic - c0 < 16 ? d->ic - c0 : 16;
            const float *from = w + b * 16 * per_out + c0 * per_in;
            if (!d->backward && channels == 16 && lanes == 16)
                direct_weights_forward(packed, from, d);
            else
                for (int64_t c = 0; c < channels; c++) {
                    if (d->backward && c0 + c + WEIGHTS_AHEAD < d->ic && lanes == 16)
                        weights_fetch(from + (c + WEIGHTS_AHEAD) * per_in, d->kernel_size);
                    direct_weights_channel(packed + c * 16, channels * 16, from + c * per_in, per_out, lanes,
                                           d);
                }
            packed += channels * d->taps * 16;
        }
    }
}

#endif
