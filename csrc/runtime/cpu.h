/*
 * The instruction sets of the CPU, and the tier of kernels that the process uses.
 */
#ifndef CNV_RUNTIME_CPU_H
#define CNV_RUNTIME_CPU_H

#include "runtime/error.h"

/* The tiers in ascending order: a CPU that runs one also runs those before it. */
typedef enum {
    CNV_TIER_PORTABLE, /* plain C and BLAS, on any CPU */
    CNV_TIER_AVX2,     /* AVX2, FMA */
    CNV_TIER_AVX512,   /* AVX-512 F, BW, DQ, VL */
} cnv_tier;

/* Chooses the tier, once, before any plan exists: "portable", "avx2" or "avx512"; NULL or "" is the best one.
 * Fails for any other word and for a tier that the CPU, the operating system or this build does not support.
 * Before the call the tier is portable. */
cnv_status cnv_cpu_init(const char *choice, cnv_error *err);

cnv_tier cnv_cpu_tier(void);

/* The name of the tier: "portable", "avx2" or "avx512". */
const char *cnv_cpu_tier_name(void);

/* The features of the CPU that kernels can use, such as "sse2 avx2 fma"; "" if there is one tier only. */
const char *cnv_cpu_features(void);

#endif
