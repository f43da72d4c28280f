/*
 * The gradient of the image: a backward pass whose result has so few channels that they can not fill lanes.
 * Lanes run over the channels of dy instead, and each result is the sum of a vector's lanes.
 */
#ifndef CNV_FAST_IMAGE_GRADIENT_IMPL_H
#define CNV_FAST_IMAGE_GRADIENT_IMPL_H

#include "kernels/fast/direct_impl.h"
#include "kernels/fast/image_gradient.h"

/* Pixels that share a load of the weights: times three channels, they fill three quarters of the registers.
 */
#if defined(__AVX512F__)
#define GRADIENT_PIXELS 8
#else
#define GRADIENT_PIXELS 2
#endif

/* One dy vector against the weights of each of `channels` channels. */
CNV_INLINE void gradient_pixel(int channels, v16 *acc, const float *dy, v16 w0, v16 w1, v16 w2, v16 w3)
{
    const v16 g = v16_load(dy);
    acc[0] = v16_fma(g, w0, acc[0]);
    if (channels > 1) acc[1] = v16_fma(g, w1, acc[1]);
    if (channels > 2) acc[2] = v16_fma(g, w2, acc[2]);
    if (channels > 3) acc[3] = v16_fma(g, w3, acc[3]);
}

/* sums[p][c] for GRADIENT_PIXELS neighbouring pixels. As in tile.h, acc is only indexed by constants. */
CNV_INLINE void gradient_tile(int channels, float *sums, const float *dy, const float *w, const cnv_direct *d)
{
    const int64_t blocks = cnv_blocks(d->ic), block = d->phases * d->phase_rows * d->pitch * 16;
    const int n = channels;
    v16 acc[GRADIENT_PIXELS * CNV_GRADIENT_CHANNELS];
#pragma GCC unroll 32
    for (int i = 0; i < GRADIENT_PIXELS * CNV_GRADIENT_CHANNELS; i++) acc[i] = v16_zero();
    for (int64_t b = 0; b < blocks; b++, dy += block) {
        for (int64_t t = 0; t < d->taps; t++, w += n * 16) {
            const float *at = dy + d->offset[t];
            const v16 w0 = v16_load(w), w1 = n > 1 ? v16_load(w + 16) : w0;
            const v16 w2 = n > 2 ? v16_load(w + 32) : w0, w3 = n > 3 ? v16_load(w + 48) : w0;
            gradient_pixel(n, acc, at, w0, w1, w2, w3);
            gradient_pixel(n, acc + n, at + 16, w0, w1, w2, w3);
#if GRADIENT_PIXELS > 2
            gradient_pixel(n, acc + 2 * n, at + 2 * 16, w0, w1, w2, w3);
            gradient_pixel(n, acc + 3 * n, at + 3 * 16, w0, w1, w2, w3);
            gradient_pixel(n, acc + 4 * n, at + 4 * 16, w0, w1, w2, w3);
            gradient_pixel(n, acc + 5 * n, at + 5 * 16, w0, w1, w2, w3);
            gradient_pixel(n, acc + 6 * n, at + 6 * 16, w0, w1, w2, w3);
            gradient_pixel(n, acc + 7 * n, at + 7 * 16, w0, w1, w2, w3);
#endif
        }
    }
#pragma GCC unroll 32
    for (int i = 0; i < GRADIENT_PIXELS * CNV_GRADIENT_CHANNELS; i++)
        if (i < GRADIENT_PIXELS * n) sums[i] = v16_sum(acc[i]);
}

static __attribute__((noinline)) void gradient_sums(float *sums, const float *dy, const float *w,
                                                    const cnv_direct *d)
{
    switch (d->oc) {
    case 1:
        gradient_tile(1, sums, dy, w, d);
        return;
    case 2:
        gradient_tile(2, sums, dy, w, d);
        return;
    case 3:
        gradient_tile(3, sums, dy, w, d);
        return;
    default:
        gradient_tile(4, sums, dy, w, d);
        return;
    }
}

/* One grid row: dx is the image's, `row` a row of the grid. */
static void gradient_row(float *dx, const float *dy, int64_t row, const direct_call *c)
{
    const cnv_direct *d = c->d;
    float sums[GRADIENT_PIXELS * CNV_GRADIENT_CHANNELS];
    float *out = dx + (d->origin[0] + row * d->step[0]) * d->yw + d->origin[1];
    for (int64_t g = 0; g < d->cols; g += GRADIENT_PIXELS) {
        const int64_t count = d->cols - g < GRADIENT_PIXELS ? d->cols - g : GRADIENT_PIXELS;
        gradient_sums(sums, dy + g * 16, c->packed, d);
        for (int64_t k = 0; k < d->oc; k++) {
            for (int64_t p = 0; p < count; p++) {
                float *to = out + k * d->yh * d->yw + (g + p) * d->step[1];
                *to = c->finish->accumulate ? *to + sums[p * d->oc + k] : sums[p * d->oc + k];
            }
        }
    }
}

static void gradient_item(void *context, int64_t strip, int worker)
{
    const direct_call *c = context;
    const cnv_direct *d = c->d;
    const int64_t image = strip / c->strips, row = strip % c->strips * d->strip;
    const int64_t end = row + d->strip < d->rows ? row + d->strip : d->rows;
    float *copy = (float *)(c->scratch + (size_t)worker * c->scratch_stride);
    direct_copy_strip(copy, c, image, row);
    for (int64_t r = row; r < end; r++)
        gradient_row(c->y + image * d->oc * d->yh * d->yw, copy + (r - row) * d->pitch * 16, r, c);
}

static void gradient_run(float *dx, const float *dy, const float *packed, const cnv_gate *gate,
                         bool accumulate, const cnv_direct *d, void *scratch, size_t scratch_stride,
                         cnv_run *run)
{
    if (d->rows == 0 || d->cols == 0) return;
    const cnv_finish finish = {.accumulate = accumulate};
    direct_call c = {.y = dx,
                     .x = dy,
                     .packed = packed,
                     .finish = &finish,
                     .gate = gate,
                     .d = d,
                     .scratch = scratch,
                     .scratch_stride = scratch_stride,
                     .strips = cnv_ceil_div(d->rows, d->strip)};
    cnv_parallel(run, d->images * c.strips, gradient_item, &c);
}

#endif
