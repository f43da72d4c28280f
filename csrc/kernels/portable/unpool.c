#include <string.h>

#include "kernels/portable/pool.h"
#include "kernels/split.h"

typedef struct {
    float *out;
    const float *in; /* x, or dy */
    const float *position;
    const cnv_max_unpool *u;
    char *taken;
    size_t taken_stride;
} unpool_work;

/* The place of element i of x in its plane of y, or -1. */
static int64_t place_of(const unpool_work *work, int64_t i)
{
    float position = work->position[i];
    return position >= 0.0f && position < (float)work->u->n_out ? (int64_t)position : -1;
}

static void forward_planes(void *context, int64_t begin, int64_t end, int worker)
{
    const unpool_work *work = context;
    const cnv_max_unpool *u = work->u;
    memset(work->out + begin * u->n_out, 0, (size_t)((end - begin) * u->n_out) * sizeof(float));
    for (int64_t i = begin * u->n_in; i < end * u->n_in; i++) {
        int64_t place = place_of(work, i);
        if (place >= 0) work->out[i / u->n_in * u->n_out + place] = work->in[i];
    }
    (void)worker;
}

void cnv_max_unpool_forward(float *y, const float *x, const float *position, const cnv_max_unpool *u,
                            cnv_run *run)
{
    unpool_work work = {.out = y, .in = x, .position = position, .u = u};
    cnv_parallel_range(run, u->planes, cnv_grain_of(u->n_out), forward_planes, &work);
}

/* Backwards, so that the last of equal positions comes first. */
static void backward_planes(void *context, int64_t begin, int64_t end, int worker)
{
    const unpool_work *work = context;
    const cnv_max_unpool *u = work->u;
    char *taken = work->taken + (size_t)worker * work->taken_stride;
    for (int64_t plane = begin; plane < end; plane++) {
        memset(taken, 0, (size_t)u->n_out);
        for (int64_t i = (plane + 1) * u->n_in - 1; i >= plane * u->n_in; i--) {
            int64_t place = place_of(work, i);
            if (place < 0 || taken[place]) continue;
            work->out[i] += work->in[plane * u->n_out + place];
            taken[place] = 1;
        }
    }
}

void cnv_max_unpool_backward(float *dx, const float *dy, const float *position, const cnv_max_unpool *u,
                             void *taken, size_t taken_stride, cnv_run *run)
{
    unpool_work work = {
        .out = dx, .in = dy, .position = position, .u = u, .taken = taken, .taken_stride = taken_stride};
    cnv_parallel_range(run, u->planes, cnv_grain_of(u->n_out), backward_planes, &work);
}
