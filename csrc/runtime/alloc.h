/*
 * The one door to the heap. Every allocation of the core goes through here, so that tests can make the n-th
 * one fail and can count that a second pass makes none.
 */
#ifndef CNV_RUNTIME_ALLOC_H
#define CNV_RUNTIME_ALLOC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One cache line, and one AVX-512 register: every block starts on this boundary. */
#define CNV_ALIGNMENT 64

/* A zeroed block of count * size bytes on a CNV_ALIGNMENT boundary; NULL when the product overflows, when
 * memory is out, or when a test asked for this call to fail. A zero-sized request returns a valid block of
 * one line. */
void *cnv_alloc(size_t count, size_t size);

/* Accepts NULL. */
void cnv_free(void *block);

/* product = a * b, or false when it does not fit. */
bool cnv_mul_size(size_t a, size_t b, size_t *product);

/* How many times cnv_alloc has been called by this process. */
uint64_t cnv_alloc_calls(void);

/* Tests only: the n-th call from now (1 is the next) fails, and with `persist` every later one too; 0 turns
 * the injection off. Compiled to a no-op unless CNV_FAULT_INJECTION is defined. */
void cnv_alloc_fail_at(uint64_t n, bool persist);

#endif
