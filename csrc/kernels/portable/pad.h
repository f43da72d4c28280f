/*
 * Padding of any axis, forward and its adjoint, which adds to dx. A negative pad crops.
 */
#ifndef CNV_KERNELS_PAD_H
#define CNV_KERNELS_PAD_H

#include "runtime/types.h"
#include "runtime/threads.h"

typedef struct cnv_pad {
    cnv_shape x;
    cnv_shape y;
    const int64_t *before; /* the pad before each axis; the pad after it follows from the extents */
    cnv_pad_mode mode;
    float value; /* the padding of constant mode */
} cnv_pad;

void cnv_pad_forward(float *y, const float *x, const cnv_pad *p, cnv_run *run);
void cnv_pad_backward(float *dx, const float *dy, const cnv_pad *p, cnv_run *run);

#endif
