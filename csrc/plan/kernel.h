/*
 * A node of a plan, and the kernel that computes it: all that prepare and the walks look at.
 *
 * A kernel here is a row of functions. An operator's row has its portable one (op.h); those of plan/fast are
 * for nodes that prepare makes in place of the user's.
 */
#ifndef CNV_PLAN_KERNEL_H
#define CNV_PLAN_KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cnnviz.h"
#include "runtime/error.h"
#include "runtime/threads.h"

/* The arrays of one node in one pass. Prepared once, so that a walk only calls. */
typedef struct cnv_io {
    const float *const *x; /* inputs, in the order of node->inputs; NULL where an optional input is absent */
    float *y;              /* output */
    float *const *dx;      /* gradients of the inputs, NULL where not wanted; backward ADDS to them */
    const float *dy;       /* gradient of the output */
    void *saved; /* needs.saved_nbytes bytes that forward leaves for backward; NULL in a forward-only plan */
    void *scratch;         /* run->threads slices of needs.*_scratch bytes each, slice w for worker w */
    size_t scratch_stride; /* bytes between two workers' slices */
    cnv_relu_rule relu;    /* rule of this backward pass for rectifiers */
    unsigned fresh;        /* bit i: dx[i] is uninitialised and has to be overwritten; see kernel->fresh */
} cnv_io;

/* In cnv_needs.backward_reads: bit i says that backward reads input i, this bit that it reads the output. */
#define CNV_READS_Y (1u << 31)

/* Inputs past this one have no bit in grad_inputs, backward_reads and fresh; only concat, whose backward
 * needs nothing from forward, has that many. */
#define CNV_LAST_BIT_INPUT 30

/* The memory that a node asks for, given the input gradients that are wanted (node->grad_inputs). */
typedef struct cnv_needs {
    unsigned backward_reads; /* values that must outlive the forward pass; constants always do */
    size_t saved_nbytes;     /* masks, indices, statistics: written by forward, read by backward */
    size_t forward_scratch;  /* bytes per worker */
    size_t backward_scratch; /* bytes per worker */
} cnv_needs;

typedef struct cnv_node {
    const struct cnv_op *op;         /* operator that the user added; NULL for a node that prepare made */
    const struct cnv_kernel *kernel; /* computes the node */
    char *name;                      /* owned; the ONNX node's or the layer's name, for messages */
    cnv_value_id *inputs;            /* owned; CNV_NONE where an optional input is absent */
    int n_inputs; /* as many as the operator can have, absent ones included; of a list, its length */
    cnv_value_id output;
    cnv_params params;
    const cnv_shape *const *x_shape; /* owned array of shapes borrowed from the plan's values; NULL: absent */
    const cnv_shape *y_shape;        /* borrowed */

    /* Decided by prepare. */
    bool runs_forward;    /* the forward walk visits this node */
    bool needs_grad;      /* the backward walk visits this node */
    unsigned grad_inputs; /* bit i: the gradient of input i is wanted */
    cnv_needs needs;
    size_t packed_nbytes; /* of the packed weights that the node reads */
    const char *label;    /* its kernel for describe(): "portable", "view", ...; "" when nothing runs */
    struct cnv_node *by;  /* user's node: the made node that computes it; NULL: it is computed itself */
    const struct cnv_node *made_for; /* made node: the user's node that its time belongs to; NULL: none */
    void *form;                      /* made node: owned; the decisions and packed weights of its kernel */
} cnv_node;

/* The order in which packed weights get memory: required forms first, then those that save most time per
 * byte. Winograd's weights are read once in a pass, and those of F(4x4) are 4 times as large as the plain
 * ones. */
typedef enum {
    CNV_CLAIM_NEEDED,
    CNV_CLAIM_DIRECT,
    CNV_CLAIM_F2_BACKWARD,
    CNV_CLAIM_F2,
    CNV_CLAIM_F4_BACKWARD,
    CNV_CLAIM_F4,
    CNV_CLAIMS
} cnv_claim;

/* Every kernel has a backward; only a view has no functions at all. */
typedef struct cnv_kernel {
    bool view;    /* y is x[0] under another shape: nothing runs and no memory moves */
    bool inplace; /* forward may write y over x[0] when no other node reads x[0] */
    bool fresh;   /* backward heeds io->fresh, and writes dx in the order of the inputs */
    bool joins;   /* y of one image is its inputs, one after the other: an input that lies there stays */
    void (*needs)(const cnv_node *node, cnv_needs *needs); /* NULL: nothing saved, no scratch */
    void (*forward)(const cnv_node *node, const cnv_io *io, cnv_run *run);
    void (*backward)(const cnv_node *node, const cnv_io *io, cnv_run *run);
    /* Of kernels that pack weights, else NULL. claim is called for every cnv_claim in turn and takes the size
     * of the node's packed weights from *room, the bytes that are left; settle packs, once the directions
     * that run are known. */
    void (*claim)(cnv_plan *plan, cnv_node *node, cnv_claim claim, size_t *room);
    cnv_status (*settle)(cnv_plan *plan, cnv_node *node, cnv_error *err);
} cnv_kernel;

/* Whether the gradient of the input is wanted. */
static inline bool cnv_wants(const cnv_node *node, int input)
{
    return node->grad_inputs >> input & 1;
}

#endif
