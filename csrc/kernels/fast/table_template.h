/*
 * Template: every fast kernel of one instruction set, and the table that names them. csrc/kernels/x86 holds
 * one file for each instruction set, which is compiled for it and defines the parameters:
 *
 *     VEC_ZMM     1 if a vector is one zmm register, 0 if it is two ymm registers; vec.h lists the flags
 *     FAST_TABLE  the name of the cnv_fast to define, one of those that fast.h declares
 *     FAST_NAME   the name of the instruction set in the table, a string
 *
 *     valid: 1, cnv_fast_avx512, "avx512"
 *            0, cnv_fast_avx2, "avx2"
 *
 * The templates are the files *_template.h and, below them, vec.h, lanes.h, tile.h, tile_steps.h and
 * tile_shapes.h. Their functions are static, so that each instruction set has functions of its own; no other
 * file includes them. The other headers of this folder are contracts and depend on no instruction set.
 */
#if !defined(FAST_TABLE) || !defined(FAST_NAME)
#error "define VEC_ZMM, FAST_TABLE and FAST_NAME before including this template"
#endif

#include "kernels/fast/depthwise_template.h"
#include "kernels/fast/direct_template.h"
#include "kernels/fast/fast.h"
#include "kernels/fast/image_gradient_template.h"
#include "kernels/fast/lanewise_template.h"
#include "kernels/fast/pool_template.h"
#include "kernels/fast/rows_template.h"
#include "kernels/fast/winograd_template.h"

const cnv_fast FAST_TABLE = {
    .name = FAST_NAME,
    .direct = direct_run,
    .winograd = winograd_run,
    .winograd_pack = winograd_pack,
    .image_gradient = gradient_run,
    .depthwise_forward = depthwise_forward,
    .depthwise_backward = depthwise_backward,
    .max_forward = max_forward,
    .max_backward = max_backward,
    .average_forward = average_forward,
    .average_backward = average_backward,
    .mean_forward = mean_forward,
    .mean_backward = mean_backward,
    .finish = finish_run,
    .gate = gate_run,
    .dead = dead_run,
    .slice_forward = slice_forward,
    .slice_backward = slice_backward,
    .to_blocked = to_blocked,
    .to_plain = to_plain,
    .rows_forward = rows_forward,
    .rows_backward = rows_backward,
};
