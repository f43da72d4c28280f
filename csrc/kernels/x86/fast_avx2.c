/* The fast kernels for AVX2 and FMA. */
#include "kernels/fast/table_template.h"

const cnv_fast cnv_fast_avx2 = {.name = "avx2", FAST_KERNELS};
