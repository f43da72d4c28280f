#include "kernels/fast/image_gradient.h"

size_t cnv_image_gradient_weights(const cnv_direct *d)
{
    return (size_t)(cnv_blocks(d->ic) * d->taps * d->oc * CNV_LANES) * sizeof(float);
}

void cnv_image_gradient_pack(float *packed, const float *w, const cnv_direct *d, int64_t kernel_size)
{
    for (int64_t b = 0; b < cnv_blocks(d->ic); b++)
        for (int64_t t = 0; t < d->taps; t++)
            for (int64_t i = 0; i < d->oc; i++)
                for (int64_t o = b * CNV_LANES; o < (b + 1) * CNV_LANES; o++)
                    *packed++ = o < d->ic ? w[(o * d->oc + i) * kernel_size + d->tap[t]] : 0;
}
