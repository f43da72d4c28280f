/* The fast kernels for AVX-512. */
#include "kernels/fast/table_template.h"

const cnv_fast cnv_fast_avx512 = {.name = "avx512", FAST_KERNELS};
