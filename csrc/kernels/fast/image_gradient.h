/*
 * The gradient of a picture of one to four channels, from blocked to N,C,H,W. The description is a phase of
 * the backward pass of direct.h, gated; so are strips, scratch and phases.
 */
#ifndef CNV_FAST_IMAGE_GRADIENT_H
#define CNV_FAST_IMAGE_GRADIENT_H

#include "kernels/fast/direct.h"

#define CNV_GRADIENT_CHANNELS 4

size_t cnv_image_gradient_weights(const cnv_direct *d); /* bytes */

/* From O,I,KH,KW, where I is d->oc: [block of O][tap][I][16]. */
void cnv_image_gradient_pack(float *packed, const float *w, const cnv_direct *d, int64_t kernel_size);

typedef void cnv_image_gradient_kernel(float *dx, const float *dy, const float *packed, const cnv_gate *gate,
                                       bool accumulate, const cnv_direct *d, void *scratch,
                                       size_t scratch_stride, cnv_run *run);

#endif
