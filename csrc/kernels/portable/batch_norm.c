#include <math.h>

#include "kernels/portable/norm.h"
#include "kernels/split.h"

typedef struct {
    float *out;
    float *dscale;
    float *dbias;
    float *dmean;
    float *dvar;
    const float *x;
    const float *dy;
    const cnv_batch_norm *s;
} norm_work;

static double inverse_deviation(const cnv_batch_norm *s, int64_t c)
{
    return 1.0 / sqrt((double)s->var[c] + (double)s->epsilon);
}

/* Planes begin..end-1 of N * channels. The mean is subtracted first, where it cancels without loss. */
static void forward_range(void *context, int64_t begin, int64_t end, int worker)
{
    const norm_work *work = context;
    const cnv_batch_norm *s = work->s;
    for (int64_t plane = begin; plane < end; plane++) {
        int64_t c = plane % s->channels;
        float factor = (float)(s->scale[c] * inverse_deviation(s, c)), mean = s->mean[c], bias = s->bias[c];
        const float *x = work->x + plane * s->size;
        float *y = work->out + plane * s->size;
        for (int64_t i = 0; i < s->size; i++) y[i] = (x[i] - mean) * factor + bias;
    }
    (void)worker;
}

static void data_range(void *context, int64_t begin, int64_t end, int worker)
{
    const norm_work *work = context;
    const cnv_batch_norm *s = work->s;
    for (int64_t plane = begin; plane < end; plane++) {
        float factor = (float)(s->scale[plane % s->channels] * inverse_deviation(s, plane % s->channels));
        const float *dy = work->dy + plane * s->size;
        float *dx = work->out + plane * s->size;
        for (int64_t i = 0; i < s->size; i++) dx[i] += dy[i] * factor;
    }
    (void)worker;
}

static double plain_sum(const float *dy, int64_t n)
{
    double sum = 0.0;
    for (int64_t i = 0; i < n; i++) sum += dy[i];
    return sum;
}

static double centred_sum(const float *dy, const float *x, double mean, int64_t n)
{
    double sum = 0.0;
    for (int64_t i = 0; i < n; i++) sum += dy[i] * (x[i] - mean);
    return sum;
}

/* With d = var + epsilon: dy/dscale = (x - mean) d^-1/2, dy/dmean = -scale d^-1/2,
 * dy/dvar = -1/2 scale (x - mean) d^-3/2. */
static void channel_range(void *context, int64_t begin, int64_t end, int worker)
{
    const norm_work *work = context;
    const cnv_batch_norm *s = work->s;
    bool centred = work->dscale != NULL || work->dvar != NULL;
    for (int64_t c = begin; c < end; c++) {
        double inverse = inverse_deviation(s, c), sum = 0.0, product = 0.0;
        for (int64_t n = 0; n < s->n; n++) {
            int64_t at = (n * s->channels + c) * s->size;
            sum += plain_sum(work->dy + at, s->size);
            if (centred) product += centred_sum(work->dy + at, work->x + at, s->mean[c], s->size);
        }
        if (work->dscale != NULL) work->dscale[c] += (float)(product * inverse);
        if (work->dbias != NULL) work->dbias[c] += (float)sum;
        if (work->dmean != NULL) work->dmean[c] += (float)(-sum * s->scale[c] * inverse);
        if (work->dvar != NULL)
            work->dvar[c] += (float)(-0.5 * product * s->scale[c] * inverse * inverse * inverse);
    }
    (void)worker;
}

void cnv_batch_norm_forward(float *y, const float *x, const cnv_batch_norm *s, cnv_run *run)
{
    norm_work work = {.out = y, .x = x, .s = s};
    cnv_parallel_range(run, s->n * s->channels, cnv_grain_of(s->size), forward_range, &work);
}

void cnv_batch_norm_backward_data(float *dx, const float *dy, const cnv_batch_norm *s, cnv_run *run)
{
    norm_work work = {.out = dx, .dy = dy, .s = s};
    cnv_parallel_range(run, s->n * s->channels, cnv_grain_of(s->size), data_range, &work);
}

void cnv_batch_norm_backward_channels(float *dscale, float *dbias, float *dmean, float *dvar, const float *dy,
                                      const float *x, const cnv_batch_norm *s, cnv_run *run)
{
    norm_work work = {
        .dscale = dscale, .dbias = dbias, .dmean = dmean, .dvar = dvar, .x = x, .dy = dy, .s = s};
    cnv_parallel_range(run, s->channels, cnv_grain_of(s->n * s->size), channel_range, &work);
}
