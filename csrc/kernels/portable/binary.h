/*
 * Elementwise operators of two operands, broadcast as in NumPy.
 */
#ifndef CNV_KERNELS_BINARY_H
#define CNV_KERNELS_BINARY_H

#include "kernels/portable/broadcast.h"
#include "runtime/threads.h"

typedef enum {
    CNV_ADD,
    CNV_SUB,
    CNV_MUL,
    CNV_DIV,
    CNV_MIN,
    CNV_MAX,
    CNV_POW,
    CNV_GREATER, /* 1 where a > b, else 0 */
    CNV_EQUAL,
    CNV_MASKED /* a where b is not 0, else 0, whatever a is */
} cnv_binary_op;

/* y may be a or b where that operand has the output's shape. min and max give NaN when either is NaN. */
void cnv_binary_forward(cnv_binary_op op, float *y, const float *a, const float *b,
                        const cnv_broadcast *shape, cnv_run *run);

/* Adds to da or db. An operand that was broadcast sums the gradients of its copies in double
 * precision, in the output's order. At a tie of min and max each operand gets half, as in PyTorch. add
 * and sub read neither operand, mul and masked only the other one. Comparisons and the mask have no gradient.
 * The gradient of pow with respect to its exponent is 0 where the base is 0. */
void cnv_binary_backward_a(cnv_binary_op op, float *da, const float *dy, const float *a, const float *b,
                           const cnv_broadcast *shape, cnv_run *run);
void cnv_binary_backward_b(cnv_binary_op op, float *db, const float *dy, const float *a, const float *b,
                           const cnv_broadcast *shape, cnv_run *run);

#endif
