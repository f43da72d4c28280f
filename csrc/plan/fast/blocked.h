/*
 * The kernels of made nodes, which call the fast tier on blocked pictures. A blocked value is an ordinary
 * value of shape N, C/16, H, W, 16 that only made nodes read and write.
 *
 * specialise.c fills in the form of a node when it makes the node; only the packed weights are added later.
 */
#ifndef CNV_PLAN_BLOCKED_H
#define CNV_PLAN_BLOCKED_H

#include "kernels/fast/fast.h"
#include "plan/constant.h"
#include "plan/state.h"

/* The beginning of every form. */
typedef struct cnv_form {
    const cnv_fast *fast;
    char text[48];       /* node->label */
    cnv_picture picture; /* the blocked output; of to_plain and mean, the blocked input */
    bool rectify;        /* the node ends with a clip to 0..high */
    float high;          /* upper bound of the clip; INFINITY: a plain ReLU */
    cnv_fast_pool pool;  /* of pooling and mean only */
} cnv_form;

/* The extents of a picture N,C,H,W, and the shape of its blocked form. */
cnv_picture cnv_picture_of(const cnv_shape *plain);
cnv_shape cnv_blocked_shape(const cnv_shape *plain);

/* Bytes that a rectifier saves for backward: a bit per element, for a clip a second one for elements clipped
 * from above, and a flag per image for a dead one. */
size_t cnv_bits_nbytes(const cnv_form *form);
cnv_finish cnv_finish_of(const cnv_form *form, const cnv_io *io);
/* Under the rule `redirected`, looks through dy for dead images. */
cnv_gate cnv_gate_of(const cnv_form *form, const cnv_io *io, cnv_run *run);

static inline bool cnv_is_fresh(const cnv_io *io, int input)
{
    return io->fresh >> input & 1;
}

extern const cnv_kernel cnv_kernel_to_blocked, cnv_kernel_to_plain; /* x */
extern const cnv_kernel cnv_kernel_blocked_conv;      /* x, w, b or none, a picture to add or none */
extern const cnv_kernel cnv_kernel_blocked_depthwise; /* x, w, b or none */
extern const cnv_kernel cnv_kernel_blocked_finish;    /* x, a picture to add or none */
extern const cnv_kernel cnv_kernel_blocked_max_pool, cnv_kernel_blocked_average_pool,
    cnv_kernel_blocked_mean;                       /* x */
extern const cnv_kernel cnv_kernel_fast_linear;    /* x, w, b or none, all plain */
extern const cnv_kernel cnv_kernel_blocked_concat; /* any number of pictures */

extern const cnv_kernel cnv_kernel_blocked_conv_transpose; /* x, w, b or none */

/* The form of a user's conv2d or conv_transpose2d node, in one block, or NULL when memory is out. `planar`: x
 * is N,C,H,W. */
void *cnv_conv_form(const cnv_node *node, const cnv_fast *fast, bool planar, int threads);
void *cnv_depthwise_form(const cnv_node *node, const cnv_fast *fast);

/* Whether a kernel can compute the node, and whether x has few enough channels to be read as N,C,H,W. */
bool cnv_conv_is_served(const cnv_node *node);
bool cnv_depthwise_is_served(const cnv_node *node);
bool cnv_conv_is_planar(const cnv_node *node);

/* The pooling of a user's node, and whether a kernel can compute it. */
cnv_fast_pool cnv_pool_of(const cnv_node *node);
bool cnv_pool_is_served(const cnv_node *node);

/* The kinds of packed weights; see cnv_packing. */
typedef enum {
    CNV_PACK_DIRECT,
    CNV_PACK_WINOGRAD,
    CNV_PACK_GRADIENT,
    CNV_PACK_BIAS,
    CNV_PACK_DEPTHWISE
} cnv_pack_kind;

/* Packs the constant that is an input of the node, and adds the size to node->packed_nbytes. cnv_pack_bias
 * packs input 2; *packed is NULL where it is absent. */
cnv_status cnv_pack(cnv_plan *plan, cnv_node *node, int input, const cnv_packing *packing,
                    const float **packed, cnv_error *err);
cnv_status cnv_pack_bias(cnv_plan *plan, cnv_node *node, const float **packed, cnv_error *err);

/* Takes the size of a packed form that the kernel requires from *room, or all of *room if that is less. */
void cnv_claim_needed(const cnv_plan *plan, const cnv_node *node, int input, const cnv_packing *packing,
                      size_t *room);
void cnv_claim_bias(const cnv_plan *plan, const cnv_node *node, size_t *room);

#endif
