/*
 * What the builder, the operator rows, the memory planner and the walks share. Python sees none of it.
 *
 * A plan is a list of values (arrays) and a list of nodes (one operator each) in topological order. The
 * builder appends to both and infers shapes as it goes. cnv_plan_prepare then decides, once, everything that
 * a pass needs: which nodes run in which direction, what each keeps from forward for backward, and where
 * every buffer lies in the arena. It is the last thing that can fail.
 */
#ifndef CNV_PLAN_PLAN_H
#define CNV_PLAN_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cnnviz.h"
#include "plan/argument.h"
#include "runtime/error.h"
#include "runtime/threads.h"

/* Everything that a kernel of one node touches in one pass. Prepared once, so a walk only calls. */
typedef struct cnv_io {
    const float *const *x; /* inputs, in the order of node->inputs; NULL where an optional input is absent */
    float *y;              /* output */
    float *const *dx;      /* gradients of the inputs, NULL where not wanted; backward ADDS to them */
    const float *dy;       /* gradient of the output */
    void *saved; /* needs.saved_nbytes bytes that forward leaves for backward; NULL in a forward-only plan */
    void *scratch;         /* run->threads slices of needs.*_scratch bytes each, slice w for worker w */
    size_t scratch_stride; /* bytes between two workers' slices */
    cnv_relu_rule relu;    /* how this backward pass treats rectifiers */
    unsigned fresh; /* bit i: nothing has been added to dx[i] yet, and it holds anything; see op->fresh */
} cnv_io;

/* In cnv_needs.backward_reads: bit i says that backward reads input i, this bit that it reads the output. */
#define CNV_READS_Y (1u << 31)

/* What a node asks of the memory planner, given which input gradients are wanted (node->grad_inputs). */
typedef struct cnv_needs {
    unsigned backward_reads; /* whose forward values must outlive the forward pass; constants always do */
    size_t saved_nbytes;     /* masks, indices, statistics: written by forward, read by backward */
    size_t forward_scratch;  /* bytes per worker */
    size_t backward_scratch;
} cnv_needs;

typedef struct cnv_node {
    const struct cnv_op *op;
    char *name;           /* owned; the ONNX node's or the layer's name, for messages */
    cnv_value_id *inputs; /* owned; CNV_NONE where an optional input is absent */
    int n_inputs;         /* as many as the operator can have, absent ones included; of a list, its length */
    cnv_value_id output;
    cnv_params params;
    const cnv_shape *const
        *x_shape;             /* owned array of shapes borrowed from the plan's values, NULL where absent */
    const cnv_shape *y_shape; /* borrowed */
    /* Decided by prepare. */
    bool runs_forward;    /* this node runs in the forward walk */
    bool needs_grad;      /* this node runs in the backward walk */
    unsigned grad_inputs; /* bit i: the gradient of input i is wanted; inputs past 30 (concat's) have none */
    cnv_needs needs;
    size_t packed_nbytes; /* of the packed weights that it reads */
    const char *kernel;   /* what runs for it: "portable", "view", ...; "" when nothing does */
    struct cnv_node *by;  /* the node that prepare has made to compute this one; NULL: it runs itself */
    void *form;           /* owned; what the row of a made node has decided and packed */
} cnv_node;

/* Who may claim room for packed weights, one after the other: what kernels cannot do without, then those that
 * lose most, for each byte that they do not get, when every pass has to pack them. Winograd's weights are
 * read from memory once in a pass, and its F(4x4) ones are 4 times as large as what they are made from. */
typedef enum {
    CNV_CLAIM_NEEDED,
    CNV_CLAIM_DIRECT,
    CNV_CLAIM_F2_BACKWARD,
    CNV_CLAIM_F2,
    CNV_CLAIM_F4_BACKWARD,
    CNV_CLAIM_F4,
    CNV_CLAIMS
} cnv_claim;

/*
 * One row of the operator table. `infer` checks every parameter and every shape and writes the output's
 * shape: after it, nothing about the node can be wrong. Its message says only what is wrong ("kernel 5 x 5 is
 * larger than ..."): the builder puts the node's name and operator in front. `needs` may be NULL (nothing
 * kept, no scratch). A row without a working backward does not exist; only a view has no kernels at all.
 */
typedef struct cnv_op {
    const char *name;              /* the builder method's name: "conv2d", "relu", ... */
    const cnv_argument *arguments; /* of the inputs, in their order, and the parameters */
    bool view;                     /* y is x[0] under another shape: no kernel runs and no memory moves */
    bool inplace;                  /* forward may write y over x[0] when nobody else reads x[0] */
    cnv_status (*infer)(const cnv_node *node, cnv_shape *y, cnv_error *err);
    void (*needs)(const cnv_node *node, cnv_needs *needs);
    void (*forward)(const cnv_node *node, const cnv_io *io, cnv_run *run);
    void (*backward)(const cnv_node *node, const cnv_io *io, cnv_run *run);
    int variant; /* rows that share their functions: which one this is (a cnv_binary_op, a cnv_unary_op) */
    bool fresh;  /* backward heeds io->fresh, and takes dx in the order of the inputs */
    bool joins;  /* y of one image is its inputs one after the other: what lies there already stays */
    /* Made nodes only, may be NULL. claim: called for every cnv_claim in turn, to take what packed weights
     * cost from the bytes that are left for them. settle: called once who runs in which direction is known,
     * to pack. */
    void (*claim)(cnv_plan *plan, cnv_node *node, cnv_claim claim, size_t *room);
    cnv_status (*settle)(cnv_plan *plan, cnv_node *node, cnv_error *err);
} cnv_op;

#endif
