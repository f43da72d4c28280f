/*
 * Sums over some axes, scaled (1 for a sum, 1 / count for a mean).
 *
 * A reduction is the adjoint of a broadcast: `shape` has x as its output (and operand a) and y as operand b,
 * with extent 1 along the axes that are summed.
 */
#ifndef CNV_KERNELS_REDUCE_H
#define CNV_KERNELS_REDUCE_H

#include "kernels/portable/broadcast.h"
#include "runtime/threads.h"

/* Sums in double precision, in x's order. */
void cnv_reduce_forward(float *y, const float *x, double scale, const cnv_broadcast *shape, cnv_run *run);
void cnv_reduce_backward(float *dx, const float *dy, double scale, const cnv_broadcast *shape, cnv_run *run);

#endif
