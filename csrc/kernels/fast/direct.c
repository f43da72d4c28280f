#include "kernels/fast/direct.h"

#include <string.h>

#include "runtime/alloc.h"

/* The size of a strip's copy, which must stay in L2 beside the weights that stream past it: 512 KiB is all of
 * a small L2 and a quarter of a large one, on which 768 KiB measured no better. */
#define STRIP_NBYTES (512 << 10)

/* COPY_NBYTES is the largest copy of the shortest strip. A copy of at most COPY_PICTURES times the
 * pixels of the picture may be larger: it is not mostly padding, as it is if a dilation exceeds the
 * picture's extents. */
#define COPY_NBYTES (4 * STRIP_NBYTES)
#define COPY_PICTURES 4

/* The number of items that a layer is cut into if it is large enough: it balances a few threads. A strip has
 * at least twice the rows that its copy reads beyond its own (in place: two of the widest tiles), because
 * each strip reads the weights anew and copies those rows. */
#define ITEMS 8

/* The pixels of the widest tile. */
#define PIXELS 14

static int64_t min64(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t max64(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* The number of floats of one pixel of a copied plane, and the number of planes. */
static int64_t lanes(const cnv_direct *d)
{
    return d->planar ? 1 : CNV_LANES;
}

static int64_t planes(const cnv_direct *d)
{
    return d->planar ? d->ic : cnv_blocks(d->ic);
}

static int64_t plane_size(const cnv_direct *d)
{
    return d->phases * d->phase_rows * d->pitch * lanes(d);
}

/* The product of two numbers that are not negative; INT64_MAX if it overflows. */
static int64_t times(int64_t a, int64_t b)
{
    int64_t product;
    return __builtin_mul_overflow(a, b, &product) ? INT64_MAX : product;
}

/* Whether the copy of the shortest strip is small enough, and offsets within it fit into 32 bits. The size is
 * an upper bound for the forward pass, each phase of the backward pass and the image gradient. */
static bool copy_fits(const cnv_geometry *g)
{
    const int64_t points[2] = {max64(g->oh, cnv_ceil_div(g->ih, g->stride[0])),
                               max64(g->ow, cnv_ceil_div(g->iw, g->stride[1]))};
    const int64_t channels = cnv_blocks(max64(g->ic, g->oc)) * CNV_LANES;
    const int64_t phases = min64(g->kernel[0], g->stride[0]) * min64(g->kernel[1], g->stride[1]);
    int64_t reach[2];
    for (int a = 0; a < 2; a++) reach[a] = cnv_ceil_div((g->kernel[a] - 1) * g->dilation[a], g->stride[a]);
    const int64_t rows = min64(points[0], 2) + reach[0], cols = points[1] + reach[1];
    const int64_t pixels = times(times(rows, cols), phases), floats = times(pixels, channels);
    const int64_t picture = max64(g->ih * g->iw, g->oh * g->ow);
    return floats <= INT32_MAX &&
           (floats <= COPY_NBYTES / (int64_t)sizeof(float) || pixels <= times(picture, COPY_PICTURES));
}

bool cnv_direct_fits(const cnv_geometry *g)
{
    return g->kernel[0] * g->kernel[1] <= CNV_MAX_TAPS && g->stride[0] * g->stride[1] <= CNV_MAX_PHASES &&
           copy_fits(g);
}

/* The taps of the sum, each with its distance from the first one, before offsets are known. */
typedef struct taps {
    int64_t count;
    int64_t at[CNV_MAX_TAPS][2];
} taps;

/* Finds the phase that a tap reads, or adds it. */
static int64_t phase_of(cnv_direct *d, int64_t row, int64_t col)
{
    for (int64_t p = 0; p < d->phases; p++)
        if (d->phase[p][0] == row && d->phase[p][1] == col) return p;
    d->phase[d->phases][0] = row;
    d->phase[d->phases][1] = col;
    return d->phases++;
}

/* The largest number of grid rows (in place: pixels) of a strip whose copy keeps to STRIP_NBYTES. */
static int64_t strip_that_fits(const cnv_direct *d, int64_t reach)
{
    const int64_t pixel = planes(d) * d->phases * lanes(d) * (int64_t)sizeof(float);
    if (d->in_place) return max64(STRIP_NBYTES / pixel, PIXELS);
    return max64(STRIP_NBYTES / max64(pixel * d->pitch, 1) - reach, 2);
}

/* Chooses the grid rows (in place: pixels) and the output blocks of one item. */
static void choose_items(cnv_direct *d, int64_t reach)
{
    const int64_t extent = d->in_place ? d->cols : d->rows, unit = d->in_place ? PIXELS : 1;
    const int64_t least = d->in_place ? 2 * PIXELS : max64(2 * reach, 2), blocks = cnv_blocks(d->oc);
    int64_t strips = cnv_ceil_div(extent, strip_that_fits(d, reach));
    const int64_t groups = min64(cnv_ceil_div(ITEMS, strips), cnv_ceil_div(blocks, 2));
    while (strips * groups < ITEMS && extent > strips * least) strips *= 2;
    d->strip = cnv_ceil_div(cnv_ceil_div(extent, strips), unit) * unit;
    d->group = cnv_ceil_div(cnv_ceil_div(blocks, groups), 2) * 2;
}

/* Fills in the fields that follow from the grid and its taps. */
static void settle(cnv_direct *d, const taps *t)
{
    int64_t reach[2] = {0, 0};
    int64_t phase[CNV_MAX_TAPS];
    d->phases = 0;
    for (int64_t i = 0; i < t->count; i++) {
        phase[i] = phase_of(d, t->at[i][0] % d->stride[0], t->at[i][1] % d->stride[1]);
        for (int a = 0; a < 2; a++) reach[a] = max64(reach[a], t->at[i][a] / d->stride[a]);
    }
    d->pitch = d->cols + reach[1];
    d->seamless = reach[1] == 0 && d->cols == d->yw && d->step[0] == 1 && d->step[1] == 1;
    choose_items(d, reach[0]);
    d->phase_rows = d->strip + reach[0];
    for (int64_t i = 0; i < t->count; i++) {
        int64_t row = phase[i] * d->phase_rows + t->at[i][0] / d->stride[0];
        d->offset[i] = (int32_t)((row * d->pitch + t->at[i][1] / d->stride[1]) * lanes(d));
    }
    d->taps = t->count;
    if (!d->planar) return;
    for (int64_t i = 0; i < d->ic * t->count; i++) {
        d->offset[i] = d->offset[i % t->count] + (int32_t)(i / t->count * plane_size(d));
        d->tap[i] = d->tap[i % t->count] + (int32_t)(i / t->count * t->count);
    }
    d->taps *= d->ic;
}

/* Whether the only tap reads the pixel itself, and the pixels of x and y are in the same places. */
static bool is_in_place(const cnv_direct *d, const taps *t)
{
    return !d->planar && t->count == 1 && d->first[0] == 0 && d->first[1] == 0 && d->stride[0] == 1 &&
           d->stride[1] == 1 && d->step[0] == 1 && d->step[1] == 1 && d->rows == d->xh && d->cols == d->xw;
}

/* Makes the grid one row of all pixels. */
static void flatten(cnv_direct *d)
{
    d->in_place = true;
    d->cols *= d->rows;
    d->rows = 1;
}

void cnv_direct_forward(cnv_direct *d, const cnv_geometry *g, bool planar)
{
    taps t = {0};
    *d = (cnv_direct){.images = g->images,
                      .ic = g->ic,
                      .oc = g->oc,
                      .xh = g->ih,
                      .xw = g->iw,
                      .yh = g->oh,
                      .yw = g->ow,
                      .rows = g->oh,
                      .cols = g->ow,
                      .step = {1, 1},
                      .stride = {g->stride[0], g->stride[1]},
                      .first = {-g->pad[0], -g->pad[1]},
                      .packed = true,
                      .kernel_size = g->kernel[0] * g->kernel[1],
                      .planar = planar};
    d->x_image = planar ? g->ic * g->ih * g->iw : cnv_blocked_size(g->ic, g->ih, g->iw);
    d->y_image = cnv_blocked_size(g->oc, g->oh, g->ow);
    for (int64_t r = 0; r < g->kernel[0]; r++) {
        for (int64_t s = 0; s < g->kernel[1]; s++, t.count++) {
            d->tap[t.count] = (int32_t)(r * g->kernel[1] + s);
            t.at[t.count][0] = r * g->dilation[0];
            t.at[t.count][1] = s * g->dilation[1];
        }
    }
    if (is_in_place(d, &t)) flatten(d);
    settle(d, &t);
}

/* Along one axis, dx pixel `remainder` + g * stride receives dy pixel g + shift through kernel tap `tap` if
 * remainder + pad - tap * dilation is a multiple of the stride. Returns whether it is. */
static bool backward_shift(const cnv_geometry *g, int axis, int64_t remainder, int64_t tap, int64_t *shift)
{
    int64_t distance = remainder + g->pad[axis] - tap * g->dilation[axis];
    *shift = distance / g->stride[axis];
    return distance % g->stride[axis] == 0;
}

/* The smallest shift along an axis, from which the offsets of taps count; 0 if the phase has no tap. */
static int64_t smallest_shift(const cnv_geometry *g, int axis, int64_t remainder)
{
    int64_t smallest = INT64_MAX, shift;
    for (int64_t tap = 0; tap < g->kernel[axis]; tap++)
        if (backward_shift(g, axis, remainder, tap, &shift)) smallest = min64(smallest, shift);
    return smallest == INT64_MAX ? 0 : smallest;
}

void cnv_direct_backward(cnv_direct *d, const cnv_geometry *g, int64_t phase, bool gated)
{
    taps t = {0};
    const int64_t origin[2] = {phase / g->stride[1], phase % g->stride[1]};
    *d = (cnv_direct){.images = g->images,
                      .ic = g->oc,
                      .oc = g->ic,
                      .xh = g->oh,
                      .xw = g->ow,
                      .yh = g->ih,
                      .yw = g->iw,
                      .origin = {origin[0], origin[1]},
                      .step = {g->stride[0], g->stride[1]},
                      .stride = {1, 1},
                      .rows = cnv_ceil_div(max64(g->ih - origin[0], 0), g->stride[0]),
                      .cols = cnv_ceil_div(max64(g->iw - origin[1], 0), g->stride[1]),
                      .first = {smallest_shift(g, 0, origin[0]), smallest_shift(g, 1, origin[1])},
                      .packed = true,
                      .backward = true,
                      .kernel_size = g->kernel[0] * g->kernel[1]};
    d->x_image = cnv_blocked_size(g->oc, g->oh, g->ow);
    d->y_image = cnv_blocked_size(g->ic, g->ih, g->iw);
    for (int64_t r = 0; r < g->kernel[0]; r++) {
        for (int64_t s = 0; s < g->kernel[1]; s++) {
            int64_t row, col;
            if (!backward_shift(g, 0, origin[0], r, &row) || !backward_shift(g, 1, origin[1], s, &col))
                continue;
            d->tap[t.count] = (int32_t)(r * g->kernel[1] + s);
            t.at[t.count][0] = row - d->first[0];
            t.at[t.count++][1] = col - d->first[1];
        }
    }
    if (d->rows == 0 || d->cols == 0) return; /* a phase without pixels: the stride exceeds the picture */
    if (!gated && is_in_place(d, &t)) flatten(d);
    settle(d, &t);
}

/* Bytes of the packed weights of `blocks` output blocks. */
static size_t weights_nbytes(const cnv_direct *d, int64_t blocks)
{
    const int64_t channels = d->planar ? 1 : d->ic;
    return (size_t)(blocks * CNV_LANES * channels * d->taps) * sizeof(float);
}

size_t cnv_direct_copy(const cnv_direct *d)
{
    /* A tile of two short rows reads, and drops, up to one row's width of pixels past the end. */
    const int64_t slack = 16 * CNV_LANES;
    return d->in_place ? 0 : (size_t)(planes(d) * plane_size(d) + slack) * sizeof(float);
}

size_t cnv_direct_list(const cnv_direct *d)
{
    const int64_t per_line = CNV_ALIGNMENT / (int64_t)sizeof(int32_t);
    return d->backward ? (size_t)cnv_ceil_div(cnv_blocks(d->ic), per_line) * CNV_ALIGNMENT : 0;
}

size_t cnv_direct_scratch(const cnv_direct *d)
{
    return cnv_direct_list(d) + cnv_direct_copy(d) + (d->packed ? 0 : weights_nbytes(d, CNV_DIRECT_BLOCKS));
}

size_t cnv_direct_weights(const cnv_direct *d)
{
    return weights_nbytes(d, cnv_blocks(d->oc));
}

void cnv_direct_pack(float *packed, const float *w, const cnv_direct *d)
{
    const int64_t channels = d->planar ? 1 : d->ic;
    const int64_t per_out = d->backward ? d->kernel_size : d->ic * d->kernel_size;
    const int64_t per_in = d->backward ? d->oc * d->kernel_size : d->kernel_size;
    for (int64_t block = 0; block < cnv_blocks(d->oc); block++) {
        const int64_t outs = min64(d->oc - block * CNV_LANES, CNV_LANES);
        for (int64_t c0 = 0; c0 < channels; c0 += CNV_LANES) {
            for (int64_t t = 0; t < d->taps; t++) {
                for (int64_t c = c0; c < min64(c0 + CNV_LANES, channels); c++, packed += CNV_LANES) {
                    const float *from = w + block * CNV_LANES * per_out + c * per_in + d->tap[t];
                    for (int64_t o = 0; o < CNV_LANES; o++) packed[o] = o < outs ? from[o * per_out] : 0;
                }
            }
        }
    }
}
