/*
 * PReLU: a rectifier whose slope below zero is learnt and broadcasts to x (He et al. 2015, eq. 1). In `shape`
 * x is operand a, which has the output's shape, and the slope is operand b.
 */
#ifndef CNV_KERNELS_PRELU_H
#define CNV_KERNELS_PRELU_H

#include "runtime/types.h"
#include "kernels/portable/broadcast.h"
#include "runtime/threads.h"

void cnv_prelu_forward(float *y, const float *x, const float *slope, const cnv_broadcast *shape,
                       cnv_run *run);
/* Follows the rules of rectifier.h, in which redirected is plain. */
void cnv_prelu_backward_data(float *dx, const float *dy, const float *x, const float *slope,
                             const cnv_broadcast *shape, cnv_relu_rule rule, cnv_run *run);
/* dslope += sum of dy * x where x < 0, which is the derivative: no rule changes it. */
void cnv_prelu_backward_slope(float *dslope, const float *dy, const float *x, const cnv_broadcast *shape,
                              cnv_run *run);

#endif
