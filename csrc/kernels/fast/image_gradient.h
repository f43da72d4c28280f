/*
 * The gradient of a picture of one to four channels, N,C,H,W, from a blocked dy: the last step of every
 * saliency map.
 *
 * So few channels do not fill a vector; sixteen neighbouring pixels do. A strip of dy is copied through the
 * gate into planes, one for each channel, and every product is a vector of dy times one weight. All phases of
 * a stride (see direct.h) are computed from one copy.
 */
#ifndef CNV_FAST_IMAGE_GRADIENT_H
#define CNV_FAST_IMAGE_GRADIENT_H

#include "kernels/fast/direct.h"

#define CNV_GRADIENT_CHANNELS 4

typedef struct cnv_image_gradient {
    cnv_geometry g;
    int64_t phases;
    int64_t first[CNV_MAX_PHASES + 1]; /* phase p has taps first[p]..first[p + 1]-1 of the lists below */
    int32_t tap[CNV_MAX_TAPS];         /* the index of the tap's weight in its kernel */
    int32_t shift[CNV_MAX_TAPS][2]; /* dx pixel origin + i * stride of the phase reads dy pixel i + shift */
    int64_t low[2], high[2];        /* the smallest and largest shifts along each axis */
    int64_t strip;                  /* rows of each phase per item */
    int64_t rows, pitch; /* rows and columns of dy in a strip's copy, columns rounded up to vectors */
} cnv_image_gradient;

void cnv_image_gradient_describe(cnv_image_gradient *d, const cnv_geometry *g);

size_t cnv_image_gradient_scratch(const cnv_image_gradient *d); /* scratch bytes of one worker */
size_t cnv_image_gradient_weights(const cnv_image_gradient *d); /* bytes of the packed weights */

/* packed: [phase][O][tap][I], the order of use   w: O,I,KH,KW */
void cnv_image_gradient_pack(float *packed, const float *w, const cnv_image_gradient *d);

/* dx: N,I,IH,IW   dy: blocked */
typedef void cnv_image_gradient_kernel(float *dx, const float *dy, const float *packed, const cnv_gate *gate,
                                       bool accumulate, const cnv_image_gradient *d, void *scratch,
                                       size_t scratch_stride, cnv_run *run);

#endif
