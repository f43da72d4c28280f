/*
 * PReLU: a rectifier whose slope below zero is learnt and broadcasts to x (He et al. 2015, eq. 1). `shape`
 * describes x (operand a, which has the output's shape) and slope (operand b).
 */
#ifndef CNV_KERNELS_PRELU_H
#define CNV_KERNELS_PRELU_H

#include "runtime/types.h"
#include "kernels/portable/broadcast.h"
#include "runtime/threads.h"

void cnv_prelu_forward(float *y, const float *x, const float *slope, const cnv_broadcast *shape,
                       cnv_run *run);
/* The rules of rectifier.h; redirected is plain, because a leaky rectifier blocks nothing. */
void cnv_prelu_backward_data(float *dx, const float *dy, const float *x, const float *slope,
                             const cnv_broadcast *shape, cnv_relu_rule rule, cnv_run *run);
/* dslope += sum of dy * x where x < 0; always the derivative, whatever the rule. */
void cnv_prelu_backward_slope(float *dslope, const float *dy, const float *x, const cnv_broadcast *shape,
                              cnv_run *run);

#endif
