/*
 * Denormal numbers count as zeros while kernels run.
 *
 * A Winograd product leaves rounding noise of some 1e-7 where the exact gradient is 0, every further layer
 * shrinks it as much, and after six layers the noise is denormal: it means nothing and costs 150 cycles a
 * number, and made style transfer's backward pass 1.5 times as long. Every thread sets the same mode, so
 * results do not depend on the thread; the caller's mode is restored after each item.
 */
#ifndef CNV_RUNTIME_DENORMALS_H
#define CNV_RUNTIME_DENORMALS_H

#if defined(__x86_64__)

#include <xmmintrin.h>

#define CNV_FLUSH_TO_ZERO 0x8040u /* the two bits of MXCSR: flush results, and operands, to zero */

typedef unsigned cnv_float_mode;

static inline cnv_float_mode cnv_flush_denormals(void)
{
    const cnv_float_mode before = _mm_getcsr();
    _mm_setcsr(before | CNV_FLUSH_TO_ZERO);
    return before;
}

static inline void cnv_restore_float_mode(cnv_float_mode before)
{
    _mm_setcsr((_mm_getcsr() & ~CNV_FLUSH_TO_ZERO) | (before & CNV_FLUSH_TO_ZERO));
}

#else

typedef unsigned cnv_float_mode;

static inline cnv_float_mode cnv_flush_denormals(void)
{
    return 0;
}

static inline void cnv_restore_float_mode(cnv_float_mode before)
{
    (void)before;
}

#endif

#endif
