#include "kernels/fast/image_gradient.h"

/* The size of a strip's copy of dy, which must stay in L2. */
#define STRIP_NBYTES (512 << 10)

/* The largest number of columns that a tile reads past the last one; it drops their sums. */
#define SLACK_COLUMNS (8 * CNV_LANES)

/* Appends the taps of one phase, the first of which is number `count`. */
static void add_phase(cnv_image_gradient *d, int64_t phase, int64_t count)
{
    const cnv_geometry *g = &d->g;
    const int64_t origin[2] = {phase / g->stride[1], phase % g->stride[1]};
    d->first[phase] = count;
    for (int64_t r = 0; r < g->kernel[0]; r++) {
        for (int64_t s = 0; s < g->kernel[1]; s++) {
            const int64_t row = origin[0] + g->pad[0] - r * g->dilation[0];
            const int64_t col = origin[1] + g->pad[1] - s * g->dilation[1];
            if (row % g->stride[0] != 0 || col % g->stride[1] != 0) continue;
            d->tap[count] = (int32_t)(r * g->kernel[1] + s);
            d->shift[count][0] = (int32_t)(row / g->stride[0]);
            d->shift[count++][1] = (int32_t)(col / g->stride[1]);
        }
    }
    d->first[phase + 1] = count;
}

void cnv_image_gradient_describe(cnv_image_gradient *d, const cnv_geometry *g)
{
    *d = (cnv_image_gradient){.g = *g, .phases = g->stride[0] * g->stride[1]};
    for (int64_t p = 0; p < d->phases; p++) add_phase(d, p, d->first[p]);
    for (int64_t t = 0; t < d->first[d->phases]; t++) {
        for (int a = 0; a < 2; a++) {
            if (t == 0 || d->shift[t][a] < d->low[a]) d->low[a] = d->shift[t][a];
            if (t == 0 || d->shift[t][a] > d->high[a]) d->high[a] = d->shift[t][a];
        }
    }
    const int64_t points[2] = {cnv_ceil_div(g->ih, g->stride[0]), cnv_ceil_div(g->iw, g->stride[1])};
    const int64_t reach = d->high[0] - d->low[0];
    d->pitch = cnv_ceil_div(points[1] + d->high[1] - d->low[1], CNV_LANES) * CNV_LANES;
    const int64_t fit = STRIP_NBYTES / (int64_t)sizeof(float) / (d->pitch * g->oc) - reach;
    const int64_t strip = fit < 2 ? 2 : fit < points[0] ? fit : points[0];
    d->strip = cnv_ceil_div(points[0], cnv_ceil_div(points[0], strip));
    d->rows = d->strip + reach;
}

size_t cnv_image_gradient_scratch(const cnv_image_gradient *d)
{
    return (size_t)(d->g.oc * d->rows * d->pitch + SLACK_COLUMNS) * sizeof(float);
}

size_t cnv_image_gradient_weights(const cnv_image_gradient *d)
{
    return (size_t)(d->first[d->phases] * d->g.oc * d->g.ic) * sizeof(float);
}

void cnv_image_gradient_pack(float *packed, const float *w, const cnv_image_gradient *d)
{
    const int64_t kernel = d->g.kernel[0] * d->g.kernel[1];
    for (int64_t p = 0; p < d->phases; p++)
        for (int64_t o = 0; o < d->g.oc; o++)
            for (int64_t t = d->first[p]; t < d->first[p + 1]; t++)
                for (int64_t i = 0; i < d->g.ic; i++) *packed++ = w[(o * d->g.ic + i) * kernel + d->tap[t]];
}
