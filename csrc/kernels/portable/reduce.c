#include "kernels/portable/reduce.h"

#include "kernels/split.h"

typedef struct {
    float *out;
    const float *in;
    double scale;
    const cnv_broadcast *shape;
    cnv_fold fold;
} reduce_work;

static void forward_range(void *context, int64_t begin, int64_t end, int worker)
{
    const reduce_work *work = context;
    const cnv_fold *f = &work->fold;
    int64_t step = f->dropped.y[f->dropped.ndim - 1];
    for (int64_t element = begin; element < end; element++) {
        cnv_stretch kept = cnv_broadcast_stretch(&f->kept, element, element + 1), s;
        double sum = 0.0;
        for (int64_t j = 0; j < f->n_dropped; j += s.n) {
            s = cnv_broadcast_stretch(&f->dropped, j, f->n_dropped);
            for (int64_t i = 0, at = kept.y + s.y; i < s.n; i++, at += step) sum += work->in[at];
        }
        work->out[kept.b] = (float)(sum * work->scale);
    }
    (void)worker;
}

static void backward_range(void *context, int64_t begin, int64_t end, int worker)
{
    const reduce_work *work = context;
    int64_t step = work->shape->b[work->shape->ndim - 1];
    for (int64_t at = begin; at < end;) {
        cnv_stretch s = cnv_broadcast_stretch(work->shape, at, end);
        for (int64_t i = 0; i < s.n; i++)
            work->out[at + i] += (float)(work->in[s.b + i * step] * work->scale);
        at += s.n;
    }
    (void)worker;
}

void cnv_reduce_forward(float *y, const float *x, double scale, const cnv_broadcast *shape, cnv_run *run)
{
    reduce_work work = {.out = y, .in = x, .scale = scale, .fold = cnv_fold_of(shape, false)};
    cnv_parallel_range(run, work.fold.n_kept, cnv_grain_of(work.fold.n_dropped), forward_range, &work);
}

void cnv_reduce_backward(float *dx, const float *dy, double scale, const cnv_broadcast *shape, cnv_run *run)
{
    reduce_work work = {.out = dx, .in = dy, .scale = scale, .shape = shape};
    cnv_parallel_range(run, cnv_broadcast_size(shape), CNV_GRAIN, backward_range, &work);
}
