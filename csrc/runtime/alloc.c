/*
 * A cache line before each block says how to free it. Blocks of several huge pages are mapped: the system
 * zeroes their pages at the first access, and uses huge pages if it has them, which avoids most TLB misses of
 * large convolutions.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* madvise */
#endif
#include "runtime/alloc.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#ifdef __linux__
#include <sys/mman.h>
#endif

#define HUGE_PAGE ((size_t)2 << 20)

/* The size of the smallest mapped block: a smaller one would waste much of the page that it is aligned to. */
#define MAPPED_NBYTES (2 * HUGE_PAGE)

typedef struct {
    void *base;    /* the address that malloc or mmap has returned */
    size_t mapped; /* bytes to unmap; 0 if malloc returned the block */
} header;

_Static_assert(sizeof(header) <= CNV_ALIGNMENT, "the header fits in the line before the block");

static atomic_uint_fast64_t n_calls;

uint64_t cnv_alloc_calls(void)
{
    return atomic_load(&n_calls);
}

#ifdef CNV_FAULT_INJECTION
static atomic_uint_fast64_t fail_call; /* the number of the call that fails; 0 if none does */
static atomic_bool fail_persists;

void cnv_alloc_fail_at(uint64_t n, bool persist)
{
    atomic_store(&fail_persists, persist);
    atomic_store(&fail_call, n == 0 ? 0 : atomic_load(&n_calls) + n);
}

static bool must_fail(uint64_t call)
{
    uint64_t first = atomic_load(&fail_call);
    return first != 0 && (call == first || (call > first && atomic_load(&fail_persists)));
}
#else
void cnv_alloc_fail_at(uint64_t n, bool persist)
{
    (void)n;
    (void)persist;
}

static bool must_fail(uint64_t call)
{
    (void)call;
    return false;
}
#endif

bool cnv_mul_size(size_t a, size_t b, size_t *product)
{
    return !__builtin_mul_overflow(a, b, product);
}

/* The first multiple of `alignment` after base and a header, which is written. */
static void *place_block(void *base, size_t mapped, size_t alignment)
{
    uintptr_t block = ((uintptr_t)base + CNV_ALIGNMENT + alignment - 1) & ~(uintptr_t)(alignment - 1);
    header *head = (header *)(block - CNV_ALIGNMENT);
    head->base = base;
    head->mapped = mapped;
    return (void *)block;
}

static void *alloc_on_heap(size_t nbytes)
{
    void *base = malloc(nbytes + 2 * CNV_ALIGNMENT);
    if (!base) return NULL;
    void *block = place_block(base, 0, CNV_ALIGNMENT);
    return memset(block, 0, nbytes);
}

#ifdef __linux__
static void *alloc_mapped(size_t nbytes)
{
    size_t mapped = nbytes + CNV_ALIGNMENT + HUGE_PAGE;
    void *base = mmap(NULL, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED) return NULL;
    void *block = place_block(base, mapped, HUGE_PAGE);
    madvise(block, nbytes, MADV_HUGEPAGE); /* only advice, which may be refused */
    return block;
}
#endif

void *cnv_alloc(size_t count, size_t size)
{
    size_t nbytes;
    uint64_t call = atomic_fetch_add(&n_calls, 1) + 1;
    if (must_fail(call)) return NULL;
    if (!cnv_mul_size(count, size, &nbytes) || nbytes > SIZE_MAX / 2) return NULL;
    if (nbytes == 0) nbytes = CNV_ALIGNMENT;
#ifdef __linux__
    if (nbytes >= MAPPED_NBYTES) return alloc_mapped(nbytes);
#endif
    return alloc_on_heap(nbytes);
}

void cnv_free(void *block)
{
    if (!block) return;
    header head = *(header *)((char *)block - CNV_ALIGNMENT);
#ifdef __linux__
    if (head.mapped) {
        munmap(head.base, head.mapped);
        return;
    }
#endif
    free(head.base);
}
