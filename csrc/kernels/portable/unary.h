/*
 * Elementwise functions of one number, given as scalar functions, except the rectifiers, whose backward pass
 * has rules (rectifier.h).
 */
#ifndef CNV_KERNELS_UNARY_H
#define CNV_KERNELS_UNARY_H

#include <stdbool.h>
#include <stdint.h>

#include "runtime/threads.h"

/* A function and its derivative, either without parameters or with two. They compute in double, because
 * float32 would lose digits where terms cancel. */
typedef struct cnv_unary {
    double (*value)(double x);
    double (*slope)(double v);                                 /* v is y if slope_of_y, else x */
    double (*value_with)(double x, double alpha, double beta); /* NULL: use value */
    double (*slope_with)(double v, double alpha, double beta); /* NULL: use slope */
    bool slope_of_y;
} cnv_unary;

/* y may be x. */
void cnv_unary_forward(float *y, const float *x, int64_t n, const cnv_unary *f, float alpha, float beta,
                       cnv_run *run);
/* dx += dy times the derivative; `at` is y if f->slope_of_y, else x. */
void cnv_unary_backward(float *dx, const float *dy, const float *at, int64_t n, const cnv_unary *f,
                        float alpha, float beta, cnv_run *run);

#endif
