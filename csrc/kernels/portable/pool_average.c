#include "kernels/portable/pool.h"
#include "kernels/split.h"
#include "kernels/window.h"

typedef struct {
    float *out;
    const float *in;
    const cnv_pool2d *p;
} average_work;

/* A window along one axis: where it starts, its taps inside the picture, and how many its divisor counts. */
typedef struct {
    int64_t start;
    cnv_span taps;
    int64_t counted;
} window;

static window window_at(const cnv_pool2d *p, int axis, int64_t extent, int64_t o)
{
    int64_t pad = p->pad[axis], taps = p->kernel[axis], dilation = p->dilation[axis];
    window w = {.start = o * p->stride[axis] - pad};
    w.taps = cnv_taps_inside(extent, taps, dilation, w.start);
    w.counted = w.taps.end - w.taps.begin;
    if (p->count_include_pad) {
        cnv_span padded = cnv_taps_inside(extent + pad + p->pad[axis + 2], taps, dilation, w.start + pad);
        w.counted = padded.end - padded.begin;
    }
    return w;
}

static double window_sum(const float *x, const cnv_pool2d *p, const window *row, const window *column)
{
    double sum = 0.0;
    for (int64_t r = row->taps.begin; r < row->taps.end; r++) {
        const float *line = x + (row->start + r * p->dilation[0]) * p->iw;
        for (int64_t s = column->taps.begin; s < column->taps.end; s++)
            sum += line[column->start + s * p->dilation[1]];
    }
    return sum;
}

static void window_add(float *dx, const cnv_pool2d *p, const window *row, const window *column, float g)
{
    for (int64_t r = row->taps.begin; r < row->taps.end; r++) {
        float *line = dx + (row->start + r * p->dilation[0]) * p->iw;
        for (int64_t s = column->taps.begin; s < column->taps.end; s++)
            line[column->start + s * p->dilation[1]] += g;
    }
}

static void forward_planes(void *context, int64_t begin, int64_t end, int worker)
{
    const average_work *work = context;
    const cnv_pool2d *p = work->p;
    for (int64_t line = begin * p->oh; line < end * p->oh; line++) {
        window row = window_at(p, 0, p->ih, line % p->oh);
        for (int64_t ow = 0; ow < p->ow; ow++) {
            window column = window_at(p, 1, p->iw, ow);
            double sum = window_sum(work->in + line / p->oh * p->ih * p->iw, p, &row, &column);
            int64_t count = row.counted * column.counted;
            work->out[line * p->ow + ow] = count > 0 ? (float)(sum / (double)count) : 0.0f;
        }
    }
    (void)worker;
}

static void backward_planes(void *context, int64_t begin, int64_t end, int worker)
{
    const average_work *work = context;
    const cnv_pool2d *p = work->p;
    for (int64_t line = begin * p->oh; line < end * p->oh; line++) {
        window row = window_at(p, 0, p->ih, line % p->oh);
        for (int64_t ow = 0; ow < p->ow; ow++) {
            window column = window_at(p, 1, p->iw, ow);
            int64_t count = row.counted * column.counted;
            if (count > 0)
                window_add(work->out + line / p->oh * p->ih * p->iw, p, &row, &column,
                           work->in[line * p->ow + ow] / (float)count);
        }
    }
    (void)worker;
}

void cnv_average_pool_forward(float *y, const float *x, const cnv_pool2d *p, cnv_run *run)
{
    average_work work = {y, x, p};
    cnv_parallel_range(run, p->planes, cnv_grain_of(p->oh * p->ow * p->kernel[0] * p->kernel[1]),
                       forward_planes, &work);
}

void cnv_average_pool_backward(float *dx, const float *dy, const cnv_pool2d *p, cnv_run *run)
{
    average_work work = {dx, dy, p};
    cnv_parallel_range(run, p->planes, cnv_grain_of(p->oh * p->ow * p->kernel[0] * p->kernel[1]),
                       backward_planes, &work);
}
