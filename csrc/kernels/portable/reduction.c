#include "kernels/portable/reduction.h"

#include <math.h>
#include <stddef.h>

#include "kernels/split.h"

typedef struct {
    float *out;
    const float *x;
    const float *dy;
    const cnv_reduction *r;
    cnv_fold fold;
} reduction_work;

double cnv_reduction_larger(double state, double x, double given)
{
    (void)given;
    return x > state || isnan(x) ? x : state;
}

/* The last state of a walk over the numbers of one output, the first of which is x[at]. */
static double walk(cnv_reduction_step *step, double state, double given, const reduction_work *work,
                   int64_t at)
{
    const cnv_fold *f = &work->fold;
    int64_t gap = f->dropped.y[f->dropped.ndim - 1];
    cnv_stretch s;
    for (int64_t j = 0; j < f->n_dropped; j += s.n) {
        s = cnv_broadcast_stretch(&f->dropped, j, f->n_dropped);
        const float *x = work->x + at + s.y;
        for (int64_t i = 0; i < s.n; i++) state = step(state, x[i * gap], given);
    }
    return state;
}

static double value_at(const reduction_work *work, int64_t at)
{
    const cnv_reduction *r = work->r;
    double top = r->shifted ? walk(cnv_reduction_larger, -INFINITY, 0.0, work, at) : 0.0;
    double state = walk(r->add, r->start, top, work, at);
    return r->end != NULL ? r->end(state, top) : state;
}

static void forward_range(void *context, int64_t begin, int64_t end, int worker)
{
    const reduction_work *work = context;
    for (int64_t element = begin; element < end; element++) {
        cnv_stretch kept = cnv_broadcast_stretch(&work->fold.kept, element, element + 1);
        work->out[kept.b] = (float)value_at(work, kept.y);
    }
    (void)worker;
}

/* Adds the gradient of one output to the numbers that it was made of. The value is computed anew, because
 * float32 has rounded the one of the forward pass. */
static void spread(const reduction_work *work, int64_t at, double dy)
{
    const cnv_reduction *r = work->r;
    const cnv_fold *f = &work->fold;
    int64_t gap = f->dropped.y[f->dropped.ndim - 1];
    double y = value_at(work, at);
    double count = r->count != NULL ? walk(r->count, 0.0, y, work, at) : 0.0;
    double rest = r->rest != NULL ? walk(r->rest, 1.0, y, work, at) : 0.0;
    cnv_stretch s;
    for (int64_t j = 0; j < f->n_dropped; j += s.n) {
        s = cnv_broadcast_stretch(&f->dropped, j, f->n_dropped);
        const float *x = work->x + at + s.y;
        float *dx = work->out + at + s.y;
        for (int64_t i = 0; i < s.n; i++) dx[i * gap] += (float)(dy * r->slope(x[i * gap], y, count, rest));
    }
}

static void backward_range(void *context, int64_t begin, int64_t end, int worker)
{
    const reduction_work *work = context;
    for (int64_t element = begin; element < end; element++) {
        cnv_stretch kept = cnv_broadcast_stretch(&work->fold.kept, element, element + 1);
        spread(work, kept.y, work->dy[kept.b]);
    }
    (void)worker;
}

void cnv_reduction_forward(float *y, const float *x, const cnv_reduction *r, const cnv_broadcast *shape,
                           cnv_run *run)
{
    reduction_work work = {.out = y, .x = x, .r = r, .fold = cnv_fold_of(shape, false)};
    cnv_parallel_range(run, work.fold.n_kept, cnv_grain_of(work.fold.n_dropped), forward_range, &work);
}

void cnv_reduction_backward(float *dx, const float *dy, const float *x, const cnv_reduction *r,
                            const cnv_broadcast *shape, cnv_run *run)
{
    reduction_work work = {.out = dx, .x = x, .dy = dy, .r = r, .fold = cnv_fold_of(shape, false)};
    cnv_parallel_range(run, work.fold.n_kept, cnv_grain_of(work.fold.n_dropped), backward_range, &work);
}
