/*
 * Heap memory. Every allocation of the core goes through cnv_alloc, so that tests can make the n-th one fail,
 * and can count that a second pass makes none.
 */
#ifndef CNV_RUNTIME_ALLOC_H
#define CNV_RUNTIME_ALLOC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The alignment of every block: one cache line, and one AVX-512 register. */
#define CNV_ALIGNMENT 64

/* Returns a zeroed block of count * size bytes on a CNV_ALIGNMENT boundary; NULL if the product overflows, if
 * memory is exhausted, or if a test has asked this call to fail. A request of 0 bytes returns a block of one
 * cache line. */
void *cnv_alloc(size_t count, size_t size);

/* Frees a block; NULL is allowed. */
void cnv_free(void *block);

/* Sets product = a * b; returns false if that overflows. */
bool cnv_mul_size(size_t a, size_t b, size_t *product);

/* The number of calls of cnv_alloc in this process. */
uint64_t cnv_alloc_calls(void);

/* For tests: makes the n-th call from now (1 is the next) fail, and with `persist` every later one; 0 turns
 * the injection off. It does nothing unless CNV_FAULT_INJECTION is defined. */
void cnv_alloc_fail_at(uint64_t n, bool persist);

#endif
