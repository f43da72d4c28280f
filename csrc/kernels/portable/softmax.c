#include "kernels/portable/softmax.h"

#include <math.h>

#include "kernels/split.h"

typedef struct {
    float *out;
    const float *x;
    const float *y;
    const float *dy;
    const cnv_softmax *s;
} softmax_work;

/* The offset of line `line` of outer * inner; its elements are s->inner apart. */
static int64_t start_of(const cnv_softmax *s, int64_t line)
{
    return line / s->inner * s->n * s->inner + line % s->inner;
}

static float line_max(const float *x, const cnv_softmax *s)
{
    float best = x[0];
    for (int64_t i = 1; i < s->n; i++)
        if (x[i * s->inner] > best) best = x[i * s->inner];
    return best;
}

static void softmax_range(void *context, int64_t begin, int64_t end, int worker)
{
    const softmax_work *work = context;
    const cnv_softmax *s = work->s;
    for (int64_t line = begin; line < end; line++) {
        const float *x = work->x + start_of(s, line);
        float *y = work->out + start_of(s, line), top = line_max(x, s);
        double sum = 0.0;
        for (int64_t i = 0; i < s->n; i++) sum += y[i * s->inner] = expf(x[i * s->inner] - top);
        for (int64_t i = 0; i < s->n; i++) y[i * s->inner] = (float)(y[i * s->inner] / sum);
    }
    (void)worker;
}

static void log_softmax_range(void *context, int64_t begin, int64_t end, int worker)
{
    const softmax_work *work = context;
    const cnv_softmax *s = work->s;
    for (int64_t line = begin; line < end; line++) {
        const float *x = work->x + start_of(s, line);
        float *y = work->out + start_of(s, line), top = line_max(x, s);
        double sum = 0.0;
        for (int64_t i = 0; i < s->n; i++) sum += exp((double)x[i * s->inner] - top);
        for (int64_t i = 0; i < s->n; i++)
            y[i * s->inner] = (float)((double)x[i * s->inner] - top - log(sum));
    }
    (void)worker;
}

static void softmax_back(void *context, int64_t begin, int64_t end, int worker)
{
    const softmax_work *work = context;
    const cnv_softmax *s = work->s;
    for (int64_t line = begin; line < end; line++) {
        int64_t at = start_of(s, line);
        double sum = 0.0;
        for (int64_t i = 0; i < s->n; i++)
            sum += (double)work->dy[at + i * s->inner] * work->y[at + i * s->inner];
        for (int64_t i = at; i < at + s->n * s->inner; i += s->inner)
            work->out[i] += (float)(work->y[i] * (work->dy[i] - sum));
    }
    (void)worker;
}

static void log_softmax_back(void *context, int64_t begin, int64_t end, int worker)
{
    const softmax_work *work = context;
    const cnv_softmax *s = work->s;
    for (int64_t line = begin; line < end; line++) {
        int64_t at = start_of(s, line);
        double sum = 0.0;
        for (int64_t i = 0; i < s->n; i++) sum += work->dy[at + i * s->inner];
        for (int64_t i = at; i < at + s->n * s->inner; i += s->inner)
            work->out[i] += (float)(work->dy[i] - exp(work->y[i]) * sum);
    }
    (void)worker;
}

/* Runs `range` over the lines. An exponential costs some 16 additions. */
static void over_lines(softmax_work *work, cnv_range *range, cnv_run *run)
{
    cnv_parallel_range(run, work->s->outer * work->s->inner, cnv_grain_of(16 * work->s->n), range, work);
}

void cnv_softmax_forward(float *y, const float *x, const cnv_softmax *s, cnv_run *run)
{
    over_lines(&(softmax_work){.out = y, .x = x, .s = s}, softmax_range, run);
}

void cnv_log_softmax_forward(float *y, const float *x, const cnv_softmax *s, cnv_run *run)
{
    over_lines(&(softmax_work){.out = y, .x = x, .s = s}, log_softmax_range, run);
}

void cnv_softmax_backward(float *dx, const float *dy, const float *y, const cnv_softmax *s, cnv_run *run)
{
    over_lines(&(softmax_work){.out = dx, .y = y, .dy = dy, .s = s}, softmax_back, run);
}

void cnv_log_softmax_backward(float *dx, const float *dy, const float *y, const cnv_softmax *s, cnv_run *run)
{
    over_lines(&(softmax_work){.out = dx, .y = y, .dy = dy, .s = s}, log_softmax_back, run);
}
