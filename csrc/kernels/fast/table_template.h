/* Every kernel of one instruction set, to be included by a file that is compiled for it. */
#include "kernels/fast/depthwise_template.h"
#include "kernels/fast/direct_template.h"
#include "kernels/fast/fast.h"
#include "kernels/fast/image_gradient_template.h"
#include "kernels/fast/lanewise_template.h"
#include "kernels/fast/pool_template.h"
#include "kernels/fast/rows_template.h"
#include "kernels/fast/winograd_template.h"

/* The members of a cnv_fast after its name. */
#define FAST_KERNELS                                                                                        \
    .direct = direct_run, .winograd = winograd_run, .winograd_pack = winograd_pack,                         \
    .image_gradient = gradient_run, .depthwise_forward = depthwise_forward,                                 \
    .depthwise_backward = depthwise_backward, .max_forward = max_forward, .max_backward = max_backward,     \
    .average_forward = average_forward, .average_backward = average_backward, .mean_forward = mean_forward, \
    .mean_backward = mean_backward, .finish = finish_run, .gate = gate_run, .dead = dead_run,               \
    .slice_forward = slice_forward, .slice_backward = slice_backward, .to_blocked = to_blocked,             \
    .to_plain = to_plain, .rows_forward = rows_forward, .rows_backward = rows_backward
