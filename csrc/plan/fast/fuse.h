/*
 * Fusion: a convolution, the addition of another picture and the rectifier that follow it run as one node, if
 * no other node reads the values between them.
 */
#ifndef CNV_PLAN_FUSE_H
#define CNV_PLAN_FUSE_H

#include "plan/state.h"

/* One for each node of the plan. */
typedef struct cnv_fusion {
    int last;              /* last node of the fusion that this node is in; itself when it runs alone */
    int first;             /* first node of the fusion; this and the rest: of its last node only */
    cnv_value_id residual; /* picture that is added, CNV_NONE without one */
    int rectifier;         /* the rectifier's node, -1 without one */
    int addition;          /* the addition's node, -1 without one */
} cnv_fusion;

/* Whether the fast tier can compute a node. */
bool cnv_is_rectifier(const cnv_node *node); /* relu, or clip from 0 to something above it */
bool cnv_is_addition(const cnv_plan *plan, const cnv_node *node); /* of two pictures of one shape */
bool cnv_is_fast_conv(const cnv_plan *plan, const cnv_node *node);
bool cnv_is_fast_transposed(const cnv_plan *plan, const cnv_node *node);
bool cnv_is_fast_linear(const cnv_plan *plan, const cnv_node *node);

/* Writes an entry of fusion for each node. readers has an entry for each value: the number of node inputs
 * that read it. */
void cnv_plan_fuse(const cnv_plan *plan, const int *readers, cnv_fusion *fusion);

#endif
