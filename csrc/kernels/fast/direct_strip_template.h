/*
 * Template: the copy of a strip of x that direct convolution reads, with zeros for the padding, the columns
 * of each stride remainder apart, and the gate of a fused rectifier applied; see direct.h.
 *
 * Parameter: VEC_ZMM, see vec.h.
 */
#ifndef CNV_FAST_DIRECT_STRIP_TEMPLATE_H
#define CNV_FAST_DIRECT_STRIP_TEMPLATE_H

#include "kernels/fast/direct.h"
#include "kernels/fast/lanes.h"

/* The grid points i of 0..count-1 for which first + i * step is in 0..extent-1. */
typedef struct direct_span {
    int64_t begin, end;
} direct_span;

static direct_span direct_inside(int64_t first, int64_t step, int64_t count, int64_t extent)
{
    direct_span s = {0, count};
    if (first < 0) s.begin = cnv_ceil_div(-first, step);
    if (s.begin > count) s.begin = count;
    int64_t end = first < extent ? (extent - 1 - first) / step + 1 : 0;
    if (s.end > end) s.end = end;
    if (s.end < s.begin) s.end = s.begin;
    return s;
}

/* Copies one row of one phase of one channel block: zeros, pixels, zeros. src_row is NULL in the padding. */
static void direct_copy_row(float *to, const float *src_row, const uint16_t *bits, int64_t first,
                            const cnv_direct *d, const cnv_gate *gate, cnv_relu_rule rule)
{
    direct_span in = direct_inside(first, d->stride[1], d->pitch, d->xw);
    if (src_row == NULL) in.begin = in.end = d->pitch;
    lanes_clear(to, in.begin);
    if (in.end > in.begin) {
        const int64_t at = first + in.begin * d->stride[1];
        lanes_copy(to + in.begin * 16, src_row + at * 16, bits != NULL ? bits + at : NULL, in.end - in.begin,
                   d->stride[1], gate, rule);
    }
    lanes_clear(to + in.end * 16, d->pitch - in.end);
}

/* The numbers from[0], from[2], ..., from[14]; from[15] is read, too. */
CNV_INLINE __m256 direct_every_second(const float *from)
{
    const __m256 mixed = _mm256_shuffle_ps(_mm256_loadu_ps(from), _mm256_loadu_ps(from + 8), 0x88);
    return _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(mixed), 0xd8));
}

/* As direct_copy_row for one plane of N,C,H,W. */
static void direct_copy_planar_row(float *to, const float *src_row, int64_t first, const cnv_direct *d)
{
    direct_span in = direct_inside(first, d->stride[1], d->pitch, d->xw);
    if (src_row == NULL) in.begin = in.end = d->pitch;
    int64_t i = 0;
    for (; i < in.begin; i++) to[i] = 0;
    if (d->stride[1] == 2)
        for (; i + 8 <= in.end && first + i * 2 + 16 <= d->xw; i += 8)
            _mm256_storeu_ps(to + i, direct_every_second(src_row + first + i * 2));
    for (; i < in.end; i++) to[i] = src_row[first + i * d->stride[1]];
    for (; i < d->pitch; i++) to[i] = 0;
}

/* Copies the pixels of one image that the strip of grid rows from `row` on reads. */
static void direct_copy_strip(float *to, const float *x, const cnv_gate *gate, const cnv_direct *d,
                              int64_t image, int64_t row)
{
    const int64_t plane = d->xh * d->xw, lanes = d->planar ? 1 : 16;
    const int64_t planes = d->planar ? d->ic : cnv_blocks(d->ic);
    x += image * d->x_image;
    const uint16_t *bits = gate->bits != NULL ? gate->bits + image * planes * plane : NULL;
    const cnv_relu_rule rule = gate_rule(gate, image);
    for (int64_t b = 0; b < planes; b++, x += plane * lanes) {
        const uint16_t *block_bits = bits != NULL ? bits + b * plane : NULL;
        for (int64_t p = 0; p < d->phases; p++) {
            const int64_t col = d->first[1] + d->phase[p][1];
            for (int64_t r = 0; r < d->phase_rows; r++, to += d->pitch * lanes) {
                const int64_t at = d->first[0] + d->phase[p][0] + (row + r) * d->stride[0];
                const bool inside = at >= 0 && at < d->xh;
                const float *src = inside ? x + at * d->xw * lanes : NULL;
                if (d->planar)
                    direct_copy_planar_row(to, src, col, d);
                else
                    direct_copy_row(to, src, inside && bits != NULL ? block_bits + at * d->xw : NULL, col, d,
                                    gate, rule);
            }
        }
    }
}

/* Lists the channel blocks of a strip that are not all zero, and returns their number. In the gradient of one
 * class's score all channels but one of a convolutional classifier are zero; a block of other gradients is
 * usually settled by its first pixel. */
static int64_t direct_live(int32_t *live, const float *x, int64_t x_block, int64_t pixels,
                           const cnv_direct *d)
{
    int64_t count = 0;
    for (int64_t b = 0; b < cnv_blocks(d->ic); b++) {
        const float *at = x + b * x_block, *end = at + pixels * 16;
        while (at < end && !v16_any(v16_load(at))) at += 16;
        if (at < end) live[count++] = (int32_t)b;
    }
    return count;
}

#endif
