#include <math.h>

#include "kernels/portable/pool.h"
#include "kernels/split.h"

typedef struct {
    float *out;
    const float *in;
    int64_t *index;
    const int64_t *winner;
    int64_t size;
} global_work;

static void average_forward(void *context, int64_t begin, int64_t end, int worker)
{
    const global_work *work = context;
    for (int64_t plane = begin; plane < end; plane++) {
        double sum = 0.0;
        for (int64_t i = 0; i < work->size; i++) sum += work->in[plane * work->size + i];
        work->out[plane] = (float)(sum / (double)work->size);
    }
    (void)worker;
}

static void average_backward(void *context, int64_t begin, int64_t end, int worker)
{
    const global_work *work = context;
    for (int64_t plane = begin; plane < end; plane++) {
        float g = work->in[plane] / (float)work->size;
        for (int64_t i = 0; i < work->size; i++) work->out[plane * work->size + i] += g;
    }
    (void)worker;
}

static void max_forward(void *context, int64_t begin, int64_t end, int worker)
{
    const global_work *work = context;
    for (int64_t plane = begin; plane < end; plane++) {
        const float *x = work->in + plane * work->size;
        int64_t best = 0;
        for (int64_t i = 1; i < work->size; i++)
            if (x[i] > x[best] || (isnan(x[i]) && !isnan(x[best]))) best = i;
        work->out[plane] = x[best];
        if (work->index != NULL) work->index[plane] = best;
    }
    (void)worker;
}

static void max_backward(void *context, int64_t begin, int64_t end, int worker)
{
    const global_work *work = context;
    for (int64_t plane = begin; plane < end; plane++)
        work->out[plane * work->size + work->winner[plane]] += work->in[plane];
    (void)worker;
}

void cnv_global_average_pool_forward(float *y, const float *x, int64_t planes, int64_t size, cnv_run *run)
{
    global_work work = {.out = y, .in = x, .size = size};
    cnv_parallel_range(run, planes, cnv_grain_of(size), average_forward, &work);
}

void cnv_global_average_pool_backward(float *dx, const float *dy, int64_t planes, int64_t size, cnv_run *run)
{
    global_work work = {.out = dx, .in = dy, .size = size};
    cnv_parallel_range(run, planes, cnv_grain_of(size), average_backward, &work);
}

void cnv_global_max_pool_forward(float *y, int64_t *index, const float *x, int64_t planes, int64_t size,
                                 cnv_run *run)
{
    global_work work = {.out = y, .in = x, .index = index, .size = size};
    cnv_parallel_range(run, planes, cnv_grain_of(size), max_forward, &work);
}

void cnv_global_max_pool_backward(float *dx, const float *dy, const int64_t *index, int64_t planes,
                                  int64_t size, cnv_run *run)
{
    global_work work = {.out = dx, .in = dy, .winner = index, .size = size};
    cnv_parallel_range(run, planes, CNV_GRAIN, max_backward, &work);
}
