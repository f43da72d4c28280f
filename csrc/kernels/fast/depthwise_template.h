/*
 * Template: the kernels of depthwise.h, convolution with one filter per channel.
 *
 * Parameter: VEC_ZMM, see vec.h. It sets the number of pixels of a tile.
 */
#ifndef CNV_FAST_DEPTHWISE_TEMPLATE_H
#define CNV_FAST_DEPTHWISE_TEMPLATE_H

#include "kernels/fast/depthwise.h"
#include "kernels/fast/lanes.h"

/* The number of pixels of a tile, which share a load of the weights. Their sums fill a quarter of the zmm
 * registers, and twelve of the sixteen ymm registers. DEPTHWISE_FEW is the number in shorter rows. */
#if VEC_ZMM
#define DEPTHWISE_PIXELS 8
#else
#define DEPTHWISE_PIXELS 6
#endif
#define DEPTHWISE_FEW 4

/* The number of pixels whose sums are kept in L1 and finished together: half of a wide row. */
#define DEPTHWISE_RUN 56

/* The taps of one phase along one axis: grid point g reads input g * step + shift. */
typedef struct depthwise_axis {
    int64_t count;
    int64_t tap[CNV_DEPTHWISE_KERNEL], shift[CNV_DEPTHWISE_KERNEL];
    int64_t step;        /* inputs between two grid points */
    int64_t extent;      /* the extent of the input */
    int64_t inner[2];    /* grid points inner[0]..inner[1]-1 have all taps inside */
    int64_t points;      /* the number of grid points */
    int64_t origin, gap; /* grid point g is result origin + g * gap */
} depthwise_axis;

/* Fills in `inner`. */
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

/* The products in one row of results: those of all taps that are in rows of the input. */
typedef struct depthwise_sum {
    v16 bias;
    const float *x;
    int64_t count;
    int64_t from[CNV_DEPTHWISE_TAPS]; /* floats from x to the factor of grid point 0 */
    const float *w[CNV_DEPTHWISE_TAPS];
} depthwise_sum;

/* Adds one tap to the sums of `pixels` neighbouring grid points. */
CNV_INLINE void depthwise_tap(int pixels, v16 *sums, const float *x, int64_t gap, v16 w)
{
    if (pixels > 0) sums[0] = v16_fma(v16_load(x), w, sums[0]);
    if (pixels > 1) sums[1] = v16_fma(v16_load(x + gap), w, sums[1]);
    if (pixels > 2) sums[2] = v16_fma(v16_load(x + 2 * gap), w, sums[2]);
    if (pixels > 3) sums[3] = v16_fma(v16_load(x + 3 * gap), w, sums[3]);
    if (pixels > 4) sums[4] = v16_fma(v16_load(x + 4 * gap), w, sums[4]);
    if (pixels > 5) sums[5] = v16_fma(v16_load(x + 5 * gap), w, sums[5]);
    if (pixels > 6) sums[6] = v16_fma(v16_load(x + 6 * gap), w, sums[6]);
    if (pixels > 7) sums[7] = v16_fma(v16_load(x + 7 * gap), w, sums[7]);
}

/* Computes `pixels` neighbouring grid points from g on, with all taps inside and factors `gap` floats
 * apart. */
CNV_INLINE void depthwise_pixels(int pixels, int64_t gap, float *to, const depthwise_sum *sum, int64_t g)
{
    v16 sums[DEPTHWISE_PIXELS];
    for (int p = 0; p < pixels; p++) sums[p] = sum->bias;
    for (int64_t i = 0; i < sum->count; i++)
        depthwise_tap(pixels, sums, sum->x + (sum->from[i] + g * gap), gap, v16_load(sum->w[i]));
    for (int p = 0; p < pixels; p++) v16_store(to + p * 16, sums[p]);
}

/* As depthwise_pixels; the usual steps are literals, which saves address arithmetic. */
CNV_INLINE void depthwise_tile(int pixels, float *to, const depthwise_sum *sum, int64_t step, int64_t g)
{
    if (step == 1)
        depthwise_pixels(pixels, 16, to, sum, g);
    else if (step == 2)
        depthwise_pixels(pixels, 32, to, sum, g);
    else
        depthwise_pixels(pixels, step * 16, to, sum, g);
}

/* Computes one grid point, whose first or last columns of taps may be outside. */
CNV_INLINE void depthwise_point(float *to, const depthwise_sum *sum, const depthwise_axis *a, int64_t g)
{
    const int64_t at = g * a->step, taps = a->count;
    int64_t first = 0, last = taps;
    while (first < last && (at + a->shift[first] < 0 || at + a->shift[first] >= a->extent)) first++;
    while (first < last && (at + a->shift[last - 1] < 0 || at + a->shift[last - 1] >= a->extent)) last--;
    v16 total = sum->bias;
    for (int64_t r = 0; r < sum->count; r += taps)
        for (int64_t i = r + first; i < r + last; i++)
            total = v16_fma(v16_load(sum->x + (sum->from[i] + at * 16)), v16_load(sum->w[i]), total);
    v16_store(to, total);
}

/* Computes grid points begin..end-1, with all taps inside, `pixels` at a time; the last tile overlaps the one
 * before it. */
CNV_INLINE void depthwise_tiles(int pixels, float *to, const depthwise_sum *sum, int64_t step, int64_t begin,
                                int64_t end)
{
    for (int64_t g = begin; g < end; g += pixels) {
        const int64_t first = g < end - pixels ? g : end - pixels;
        depthwise_tile(pixels, to + (first - begin) * 16, sum, step, first);
    }
}

/* Computes grid points begin..end-1: tiles of those with all taps inside, the others one at a time. */
static void depthwise_run(float *to, const depthwise_sum *sum, const depthwise_axis *a, int64_t begin,
                          int64_t end)
{
    int64_t low = a->inner[0] > begin ? a->inner[0] : begin, high = a->inner[1] < end ? a->inner[1] : end;
    if (high - low < DEPTHWISE_FEW) low = high = begin;
    if (high - low >= DEPTHWISE_PIXELS)
        depthwise_tiles(DEPTHWISE_PIXELS, to + (low - begin) * 16, sum, a->step, low, high);
    else if (high > low)
        depthwise_tiles(DEPTHWISE_FEW, to + (low - begin) * 16, sum, a->step, low, high);
    for (int64_t g = begin; g < low; g++) depthwise_point(to + (g - begin) * 16, sum, a, g);
    for (int64_t g = high; g < end; g++) depthwise_point(to + (g - begin) * 16, sum, a, g);
}

/* Computes and finishes a row of results; y, add and bits point at its first pixel. */
static void depthwise_row(float *y, const float *add, uint16_t *bits, const cnv_finish *finish,
                          const depthwise_sum *sum, const depthwise_axis *a)
{
    const finish_kind kind = finish_kind_of(finish);
    const int64_t runs = cnv_ceil_div(a->points, DEPTHWISE_RUN);
    float sums[DEPTHWISE_RUN * 16];
    for (int64_t i = 0, begin = 0, end; i < runs; i++, begin = end) {
        end = (i + 1) * a->points / runs;
        const int64_t q = a->origin + begin * a->gap;
        depthwise_run(sums, sum, a, begin, end);
        lanes_finish_run(kind, y + q * 16, add != NULL ? add + q * 16 : NULL, bits != NULL ? bits + q : NULL,
                         a->gap, sums, 16, v16_zero(), end - begin, finish);
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

/* Lists the products of the row of results at grid point g of the axis `down`. x and w belong to the block,
 * and x begins with row `first`. */
static void depthwise_see(depthwise_sum *sum, const depthwise_axis *down, const depthwise_axis *across,
                          int64_t g, const float *x, int64_t first, int64_t row_size, const float *w,
                          int64_t kernel_width)
{
    sum->x = x;
    sum->count = 0;
    for (int64_t r = 0; r < down->count; r++) {
        const int64_t at = g * down->step + down->shift[r];
        if (at < 0 || at >= down->extent) continue;
        for (int64_t t = 0; t < across->count; t++, sum->count++) {
            sum->from[sum->count] = (at - first) * row_size + across->shift[t] * 16;
            sum->w[sum->count] = w + (down->tap[r] * kernel_width + across->tap[t]) * 16;
        }
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
    depthwise_sum sum;
    sum.bias = c->bias != NULL ? v16_load(c->bias + block * 16) : v16_zero();
    for (int64_t i = begin; i < end; i++) {
        const int64_t q = (plane * d->oh + i) * d->ow;
        depthwise_see(&sum, &down, &across, i, c->x + plane * d->ih * d->iw * 16, 0, d->iw * 16, w,
                      d->kernel[1]);
        depthwise_row(c->y + q * 16, c->finish->add != NULL ? c->finish->add + q * 16 : NULL,
                      c->finish->bits != NULL ? c->finish->bits + q : NULL, c->finish, &sum, &across);
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

/* Finds the rows of dy, rows[0]..rows[1]-1, that rows begin..end-1 of dx see. */
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
    depthwise_sum sum;
    sum.bias = v16_zero();
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
            depthwise_see(&sum, &down, &across, i / d->stride[0], dy, seen[0], d->ow * 16, w, d->kernel[1]);
            depthwise_row(c->y + (plane * d->ih + i) * d->iw * 16, NULL, NULL, c->finish, &sum, &across);
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
