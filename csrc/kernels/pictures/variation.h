/* Total variation of planes: the differences of neighbouring pixels. */
#ifndef CNV_KERNELS_VARIATION_H
#define CNV_KERNELS_VARIATION_H

#include <stdint.h>

/* Returns the sum, in double and not scaled, of the differences of vertical and of horizontal neighbours to
 * the power of 1 (absolute) or 2. dx is scale times the gradient, which is 0 for an absolute difference of 0;
 * dx and x do not overlap.   dx, x: planes, rows, columns */
double cnv_total_variation(float *dx, const float *x, int64_t planes, int64_t rows, int64_t columns,
                           int power, float scale);

#endif
