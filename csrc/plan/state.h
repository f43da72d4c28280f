/*
 * The inside of a cnv_plan: what prepare decides and the walks follow. Private to plan/.
 *
 * Nodes are what the user built; `runs` is what runs. Prepare begins by replacing nodes with ones that it has
 * made, where a faster kernel, another layout or a fusion is to be had (specialise.c). Made nodes have rows
 * and values of their own, so nothing after that has to know: marks, gradients, memory and the walks see a
 * plan like any other. Steps are the nodes of `runs` that a pass needs.
 *
 * Time, for the memory planner: the forward walk visits step s at time s, the backward walk visits it at
 * 2 * n_steps - 1 - s, and at 2 * n_steps both are over and the user reads.
 */
#ifndef CNV_PLAN_STATE_H
#define CNV_PLAN_STATE_H

#include "plan/arena.h"
#include "plan/op.h"
#include "plan/workspace.h"

typedef enum { CNV_FROM_INPUT, CNV_FROM_CONSTANT, CNV_FROM_NODE } cnv_origin;

typedef struct cnv_value {
    char *name; /* owned */
    cnv_shape shape;
    cnv_origin origin;
    int producer;            /* the node, or the position among the inputs */
    cnv_constant *constant;  /* a reference; NULL unless origin says so */
    const cnv_node *made_by; /* specialise.c: the node of `runs` whose output it is; NULL without one */

    /* From the request. */
    bool keep;
    bool wrt;
    int seed; /* its place in request.seeds; -1: not a seed */

    /* marks.c */
    bool needed;         /* somebody reads its numbers */
    bool wants_gradient; /* a value in wrt lies at or above it */
    bool reaches_seed;   /* a seed lies at or below it */

    /* gradients.c */
    cnv_value_id gradient_root; /* the value whose gradient buffer it shares; itself; CNV_NONE without one */
    int64_t gradient_place;     /* where in that it begins, in floats */
    int contributions;          /* how many steps add to it, each input by itself */
    int gradient_born;          /* of a root: when the first contribution arrives; -1 as long as none has */
    int gradient_dies;          /* of a root: when it is read for the last time */

    /* memory.c */
    cnv_value_id storage; /* the value whose forward buffer it shares; itself when it has its own */
    int64_t place;        /* where in that it begins, in floats */
    int first_write;      /* of a storage: the first step that writes it */
    int last_read;        /* of a storage: the last step that reads it, or that writes it */
    bool pinned;          /* of a storage: it must survive until the backward walk is over */
    int buffer;           /* of a storage */
    int gradient_buffer;  /* of a gradient root */
    const float *data;    /* where its numbers are during a pass; NULL when nobody computes them */
    float *gradient;      /* NULL without one */
} cnv_value;

/* What the backward walk does to a gradient buffer besides calling kernels. */
typedef struct cnv_fill {
    cnv_value_id value;
    int seed;   /* the cotangent that goes in; -1: zeros */
    bool first; /* nothing is in the buffer yet: overwrite it, do not add */
} cnv_fill;

#define CNV_NO_BUFFER (-1)

typedef struct cnv_step {
    const cnv_node *node;
    void (*forward)(const cnv_node *node, const cnv_io *io, cnv_run *run);  /* NULL: nothing to run */
    void (*backward)(const cnv_node *node, const cnv_io *io, cnv_run *run); /* NULL: nothing to run */
    const float **x;    /* owned: n_inputs arrays for forward, then n_inputs for backward */
    float **dx;         /* owned: n_inputs */
    cnv_io forward_io;  /* without what belongs to backward */
    cnv_io backward_io; /* without what backward has not said it reads */
    int first_fill;     /* fills[first_fill ...] come before this step's backward */
    int n_fills;
    double forward_seconds; /* of the last pass */
    double backward_seconds;
    int saved_buffer; /* memory.c: CNV_NO_BUFFER where nothing is asked for */
    int forward_scratch;
    int backward_scratch;
} cnv_step;

typedef enum { CNV_BUILDING, CNV_PREPARED, CNV_FORWARD_DONE, CNV_BACKWARD_DONE } cnv_stage;

struct cnv_plan {
    cnv_value **values; /* pointers, so that shapes stay where they are when the list grows */
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
    cnv_node **runs; /* nodes, and nodes that specialise.c has made */
    int n_runs;
    int room_runs;
    int n_user_values; /* while prepared: those past it are specialise.c's */
    cnv_step *steps;
    int n_steps;
    cnv_fill *fills; /* in the order of the backward walk; the last n_final come after its last step */
    int n_fills;
    int n_final;
    cnv_workspace *workspace; /* a reference */
    char *base;               /* where it was when addresses were given out */
    cnv_buffer *buffers;      /* owned: what lies in it */
    cnv_plan_memory memory;
};

/* Bytes of a value's numbers. */
size_t cnv_value_nbytes(const cnv_value *value);

/* NULL for CNV_NONE and for ids that the plan does not have. */
cnv_value *cnv_plan_value(const cnv_plan *plan, cnv_value_id value);

/* Whether backward of the node reads the numbers of its input i. */
bool cnv_node_backward_reads(const cnv_node *node, int i);

/* Whether y is nothing but its inputs, one after the other. */
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

/* The parts of prepare, in this order; each reads what the ones before it decided. */
cnv_status cnv_plan_lower(cnv_plan *plan, cnv_error *err);         /* nodes -> runs */
void cnv_plan_mark(cnv_plan *plan);                                /* who runs, who needs what */
cnv_status cnv_plan_make_steps(cnv_plan *plan, cnv_error *err);    /* nodes -> steps */
cnv_status cnv_plan_lay_gradients(cnv_plan *plan, cnv_error *err); /* who shares, zeroes and seeds which */
cnv_status cnv_plan_lay_memory(cnv_plan *plan, cnv_error *err);    /* who shares which buffer, and where */

/* Gives out the addresses of all buffers, which depend on where the workspace is: only inside it does it stay
 * there. */
void cnv_plan_locate(cnv_plan *plan);

#endif
