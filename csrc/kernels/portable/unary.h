/*
 * Elementwise functions of one number, except the rectifiers, whose backward pass has rules (rectifier.h).
 */
#ifndef CNV_KERNELS_UNARY_H
#define CNV_KERNELS_UNARY_H

#include <stdbool.h>
#include <stdint.h>

#include "runtime/threads.h"

/* alpha and beta are the ONNX attributes of that name; selu's beta is ONNX's gamma. */
typedef enum {
    CNV_SIGMOID,
    CNV_TANH,
    CNV_EXP,
    CNV_LOG,
    CNV_SQRT,
    CNV_NEG,
    CNV_ABS,
    CNV_ERF,
    CNV_SOFTPLUS,     /* log(1 + exp(x)) */
    CNV_ELU,          /* x > 0: x, else alpha (exp(x) - 1) */
    CNV_SELU,         /* beta (x > 0: x, else alpha (exp(x) - 1)) */
    CNV_HARD_SIGMOID, /* alpha x + beta, clipped to 0..1 */
    CNV_HARD_SWISH,   /* x times hard sigmoid with 1/6 and 1/2 */
    CNV_SILU,         /* x sigmoid(x) */
    CNV_GELU,         /* x (1 + erf(x / sqrt 2)) / 2 */
} cnv_unary_op;

typedef struct cnv_unary {
    cnv_unary_op op;
    float alpha;
    float beta;
} cnv_unary;

/* Whether the derivative is computed from the output, not from the input. */
static inline bool cnv_unary_reads_y(cnv_unary_op op)
{
    return op == CNV_SIGMOID || op == CNV_TANH || op == CNV_EXP || op == CNV_SQRT;
}

/* y may be x. */
void cnv_unary_forward(float *y, const float *x, int64_t n, const cnv_unary *f, cnv_run *run);
/* dx += dy times the derivative. `at` is y or x, see cnv_unary_reads_y. At a kink (abs at 0, the ends of hard
 * sigmoid) the derivative is 0. */
void cnv_unary_backward(float *dx, const float *dy, const float *at, int64_t n, const cnv_unary *f,
                        cnv_run *run);

#endif
