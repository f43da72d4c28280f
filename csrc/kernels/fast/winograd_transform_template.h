/*
 * Template: Winograd's transforms of sixteen channels at once, of inputs (V = B^T x B), of weights
 * (U = G w G^T) and of products (A^T M A); see winograd.h.
 *
 * Parameter: VEC_ZMM, see vec.h.
 */
#ifndef CNV_FAST_WINOGRAD_TRANSFORM_TEMPLATE_H
#define CNV_FAST_WINOGRAD_TRANSFORM_TEMPLATE_H

#include "kernels/fast/lanes.h"

#define WINOGRAD_POINTS 6 /* the largest number of points along one axis */

/*
 * B^T d for six values `gap` floats apart, and for four. The sums are differences of pixels, so that a flat
 * input gives exact zeros at all positions but one, and flat areas of a picture stay flat to the last bit:
 * otherwise rounding, not the first-maximum rule, would decide the ties of a max pool there.
 */
CNV_INLINE void winograd_in6(float *to, int64_t to_gap, const float *d, int64_t gap)
{
    v16 d0 = v16_load(d), d1 = v16_load(d + gap), d2 = v16_load(d + 2 * gap);
    v16 d3 = v16_load(d + 3 * gap), d4 = v16_load(d + 4 * gap), d5 = v16_load(d + 5 * gap);
    const v16 two = v16_all(2), four = v16_all(4);
    v16 a = v16_fma(v16_all(-4), d2, d4); /* d4 - 4 d2 */
    v16 b = v16_fma(v16_all(-4), d1, d3); /* d3 - 4 d1 */
    v16 c = v16_sub(d4, d2);
    v16 e = v16_mul(two, v16_sub(d3, d1));
    v16_store(to, v16_fma(four, v16_sub(d0, d2), c));
    v16_store(to + to_gap, v16_add(a, b));
    v16_store(to + 2 * to_gap, v16_sub(a, b));
    v16_store(to + 3 * to_gap, v16_add(c, e));
    v16_store(to + 4 * to_gap, v16_sub(c, e));
    v16_store(to + 5 * to_gap, v16_fma(four, v16_sub(d1, d3), v16_sub(d5, d3)));
}

CNV_INLINE void winograd_in4(float *to, int64_t to_gap, const float *d, int64_t gap)
{
    v16 d0 = v16_load(d), d1 = v16_load(d + gap), d2 = v16_load(d + 2 * gap), d3 = v16_load(d + 3 * gap);
    v16_store(to, v16_sub(d0, d2));
    v16_store(to + to_gap, v16_add(d1, d2));
    v16_store(to + 2 * to_gap, v16_sub(d2, d1));
    v16_store(to + 3 * to_gap, v16_sub(d1, d3));
}

/* A^T m for six values `gap` floats apart, and for four. */
CNV_INLINE void winograd_out6(float *to, int64_t to_gap, const float *m, int64_t gap)
{
    v16 m0 = v16_load(m), m1 = v16_load(m + gap), m2 = v16_load(m + 2 * gap);
    v16 m3 = v16_load(m + 3 * gap), m4 = v16_load(m + 4 * gap), m5 = v16_load(m + 5 * gap);
    v16 a = v16_add(m1, m2), b = v16_sub(m1, m2), c = v16_add(m3, m4), e = v16_sub(m3, m4);
    v16_store(to, v16_add(m0, v16_add(a, c)));
    v16_store(to + to_gap, v16_fma(v16_all(2), e, b));
    v16_store(to + 2 * to_gap, v16_fma(v16_all(4), c, a));
    v16_store(to + 3 * to_gap, v16_add(m5, v16_fma(v16_all(8), e, b)));
}

CNV_INLINE void winograd_out4(float *to, int64_t to_gap, const float *m, int64_t gap)
{
    v16 m0 = v16_load(m), m1 = v16_load(m + gap), m2 = v16_load(m + 2 * gap), m3 = v16_load(m + 3 * gap);
    v16_store(to, v16_add(m0, v16_add(m1, m2)));
    v16_store(to + to_gap, v16_sub(v16_sub(m1, m2), m3));
}

/* B^T x B of one tile and channel block: x has `row` floats between rows. */
static void winograd_tile_in(float *v, int64_t position, const float *x, int64_t row, int64_t n)
{
    float columns[WINOGRAD_POINTS * WINOGRAD_POINTS * 16];
    if (n == 6) {
        for (int j = 0; j < 6; j++) winograd_in6(columns + j * 16, 6 * 16, x + j * 16, row);
        for (int i = 0; i < 6; i++) winograd_in6(v + i * 6 * position, position, columns + i * 6 * 16, 16);
    } else {
        for (int j = 0; j < 4; j++) winograd_in4(columns + j * 16, 4 * 16, x + j * 16, row);
        for (int i = 0; i < 4; i++) winograd_in4(v + i * 4 * position, position, columns + i * 4 * 16, 16);
    }
}

/* A^T M A of one tile and channel block, into m x m pixels one after the other. */
static void winograd_tile_out(float *pixels, const float *m, int64_t position, int64_t n)
{
    float columns[WINOGRAD_POINTS * WINOGRAD_POINTS * 16];
    if (n == 6) {
        for (int j = 0; j < 6; j++) winograd_out6(columns + j * 16, 6 * 16, m + j * position, 6 * position);
        for (int i = 0; i < 4; i++) winograd_out6(pixels + i * 4 * 16, 16, columns + i * 6 * 16, 16);
    } else {
        for (int j = 0; j < 4; j++) winograd_out4(columns + j * 16, 4 * 16, m + j * position, 4 * position);
        for (int i = 0; i < 2; i++) winograd_out4(pixels + i * 2 * 16, 16, columns + i * 4 * 16, 16);
    }
}

/* Loads sixteen 3x3 kernels, `gap` floats apart, as nine vectors; lanes past `lanes` are zero. */
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
    lanes_columns(kernels, w, gap);
    lanes_columns(kernels + 4, w + 4, gap);
    lanes_columns(last, w + 5, gap);
    kernels[8] = last[3];
}

/* G w of three values for the points 0, 1, -1, 2, -2, infinity; the rows of G are (1/4, 0, 0), -(1, 1, 1)/6,
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

/* G w for the points 0, 1, -1, infinity; rows of G: (1, 0, 0), (1, 1, 1)/2, (1, -1, 1)/2, (0, 0, 1). */
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

#endif
