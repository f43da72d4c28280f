/*
 * Convolution with one input channel per group: each output channel is a small filter over one plane,
 * computed by a direct loop over taps and rows, whose inner loops are rows of contiguous outputs.
 */
#include "kernels/portable/conv.h"
#include "kernels/split.h"

typedef struct {
    float *out; /* y, dx or dw; of the inputs below, a pass sets those that it reads */
    const float *x;
    const float *w;
    const float *b;
    const float *dy;
    bool add; /* forward: the numbers of y are kept and added to */
    const cnv_conv2d *c;
} depthwise_work;

/* One tap of the filter: the outputs whose input is inside; the offset is input minus output * stride. */
typedef struct {
    cnv_span rows;
    cnv_span columns;
    int64_t row_offset;
    int64_t column_offset;
} tap;

static tap tap_at(const cnv_window *v, int64_t r, int64_t s)
{
    tap t = {.row_offset = r * v->dilation[0] - v->pad[0], .column_offset = s * v->dilation[1] - v->pad[1]};
    t.rows = cnv_outputs_inside(v->ih, v->oh, v->stride[0], t.row_offset);
    t.columns = cnv_outputs_inside(v->iw, v->ow, v->stride[1], t.column_offset);
    return t;
}

/* y[i] += weight * x[i * stride]. */
static void add_row(float *y, const float *x, int64_t stride, float weight, int64_t n)
{
    if (stride == 1)
        for (int64_t i = 0; i < n; i++) y[i] += weight * x[i];
    else
        for (int64_t i = 0; i < n; i++) y[i] += weight * x[i * stride];
}

/* dx[i * stride] += weight * dy[i]. */
static void spread_row(float *dx, const float *dy, int64_t stride, float weight, int64_t n)
{
    if (stride == 1)
        for (int64_t i = 0; i < n; i++) dx[i] += weight * dy[i];
    else
        for (int64_t i = 0; i < n; i++) dx[i * stride] += weight * dy[i];
}

static double dot_row(const float *dy, const float *x, int64_t stride, int64_t n)
{
    double sum = 0.0;
    for (int64_t i = 0; i < n; i++) sum += (double)dy[i] * (double)x[i * stride];
    return sum;
}

static void fill_plane(float *y, float bias, int64_t pixels)
{
    for (int64_t p = 0; p < pixels; p++) y[p] = bias;
}

/* Adds the filtered plane to y. */
static void forward_plane(float *y, const float *x, const float *w, const cnv_window *v)
{
    for (int64_t k = 0; k < cnv_window_taps(v); k++) {
        tap t = tap_at(v, k / v->kernel[1], k % v->kernel[1]);
        int64_t n = t.columns.end - t.columns.begin;
        if (n == 0) continue;
        for (int64_t oh = t.rows.begin; oh < t.rows.end; oh++) {
            const float *row = x + (oh * v->stride[0] + t.row_offset) * v->iw;
            add_row(y + oh * v->ow + t.columns.begin, row + t.columns.begin * v->stride[1] + t.column_offset,
                    v->stride[1], w[k], n);
        }
    }
}

static void backward_plane(float *dx, const float *dy, const float *w, const cnv_window *v)
{
    for (int64_t k = 0; k < cnv_window_taps(v); k++) {
        tap t = tap_at(v, k / v->kernel[1], k % v->kernel[1]);
        int64_t n = t.columns.end - t.columns.begin;
        if (n == 0) continue;
        for (int64_t oh = t.rows.begin; oh < t.rows.end; oh++) {
            float *row = dx + (oh * v->stride[0] + t.row_offset) * v->iw;
            spread_row(row + t.columns.begin * v->stride[1] + t.column_offset,
                       dy + oh * v->ow + t.columns.begin, v->stride[1], w[k], n);
        }
    }
}

static double tap_gradient(const float *dy, const float *x, int64_t k, const cnv_window *v)
{
    tap t = tap_at(v, k / v->kernel[1], k % v->kernel[1]);
    int64_t n = t.columns.end - t.columns.begin;
    double sum = 0.0;
    if (n == 0) return sum;
    for (int64_t oh = t.rows.begin; oh < t.rows.end; oh++) {
        const float *row = x + (oh * v->stride[0] + t.row_offset) * v->iw;
        sum += dot_row(dy + oh * v->ow + t.columns.begin,
                       row + t.columns.begin * v->stride[1] + t.column_offset, v->stride[1], n);
    }
    return sum;
}

/* One item: some of the N * groups * OC output planes. */
static void forward_planes(void *context, int64_t begin, int64_t end, int worker)
{
    const depthwise_work *work = context;
    const cnv_conv2d *c = work->c;
    int64_t channels = c->groups * c->oc;
    for (int64_t plane = begin; plane < end; plane++) {
        int64_t o = plane % channels, pixels = cnv_window_outputs(&c->window);
        float *y = work->out + plane * pixels;
        if (!work->add) fill_plane(y, work->b != NULL ? work->b[o] : 0.0f, pixels);
        forward_plane(y, work->x + plane / c->oc * cnv_window_inputs(&c->window),
                      work->w + o * cnv_window_taps(&c->window), &c->window);
    }
    (void)worker;
}

/* One item: some of the N * groups input planes; each gathers from its OC output planes. */
static void backward_planes(void *context, int64_t begin, int64_t end, int worker)
{
    const depthwise_work *work = context;
    const cnv_conv2d *c = work->c;
    for (int64_t plane = begin; plane < end; plane++)
        for (int64_t o = 0; o < c->oc; o++)
            backward_plane(work->out + plane * cnv_window_inputs(&c->window),
                           work->dy + (plane * c->oc + o) * cnv_window_outputs(&c->window),
                           work->w + (plane % c->groups * c->oc + o) * cnv_window_taps(&c->window),
                           &c->window);
    (void)worker;
}

/* One item: the filter of one output channel, over all images in order. */
static void weight_channel(void *context, int64_t o, int worker)
{
    const depthwise_work *work = context;
    const cnv_conv2d *c = work->c;
    int64_t taps = cnv_window_taps(&c->window);
    for (int64_t k = 0; k < taps; k++) {
        double sum = 0.0;
        for (int64_t n = 0; n < c->n; n++)
            sum += tap_gradient(work->dy + (n * c->groups * c->oc + o) * cnv_window_outputs(&c->window),
                                work->x + (n * c->groups + o / c->oc) * cnv_window_inputs(&c->window), k,
                                &c->window);
        work->out[o * taps + k] += (float)sum;
    }
    (void)worker;
}

void cnv_conv_depthwise_forward(float *y, const float *x, const float *w, const float *b, bool add,
                                const cnv_conv2d *c, cnv_run *run)
{
    depthwise_work work = {.out = y, .x = x, .w = w, .b = b, .add = add, .c = c};
    cnv_parallel_range(run, c->n * c->groups * c->oc,
                       cnv_grain_of(cnv_window_outputs(&c->window) * cnv_window_taps(&c->window)),
                       forward_planes, &work);
}

void cnv_conv_depthwise_backward_data(float *dx, const float *dy, const float *w, const cnv_conv2d *c,
                                      cnv_run *run)
{
    depthwise_work work = {.out = dx, .dy = dy, .w = w, .c = c};
    cnv_parallel_range(run, c->n * c->groups,
                       cnv_grain_of(c->oc * cnv_window_outputs(&c->window) * cnv_window_taps(&c->window)),
                       backward_planes, &work);
}

void cnv_conv_depthwise_backward_weight(float *dw, const float *dy, const float *x, const cnv_conv2d *c,
                                        cnv_run *run)
{
    depthwise_work work = {.out = dw, .dy = dy, .x = x, .c = c};
    cnv_parallel(run, c->groups * c->oc, weight_channel, &work);
}
