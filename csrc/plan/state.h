/*
 * The inside of a cnv_plan: the decisions of prepare, which the walks follow. Private to plan/.
 *
 * A plan is a list of values (arrays) and a list of nodes (one operator each) in topological order. `nodes`
 * are the user's; `runs` are those that run. Prepare begins by replacing the user's nodes with made ones,
 * wherever plan/fast has a faster kernel, another layout or a fusion. Made nodes have kernels and values of
 * their own, so the later parts of prepare and the walks see a plan like any other. Steps are the nodes of
 * `runs` that a pass needs.
 *
 * Time, for the memory planner: the forward walk visits step s at time s, the backward walk visits it at
 * 2 * n_steps - 1 - s, and at 2 * n_steps both are over and the user reads.
 */
#ifndef CNV_PLAN_STATE_H
#define CNV_PLAN_STATE_H

#include "plan/arena.h"
#include "plan/kernel.h"
#include "plan/workspace.h"

typedef enum { CNV_FROM_INPUT, CNV_FROM_CONSTANT, CNV_FROM_NODE } cnv_origin;

typedef struct cnv_value {
    char *name; /* owned */
    cnv_shape shape;
    cnv_origin origin;
    int producer;            /* index of the node, or of the input; -1: a made node */
    cnv_constant *constant;  /* a reference; NULL unless origin says so */
    const cnv_node *made_by; /* specialise.c: the node of `runs` whose output this is; NULL without one */

    /* From the request. */
    bool keep;
    bool wrt;
    int seed; /* index in request.seeds; -1: not a seed */

    /* marks.c */
    bool needed;         /* a node, a backward or the user reads the numbers */
    bool wants_gradient; /* a value in wrt lies at or above it */
    bool reaches_seed;   /* a seed lies at or below it */

    /* gradients.c */
    cnv_value_id gradient_root; /* value whose gradient buffer holds this gradient; CNV_NONE without one */
    int64_t gradient_place;     /* offset of this gradient in that buffer, in floats */
    int contributions;          /* inputs of steps that add to this gradient */
    int gradient_born;          /* of a root: time of the first contribution; -1 before it is found */
    int gradient_dies;          /* of a root: time of the last read */

    /* memory.c */
    cnv_value_id storage; /* value whose forward buffer holds these numbers */
    int64_t place;        /* offset of these numbers in that buffer, in floats */
    int first_write;      /* of a storage: the first step that writes it */
    int last_read;        /* of a storage: the last step that reads or writes it */
    bool pinned;          /* of a storage: its numbers must survive the backward walk */
    int buffer;           /* of a storage: its index in plan->buffers */
    int gradient_buffer;  /* of a gradient root: its index in plan->buffers */
    const float *data;    /* address of the numbers during a pass; NULL when no step computes them */
    float *gradient;      /* address of the gradient; NULL without one */
} cnv_value;

/* Zeros or a cotangent that the backward walk writes or adds to a gradient, apart from kernels. */
typedef struct cnv_fill {
    cnv_value_id value;
    int seed;   /* index of the cotangent; -1: zeros */
    bool first; /* the buffer is uninitialised: overwrite it, do not add */
} cnv_fill;

#define CNV_NO_BUFFER (-1)

typedef struct cnv_step {
    const cnv_node *node;
    void (*forward)(const cnv_node *node, const cnv_io *io, cnv_run *run);  /* NULL: nothing to run */
    void (*backward)(const cnv_node *node, const cnv_io *io, cnv_run *run); /* NULL: nothing to run */
    const float **x;    /* owned: n_inputs arrays for forward, then n_inputs for backward */
    float **dx;         /* owned: n_inputs */
    cnv_io forward_io;  /* without dx and dy */
    cnv_io backward_io; /* without the arrays that are not in needs.backward_reads */
    int first_fill;     /* fills[first_fill ...] come before this step's backward */
    int n_fills;
    double forward_seconds; /* time in the last pass */
    double backward_seconds;
    int saved_buffer; /* memory.c: index in plan->buffers, as below; CNV_NO_BUFFER where none is needed */
    int forward_scratch;
    int backward_scratch;
} cnv_step;

typedef enum { CNV_BUILDING, CNV_PREPARED, CNV_FORWARD_DONE, CNV_BACKWARD_DONE } cnv_stage;

struct cnv_plan {
    cnv_value **values; /* pointers, so that a shape keeps its address when the list grows */
    int n_values;
    int room_values;
    cnv_node **nodes;
    int n_nodes;
    int room_nodes;
    int n_inputs;

    cnv_stage stage;
    int threads;
    int n_seeds;
    int n_wrt;
    cnv_node **runs; /* the nodes that run: of the user's, and made ones, which are owned */
    int n_runs;
    int room_runs;
    int n_user_values; /* while prepared: later values belong to made nodes */
    cnv_step *steps;
    int n_steps;
    cnv_fill *fills; /* in the order of the backward walk; the last n_final come after its last step */
    int n_fills;
    int n_final;
    cnv_workspace *workspace; /* a reference */
    char *base;               /* address of the workspace when cnv_plan_locate ran last */
    cnv_buffer *buffers;      /* owned: the layout of the workspace */
    cnv_plan_memory memory;
};

/* Bytes of a value's numbers. */
size_t cnv_value_nbytes(const cnv_value *value);

/* NULL for CNV_NONE and for ids that the plan does not have. */
cnv_value *cnv_plan_value(const cnv_plan *plan, cnv_value_id value);

/* Whether backward of the node reads the numbers of its input i. */
bool cnv_node_backward_reads(const cnv_node *node, int i);

/* Whether y is the inputs, one after the other. */
bool cnv_node_joins(const cnv_node *node);

/* Appends a value; its seed is -1. */
cnv_status cnv_plan_append_value(cnv_plan *plan, const cnv_shape *shape, const char *name, cnv_origin origin,
                                 int producer, cnv_value_id *value, cnv_error *err);
void cnv_plan_drop_values(cnv_plan *plan, int n); /* all from the n-th on */

/* A node that is in no list yet, without output: of `width` inputs, those past n_inputs absent. */
cnv_status cnv_node_new(const cnv_plan *plan, const cnv_kernel *kernel, const cnv_value_id *inputs,
                        int n_inputs, int width, const char *name, cnv_node **node, cnv_error *err);
void cnv_node_free(cnv_node *node); /* accepts NULL */

/* Append a node to the user's, or to those that run. */
cnv_status cnv_plan_append_node(cnv_plan *plan, cnv_node *node, cnv_error *err);
cnv_status cnv_plan_append_run(cnv_plan *plan, cnv_node *node, cnv_error *err);

/* Back to CNV_BUILDING: frees everything that prepare has made. */
void cnv_plan_unprepare(cnv_plan *plan);

/* The parts of prepare, in this order; each reads the decisions of the ones before. */
cnv_status cnv_plan_lower(cnv_plan *plan, cnv_error *err);         /* nodes -> runs */
void cnv_plan_mark(cnv_plan *plan);                                /* nodes that run, and their needs */
cnv_status cnv_plan_make_steps(cnv_plan *plan, cnv_error *err);    /* runs -> steps */
cnv_status cnv_plan_lay_gradients(cnv_plan *plan, cnv_error *err); /* gradients shared, zeroed, seeded */
cnv_status cnv_plan_lay_memory(cnv_plan *plan, cnv_error *err);    /* buffers shared and placed */

/* Writes the addresses of all arrays into values and steps. They follow from the address of the workspace,
 * which is fixed only between cnv_workspace_enter and leave. */
void cnv_plan_locate(cnv_plan *plan);

#endif
