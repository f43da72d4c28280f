/*
 * The tables of fast kernels, one for each instruction set, compiled from the same templates.
 */
#ifndef CNV_FAST_FAST_H
#define CNV_FAST_FAST_H

#include "kernels/fast/depthwise.h"
#include "kernels/fast/direct.h"
#include "kernels/fast/image_gradient.h"
#include "kernels/fast/lanewise.h"
#include "kernels/fast/pool.h"
#include "kernels/fast/rows.h"
#include "kernels/fast/winograd.h"

typedef struct cnv_fast {
    const char *name;
    cnv_direct_kernel *direct;
    cnv_winograd_kernel *winograd;
    cnv_winograd_pack_kernel *winograd_pack;
    cnv_image_gradient_kernel *image_gradient;
    cnv_depthwise_forward_kernel *depthwise_forward;
    cnv_depthwise_backward_kernel *depthwise_backward;
    cnv_max_forward_kernel *max_forward;
    cnv_max_backward_kernel *max_backward;
    cnv_average_forward_kernel *average_forward;
    cnv_average_backward_kernel *average_backward;
    cnv_mean_forward_kernel *mean_forward;
    cnv_mean_backward_kernel *mean_backward;
    cnv_finish_kernel *finish;
    cnv_gate_kernel *gate;
    cnv_dead_kernel *dead;
    cnv_slice_forward_kernel *slice_forward;
    cnv_slice_backward_kernel *slice_backward;
    cnv_reorder_kernel *to_blocked;
    cnv_reorder_kernel *to_plain;
    cnv_rows_forward_kernel *rows_forward;
    cnv_rows_backward_kernel *rows_backward;
} cnv_fast;

extern const cnv_fast cnv_fast_avx2, cnv_fast_avx512;

/* The kernels of the tier that the process has chosen (runtime/cpu.h); NULL if that is the portable tier. */
const cnv_fast *cnv_fast_kernels(void);

#endif
