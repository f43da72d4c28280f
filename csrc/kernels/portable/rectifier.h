/*
 * Rectifiers, whose backward pass can follow another rule than the derivative (see cnv_relu_rule).
 *
 * Forward leaves one bit per element for backward: bit i % 8 of byte i / 8 says that the derivative of
 * element i is 1 (relu, leaky_relu: z > 0; clip: low < z < high). `y` may be `x`. Backward adds to dx; N is
 * the number of batch elements, each of `size` numbers, because `redirected` looks at whole batch elements.
 *
 * The conditions under which a number g of the output's gradient passes, z being the input:
 *
 *                plain                guided              deconv   redirected
 *   relu         z > 0                z > 0 and g > 0     g > 0    plain, else not (z <= 0 and g < 0)
 *   leaky_relu   z > 0, else slope*g  z > 0 and g > 0     g > 0    plain
 *   prelu        z > 0, else slope*g  z > 0 and g > 0     g > 0    plain
 *   clip         low < z < high       that, and g > 0     g > 0    plain, else not (z <= low and g < 0)
 *                                                                         and not (z >= high and g > 0)
 * The `else` of redirected applies to a batch element of which plain would pass nothing. A leaky rectifier
 * blocks nothing, so its redirected is plain. The derivative of clip at the bounds themselves is 0, as in
 * PyTorch's relu6 (its clamp has 1).
 */
#ifndef CNV_KERNELS_RECTIFIER_H
#define CNV_KERNELS_RECTIFIER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/types.h"
#include "runtime/threads.h"

/* The number of bytes of the bit mask of n elements. */
static inline size_t cnv_mask_nbytes(int64_t n)
{
    return (size_t)(n + 7) / 8;
}

static inline bool cnv_mask_bit(const uint8_t *mask, int64_t i)
{
    return mask[i / 8] >> (i % 8) & 1;
}

/* mask: cnv_mask_nbytes(n) bytes, or NULL if there is no backward pass. */
void cnv_relu_forward(float *y, uint8_t *mask, const float *x, int64_t n, cnv_run *run);
void cnv_relu_backward(float *dx, const float *dy, const uint8_t *mask, int64_t n, int64_t size,
                       cnv_relu_rule rule, cnv_run *run);

void cnv_leaky_relu_forward(float *y, uint8_t *mask, const float *x, float slope, int64_t n, cnv_run *run);
void cnv_leaky_relu_backward(float *dx, const float *dy, const uint8_t *mask, float slope, int64_t n,
                             cnv_relu_rule rule, cnv_run *run);

/* `above` is a second mask: z >= high. Both masks are NULL, or neither. */
void cnv_clip_forward(float *y, uint8_t *mask, uint8_t *above, const float *x, float low, float high,
                      int64_t n, cnv_run *run);
void cnv_clip_backward(float *dx, const float *dy, const uint8_t *mask, const uint8_t *above, int64_t n,
                       int64_t size, cnv_relu_rule rule, cnv_run *run);

#endif
