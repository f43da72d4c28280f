/* Places buffers with known lifetimes in one block, so that those that are never alive together overlap. */
#ifndef CNV_PLAN_ARENA_H
#define CNV_PLAN_ARENA_H

#include <stddef.h>

#include "runtime/error.h"

typedef enum { CNV_FOR_VALUES, CNV_FOR_GRADIENTS, CNV_FOR_SAVED, CNV_FOR_SCRATCH, CNV_PURPOSES } cnv_purpose;

typedef struct cnv_buffer {
    size_t nbytes; /* a multiple of CNV_ALIGNMENT */
    int born;      /* first time at which the buffer is alive */
    int dies;      /* last time at which the buffer is alive */
    cnv_purpose purpose;
    size_t offset; /* place in the block: the result */
} cnv_buffer;

/* Writes every offset and the size of the block, *nbytes. Fails when the size does not fit a size_t, or when
 * memory is out. */
cnv_status cnv_arena_lay(cnv_buffer *buffers, int n, size_t *nbytes, cnv_error *err);

/* The most bytes of one purpose that are alive at one time; times run from 0 to last_time. */
cnv_status cnv_arena_peak(const cnv_buffer *buffers, int n, cnv_purpose purpose, int last_time,
                          size_t *nbytes, cnv_error *err);

#endif
