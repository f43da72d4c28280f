/*
 * Matrix products over broadcast batch axes, as NumPy's matmul: c = a * b, forward and both gradients.
 *
 * c: ..., M, N   a: ..., M, K   b: ..., K, N
 *
 * With two dimensions the rows of a are a batch, and their bits must not depend on its size: linear.h
 * computes that case. Otherwise each batch entry is one product of fixed size.
 */
#ifndef CNV_KERNELS_MATMUL_H
#define CNV_KERNELS_MATMUL_H

#include <stdint.h>

#include "kernels/portable/broadcast.h"
#include "runtime/threads.h"

typedef struct cnv_matmul {
    int64_t m;
    int64_t k;
    int64_t n;
    bool rows;           /* there are two dimensions, and M is the size of the batch */
    cnv_broadcast batch; /* the batch axes, with strides in matrices */
} cnv_matmul;

void cnv_matmul_forward(float *c, const float *a, const float *b, const cnv_matmul *s, cnv_run *run);
void cnv_matmul_backward_a(float *da, const float *dc, const float *b, const cnv_matmul *s, cnv_run *run);
void cnv_matmul_backward_b(float *db, const float *dc, const float *a, const cnv_matmul *s, cnv_run *run);

#endif
