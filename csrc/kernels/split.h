/*
 * How elementwise kernels are cut into work items: by element counts alone, never by the number of threads.
 */
#ifndef CNV_KERNELS_SPLIT_H
#define CNV_KERNELS_SPLIT_H

#include <stdint.h>

#include "runtime/threads.h"

/* Elements that one item of a light kernel handles: 128 KiB of float32 in and as much out stay in L2, and the
 * item lasts some 20 us, far above the 0.4 us that handing it out costs. A multiple of 64, so that two items
 * never share a byte of a bit mask. */
#define CNV_GRAIN 32768

/* Computes elements begin..end-1. */
typedef void cnv_range(void *context, int64_t begin, int64_t end, int worker);

/* Calls range for consecutive pieces of 0..n-1 that hold `grain` elements each (the last may hold fewer). */
void cnv_parallel_range(cnv_run *run, int64_t n, int64_t grain, cnv_range *range, void *context);

/* How many units that cost `cost` element operations each make up one item: at least one. */
static inline int64_t cnv_grain_of(int64_t cost)
{
    return cost < CNV_GRAIN ? CNV_GRAIN / (cost > 0 ? cost : 1) : 1;
}

#endif
