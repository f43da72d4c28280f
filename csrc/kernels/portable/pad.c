#include "kernels/portable/pad.h"

#include "kernels/split.h"

typedef struct {
    float *out;
    const float *in;
    const cnv_pad *p;
    int64_t x_block; /* elements of x and of y from the first padded axis on */
    int64_t y_block;
    int first; /* the first padded axis */
} pad_work;

/* The input index along one axis that output index o copies, or -1 for the constant. */
static int64_t source(cnv_pad_mode mode, int64_t o, int64_t before, int64_t extent)
{
    int64_t i = o - before;
    if (i >= 0 && i < extent) return i;
    if (mode == CNV_PAD_REFLECT) return i < 0 ? -i : 2 * (extent - 1) - i;
    if (mode == CNV_PAD_EDGE) return i < 0 ? 0 : extent - 1;
    return -1;
}

/* The offset in a block of x of the row (last axis) that row `row` of a block of y copies, or -1. */
static int64_t source_row(const pad_work *work, int64_t row)
{
    const cnv_pad *p = work->p;
    int64_t offset = 0, stride = p->x.dim[p->x.ndim - 1];
    for (int i = p->x.ndim - 2; i >= work->first; i--) {
        int64_t at = source(p->mode, row % p->y.dim[i], p->before[i], p->x.dim[i]);
        if (at < 0) return -1;
        offset += at * stride;
        stride *= p->x.dim[i];
        row /= p->y.dim[i];
    }
    return offset;
}

static void forward_blocks(void *context, int64_t begin, int64_t end, int worker)
{
    const pad_work *work = context;
    const cnv_pad *p = work->p;
    int last = p->y.ndim - 1;
    int64_t n = p->y.dim[last], rows = work->y_block / n;
    for (int64_t row = begin * rows; row < end * rows; row++) {
        const float *x = work->in + row / rows * work->x_block;
        int64_t from = source_row(work, row % rows);
        for (int64_t o = 0; o < n; o++) {
            int64_t at = source(p->mode, o, p->before[last], p->x.dim[last]);
            work->out[row * n + o] = from < 0 || at < 0 ? p->value : x[from + at];
        }
    }
    (void)worker;
}

static void backward_blocks(void *context, int64_t begin, int64_t end, int worker)
{
    const pad_work *work = context;
    const cnv_pad *p = work->p;
    int last = p->y.ndim - 1;
    int64_t n = p->y.dim[last], rows = work->y_block / n;
    for (int64_t row = begin * rows; row < end * rows; row++) {
        float *dx = work->out + row / rows * work->x_block;
        int64_t from = source_row(work, row % rows);
        for (int64_t o = 0; o < n && from >= 0; o++) {
            int64_t at = source(p->mode, o, p->before[last], p->x.dim[last]);
            if (at >= 0) dx[from + at] += work->in[row * n + o];
        }
    }
    (void)worker;
}

/* Runs `range` over blocks that share no element of x: a repeated element sums several gradients. */
static void over_blocks(float *out, const float *in, const cnv_pad *p, cnv_range *range, cnv_run *run)
{
    pad_work work = {.out = out, .in = in, .p = p, .x_block = 1, .y_block = 1};
    int64_t blocks = 1;
    while (work.first < p->x.ndim - 1 && p->before[work.first] == 0 &&
           p->x.dim[work.first] == p->y.dim[work.first])
        blocks *= p->x.dim[work.first++];
    for (int i = work.first; i < p->x.ndim; i++) {
        work.x_block *= p->x.dim[i];
        work.y_block *= p->y.dim[i];
    }
    cnv_parallel_range(run, blocks, cnv_grain_of(work.y_block), range, &work);
}

void cnv_pad_forward(float *y, const float *x, const cnv_pad *p, cnv_run *run)
{
    over_blocks(y, x, p, forward_blocks, run);
}

void cnv_pad_backward(float *dx, const float *dy, const cnv_pad *p, cnv_run *run)
{
    over_blocks(dx, dy, p, backward_blocks, run);
}
