/*
 * Which nodes a convolution takes along: the addition of another picture and a rectifier that follow it,
 * where nobody else reads what lies between.
 */
#ifndef CNV_PLAN_FUSE_H
#define CNV_PLAN_FUSE_H

#include "plan/state.h"

/* Per node of the plan. */
typedef struct cnv_fusion {
    int last;              /* the last node that runs with it; itself when it runs alone */
    int first;             /* of such a last node: where it begins */
    cnv_value_id residual; /* of such a last node: the picture that is added, CNV_NONE without one */
    int rectifier;         /* of such a last node: the rectifier's node, -1 without one */
    int addition;          /* of such a last node: the addition's node, -1 without one */
} cnv_fusion;

/* What the fast tier can do with a node by itself, given that its weights are constants. */
bool cnv_is_rectifier(const cnv_node *node); /* relu, or clip from 0 to something above it */
bool cnv_is_addition(const cnv_plan *plan, const cnv_node *node); /* of two pictures of one shape */
bool cnv_is_fast_conv(const cnv_plan *plan, const cnv_node *node);
bool cnv_is_fast_linear(const cnv_plan *plan, const cnv_node *node);

/* fusion has one entry per node, readers one per value: how many inputs of nodes it is. */
void cnv_plan_fuse(const cnv_plan *plan, const int *readers, cnv_fusion *fusion);

#endif
