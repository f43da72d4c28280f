/*
 * cnnviz, the C core: a convolutional network forward and backward, on plain float32 arrays.
 *
 *     cnv_plan_new -> cnv_plan_input, cnv_plan_constant, cnv_plan_add ... -> cnv_plan_prepare
 *         -> (cnv_plan_forward -> cnv_plan_backward) as often as wanted -> cnv_plan_free
 *
 * Units and layout: every array is float32, C-contiguous, and a picture is N,C,H,W. Sizes are int64_t counts
 * of elements unless the name ends in _nbytes.
 *
 * Ownership: a plan owns its arena, alone or with plans that share it, and nothing else. Weights stay the
 * caller's: a cnv_constant borrows them and calls back when the last plan that reads them is freed. The
 * arrays that read functions return lie in the arena: they are valid until the next pass over the same plan,
 * or over one that shares the arena.
 *
 * Threads: a plan serves one thread at a time, any thread. Different plans may run at the same time, also
 * when they share constants, but not when they share an arena. Building and preparing the same plan from two
 * threads is the caller's mistake.
 *
 * Errors: see runtime/error.h. After a failed builder call the plan is as it was before the call.
 */
#ifndef CNNVIZ_H
#define CNNVIZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/error.h"
#include "runtime/threads.h"
#include "runtime/types.h"

#define CNV_MANY 4096 /* the largest number of inputs of one node */

/* ---- weights ---- */

/* A float32 array that any number of plans read and none writes; reference-counted. */
typedef struct cnv_constant cnv_constant;

/* Borrows data until the last reference is gone, then calls release(owner) (NULL: nothing to call). */
cnv_status cnv_constant_new(const float *data, const cnv_shape *shape, void (*release)(void *owner),
                            void *owner, cnv_constant **constant, cnv_error *err);
cnv_constant *cnv_constant_retain(cnv_constant *constant);
void cnv_constant_release(cnv_constant *constant); /* accepts NULL */

/* Bytes of the packed weights that kernels have made from the array so far. */
size_t cnv_constant_packed_nbytes(cnv_constant *constant);

/* Says that the caller has written new numbers into the borrowed array: the next forward pass that reads
 * weights packed from the old ones packs them anew. No pass may be running. */
void cnv_constant_changed(cnv_constant *constant);

/* ---- building ---- */

typedef struct cnv_plan cnv_plan;
typedef int32_t cnv_value_id;
#define CNV_NONE ((cnv_value_id) - 1)

/* A window that slides over the rows and columns of a picture. */
typedef struct cnv_window_params {
    int64_t kernel[2]; /* rows, columns, here and below; convolutions take w's instead */
    int64_t stride[2];
    int64_t pad[4]; /* top, left, bottom, right */
    int64_t dilation[2];
} cnv_window_params;

typedef struct cnv_conv_params {
    cnv_window_params window; /* conv_transpose2d: of the convolution that it transposes */
    int64_t groups;
    int64_t output_padding[2]; /* conv_transpose2d: rows and columns added to y behind its last ones */
} cnv_conv_params;

typedef struct cnv_pool_params {
    cnv_window_params window;
    bool ceil_mode;         /* a last window may reach beyond the padding */
    bool count_include_pad; /* average_pool: the divisor counts taps on padding */
} cnv_pool_params;

/* y[c] = x[c] / (bias + alpha / size * sum of x[j]^2)^beta over the `size` channels j around c. */
typedef struct cnv_lrn_params {
    int64_t size;
    float alpha;
    float beta;
    float bias;
} cnv_lrn_params;

/* low > high is allowed: every output is high. */
typedef struct cnv_clip_params {
    float low;
    float high;
} cnv_clip_params;

/* alpha and beta are the ONNX attributes of that name; selu's beta is ONNX's gamma. */
typedef struct cnv_unary_params {
    float alpha;
    float beta;
} cnv_unary_params;

typedef struct cnv_pad_params {
    int64_t before[CNV_MAX_NDIM]; /* elements before and after each axis; a negative number crops */
    int64_t after[CNV_MAX_NDIM];
    cnv_pad_mode mode;
    float value; /* of the padding in constant mode */
} cnv_pad_params;

/* Axis i of the output has shape.dim[i] elements: x at start[i], start[i] + step[i], ... */
typedef struct cnv_slice_params {
    int64_t start[CNV_MAX_NDIM];
    cnv_shape shape;
    int64_t step[CNV_MAX_NDIM];
} cnv_slice_params;

typedef struct cnv_reduce_params {
    cnv_shape axes; /* dim[i] is 1 where axis i is reduced, else 0 */
    bool keepdims;
} cnv_reduce_params;

typedef struct cnv_sample_params {
    int64_t degree; /* of the polynomial between elements: 0, 1 or 3 */
    cnv_pad_mode padding;
    bool align_corners; /* -1 and 1 are the centres of the outermost elements, not their edges */
    bool elements;      /* the coordinates are indices of elements, not -1 to 1 */
} cnv_sample_params;

typedef struct cnv_roi_params {
    int64_t bins[2]; /* rows, columns */
    int64_t samples; /* of a bin along each axis; 0: one for each element that the bin is wide */
    float scale;     /* elements of x for a unit of the regions */
    bool half_pixel; /* element i of x has its centre at i + 0.5, not at i */
    bool maximum;    /* of the samples of a bin, not their mean */
} cnv_roi_params;

/* The parameters of one node: the member of its operator's family. Other operators have none. */
typedef union cnv_params {
    cnv_conv_params conv;     /* conv2d, conv_transpose2d */
    cnv_pool_params pool;     /* max_pool, average_pool */
    cnv_lrn_params lrn;       /* lrn */
    float epsilon;            /* batch_norm */
    float slope;              /* leaky_relu */
    cnv_clip_params clip;     /* clip, quantize */
    cnv_unary_params unary;   /* elu, selu, hard_sigmoid */
    int axis;                 /* softmax, log_softmax, concat: 0..ndim-1 */
    cnv_shape shape;          /* reshape: the new shape */
    cnv_shape perm;           /* transpose: axis i of the output is axis perm.dim[i] of x */
    cnv_pad_params pad;       /* pad */
    cnv_slice_params slice;   /* slice */
    cnv_sample_params sample; /* grid_sample */
    cnv_roi_params roi;       /* roi_align */
    cnv_reduce_params reduce; /* reduce_mean, reduce_sum, reduce_max, ... */
} cnv_params;

cnv_status cnv_plan_new(cnv_plan **plan, cnv_error *err);
void cnv_plan_free(cnv_plan *plan); /* accepts NULL */

/* A value whose numbers each forward pass is given. The name is copied. */
cnv_status cnv_plan_input(cnv_plan *plan, const cnv_shape *shape, const char *name, cnv_value_id *value,
                          cnv_error *err);

/* A value that is always `constant`, to which the plan takes a reference. It may stand in request.wrt. */
cnv_status cnv_plan_constant(cnv_plan *plan, cnv_constant *constant, const char *name, cnv_value_id *value,
                             cnv_error *err);

/* Appends one operator, by its name in csrc/plan/ops/ops.def. Every mistake in shapes or parameters is found
 * here, and the message begins with the node's name. inputs may hold CNV_NONE for an optional input, and
 * params may be NULL for an operator without parameters. */
cnv_status cnv_plan_add(cnv_plan *plan, const char *op, const cnv_value_id *inputs, int n_inputs,
                        const cnv_params *params, const char *name, cnv_value_id *value, cnv_error *err);

/* The shape of a value: borrowed, valid until the plan is freed. NULL for an id that the plan does not have.
 */
const cnv_shape *cnv_plan_shape(const cnv_plan *plan, cnv_value_id value);

/* The name of a value, which is its node's; NULL for an id that the plan does not have. Borrowed. */
const char *cnv_plan_name(const cnv_plan *plan, cnv_value_id value);

/* How many inputs the plan has, and the value that the i-th cnv_plan_input returned. */
int cnv_plan_n_inputs(const cnv_plan *plan);
cnv_value_id cnv_plan_input_value(const cnv_plan *plan, int i);

/* ---- preparing and running ---- */

/* The values that passes compute; fixed once, because memory and marks follow from them. */
typedef struct cnv_request {
    const cnv_value_id *keep; /* values readable after forward */
    int n_keep;
    const cnv_value_id *seeds; /* values at which backward is handed a cotangent */
    int n_seeds;
    const cnv_value_id *wrt; /* values whose gradient is readable after backward; none: a forward-only plan */
    int n_wrt;
    int threads;
    const struct cnv_plan *shares; /* a prepared plan whose arena this one uses; NULL: one of its own */
    /* Most bytes of packed weights that this plan may add to those that other plans have had made. Kernels
     * whose weights are not packed pack them in every pass: slower, with the same bits. */
    size_t packed_nbytes;
} cnv_request;

/* Decides marks, memory and packed weights. Only once per plan; no node can be added afterwards. */
cnv_status cnv_plan_prepare(cnv_plan *plan, const cnv_request *request, cnv_error *err);

/* Runs forward. `inputs[i]` is the data of the i-th cnv_plan_input, borrowed for the call and for the
 * backward that follows it. `interrupted` as in cnv_run; CNV_INTERRUPTED when it stopped the walk. */
cnv_status cnv_plan_forward(cnv_plan *plan, const float *const *inputs, bool (*interrupted)(void *),
                            void *owner, cnv_error *err);

/* The numbers of a kept value (or an input, or a constant); NULL when the request did not keep it. */
const float *cnv_plan_read(const cnv_plan *plan, cnv_value_id value);

/* The index of a value in request.seeds, -1 when it is not there; and the number of seeds. */
int cnv_plan_seed_index(const cnv_plan *plan, cnv_value_id value);
int cnv_plan_n_seeds(const cnv_plan *plan);

/* Runs backward from the activations of the last forward. `cotangents[i]` belongs to request.seeds[i]; NULL
 * stands for zeros. May be called several times after one forward. */
cnv_status cnv_plan_backward(cnv_plan *plan, const float *const *cotangents, cnv_relu_rule relu,
                             bool (*interrupted)(void *), void *owner, cnv_error *err);

/* The gradient of a value in request.wrt after backward; NULL for any other. */
const float *cnv_plan_gradient(const cnv_plan *plan, cnv_value_id value);

/* ---- looking inside ---- */

/* Bytes that the prepared plan holds; of each purpose in the arena, the largest sum alive at one time. */
typedef struct cnv_plan_memory {
    size_t values_nbytes; /* forward values */
    size_t gradients_nbytes;
    size_t saved_nbytes; /* masks, pooling indices */
    size_t scratch_nbytes;
    size_t arena_nbytes;  /* size of the arena: the purposes share it, so it is less than their sum */
    size_t packed_nbytes; /* size of the packed weights that the plan reads; the constants own them */
} cnv_plan_memory;
void cnv_plan_memory_of(const cnv_plan *plan, cnv_plan_memory *memory);

/* One node after prepare; before, nothing runs and kernel is "". Strings are borrowed. */
typedef struct cnv_node_info {
    const char *name;
    const char *op;
    const char *kernel;      /* kernel that prepare chose: "portable", "view", ... */
    cnv_value_id value;      /* output of the node */
    bool forward;            /* the forward walk visits the node */
    bool backward;           /* the backward walk visits the node */
    size_t saved_nbytes;     /* masks and indices that its forward leaves for its backward */
    size_t scratch_nbytes;   /* scratch of one worker, in the pass that takes more */
    size_t packed_nbytes;    /* packed weights that the node reads, of both passes */
    double forward_seconds;  /* time in the last pass, with changes of layout of the output; 0 before one */
    double backward_seconds; /* time in the last pass; that of a fused node is counted where it runs */
} cnv_node_info;
int cnv_plan_n_nodes(const cnv_plan *plan);
void cnv_plan_node_info(const cnv_plan *plan, int i, cnv_node_info *info);

#endif
