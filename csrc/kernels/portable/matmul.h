/*
 * Matrix products over broadcast batch axes, as NumPy's matmul: c = a * b, forward and both gradients.
 *
 * a: ..., M, K   b: ..., K, N   c: ..., M, N
 *
 * With two dimensions the rows of a are a batch, and their bits must not depend on how many there are; that
 * case goes through kernels/linear. Otherwise each batch entry is one product of fixed size.
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
    bool rows;           /* two dimensions only: M counts batch elements */
    cnv_broadcast batch; /* strides count matrices */
} cnv_matmul;

void cnv_matmul_forward(float *c, const float *a, const float *b, const cnv_matmul *s, cnv_run *run);
void cnv_matmul_backward_a(float *da, const float *dc, const float *b, const cnv_matmul *s, cnv_run *run);
void cnv_matmul_backward_b(float *db, const float *dc, const float *a, const cnv_matmul *s, cnv_run *run);

#endif
