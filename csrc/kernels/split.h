/*
 * How elementwise kernels are cut into work items: by the number of elements alone, never by the number of
 * threads, so that results do not depend on it.
 *
 * The folders of csrc/kernels. Each includes its own headers and those of kernels/ itself, and kernels/x86
 * the templates of kernels/fast:
 *
 *     kernels/            contracts that several folders share: this file, rows.h, window.h
 *     kernels/portable/   a kernel for every operator, in plain C and GEMM, on N,C,H,W
 *     kernels/fast/       the kernels that matter for speed, on N,C/16,H,W,16: contracts (*.h), descriptions
 *                         made once for a shape (*.c), and templates (*_template.h, see table_template.h)
 *     kernels/x86/        one file for each instruction set, which compiles the templates
 *     kernels/pictures/   operations on pictures outside of plans, for the optimisation loop
 */
#ifndef CNV_KERNELS_SPLIT_H
#define CNV_KERNELS_SPLIT_H

#include <stdint.h>

#include "runtime/threads.h"

/* The number of elements in one item of a light kernel: 128 KiB of float32 read and 128 KiB written stay in
 * L2, and the item takes some 20 us, far above the 0.4 us that handing it out costs. It is a multiple of 64,
 * so that two items never share a byte of a bit mask. */
#define CNV_GRAIN 32768

/* Computes elements begin..end-1. */
typedef void cnv_range(void *context, int64_t begin, int64_t end, int worker);

/* Calls range for consecutive pieces of 0..n-1 of `grain` elements each; the last piece may be shorter. */
void cnv_parallel_range(cnv_run *run, int64_t n, int64_t grain, cnv_range *range, void *context);

/* The number of units in one item when each unit costs `cost` element operations; at least 1. */
static inline int64_t cnv_grain_of(int64_t cost)
{
    return cost < CNV_GRAIN ? CNV_GRAIN / (cost > 0 ? cost : 1) : 1;
}

#endif
