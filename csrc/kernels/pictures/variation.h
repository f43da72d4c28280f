/* Total variation of planes: how much neighbouring pixels differ. */
#ifndef CNV_KERNELS_VARIATION_H
#define CNV_KERNELS_VARIATION_H

#include <stdint.h>

/* Differences of vertical and of horizontal neighbours, to the power of 1 (absolute) or 2, summed in double
 * over `planes` planes of rows x columns. dx, apart from x, is scale times the gradient; that of an absolute
 * difference of 0 is 0. Returns the sum, not scaled. */
double cnv_total_variation(float *dx, const float *x, int64_t planes, int64_t rows, int64_t columns,
                           int power, float scale);

#endif
