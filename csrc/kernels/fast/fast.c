#include "kernels/fast/fast.h"

#include "runtime/cpu.h"

const cnv_fast *cnv_fast_kernels(void)
{
#if defined(__x86_64__)
    if (cnv_cpu_tier() == CNV_TIER_AVX512) return &cnv_fast_avx512;
    if (cnv_cpu_tier() == CNV_TIER_AVX2) return &cnv_fast_avx2;
#endif
    return NULL;
}
