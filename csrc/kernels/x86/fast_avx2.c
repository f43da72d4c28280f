/* The fast kernels for AVX2 and FMA. */
#define VEC_ZMM 0
#define FAST_TABLE cnv_fast_avx2
#define FAST_NAME "avx2"
#include "kernels/fast/table_template.h"
