/* The fast kernels for AVX-512 F, VL, BW and DQ. */
#define VEC_ZMM 1
#define FAST_TABLE cnv_fast_avx512
#define FAST_NAME "avx512"
#include "kernels/fast/table_template.h"
