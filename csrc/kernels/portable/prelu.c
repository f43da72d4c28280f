#include "kernels/portable/prelu.h"

#include "kernels/split.h"

typedef struct {
    float *out;
    const float *x;
    const float *slope;
    const float *dy;
    const cnv_broadcast *shape;
    cnv_fold fold; /* backward: the axes along which the slope was broadcast */
    cnv_relu_rule rule;
} prelu_work;

static void forward_range(void *context, int64_t begin, int64_t end, int worker)
{
    const prelu_work *work = context;
    int64_t step = work->shape->b[work->shape->ndim - 1];
    for (int64_t at = begin; at < end;) {
        cnv_stretch s = cnv_broadcast_stretch(work->shape, at, end);
        for (int64_t i = 0; i < s.n; i++) {
            float z = work->x[at + i];
            work->out[at + i] = z < 0.0f ? work->slope[s.b + i * step] * z : z;
        }
        at += s.n;
    }
    (void)worker;
}

static float passed(float g, float z, float slope, cnv_relu_rule rule)
{
    if (rule == CNV_RELU_GUIDED) return z > 0.0f && g > 0.0f ? g : 0.0f;
    if (rule == CNV_RELU_DECONV) return g > 0.0f ? g : 0.0f;
    return z > 0.0f ? g : slope * g;
}

static void data_range(void *context, int64_t begin, int64_t end, int worker)
{
    const prelu_work *work = context;
    int64_t step = work->shape->b[work->shape->ndim - 1];
    for (int64_t at = begin; at < end;) {
        cnv_stretch s = cnv_broadcast_stretch(work->shape, at, end);
        for (int64_t i = 0; i < s.n; i++)
            work->out[at + i] +=
                passed(work->dy[at + i], work->x[at + i], work->slope[s.b + i * step], work->rule);
        at += s.n;
    }
    (void)worker;
}

/* Adds to elements begin..end-1 of the slope the sums over their copies, in the output's order. */
static void slope_range(void *context, int64_t begin, int64_t end, int worker)
{
    const prelu_work *work = context;
    const cnv_fold *f = &work->fold;
    int64_t step = f->dropped.y[f->dropped.ndim - 1];
    for (int64_t element = begin; element < end; element++) {
        cnv_stretch kept = cnv_broadcast_stretch(&f->kept, element, element + 1), s;
        double sum = 0.0;
        for (int64_t j = 0; j < f->n_dropped; j += s.n) {
            s = cnv_broadcast_stretch(&f->dropped, j, f->n_dropped);
            for (int64_t i = 0, at = kept.y + s.y; i < s.n; i++, at += step)
                if (work->x[at] < 0.0f) sum += (double)work->dy[at] * work->x[at];
        }
        work->out[kept.b] += (float)sum;
    }
    (void)worker;
}

void cnv_prelu_forward(float *y, const float *x, const float *slope, const cnv_broadcast *shape, cnv_run *run)
{
    prelu_work work = {.out = y, .x = x, .slope = slope, .shape = shape};
    cnv_parallel_range(run, cnv_broadcast_size(shape), CNV_GRAIN, forward_range, &work);
}

void cnv_prelu_backward_data(float *dx, const float *dy, const float *x, const float *slope,
                             const cnv_broadcast *shape, cnv_relu_rule rule, cnv_run *run)
{
    prelu_work work = {.out = dx, .x = x, .slope = slope, .dy = dy, .shape = shape, .rule = rule};
    cnv_parallel_range(run, cnv_broadcast_size(shape), CNV_GRAIN, data_range, &work);
}

void cnv_prelu_backward_slope(float *dslope, const float *dy, const float *x, const cnv_broadcast *shape,
                              cnv_run *run)
{
    prelu_work work = {.out = dslope, .x = x, .dy = dy, .shape = shape, .fold = cnv_fold_of(shape, false)};
    cnv_parallel_range(run, work.fold.n_kept, cnv_grain_of(work.fold.n_dropped), slope_range, &work);
}
