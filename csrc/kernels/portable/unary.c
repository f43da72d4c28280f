#include "kernels/portable/unary.h"

#include <stddef.h>

#include "kernels/split.h"

typedef struct {
    float *out;
    const float *at;
    const float *dy;
    const cnv_unary *f;
    float alpha;
    float beta;
} unary_work;

static void forward_range(void *context, int64_t begin, int64_t end, int worker)
{
    const unary_work *work = context;
    const cnv_unary *f = work->f;
    if (f->value_with != NULL)
        for (int64_t i = begin; i < end; i++)
            work->out[i] = (float)f->value_with(work->at[i], work->alpha, work->beta);
    else
        for (int64_t i = begin; i < end; i++) work->out[i] = (float)f->value(work->at[i]);
    (void)worker;
}

static void backward_range(void *context, int64_t begin, int64_t end, int worker)
{
    const unary_work *work = context;
    const cnv_unary *f = work->f;
    if (f->slope_with != NULL)
        for (int64_t i = begin; i < end; i++)
            work->out[i] += (float)(work->dy[i] * f->slope_with(work->at[i], work->alpha, work->beta));
    else
        for (int64_t i = begin; i < end; i++) work->out[i] += (float)(work->dy[i] * f->slope(work->at[i]));
    (void)worker;
}

/* An item has CNV_GRAIN / 16 elements, because most of the functions cost some 16 additions. */
void cnv_unary_forward(float *y, const float *x, int64_t n, const cnv_unary *f, float alpha, float beta,
                       cnv_run *run)
{
    unary_work work = {.out = y, .at = x, .f = f, .alpha = alpha, .beta = beta};
    cnv_parallel_range(run, n, CNV_GRAIN / 16, forward_range, &work);
}

void cnv_unary_backward(float *dx, const float *dy, const float *at, int64_t n, const cnv_unary *f,
                        float alpha, float beta, cnv_run *run)
{
    unary_work work = {.out = dx, .at = at, .dy = dy, .f = f, .alpha = alpha, .beta = beta};
    cnv_parallel_range(run, n, CNV_GRAIN / 16, backward_range, &work);
}
