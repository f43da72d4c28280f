/*
 * What this CPU can do, and which tier of kernels the process therefore uses.
 */
#ifndef CNV_RUNTIME_CPU_H
#define CNV_RUNTIME_CPU_H

#include "runtime/error.h"

/* In rising order: a tier's CPU runs every tier below it. */
typedef enum {
    CNV_TIER_PORTABLE, /* plain C and BLAS, on any CPU */
    CNV_TIER_AVX2,     /* AVX2, FMA */
    CNV_TIER_AVX512,   /* AVX-512 F, BW, DQ, VL */
} cnv_tier;

/* Chooses the tier once, before any plan exists: "portable", "avx2" or "avx512"; NULL or "" takes the best.
 * Fails for a word it does not know and for a tier that this CPU, its operating system or this build lacks.
 * Until it is called the tier is portable. */
cnv_status cnv_cpu_init(const char *choice, cnv_error *err);

cnv_tier cnv_cpu_tier(void);

/* "portable", "avx2" or "avx512". */
const char *cnv_cpu_tier_name(void);

/* What the CPU offers of what the kernels could use, such as "sse2 avx2 fma"; "" when nothing is known. */
const char *cnv_cpu_features(void);

#endif
