/*
 * The row of an operator, and the checks that rows share. A row lives in its family's file in plan/ops.
 */
#ifndef CNV_PLAN_OP_H
#define CNV_PLAN_OP_H

#include "plan/argument.h"
#include "plan/kernel.h"

/*
 * `infer` checks every parameter and every shape and writes the output's shape: after it, nothing about the
 * node can be wrong. Its message says only what is wrong ("kernel 5 x 5 is larger than ..."): the builder
 * puts the node's name and operator in front.
 */
typedef struct cnv_op {
    const char *name;              /* name of the builder method: "conv2d", "relu", ... */
    const cnv_argument *arguments; /* inputs, in their order, and parameters */
    cnv_status (*infer)(const cnv_node *node, cnv_shape *y, cnv_error *err);
    bool elementwise;    /* an element of the output reads one element of each input, broadcast as in NumPy */
    cnv_kernel kernel;   /* portable kernel */
    const void *variant; /* of a family that shares its functions: what is this operator's own, for them */
} cnv_op;

/* The extents as "2 x 3 x 4", for messages; "scalar" for no dimensions. */
typedef struct cnv_shape_text {
    char text[192];
} cnv_shape_text;
cnv_shape_text cnv_shape_format(const cnv_shape *shape);

/* Fails unless input `i`, called `what`, has exactly ndim dimensions. */
cnv_status cnv_check_ndim(const cnv_node *node, int i, const char *what, int ndim, cnv_error *err);

/* Fails unless 0 <= axis < ndim of input 0. */
cnv_status cnv_check_axis(const cnv_node *node, int axis, cnv_error *err);

/* Writes the shape that a and b broadcast to, as in NumPy. */
cnv_status cnv_broadcast_shape(const cnv_shape *a, const cnv_shape *b, cnv_shape *y, cnv_error *err);

/* Infers that y has the shape of input 0. */
cnv_status cnv_infer_same(const cnv_node *node, cnv_shape *y, cnv_error *err);

/* The number of elements of input 0. */
static inline int64_t cnv_size_of_x(const cnv_node *node)
{
    return cnv_shape_size(node->x_shape[0]);
}

#define CNV_OP(name) extern const cnv_op cnv_op_##name;
#include "plan/ops/ops.def"
#undef CNV_OP

#endif
