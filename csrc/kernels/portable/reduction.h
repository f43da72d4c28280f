/*
 * Reductions over some axes other than sums: a maximum, a product, a norm, the logarithm of a sum of
 * exponentials. `shape` is as in reduce.h.
 */
#ifndef CNV_KERNELS_REDUCTION_H
#define CNV_KERNELS_REDUCTION_H

#include <stdbool.h>

#include "kernels/portable/broadcast.h"
#include "runtime/threads.h"

/* A step of a walk over the numbers that one output is made of: the next state, given the next number. */
typedef double cnv_reduction_step(double state, double x, double given);

/* A reduction, in double:  y = end(the state after the last x),  dx += dy * slope(x, y, count, rest). */
typedef struct cnv_reduction {
    double start;
    cnv_reduction_step *add;                 /* given: the largest x if `shifted`, else 0 */
    double (*end)(double state, double top); /* NULL: y is the last state */
    bool shifted;
    cnv_reduction_step *count; /* a walk of backward's from 0, given y; NULL: none */
    cnv_reduction_step *rest;  /* likewise, from 1 */
    double (*slope)(double x, double y, double count, double rest);
} cnv_reduction;

/* The larger of two numbers, NaN if one is NaN. */
double cnv_reduction_larger(double state, double x, double given);

/* In x's order. */
void cnv_reduction_forward(float *y, const float *x, const cnv_reduction *r, const cnv_broadcast *shape,
                           cnv_run *run);
void cnv_reduction_backward(float *dx, const float *dy, const float *x, const cnv_reduction *r,
                            const cnv_broadcast *shape, cnv_run *run);

#endif
