#ifndef CNV_FAST_DEPTHWISE_IMPL_H
#define CNV_FAST_DEPTHWISE_IMPL_H

#include "kernels/fast/depthwise.h"
#include "kernels/fast/lanes.h"

/* Pixels that share a load of the weights: with one vector per accumulator, they fill the registers' half. */
#if defined(__AVX512F__)
#define DEPTHWISE_PIXELS 8
#else
#define DEPTHWISE_PIXELS 4
#endif

/* The taps along one axis that grid point g sees in one phase: input g * step + shift. */
typedef struct depthwise_axis {
    int64_t count;
    int64_t tap[CNV_DEPTHWISE_KERNEL], shift[CNV_DEPTHWISE_KERNEL];
    int64_t step;        /* between grid points in the input */
    int64_t extent;      /* of the input */
    int64_t inner[2];    /* grid points for which all taps lie inside */
    int64_t points;      /* of the grid */
    int64_t origin, gap; /* grid point g is result origin + g * gap */
} depthwise_axis;

static void depthwise_settle(depthwise_axis *a)
{
    int64_t low = 0, high = 0;
    for (int64_t i = 0; i < a->count; i++) {
        if (i == 0 || a->shift[i] < low) low = a->shift[i];
        if (i == 0 || a->shift[i] > high) high = a->shift[i];
    }
    a->inner[0] = low < 0 ? cnv_ceil_div(-low, a->step) : 0;
    a->inner[1] = high < a->extent ? (a->extent - 1 - high) / a->step + 1 : 0;
    if (a->inner[0] > a->points) a->inner[0] = a->points;
    if (a->inner[1] > a->points) a->inner[1] = a->points;
    if (a->inner[1] < a->inner[0]) a->inner[1] = a->inner[0];
}

static depthwise_axis depthwise_forward_axis(const cnv_depthwise *d, int axis)
{
    depthwise_axis a = {.count = d->kernel[axis],
                        .step = d->stride[axis],
                        .gap = 1,
                        .extent = axis == 0 ? d->ih : d->iw,
                        .points = axis == 0 ? d->oh : d->ow};
    for (int64_t t = 0; t < a.count; t++) {
        a.tap[t] = t;
        a.shift[t] = t * d->dilation[axis] - d->pad[axis];
    }
    depthwise_settle(&a);
    return a;
}

/* dx pixel phase + g * stride receives dy pixel g + shift through each tap that the stride divides. */
static depthwise_axis depthwise_backward_axis(const cnv_depthwise *d, int axis, int64_t phase)
{
    const int64_t extent = axis == 0 ? d->ih : d->iw, stride = d->stride[axis];
    depthwise_axis a = {.step = 1,
                        .gap = stride,
                        .origin = phase,
                        .extent = axis == 0 ? d->oh : d->ow,
                        .points = phase < extent ? cnv_ceil_div(extent - phase, stride) : 0};
    for (int64_t t = 0; t < d->kernel[axis]; t++) {
        const int64_t distance = phase + d->pad[axis] - t * d->dilation[axis];
        if (distance % stride != 0) continue;
        a.tap[a.count] = t;
        a.shift[a.count++] = distance / stride;
    }
    depthwise_settle(&a);
    return a;
}

/* What one row of results needs: the rows of x and of the weights that it multiplies. */
typedef struct depthwise_rows {
    int64_t count;
    const float *x[CNV_DEPTHWISE_KERNEL];
    const float *w[CNV_DEPTHWISE_KERNEL];
    v16 bias;
} depthwise_rows;

CNV_INLINE v16 depthwise_madd(const float *x, v16 w, v16 sum)
{
    return v16_fma(v16_load(x), w, sum);
}

/* DEPTHWISE_PIXELS neighbouring grid points from `g` on, all taps inside. */
CNV_INLINE void depthwise_tile(float *sums, const depthwise_rows *rows, const depthwise_axis *a, int64_t g)
{
    const int64_t gap = a->step * 16;
    v16 s0 = rows->bias, s1 = s0, s2 = s0, s3 = s0;
#if DEPTHWISE_PIXELS > 4
    v16 s4 = s0, s5 = s0, s6 = s0, s7 = s0;
#endif
    for (int64_t r = 0; r < rows->count; r++) {
        for (int64_t t = 0; t < a->count; t++) {
            const float *x = rows->x[r] + (g * a->step + a->shift[t]) * 16;
            const v16 w = v16_load(rows->w[r] + a->tap[t] * 16);
            s0 = depthwise_madd(x, w, s0);
            s1 = depthwise_madd(x + gap, w, s1);
            s2 = depthwise_madd(x + 2 * gap, w, s2);
            s3 = depthwise_madd(x + 3 * gap, w, s3);
#if DEPTHWISE_PIXELS > 4
            s4 = depthwise_madd(x + 4 * gap, w, s4);
            s5 = depthwise_madd(x + 5 * gap, w, s5);
            s6 = depthwise_madd(x + 6 * gap, w, s6);
            s7 = depthwise_madd(x + 7 * gap, w, s7);
#endif
        }
    }
    v16_store(sums, s0);
    v16_store(sums + 16, s1);
    v16_store(sums + 2 * 16, s2);
    v16_store(sums + 3 * 16, s3);
#if DEPTHWISE_PIXELS > 4
    v16_store(sums + 4 * 16, s4);
    v16_store(sums + 5 * 16, s5);
    v16_store(sums + 6 * 16, s6);
    v16_store(sums + 7 * 16, s7);
#endif
}

/* One grid point, whose taps may lie outside. */
CNV_INLINE void depthwise_point(float *sums, const depthwise_rows *rows, const depthwise_axis *a, int64_t g)
{
    v16 sum = rows->bias;
    for (int64_t r = 0; r < rows->count; r++) {
        for (int64_t t = 0; t < a->count; t++) {
            const int64_t at = g * a->step + a->shift[t];
            if (at < 0 || at >= a->extent) continue;
            sum = depthwise_madd(rows->x[r] + at * 16, v16_load(rows->w[r] + a->tap[t] * 16), sum);
        }
    }
    v16_store(sums, sum);
}

/* A row of results; y, add and bits point at its first pixel. */
static void depthwise_row(float *y, const float *add, uint16_t *bits, const cnv_finish *finish,
                          const depthwise_rows *rows, const depthwise_axis *a)
{
    const finish_kind kind = finish_kind_of(finish);
    float sums[DEPTHWISE_PIXELS * 16];
    for (int64_t g = 0; g < a->points;) {
        int64_t count = 1;
        if (g >= a->inner[0] && g + DEPTHWISE_PIXELS <= a->inner[1]) {
            count = DEPTHWISE_PIXELS;
            depthwise_tile(sums, rows, a, g);
        } else {
            depthwise_point(sums, rows, a, g);
        }
        const int64_t q = a->origin + g * a->gap;
        lanes_finish_run(kind, y + q * 16, add != NULL ? add + q * 16 : NULL, bits != NULL ? bits + q : NULL,
                         a->gap, sums, 16, v16_zero(), count, finish);
        g += count;
    }
}

typedef struct depthwise_call {
    float *y;
    const float *x, *packed, *bias;
    const cnv_finish *finish;
    const cnv_gate *gate;
    const cnv_depthwise *d;
    char *scratch;
    size_t scratch_stride;
    int64_t strips;
} depthwise_call;

/* The rows that grid point g of the row axis sees; x and w belong to the block, and x holds rows from
 * `first` on. */
static void depthwise_see(depthwise_rows *rows, const depthwise_axis *a, int64_t g, const float *x,
                          int64_t first, int64_t row_size, const float *w, int64_t kernel_width)
{
    rows->count = 0;
    for (int64_t t = 0; t < a->count; t++) {
        const int64_t at = g * a->step + a->shift[t];
        if (at < 0 || at >= a->extent) continue;
        rows->x[rows->count] = x + (at - first) * row_size;
        rows->w[rows->count++] = w + a->tap[t] * kernel_width * 16;
    }
}

static void depthwise_forward_item(void *context, int64_t item, int worker)
{
    const depthwise_call *c = context;
    const cnv_depthwise *d = c->d;
    const int64_t plane = item / c->strips, block = plane % cnv_blocks(d->channels);
    const int64_t begin = item % c->strips * d->strip,
                  end = begin + d->strip < d->oh ? begin + d->strip : d->oh;
    const depthwise_axis across = depthwise_forward_axis(d, 1), down = depthwise_forward_axis(d, 0);
    const float *w = c->packed + block * d->kernel[0] * d->kernel[1] * 16;
    depthwise_rows rows = {.bias = c->bias != NULL ? v16_load(c->bias + block * 16) : v16_zero()};
    for (int64_t i = begin; i < end; i++) {
        const int64_t q = (plane * d->oh + i) * d->ow;
        depthwise_see(&rows, &down, i, c->x + plane * d->ih * d->iw * 16, 0, d->iw * 16, w, d->kernel[1]);
        depthwise_row(c->y + q * 16, c->finish->add != NULL ? c->finish->add + q * 16 : NULL,
                      c->finish->bits != NULL ? c->finish->bits + q : NULL, c->finish, &rows, &across);
    }
    (void)worker;
}

static void depthwise_forward(float *y, const float *x, const float *packed, const float *bias,
                              const cnv_finish *finish, const cnv_depthwise *d, cnv_run *run)
{
    depthwise_call c = {.y = y,
                        .x = x,
                        .packed = packed,
                        .bias = bias,
                        .finish = finish,
                        .d = d,
                        .strips = cnv_ceil_div(d->oh, d->strip)};
    cnv_parallel(run, d->images * cnv_blocks(d->channels) * c.strips, depthwise_forward_item, &c);
}

/* First and last-plus-one row of dy that dx rows begin..end-1 see. */
static void depthwise_dy_rows(const cnv_depthwise *d, int64_t begin, int64_t end, int64_t rows[2])
{
    const int64_t low = begin + d->pad[0] - (d->kernel[0] - 1) * d->dilation[0], high = end - 1 + d->pad[0];
    rows[0] = low > 0 ? low / d->stride[0] : 0;
    rows[1] = high / d->stride[0] + 1 < d->oh ? high / d->stride[0] + 1 : d->oh;
    if (rows[0] > rows[1]) rows[0] = rows[1];
}

static void depthwise_backward_item(void *context, int64_t item, int worker)
{
    const depthwise_call *c = context;
    const cnv_depthwise *d = c->d;
    const int64_t blocks = cnv_blocks(d->channels), plane = item / c->strips;
    const int64_t begin = item % c->strips * d->strip,
                  end = begin + d->strip < d->ih ? begin + d->strip : d->ih;
    const float *w = c->packed + plane % blocks * d->kernel[0] * d->kernel[1] * 16;
    const float *dy = c->x + plane * d->oh * d->ow * 16;
    int64_t seen[2] = {0, 0};
    depthwise_rows rows = {.bias = v16_zero()};
    if (c->gate->bits != NULL) {
        float *copy = (float *)(c->scratch + (size_t)worker * c->scratch_stride);
        depthwise_dy_rows(d, begin, end, seen);
        lanes_copy(copy, dy + seen[0] * d->ow * 16, c->gate->bits + (plane * d->oh + seen[0]) * d->ow,
                   (seen[1] - seen[0]) * d->ow, 1, c->gate, gate_rule(c->gate, plane / blocks));
        dy = copy;
    }
    for (int64_t p = 0; p < d->stride[1]; p++) {
        const depthwise_axis across = depthwise_backward_axis(d, 1, p);
        for (int64_t i = begin; i < end; i++) {
            const depthwise_axis down = depthwise_backward_axis(d, 0, i % d->stride[0]);
            depthwise_see(&rows, &down, i / d->stride[0], dy, seen[0], d->ow * 16, w, d->kernel[1]);
            depthwise_row(c->y + (plane * d->ih + i) * d->iw * 16, NULL, NULL, c->finish, &rows, &across);
        }
    }
}

static void depthwise_backward(float *dx, const float *dy, const float *packed, const cnv_gate *gate,
                               bool accumulate, const cnv_depthwise *d, void *scratch, size_t scratch_stride,
                               cnv_run *run)
{
    const cnv_finish finish = {.accumulate = accumulate};
    depthwise_call c = {.y = dx,
                        .x = dy,
                        .packed = packed,
                        .gate = gate,
                        .finish = &finish,
                        .d = d,
                        .scratch = scratch,
                        .scratch_stride = scratch_stride,
                        .strips = cnv_ceil_div(d->ih, d->strip)};
    cnv_parallel(run, d->images * cnv_blocks(d->channels) * c.strips, depthwise_backward_item, &c);
}

#endif
