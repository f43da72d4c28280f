/* The product of the inverse Hessian of limited-memory BFGS and a gradient, over the free variables. */
#ifndef CNV_KERNELS_LBFGS_H
#define CNV_KERNELS_LBFGS_H

#include <stdbool.h>
#include <stdint.h>

#define CNV_MAX_PAIRS 64

/* The steps s and the decreases y of the ascended gradient along them, oldest first, of n numbers each. */
typedef struct cnv_pairs {
    const float *s[CNV_MAX_PAIRS];
    const float *y[CNV_MAX_PAIRS];
    int count;
} cnv_pairs;

/* d = H g by the two-loop recursion (Nocedal & Wright 2006, algorithm 7.4, with the scaling of eq. 7.20) over
 * the variables whose mask is 1; g, s and y count as 0 elsewhere. Inner products are summed in double. Pairs
 * without curvature are not used; returns false, with d undefined, if no pair is used. */
bool cnv_lbfgs_product(float *d, const float *g, const float *mask, int64_t n, const cnv_pairs *pairs);

#endif
