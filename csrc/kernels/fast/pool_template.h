/*
 * Template: the kernels of pool.h, pooling of blocked pictures.
 *
 * Parameter: VEC_ZMM, see vec.h.
 */
#ifndef CNV_FAST_POOL_TEMPLATE_H
#define CNV_FAST_POOL_TEMPLATE_H

#include "kernels/fast/lanes.h"
#include "kernels/fast/pool.h"
#include "kernels/window.h"

/* The number of pixels of a mean that are summed in float before their sum is added to a double, so that the
 * error of a large map is that of a small one. */
#define POOL_PIXELS 64

typedef struct pool_call {
    float *out;
    const float *in;
    uint8_t *index;
    const uint8_t *winners;
    bool accumulate;
    const cnv_fast_pool *p;
} pool_call;

/* Bit i is set if a[i] is NaN. */
CNV_INLINE uint16_t pool_nan(v16 a)
{
    return (uint16_t)~(v16_greater(a, v16_zero()) | v16_greater(v16_all(1), a));
}

/* Stores sixteen tap numbers, which are exact in float, as bytes. */
CNV_INLINE void pool_store_taps(uint8_t *to, v16 taps)
{
    __m256i low = _mm256_cvtps_epi32(v16_low(taps)), high = _mm256_cvtps_epi32(v16_high(taps));
    __m256i words = _mm256_permute4x64_epi64(_mm256_packus_epi32(low, high), 0xd8);
    __m128i bytes = _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
    _mm_storeu_si128((__m128i *)to, bytes);
}

/* The taps of one window that are inside the picture. */
typedef struct pool_window {
    const float *x; /* the pixel of tap 0, 0, which may be outside */
    cnv_span rows, cols;
    int64_t row_gap, col_gap; /* floats between taps */
    int64_t width;            /* columns of the kernel; the number of a tap is row * width + column */
} pool_window;

/* The maximum and its tap. A NaN never wins; it makes `seen` NaN, and pool_max_nan computes that window. */
CNV_INLINE v16 pool_max_window(const pool_window *w, v16 *tap, v16 *seen)
{
    const v16 zero = v16_zero();
    v16 best = v16_all(-INFINITY);
    *tap = v16_all((float)(w->rows.begin * w->width + w->cols.begin));
    for (int64_t r = w->rows.begin; r < w->rows.end; r++) {
        for (int64_t s = w->cols.begin; s < w->cols.end; s++) {
            const v16 v = v16_load(w->x + r * w->row_gap + s * w->col_gap);
            *seen = v16_fma(v, zero, *seen); /* NaN from a NaN, and also from an infinity */
            *tap = v16_raise(v, best, v16_all((float)(r * w->width + s)), *tap);
            best = v16_max(v, best);
        }
    }
    return best;
}

CNV_INLINE bool pool_is_square(const pool_window *w, int64_t n)
{
    return w->width == n && w->rows.begin == 0 && w->rows.end == n && w->cols.begin == 0 && w->cols.end == n;
}

CNV_INLINE v16 pool_max_square(const pool_window *w, int64_t n, v16 *tap, v16 *seen)
{
    const pool_window known = {w->x, {0, n}, {0, n}, w->row_gap, w->col_gap, n};
    return pool_max_window(&known, tap, seen);
}

/* Windows of 3x3 and 2x2, the common ones, have unrolled loops if all of their taps are inside. */
CNV_INLINE v16 pool_max_any(const pool_window *w, v16 *tap, v16 *seen)
{
    if (pool_is_square(w, 3)) return pool_max_square(w, 3, tap, seen);
    if (pool_is_square(w, 2)) return pool_max_square(w, 2, tap, seen);
    return pool_max_window(w, tap, seen);
}

/* As pool_max_window for a window that may hold NaN: the first NaN wins. */
static void pool_max_nan(const pool_window *w, float *y, v16 *tap)
{
    v16 best = v16_all(-INFINITY);
    *tap = v16_all((float)(w->rows.begin * w->width + w->cols.begin));
    for (int64_t r = w->rows.begin; r < w->rows.end; r++) {
        for (int64_t s = w->cols.begin; s < w->cols.end; s++) {
            const v16 v = v16_load(w->x + r * w->row_gap + s * w->col_gap);
            const uint16_t wins = v16_greater(v, best) | (uint16_t)(pool_nan(v) & ~pool_nan(best));
            best = v16_blend(wins, best, v);
            *tap = v16_blend(wins, *tap, v16_all((float)(r * w->width + s)));
        }
    }
    v16_store(y, best);
}

/* Computes one output row of one block. */
static void pool_max_row(float *y, uint8_t *index, const float *x, int64_t row, const cnv_fast_pool *p)
{
    const int64_t top = row * p->stride[0] - p->pad[0];
    const cnv_span rows = cnv_taps_inside(p->ih, p->kernel[0], p->dilation[0], top);
    pool_window w = {
        .row_gap = p->dilation[0] * p->iw * 16, .col_gap = p->dilation[1] * 16, .width = p->kernel[1]};
    for (int64_t j = 0; j < p->ow; j++, y += 16) {
        const int64_t left = j * p->stride[1] - p->pad[1];
        v16 seen = v16_zero(), tap;
        w.x = x + (top * p->iw + left) * 16;
        w.cols = cnv_taps_inside(p->iw, p->kernel[1], p->dilation[1], left);
        if (rows.begin >= rows.end) w.cols = (cnv_span){0, 0};
        w.rows = w.cols.begin < w.cols.end ? rows : (cnv_span){0, 0};
        if (w.cols.begin >= w.cols.end) w.cols = w.rows;
        v16_store(y, pool_max_any(&w, &tap, &seen));
        if (pool_nan(seen) != 0) pool_max_nan(&w, y, &tap);
        if (index != NULL) pool_store_taps(index + j * 16, tap);
    }
}

static void pool_max_item(void *context, int64_t block, int worker)
{
    const pool_call *c = context;
    const cnv_fast_pool *p = c->p;
    const int64_t plane = p->oh * p->ow * 16;
    for (int64_t i = 0; i < p->oh; i++)
        pool_max_row(c->out + block * plane + i * p->ow * 16,
                     c->index != NULL ? c->index + block * plane + i * p->ow * 16 : NULL,
                     c->in + block * p->ih * p->iw * 16, i, p);
    (void)worker;
}

static void max_forward(float *y, uint8_t *index, const float *x, const cnv_fast_pool *p, cnv_run *run)
{
    pool_call c = {.out = y, .in = x, .index = index, .p = p};
    cnv_parallel(run, p->images * cnv_blocks(p->channels), pool_max_item, &c);
}

/* Adds the gradient of one window to its winners. dx is the pixel of tap 0, 0; w->x is not used. */
CNV_INLINE void pool_max_back_window(float *dx, v16 dy, const uint8_t *winners, const pool_window *w)
{
    for (int64_t r = w->rows.begin; r < w->rows.end; r++) {
        float *to = dx + r * w->row_gap + w->cols.begin * w->col_gap;
        for (int64_t s = w->cols.begin; s < w->cols.end; s++, to += w->col_gap)
            v16_store(to, v16_add(v16_load(to), v16_keep_equal(winners, (int)(r * w->width + s), dy)));
    }
}

static void pool_max_back_item(void *context, int64_t block, int worker)
{
    const pool_call *c = context;
    const cnv_fast_pool p = *c->p;
    float *dx = c->out + block * p.ih * p.iw * 16;
    const float *dy = c->in + block * p.oh * p.ow * 16;
    const uint8_t *winners = c->winners + block * p.oh * p.ow * 16;
    pool_window w = {
        .row_gap = p.dilation[0] * p.iw * 16, .col_gap = p.dilation[1] * 16, .width = p.kernel[1]};
    if (!c->accumulate) lanes_clear(dx, p.ih * p.iw);
    for (int64_t i = 0; i < p.oh; i++) {
        const int64_t top = i * p.stride[0] - p.pad[0];
        w.rows = cnv_taps_inside(p.ih, p.kernel[0], p.dilation[0], top);
        for (int64_t j = 0; j < p.ow; j++, dy += 16, winners += 16) {
            const int64_t left = j * p.stride[1] - p.pad[1];
            w.cols = cnv_taps_inside(p.iw, p.kernel[1], p.dilation[1], left);
            pool_max_back_window(dx + (top * p.iw + left) * 16, v16_load(dy), winners, &w);
        }
    }
    (void)worker;
}

static void max_backward(float *dx, const float *dy, const uint8_t *index, bool accumulate,
                         const cnv_fast_pool *p, cnv_run *run)
{
    pool_call c = {.out = dx, .in = dy, .winners = index, .accumulate = accumulate, .p = p};
    cnv_parallel(run, p->images * cnv_blocks(p->channels), pool_max_back_item, &c);
}

/* The number of taps along one axis that a window's divisor counts: inside, or on included padding. */
static int64_t pool_counted(const cnv_fast_pool *p, int axis, int64_t window)
{
    const int64_t extent = axis == 0 ? p->ih : p->iw, start = window * p->stride[axis] - p->pad[axis];
    cnv_span taps = cnv_taps_inside(extent, p->kernel[axis], p->dilation[axis], start);
    if (p->count_include_pad)
        taps = cnv_taps_inside(extent + p->pad[axis] + p->pad[axis + 2], p->kernel[axis], p->dilation[axis],
                               start + p->pad[axis]);
    return taps.end - taps.begin;
}

/* The sum of one row of a window. Summing by rows gives each of 256 taps at most 32 roundings. */
CNV_INLINE v16 pool_sum_row(const float *x, cnv_span cols, int64_t gap)
{
    v16 sum = v16_zero();
    for (int64_t s = cols.begin; s < cols.end; s++) sum = v16_add(sum, v16_load(x + s * gap));
    return sum;
}

static void pool_average_item(void *context, int64_t block, int worker)
{
    const pool_call *c = context;
    const cnv_fast_pool *p = c->p;
    const float *x = c->in + block * p->ih * p->iw * 16;
    float *y = c->out + block * p->oh * p->ow * 16;
    for (int64_t i = 0; i < p->oh; i++) {
        const int64_t top = i * p->stride[0] - p->pad[0], counted = pool_counted(p, 0, i);
        const cnv_span rows = cnv_taps_inside(p->ih, p->kernel[0], p->dilation[0], top);
        for (int64_t j = 0; j < p->ow; j++, y += 16) {
            const int64_t left = j * p->stride[1] - p->pad[1], count = counted * pool_counted(p, 1, j);
            const cnv_span cols = cnv_taps_inside(p->iw, p->kernel[1], p->dilation[1], left);
            v16 sum = v16_zero();
            for (int64_t r = rows.begin; r < rows.end; r++)
                sum = v16_add(sum, pool_sum_row(x + ((top + r * p->dilation[0]) * p->iw + left) * 16, cols,
                                                p->dilation[1] * 16));
            v16_store(y, v16_mul(sum, v16_all(count > 0 ? 1.0f / (float)count : 0)));
        }
    }
    (void)worker;
}

static void average_forward(float *y, const float *x, const cnv_fast_pool *p, cnv_run *run)
{
    pool_call c = {.out = y, .in = x, .p = p};
    cnv_parallel(run, p->images * cnv_blocks(p->channels), pool_average_item, &c);
}

/* The windows that contain one input along one axis, and the tap through which each sees it. */
typedef struct pool_seen {
    int64_t count;
    int64_t window[CNV_POOL_KERNEL], tap[CNV_POOL_KERNEL];
} pool_seen;

static void pool_see(pool_seen *seen, const cnv_fast_pool *p, int axis, int64_t at)
{
    const int64_t windows = axis == 0 ? p->oh : p->ow;
    seen->count = 0;
    for (int64_t t = 0; t < p->kernel[axis]; t++) {
        const int64_t distance = at + p->pad[axis] - t * p->dilation[axis];
        if (distance < 0 || distance % p->stride[axis] != 0 || distance / p->stride[axis] >= windows)
            continue;
        seen->window[seen->count] = distance / p->stride[axis];
        seen->tap[seen->count++] = t;
    }
}

static void pool_average_back_item(void *context, int64_t block, int worker)
{
    const pool_call *c = context;
    const cnv_fast_pool *p = c->p;
    const float *dy = c->in + block * p->oh * p->ow * 16;
    float *dx = c->out + block * p->ih * p->iw * 16;
    pool_seen rows, cols;
    for (int64_t i = 0; i < p->ih; i++) {
        pool_see(&rows, p, 0, i);
        for (int64_t j = 0; j < p->iw; j++, dx += 16) {
            v16 sum = c->accumulate ? v16_load(dx) : v16_zero();
            pool_see(&cols, p, 1, j);
            for (int64_t r = 0; r < rows.count; r++) {
                const int64_t counted = pool_counted(p, 0, rows.window[r]);
                for (int64_t s = 0; s < cols.count; s++) {
                    const v16 share = v16_all(1.0f / (float)(counted * pool_counted(p, 1, cols.window[s])));
                    sum = v16_fma(share, v16_load(dy + (rows.window[r] * p->ow + cols.window[s]) * 16), sum);
                }
            }
            v16_store(dx, sum);
        }
    }
    (void)worker;
}

static void average_backward(float *dx, const float *dy, bool accumulate, const cnv_fast_pool *p,
                             cnv_run *run)
{
    pool_call c = {.out = dx, .in = dy, .accumulate = accumulate, .p = p};
    cnv_parallel(run, p->images * cnv_blocks(p->channels), pool_average_back_item, &c);
}

/* Adds the sum of at most POOL_PIXELS pixels to sixteen totals. */
CNV_INLINE void pool_add_up(double *total, const float *x, int64_t pixels)
{
    v16 sum0 = v16_zero(), sum1 = v16_zero();
    float sum[16];
    int64_t i = 0;
    for (; i + 2 <= pixels; i += 2) {
        sum0 = v16_add(sum0, v16_load(x + i * 16));
        sum1 = v16_add(sum1, v16_load(x + i * 16 + 16));
    }
    if (i < pixels) sum0 = v16_add(sum0, v16_load(x + i * 16));
    v16_store(sum, v16_add(sum0, sum1));
    for (int k = 0; k < 16; k++) total[k] += sum[k];
}

static void pool_mean_item(void *context, int64_t item, int worker)
{
    const pool_call *c = context;
    const cnv_fast_pool *p = c->p;
    const int64_t blocks = cnv_blocks(p->channels), pixels = p->ih * p->iw, first = item % blocks * 16;
    const float *x = c->in + item * pixels * 16;
    double total[16] = {0};
    for (int64_t i = 0; i < pixels; i += POOL_PIXELS)
        pool_add_up(total, x + i * 16, pixels - i < POOL_PIXELS ? pixels - i : POOL_PIXELS);
    for (int64_t k = 0; k < 16 && first + k < p->channels; k++)
        c->out[item / blocks * p->channels + first + k] = (float)(total[k] / (double)pixels);
    (void)worker;
}

static void mean_forward(float *y, const float *x, const cnv_fast_pool *p, cnv_run *run)
{
    pool_call c = {.out = y, .in = x, .p = p};
    cnv_parallel(run, p->images * cnv_blocks(p->channels), pool_mean_item, &c);
}

static void pool_mean_back_item(void *context, int64_t item, int worker)
{
    const pool_call *c = context;
    const cnv_fast_pool *p = c->p;
    const int64_t blocks = cnv_blocks(p->channels), pixels = p->ih * p->iw, first = item % blocks * 16;
    float *dx = c->out + item * pixels * 16;
    float dy[16] = {0};
    for (int64_t k = 0; k < 16 && first + k < p->channels; k++)
        dy[k] = c->in[item / blocks * p->channels + first + k] * (1.0f / (float)pixels);
    const v16 share = v16_load(dy);
    for (int64_t i = 0; i < pixels; i++)
        v16_store(dx + i * 16, c->accumulate ? v16_add(v16_load(dx + i * 16), share) : share);
    (void)worker;
}

static void mean_backward(float *dx, const float *dy, bool accumulate, const cnv_fast_pool *p, cnv_run *run)
{
    pool_call c = {.out = dx, .in = dy, .accumulate = accumulate, .p = p};
    cnv_parallel(run, p->images * cnv_blocks(p->channels), pool_mean_back_item, &c);
}

#endif
