/*
 * Helpers of the tests of fast kernels: arrays in both layouts, and naive convolutions in double precision.
 */
#ifndef CNV_TESTS_FAST_H
#define CNV_TESTS_FAST_H

#include "kernels/fast/fast.h"

/* The conversion of N,C,H,W to N,C/16,H,W,16 in a guarded block of *size floats, with zeros in the lanes past
 * C, and the conversion back. */
float *fast_to_blocked(const float *x, int64_t n, int64_t c, int64_t pixels, int64_t *size);
void fast_from_blocked(float *y, const float *x, int64_t n, int64_t c, int64_t pixels);

/* A guarded copy of a bias, padded to whole blocks. */
float *fast_pad_bias(const float *bias, int64_t c, int64_t *size);

/* y: N,O,OH,OW   x: N,I,IH,IW   w: O,I,KH,KW   b: O, or NULL. The gradient overwrites dx. */
void fast_naive_forward(float *y, const float *x, const float *w, const float *b, const cnv_geometry *g);
void fast_naive_backward(float *dx, const float *dy, const float *w, const cnv_geometry *g);

/* The largest |a - b| relative to the largest |b|. */
double fast_error(const float *a, const float *b, int64_t n);

/* A guarded block of n numbers. */
float *fast_numbers(int64_t n, uint64_t seed);

/* n words of pseudo-random rectifier bits, to be freed; and the zeroing of the gradients dy, N,C,H,W, that
 * they block. */
uint16_t *fast_some_bits(int64_t n);
void fast_apply_bits(float *dy, const uint16_t *bits, int64_t n, int64_t c, int64_t pixels);

/* Both instruction sets, and whether the CPU has one. */
#define FAST_TIERS 2
extern const cnv_fast *const fast_tiers[FAST_TIERS];
bool fast_present(const cnv_fast *tier);

/* A run on `threads` threads that is never interrupted. */
cnv_run fast_run(int threads);

#endif
