/* The product of limited-memory BFGS over some of the variables. */
#ifndef CNV_KERNELS_LBFGS_H
#define CNV_KERNELS_LBFGS_H

#include <stdbool.h>
#include <stdint.h>

#define CNV_MAX_PAIRS 64

/* Steps s and what the gradient lost on them, y: oldest first, each n numbers. */
typedef struct cnv_pairs {
    const float *s[CNV_MAX_PAIRS];
    const float *y[CNV_MAX_PAIRS];
    int count;
} cnv_pairs;

/* d = H g by the two-loop recursion (Nocedal & Wright 2006, algorithm 7.4, with the scaling of eq. 7.20) over
 * the variables that the mask leaves free: g, s and y count as 0 elsewhere. Inner products are summed in
 * double. Pairs without curvature there are left out; false, with d undefined, when none is left. */
bool cnv_lbfgs_product(float *d, const float *g, const float *mask, int64_t n, const cnv_pairs *pairs);

#endif
