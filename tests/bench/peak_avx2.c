#define _POSIX_C_SOURCE 199309L
#define VEC_ZMM 0
#include "peak_template.h"

double bench_peak_avx2(void);
double bench_peak_avx2(void)
{
    return peak_rate();
}
