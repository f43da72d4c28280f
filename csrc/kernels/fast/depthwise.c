#include "kernels/fast/depthwise.h"

/* The number of vector products in one item: some 20 us of work. */
#define PRODUCTS 65536

void cnv_depthwise_describe(cnv_depthwise *d)
{
    const int64_t row = d->kernel[0] * d->kernel[1] * (d->ow > d->iw ? d->ow : d->iw);
    const int64_t rows = PRODUCTS / row > 8 ? PRODUCTS / row : 8;
    d->strip = cnv_ceil_div(rows, d->stride[0]) * d->stride[0];
}

/* The largest number of rows of dy that `strip` rows of dx see. */
static int64_t rows_seen(const cnv_depthwise *d)
{
    const int64_t rows = (d->strip + (d->kernel[0] - 1) * d->dilation[0]) / d->stride[0] + 2;
    return rows < d->oh ? rows : d->oh;
}

size_t cnv_depthwise_backward_scratch(const cnv_depthwise *d)
{
    return (size_t)(rows_seen(d) * d->ow * CNV_LANES) * sizeof(float);
}

size_t cnv_depthwise_weights(const cnv_depthwise *d)
{
    return (size_t)(cnv_blocks(d->channels) * d->kernel[0] * d->kernel[1] * CNV_LANES) * sizeof(float);
}

void cnv_depthwise_pack(float *packed, const float *w, const cnv_depthwise *d)
{
    const int64_t taps = d->kernel[0] * d->kernel[1];
    for (int64_t b = 0; b < cnv_blocks(d->channels); b++)
        for (int64_t t = 0; t < taps; t++)
            for (int64_t k = b * CNV_LANES; k < (b + 1) * CNV_LANES; k++)
                *packed++ = k < d->channels ? w[k * taps + t] : 0;
}
