/*
 * Template: the kernels of rows.h, products of plain rows with a matrix of weights.
 *
 * Parameter: VEC_ZMM, see vec.h.
 */
#ifndef CNV_FAST_ROWS_TEMPLATE_H
#define CNV_FAST_ROWS_TEMPLATE_H

#include <string.h>

#include "kernels/fast/blocked.h"
#include "kernels/fast/rows.h"
#include "kernels/fast/vec.h"

#define ROWS_OUT 8        /* rows of w that one item reads; four are read at once */
#define ROWS_BATCH 8      /* rows of x that share a piece of w */
#define ROWS_PIECE 1024   /* numbers of a row of w that stay in L1 for these rows of x: 8 rows are 32 KiB */
#define ROWS_AHEAD 256    /* numbers by which w is prefetched ahead: 1 KiB, some 100 ns of memory traffic */
#define ROWS_COLUMNS 2048 /* columns of dx that one item owns */
#define ROWS_BLOCK 32     /* rows of w, of ROWS_COLUMNS each, that stay in L2 for all rows of dx: 256 KiB */

typedef struct rows_call {
    float *out;
    const float *x, *w, *b, *dy;
    const cnv_rows *s;
    bool accumulate;
} rows_call;

CNV_INLINE v16 rows_step_asking(v16 sum, v16 x, const float *w, int64_t ahead)
{
    _mm_prefetch((const char *)(w + ahead), _MM_HINT_T0);
    return v16_fma(x, v16_load(w), sum);
}

CNV_INLINE v16 rows_step(v16 sum, v16 x, const float *w)
{
    return rows_step_asking(sum, x, w, ROWS_AHEAD);
}

/* Adds n products (a multiple of 16) of x with each of four rows of w to four vectors of sums. The last steps
 * prefetch the beginning of the next four rows. */
CNV_INLINE void rows_dot4(float *sums, const float *x, const float *w, int64_t in, int64_t n)
{
    v16 s0 = v16_load(sums), s1 = v16_load(sums + 16), s2 = v16_load(sums + 32), s3 = v16_load(sums + 48);
    for (int64_t i = 0; i < n; i += 16) {
        const v16 v = v16_load(x + i);
        const int64_t ahead = i + ROWS_AHEAD < n ? ROWS_AHEAD : ROWS_AHEAD + 3 * in;
        s0 = rows_step_asking(s0, v, w + i, ahead);
        s1 = rows_step_asking(s1, v, w + in + i, ahead);
        s2 = rows_step_asking(s2, v, w + 2 * in + i, ahead);
        s3 = rows_step_asking(s3, v, w + 3 * in + i, ahead);
    }
    v16_store(sums, s0);
    v16_store(sums + 16, s1);
    v16_store(sums + 32, s2);
    v16_store(sums + 48, s3);
}

CNV_INLINE void rows_dot1(float *sum, const float *x, const float *w, int64_t n)
{
    v16 s = v16_load(sum);
    for (int64_t i = 0; i < n; i += 16) s = rows_step(s, v16_load(x + i), w + i);
    v16_store(sum, s);
}

/* Computes y[first..last-1][o..end-1], at most ROWS_BATCH by ROWS_OUT numbers. */
static void rows_forward_tile(const rows_call *c, int64_t o, int64_t end, int64_t first, int64_t last)
{
    const int64_t in = c->s->in, whole = in / 16 * 16;
    const int64_t piece = last - first > 1 ? ROWS_PIECE : whole;
    float sums[ROWS_BATCH][ROWS_OUT * 16] = {{0}};
    for (int64_t i = 0; i < whole; i += piece) {
        const int64_t n = whole - i < piece ? whole - i : piece;
        for (int64_t r = first; r < last; r++) {
            int64_t k = o;
            for (; k + 4 <= end; k += 4)
                rows_dot4(sums[r - first] + (k - o) * 16, c->x + r * in + i, c->w + k * in + i, in, n);
            for (; k < end; k++)
                rows_dot1(sums[r - first] + (k - o) * 16, c->x + r * in + i, c->w + k * in + i, n);
        }
    }
    for (int64_t r = first; r < last; r++) {
        for (int64_t k = o; k < end; k++) {
            float sum = v16_sum(v16_load(sums[r - first] + (k - o) * 16));
            for (int64_t i = whole; i < in; i++) sum += c->x[r * in + i] * c->w[k * in + i];
            c->out[r * c->s->out + k] = sum + (c->b != NULL ? c->b[k] : 0);
        }
    }
}

static void rows_forward_item(void *context, int64_t item, int worker)
{
    const rows_call *c = context;
    const cnv_rows *s = c->s;
    const int64_t o = item * ROWS_OUT, end = o + ROWS_OUT < s->out ? o + ROWS_OUT : s->out;
    for (int64_t r = 0; r < s->rows; r += ROWS_BATCH)
        rows_forward_tile(c, o, end, r, r + ROWS_BATCH < s->rows ? r + ROWS_BATCH : s->rows);
    (void)worker;
}

static void rows_forward(float *y, const float *x, const float *w, const float *b, const cnv_rows *s,
                         cnv_run *run)
{
    rows_call c = {.out = y, .x = x, .w = w, .b = b, .s = s};
    cnv_parallel(run, cnv_ceil_div(s->out, ROWS_OUT), rows_forward_item, &c);
}

/* dx[i] += sum over k of factor[k] * w[k][i], in the order of k, four rows at a time. */
static void rows_add(float *dx, const float *const *w, const float *factor, int64_t count, int64_t n)
{
    int64_t k = 0;
    for (; k + 4 <= count; k += 4) {
        const v16 f0 = v16_all(factor[k]), f1 = v16_all(factor[k + 1]);
        const v16 f2 = v16_all(factor[k + 2]), f3 = v16_all(factor[k + 3]);
        int64_t i = 0;
        for (; i + 16 <= n; i += 16) {
            v16 sum = rows_step(v16_load(dx + i), f0, w[k] + i);
            sum = rows_step(sum, f1, w[k + 1] + i);
            sum = rows_step(sum, f2, w[k + 2] + i);
            v16_store(dx + i, rows_step(sum, f3, w[k + 3] + i));
        }
        for (; i < n; i++)
            for (int64_t j = k; j < k + 4; j++) dx[i] = fmaf(factor[j], w[j][i], dx[i]);
    }
    for (; k < count; k++) {
        int64_t i = 0;
        for (; i + 16 <= n; i += 16)
            v16_store(dx + i, rows_step(v16_load(dx + i), v16_all(factor[k]), w[k] + i));
        for (; i < n; i++) dx[i] = fmaf(factor[k], w[k][i], dx[i]);
    }
}

static void rows_backward_item(void *context, int64_t item, int worker)
{
    const rows_call *c = context;
    const cnv_rows *s = c->s;
    const int64_t first = item * ROWS_COLUMNS,
                  n = s->in - first < ROWS_COLUMNS ? s->in - first : ROWS_COLUMNS;
    if (!c->accumulate)
        for (int64_t r = 0; r < s->rows; r++)
            memset(c->out + r * s->in + first, 0, (size_t)n * sizeof(float));
    for (int64_t o = 0; o < s->out; o += ROWS_BLOCK) {
        for (int64_t r = 0; r < s->rows; r++) {
            const float *w[ROWS_BLOCK];
            float factor[ROWS_BLOCK];
            int64_t count = 0;
            for (int64_t k = o; k < s->out && k < o + ROWS_BLOCK; k++) {
                if (c->dy[r * s->out + k] == 0) continue;
                w[count] = c->w + k * s->in + first;
                factor[count++] = c->dy[r * s->out + k];
            }
            rows_add(c->out + r * s->in + first, w, factor, count, n);
        }
    }
    (void)worker;
}

static void rows_backward(float *dx, const float *dy, const float *w, bool accumulate, const cnv_rows *s,
                          cnv_run *run)
{
    rows_call c = {.out = dx, .dy = dy, .w = w, .accumulate = accumulate, .s = s};
    cnv_parallel(run, cnv_ceil_div(s->in, ROWS_COLUMNS), rows_backward_item, &c);
}

#endif
