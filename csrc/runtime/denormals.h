/*
 * Denormal numbers as zeros, while kernels run.
 *
 * A Winograd product leaves rounding noise of some 1e-7 where the exact gradient is 0, every further layer
 * shrinks it as much, and six layers on it is denormal: numbers that mean nothing and cost 150 cycles each.
 * Style transfer's backward pass took 1.5 times as long for them. All threads do the same, so results do not
 * depend on who computes them; the caller's setting comes back with the call.
 */
#ifndef CNV_RUNTIME_DENORMALS_H
#define CNV_RUNTIME_DENORMALS_H

#if defined(__x86_64__)

#include <xmmintrin.h>

#define CNV_FLUSH_TO_ZERO 0x8040u /* results, and operands */

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
