/*
 * Matrix products by BLAS. The library is chosen at run time (the bundled OpenBLAS, a system library, or the
 * GEMM in runtime/gemm.c) and runs on one thread: parallelism belongs to runtime/threads. The bundled library
 * is a private copy; a system library, which other code of the process may share, is also set to one thread.
 */
#ifndef CNV_RUNTIME_BLAS_H
#define CNV_RUNTIME_BLAS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/error.h"

/* Chooses the library, once, before any plan exists. `choice` is "bundled", "system", "builtin" or an
 * absolute path; `bundled_dir` is the folder of the bundled library, or NULL. A choice that can not be loaded
 * is an error; NULL tries bundled, then system, then builtin. */
cnv_status cnv_blas_init(const char *choice, const char *bundled_dir, cnv_error *err);

/* The name of the library, "bundled", "system", "builtin" (also before cnv_blas_init) or its path; and its
 * own description, "" for builtin. */
const char *cnv_blas_name(void);
const char *cnv_blas_config(void);

/* c = alpha * op(a) * op(b) + beta * c, row-major; op(a) is m x k, op(b) is k x n, c is m x n. lda, ldb and
 * ldc are row strides in elements. beta == 0 never reads c. Extents beyond the library's 32-bit integers are
 * allowed: the product is split. */
void cnv_sgemm(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k, float alpha,
               const float *a, int64_t lda, const float *b, int64_t ldb, float beta, float *c, int64_t ldc);

#endif
