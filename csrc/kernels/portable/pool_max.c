#include <math.h>
#include <string.h>

#include "kernels/portable/pool.h"
#include "kernels/split.h"
#include "kernels/window.h"

typedef struct {
    float *out;
    const float *in; /* x, or dy */
    void *index;
    const cnv_pool2d *p;
    size_t index_nbytes;
} max_work;

static void store_index(void *index, size_t nbytes, int64_t i, int64_t tap)
{
    if (nbytes == 1)
        ((uint8_t *)index)[i] = (uint8_t)tap;
    else if (nbytes == 2)
        ((uint16_t *)index)[i] = (uint16_t)tap;
    else
        ((uint32_t *)index)[i] = (uint32_t)tap;
}

static int64_t load_index(const void *index, size_t nbytes, int64_t i)
{
    if (nbytes == 1) return ((const uint8_t *)index)[i];
    if (nbytes == 2) return ((const uint16_t *)index)[i];
    return ((const uint32_t *)index)[i];
}

/* Whether v wins over the best value so far: a larger number, or the first NaN. */
static bool beats(float v, float best)
{
    return (v > best) | (isnan(v) & !isnan(best));
}

/* The maximum over the taps inside, and the winner's tap; 0 if no tap is inside. */
static float window_max(const float *x, const cnv_window *v, int64_t row, int64_t column, cnv_span rows,
                        cnv_span columns, int64_t *tap)
{
    float best = -INFINITY;
    *tap =
        rows.begin < rows.end && columns.begin < columns.end ? rows.begin * v->kernel[1] + columns.begin : 0;
    for (int64_t r = rows.begin; r < rows.end; r++) {
        const float *line = x + (row + r * v->dilation[0]) * v->iw;
        for (int64_t s = columns.begin; s < columns.end; s++) {
            float number = line[column + s * v->dilation[1]];
            if (beats(number, best)) {
                best = number;
                *tap = r * v->kernel[1] + s;
            }
        }
    }
    return best;
}

/* One output near the border, or whose index entry has more than one byte. */
static void forward_one(const max_work *work, const float *x, int64_t row, int64_t line, int64_t ow)
{
    const cnv_window *v = &work->p->window;
    int64_t column = ow * v->stride[1] - v->pad[1], tap;
    cnv_span rows = cnv_taps_inside(v->ih, v->kernel[0], v->dilation[0], row);
    cnv_span columns = cnv_taps_inside(v->iw, v->kernel[1], v->dilation[1], column);
    work->out[line * v->ow + ow] = window_max(x, v, row, column, rows, columns, &tap);
    if (work->index != NULL) store_index(work->index, work->index_nbytes, line * v->ow + ow, tap);
}

/* The outputs of a line whose windows are inside; none if the rows are not, or an index entry has more than
 * one byte. */
static cnv_span inner_span(const max_work *work, int64_t row)
{
    const cnv_window *v = &work->p->window;
    cnv_span rows = cnv_taps_inside(v->ih, v->kernel[0], v->dilation[0], row);
    bool whole = rows.end - rows.begin == v->kernel[0] && work->index_nbytes == 1;
    cnv_span first = cnv_outputs_inside(v->iw, v->ow, v->stride[1], -v->pad[1]);
    cnv_span last =
        cnv_outputs_inside(v->iw, v->ow, v->stride[1], (v->kernel[1] - 1) * v->dilation[1] - v->pad[1]);
    cnv_span inner = {first.begin, last.end > first.begin ? last.end : first.begin};
    return whole ? inner : (cnv_span){0, 0};
}

/* n outputs whose windows are inside, tap after tap instead of window after window: compilers vectorize these
 * loops without branches. index is NULL if there is no backward pass. */
static void forward_inner(float *restrict y, uint8_t *restrict index, const float *restrict x,
                          const cnv_window *v, int64_t n)
{
    int64_t stride = v->stride[1];
    for (int64_t i = 0; i < n; i++) y[i] = x[i * stride];
    if (index != NULL) memset(index, 0, (size_t)n);
    for (int64_t tap = 1; tap < cnv_window_taps(v); tap++) {
        const float *line =
            x + tap / v->kernel[1] * v->dilation[0] * v->iw + tap % v->kernel[1] * v->dilation[1];
        if (index != NULL)
            for (int64_t i = 0; i < n; i++)
                index[i] = beats(line[i * stride], y[i]) ? (uint8_t)tap : index[i];
        for (int64_t i = 0; i < n; i++) y[i] = beats(line[i * stride], y[i]) ? line[i * stride] : y[i];
    }
}

static void forward_planes(void *context, int64_t begin, int64_t end, int worker)
{
    const max_work *work = context;
    const cnv_window *v = &work->p->window;
    for (int64_t line = begin * v->oh; line < end * v->oh; line++) {
        const float *x = work->in + line / v->oh * cnv_window_inputs(v);
        int64_t row = line % v->oh * v->stride[0] - v->pad[0];
        cnv_span inner = inner_span(work, row);
        for (int64_t ow = 0; ow < inner.begin; ow++) forward_one(work, x, row, line, ow);
        if (inner.begin < inner.end)
            forward_inner(work->out + line * v->ow + inner.begin,
                          work->index ? (uint8_t *)work->index + line * v->ow + inner.begin : NULL,
                          x + row * v->iw + inner.begin * v->stride[1] - v->pad[1], v,
                          inner.end - inner.begin);
        for (int64_t ow = inner.end; ow < v->ow; ow++) forward_one(work, x, row, line, ow);
    }
    (void)worker;
}

static void backward_planes(void *context, int64_t begin, int64_t end, int worker)
{
    const max_work *work = context;
    const cnv_window *v = &work->p->window;
    for (int64_t line = begin * v->oh; line < end * v->oh; line++) {
        float *dx = work->out + line / v->oh * cnv_window_inputs(v);
        for (int64_t ow = 0; ow < v->ow; ow++) {
            int64_t tap = load_index(work->index, work->index_nbytes, line * v->ow + ow);
            int64_t row = line % v->oh * v->stride[0] - v->pad[0] + tap / v->kernel[1] * v->dilation[0];
            int64_t column = ow * v->stride[1] - v->pad[1] + tap % v->kernel[1] * v->dilation[1];
            /* a window that is all padding has no winner */
            if (row >= 0 && row < v->ih && column >= 0 && column < v->iw)
                dx[row * v->iw + column] += work->in[line * v->ow + ow];
        }
    }
    (void)worker;
}

void cnv_max_pool_forward(float *y, void *index, const float *x, const cnv_pool2d *p, cnv_run *run)
{
    max_work work = {y, x, index, p, cnv_max_pool_index_nbytes(p)};
    cnv_parallel_range(run, p->planes,
                       cnv_grain_of(cnv_window_outputs(&p->window) * cnv_window_taps(&p->window)),
                       forward_planes, &work);
}

void cnv_max_pool_backward(float *dx, const float *dy, const void *index, const cnv_pool2d *p, cnv_run *run)
{
    max_work work = {dx, dy, (void *)index, p, cnv_max_pool_index_nbytes(p)};
    cnv_parallel_range(run, p->planes, cnv_grain_of(cnv_window_outputs(&p->window)), backward_planes, &work);
}

static void position_planes(void *context, int64_t begin, int64_t end, int worker)
{
    const max_work *work = context;
    const cnv_window *v = &work->p->window;
    for (int64_t i = begin * cnv_window_outputs(v); i < end * cnv_window_outputs(v); i++) {
        const float *x = work->in + i / cnv_window_outputs(v) * cnv_window_inputs(v);
        int64_t row = i / v->ow % v->oh * v->stride[0] - v->pad[0], tap,
                column = i % v->ow * v->stride[1] - v->pad[1];
        cnv_span rows = cnv_taps_inside(v->ih, v->kernel[0], v->dilation[0], row);
        cnv_span columns = cnv_taps_inside(v->iw, v->kernel[1], v->dilation[1], column);
        window_max(x, v, row, column, rows, columns, &tap);
        row += tap / v->kernel[1] * v->dilation[0];
        column += tap % v->kernel[1] * v->dilation[1];
        work->out[i] = (float)(row * v->iw + column);
    }
    (void)worker;
}

void cnv_max_pool_position(float *y, const float *x, const cnv_pool2d *p, cnv_run *run)
{
    max_work work = {.out = y, .in = x, .p = p};
    int64_t cost = cnv_window_outputs(&p->window) * cnv_window_taps(&p->window);
    cnv_parallel_range(run, p->planes, cnv_grain_of(cost), position_planes, &work);
}
