#include "kernels/portable/linear.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "kernels/split.h"

/* The number of partial sums of a dot product: four vectors of four floats hide the latency of additions on
 * the smallest supported CPU, and 16 short sums round less than one long one. */
#define LANES 16

/* The number of columns of dx in one item: 4 KiB a row, so that several stay in L1 while w streams past. */
#define COLUMNS 1024

typedef struct {
    float *out; /* y, dx, dw or db; of the inputs below, a pass sets those that it reads */
    const float *x;
    const float *w;
    const float *b;
    const float *dy;
    const cnv_rows *s;
    bool add;
} rows_work;

static float dot(const float *a, const float *b, int64_t n)
{
    float lane[LANES] = {0}, tail = 0.0f, sum = 0.0f;
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int k = 0; k < LANES; k++) lane[k] += a[i + k] * b[i + k];
    for (; i < n; i++) tail += a[i] * b[i];
    for (int k = 0; k < LANES; k++) sum += lane[k];
    return sum + tail;
}

static void add_scaled(float *y, const float *x, float scale, int64_t n)
{
    for (int64_t i = 0; i < n; i++) y[i] += scale * x[i];
}

static void forward_range(void *context, int64_t begin, int64_t end, int worker)
{
    const rows_work *work = context;
    const cnv_rows *s = work->s;
    for (int64_t o = begin; o < end; o++)
        for (int64_t n = 0; n < s->rows; n++) {
            float sum = dot(work->x + n * s->in, work->w + o * s->in, s->in);
            float *y = work->out + n * s->out + o;
            *y = sum + (work->add ? *y : work->b != NULL ? work->b[o] : 0.0f);
        }
    (void)worker;
}

/* A gradient (`add`) skips the rows of w whose dy is 0; a product reads them, because 0 times NaN is NaN. */
static void data_block(void *context, int64_t block, int worker)
{
    const rows_work *work = context;
    const cnv_rows *s = work->s;
    int64_t first = block * COLUMNS, columns = s->in - first < COLUMNS ? s->in - first : COLUMNS;
    for (int64_t n = 0; n < s->rows && !work->add; n++)
        memset(work->out + n * s->in + first, 0, (size_t)columns * sizeof(float));
    for (int64_t o = 0; o < s->out; o++)
        for (int64_t n = 0; n < s->rows; n++) {
            float g = work->dy[n * s->out + o];
            if (g == 0.0f && work->add) continue;
            add_scaled(work->out + n * s->in + first, work->w + o * s->in + first, g, columns);
        }
    (void)worker;
}

static void weight_range(void *context, int64_t begin, int64_t end, int worker)
{
    const rows_work *work = context;
    const cnv_rows *s = work->s;
    for (int64_t o = begin; o < end; o++)
        for (int64_t n = 0; n < s->rows; n++)
            add_scaled(work->out + o * s->in, work->x + n * s->in, work->dy[n * s->out + o], s->in);
    (void)worker;
}

static void bias_range(void *context, int64_t begin, int64_t end, int worker)
{
    const rows_work *work = context;
    for (int64_t o = begin; o < end; o++) {
        double sum = 0.0;
        for (int64_t n = 0; n < work->s->rows; n++) sum += work->dy[n * work->s->out + o];
        work->out[o] += (float)sum;
    }
    (void)worker;
}

void cnv_rows_forward(float *y, const float *x, const float *w, const float *b, const cnv_rows *s,
                      cnv_run *run)
{
    rows_work work = {.out = y, .x = x, .w = w, .b = b, .s = s};
    cnv_parallel_range(run, s->out, cnv_grain_of(s->in * s->rows), forward_range, &work);
}

void cnv_rows_forward_add(float *y, const float *x, const float *w, const cnv_rows *s, cnv_run *run)
{
    rows_work work = {.out = y, .x = x, .w = w, .s = s, .add = true};
    cnv_parallel_range(run, s->out, cnv_grain_of(s->in * s->rows), forward_range, &work);
}

void cnv_rows_backward_data(float *dx, const float *dy, const float *w, const cnv_rows *s, cnv_run *run)
{
    rows_work work = {.out = dx, .w = w, .dy = dy, .s = s, .add = true};
    cnv_parallel(run, (s->in + COLUMNS - 1) / COLUMNS, data_block, &work);
}

void cnv_rows_product(float *y, const float *x, const float *w, const cnv_rows *s, cnv_run *run)
{
    rows_work work = {.out = y, .w = w, .dy = x, .s = s};
    cnv_parallel(run, (s->in + COLUMNS - 1) / COLUMNS, data_block, &work);
}

void cnv_rows_backward_weight(float *dw, const float *dy, const float *x, const cnv_rows *s, cnv_run *run)
{
    rows_work work = {.out = dw, .x = x, .dy = dy, .s = s};
    cnv_parallel_range(run, s->out, cnv_grain_of(s->in * s->rows), weight_range, &work);
}

void cnv_rows_backward_bias(float *db, const float *dy, const cnv_rows *s, cnv_run *run)
{
    rows_work work = {.out = db, .dy = dy, .s = s};
    cnv_parallel_range(run, s->out, cnv_grain_of(s->rows), bias_range, &work);
}
