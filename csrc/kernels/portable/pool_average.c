#include "kernels/portable/pool.h"
#include "kernels/split.h"
#include "kernels/window.h"

typedef struct {
    float *out;
    const float *in;
    const cnv_pool2d *p;
} average_work;

/* A window along one axis: its first input, its taps inside, and the taps that the divisor counts. */
typedef struct {
    int64_t start;
    cnv_span taps;
    int64_t counted;
} window;

static window window_at(const cnv_pool2d *p, int axis, int64_t extent, int64_t o)
{
    int64_t pad = p->window.pad[axis], taps = p->window.kernel[axis], dilation = p->window.dilation[axis];
    window w = {.start = o * p->window.stride[axis] - pad};
    w.taps = cnv_taps_inside(extent, taps, dilation, w.start);
    w.counted = w.taps.end - w.taps.begin;
    if (p->count_include_pad) {
        cnv_span padded =
            cnv_taps_inside(extent + pad + p->window.pad[axis + 2], taps, dilation, w.start + pad);
        w.counted = padded.end - padded.begin;
    }
    return w;
}

static double window_sum(const float *x, const cnv_window *v, const window *row, const window *column)
{
    double sum = 0.0;
    for (int64_t r = row->taps.begin; r < row->taps.end; r++) {
        const float *line = x + (row->start + r * v->dilation[0]) * v->iw;
        for (int64_t s = column->taps.begin; s < column->taps.end; s++)
            sum += line[column->start + s * v->dilation[1]];
    }
    return sum;
}

static void window_add(float *dx, const cnv_window *v, const window *row, const window *column, float g)
{
    for (int64_t r = row->taps.begin; r < row->taps.end; r++) {
        float *line = dx + (row->start + r * v->dilation[0]) * v->iw;
        for (int64_t s = column->taps.begin; s < column->taps.end; s++)
            line[column->start + s * v->dilation[1]] += g;
    }
}

static void forward_planes(void *context, int64_t begin, int64_t end, int worker)
{
    const average_work *work = context;
    const cnv_pool2d *p = work->p;
    const cnv_window *v = &p->window;
    for (int64_t line = begin * v->oh; line < end * v->oh; line++) {
        window row = window_at(p, 0, v->ih, line % v->oh);
        for (int64_t ow = 0; ow < v->ow; ow++) {
            window column = window_at(p, 1, v->iw, ow);
            double sum = window_sum(work->in + line / v->oh * cnv_window_inputs(v), v, &row, &column);
            int64_t count = row.counted * column.counted;
            work->out[line * v->ow + ow] = count > 0 ? (float)(sum / (double)count) : 0.0f;
        }
    }
    (void)worker;
}

static void backward_planes(void *context, int64_t begin, int64_t end, int worker)
{
    const average_work *work = context;
    const cnv_pool2d *p = work->p;
    const cnv_window *v = &p->window;
    for (int64_t line = begin * v->oh; line < end * v->oh; line++) {
        window row = window_at(p, 0, v->ih, line % v->oh);
        for (int64_t ow = 0; ow < v->ow; ow++) {
            window column = window_at(p, 1, v->iw, ow);
            int64_t count = row.counted * column.counted;
            if (count > 0)
                window_add(work->out + line / v->oh * cnv_window_inputs(v), v, &row, &column,
                           work->in[line * v->ow + ow] / (float)count);
        }
    }
    (void)worker;
}

void cnv_average_pool_forward(float *y, const float *x, const cnv_pool2d *p, cnv_run *run)
{
    average_work work = {y, x, p};
    cnv_parallel_range(run, p->planes,
                       cnv_grain_of(cnv_window_outputs(&p->window) * cnv_window_taps(&p->window)),
                       forward_planes, &work);
}

void cnv_average_pool_backward(float *dx, const float *dy, const cnv_pool2d *p, cnv_run *run)
{
    average_work work = {dx, dy, p};
    cnv_parallel_range(run, p->planes,
                       cnv_grain_of(cnv_window_outputs(&p->window) * cnv_window_taps(&p->window)),
                       backward_planes, &work);
}
