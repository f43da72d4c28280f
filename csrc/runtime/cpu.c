#include "runtime/cpu.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

static const char *const tier_names[] = {"portable", "avx2", "avx512"};
static const size_t n_tiers = sizeof tier_names / sizeof tier_names[0];

static cnv_tier current = CNV_TIER_PORTABLE;

#if defined(__x86_64__)

/* __builtin_cpu_supports reads cpuid, and tests whether the operating system saves wide registers. */
static bool has_avx2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

static bool has_avx512(void)
{
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}

const char *cnv_cpu_features(void)
{
    if (has_avx512()) return "sse2 avx2 fma avx512f avx512bw avx512dq avx512vl";
    return has_avx2() ? "sse2 avx2 fma" : "sse2";
}

#else

static bool has_avx2(void)
{
    return false;
}

static bool has_avx512(void)
{
    return false;
}

const char *cnv_cpu_features(void)
{
    return "";
}

#endif

static cnv_tier best_tier(void)
{
    if (has_avx512()) return CNV_TIER_AVX512;
    return has_avx2() ? CNV_TIER_AVX2 : CNV_TIER_PORTABLE;
}

cnv_status cnv_cpu_init(const char *choice, cnv_error *err)
{
    cnv_tier best = best_tier();
    if (choice == NULL || choice[0] == '\0') {
        current = best;
        return CNV_OK;
    }
    for (size_t i = 0; i < n_tiers; i++) {
        if (strcmp(choice, tier_names[i]) != 0) continue;
        if (i > (size_t)best) {
            return cnv_fail(err, CNV_INVALID,
                            "CNNVIZ_KERNELS=%s, but the best kernels that this machine runs are %s", choice,
                            tier_names[best]);
        }
        current = (cnv_tier)i;
        return CNV_OK;
    }
    return cnv_fail(err, CNV_INVALID, "CNNVIZ_KERNELS=%s: expected portable, avx2 or avx512", choice);
}

cnv_tier cnv_cpu_tier(void)
{
    return current;
}

const char *cnv_cpu_tier_name(void)
{
    return tier_names[current];
}
