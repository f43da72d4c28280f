#include "kernels/portable/shape.h"
#include "kernels/split.h"

typedef struct {
    float *out;
    const float *in;
    const cnv_strided *view;
} strided_work;

/* The offset of row `row` of the view; rows are its last axis. */
static int64_t row_offset(const cnv_strided *view, int64_t row)
{
    int64_t offset = view->offset;
    for (int i = view->ndim - 2; i >= 0; i--) {
        offset += row % view->dim[i] * view->stride[i];
        row /= view->dim[i];
    }
    return offset;
}

static void gather_rows(void *context, int64_t begin, int64_t end, int worker)
{
    const strided_work *work = context;
    const cnv_strided *view = work->view;
    int64_t n = view->dim[view->ndim - 1], step = view->stride[view->ndim - 1];
    for (int64_t row = begin; row < end; row++) {
        const float *x = work->in + row_offset(view, row);
        for (int64_t i = 0; i < n; i++) work->out[row * n + i] = x[i * step];
    }
    (void)worker;
}

static void scatter_rows(void *context, int64_t begin, int64_t end, int worker)
{
    const strided_work *work = context;
    const cnv_strided *view = work->view;
    int64_t n = view->dim[view->ndim - 1], step = view->stride[view->ndim - 1];
    for (int64_t row = begin; row < end; row++) {
        float *dx = work->out + row_offset(view, row);
        for (int64_t i = 0; i < n; i++) dx[i * step] += work->in[row * n + i];
    }
    (void)worker;
}

/* Runs `range` over the rows of a view; a scalar is one row of one element. */
static void over_rows(float *out, const float *in, const cnv_strided *view, cnv_range *range, cnv_run *run)
{
    cnv_strided v = *view;
    int64_t rows = 1;
    if (v.ndim == 0) v = (cnv_strided){.ndim = 1, .dim = {1}, .stride = {1}, .offset = view->offset};
    for (int i = 0; i < v.ndim - 1; i++) rows *= v.dim[i];
    strided_work work = {out, in, &v};
    cnv_parallel_range(run, rows, cnv_grain_of(v.dim[v.ndim - 1]), range, &work);
}

void cnv_strided_gather(float *y, const float *x, const cnv_strided *view, cnv_run *run)
{
    over_rows(y, x, view, gather_rows, run);
}

void cnv_strided_scatter_add(float *dx, const float *dy, const cnv_strided *view, cnv_run *run)
{
    over_rows(dx, dy, view, scatter_rows, run);
}
