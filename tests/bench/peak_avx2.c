#define _POSIX_C_SOURCE 199309L
#include "peak.h"

double bench_peak_avx2(void);
double bench_peak_avx2(void)
{
    return peak_rate();
}
