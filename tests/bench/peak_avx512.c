#define _POSIX_C_SOURCE 199309L
#define VEC_ZMM 1
#include "peak_template.h"

double bench_peak_avx512(void);
double bench_peak_avx512(void)
{
    return peak_rate();
}
