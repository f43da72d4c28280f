/*
 * The GEMM for machines without BLAS: plain C, no allocation, the same bits with every compiler. It is called
 * through blas.h only.
 */
#ifndef CNV_RUNTIME_GEMM_H
#define CNV_RUNTIME_GEMM_H

#include <stdbool.h>
#include <stdint.h>

/* As cnv_sgemm. An element of c is summed over k in blocks of a fixed length, whatever m and n are. */
void cnv_gemm_builtin(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k, float alpha,
                      const float *a, int64_t lda, const float *b, int64_t ldb, float beta, float *c,
                      int64_t ldc);

#endif
