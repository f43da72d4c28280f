#include "plan/fast/fuse.h"

#include "plan/fast/blocked.h"
#include "plan/op.h"

/* FEWEST_CHANNELS is the smallest output that is worth blocking: one that fills less than half of its lanes
 * costs more memory and time than blocking saves. */
#define FEWEST_CHANNELS (CNV_LANES / 2)

bool cnv_is_rectifier(const cnv_node *node)
{
    if (node->x_shape[0]->ndim != 4) return false;
    return node->op == &cnv_op_relu ||
           (node->op == &cnv_op_clip && node->params.clip.low == 0 && node->params.clip.high > 0);
}

bool cnv_is_addition(const cnv_plan *plan, const cnv_node *node)
{
    if (node->op != &cnv_op_add || node->y_shape->ndim != 4) return false;
    for (int i = 0; i < 2; i++) {
        const cnv_shape *x = node->x_shape[i];
        if (plan->values[node->inputs[i]]->origin == CNV_FROM_CONSTANT || x->ndim != 4) return false;
        for (int a = 0; a < 4; a++)
            if (x->dim[a] != node->y_shape->dim[a]) return false;
    }
    return true;
}

/* Whether a weight is absent, or constant and not differentiated. */
static bool is_fixed(const cnv_plan *plan, cnv_value_id value)
{
    const cnv_value *w = cnv_plan_value(plan, value);
    return w == NULL || (w->origin == CNV_FROM_CONSTANT && !w->wrt && w->seed < 0);
}

bool cnv_is_fast_conv(const cnv_plan *plan, const cnv_node *node)
{
    if (node->op != &cnv_op_conv2d || !is_fixed(plan, node->inputs[1]) || !is_fixed(plan, node->inputs[2]))
        return false;
    if (node->y_shape->dim[1] < FEWEST_CHANNELS) return false;
    return cnv_conv_is_served(node) || cnv_depthwise_is_served(node);
}

bool cnv_is_fast_transposed(const cnv_plan *plan, const cnv_node *node)
{
    if (node->op != &cnv_op_conv_transpose2d || !is_fixed(plan, node->inputs[1]) ||
        !is_fixed(plan, node->inputs[2]))
        return false;
    if (node->y_shape->dim[1] < FEWEST_CHANNELS || node->x_shape[0]->dim[1] < FEWEST_CHANNELS) return false;
    return cnv_conv_is_served(node);
}

bool cnv_is_fast_linear(const cnv_plan *plan, const cnv_node *node)
{
    return node->op == &cnv_op_linear && is_fixed(plan, node->inputs[1]) && is_fixed(plan, node->inputs[2]);
}

/* The node that alone reads node n's output; -1 when other nodes or the request read it too. */
static int only_reader(const cnv_plan *plan, int n, const int *readers)
{
    const cnv_value_id y = plan->nodes[n]->output;
    const cnv_value *value = plan->values[y];
    if (readers[y] != 1 || value->keep || value->wrt || value->seed >= 0) return -1;
    for (int r = n + 1; r < plan->n_nodes; r++)
        for (int i = 0; i < plan->nodes[r]->n_inputs; i++)
            if (plan->nodes[r]->inputs[i] == y) return r;
    return -1;
}

static cnv_value_id other_input(const cnv_node *node, cnv_value_id value)
{
    return node->inputs[0] == value ? node->inputs[1] : node->inputs[0];
}

/* Fuses convolution n with the addition and the rectifier that follow it. */
static void fuse_from(const cnv_plan *plan, int n, const int *readers, cnv_fusion *fusion)
{
    cnv_fusion f = {.last = n, .first = n, .residual = CNV_NONE, .rectifier = -1, .addition = -1};
    int next = only_reader(plan, n, readers);
    if (next >= 0 && cnv_is_addition(plan, plan->nodes[next]) && fusion[next].last == next &&
        fusion[next].first == next && !cnv_depthwise_is_served(plan->nodes[n])) {
        f.residual = other_input(plan->nodes[next], plan->nodes[n]->output);
        f.addition = f.last = next;
        next = only_reader(plan, next, readers);
    }
    if (next >= 0 && cnv_is_rectifier(plan->nodes[next])) f.rectifier = f.last = next;
    if (f.last == n) return;
    fusion[n].last = f.last;
    if (f.addition >= 0) fusion[f.addition].last = f.last;
    fusion[f.last] = f;
}

void cnv_plan_fuse(const cnv_plan *plan, const int *readers, cnv_fusion *fusion)
{
    for (int n = 0; n < plan->n_nodes; n++)
        fusion[n] =
            (cnv_fusion){.last = n, .first = n, .residual = CNV_NONE, .rectifier = -1, .addition = -1};
    /* From the end: of two convolutions that are added, the later one takes the addition. */
    for (int n = plan->n_nodes - 1; n >= 0; n--)
        if (cnv_is_fast_conv(plan, plan->nodes[n])) fuse_from(plan, n, readers, fusion);
}
