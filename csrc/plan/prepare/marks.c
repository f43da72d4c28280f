/*
 * The nodes that run. Backward visits the nodes between a value in wrt and a seed. Forward visits a node
 * whose output is kept, is read by a node that runs, or is read by a backward, and one whose own backward
 * needs its mask or indices. So Grad-CAM never computes the first convolution's gradient, and style transfer
 * never runs the classifier.
 */
#include "plan/state.h"

static void mark_wants(cnv_plan *plan)
{
    for (int v = 0; v < plan->n_values; v++) plan->values[v]->wants_gradient = plan->values[v]->wrt;
    for (int n = 0; n < plan->n_runs; n++) {
        const cnv_node *node = plan->runs[n];
        cnv_value *y = plan->values[node->output];
        for (int i = 0; i < node->n_inputs; i++) {
            const cnv_value *x = cnv_plan_value(plan, node->inputs[i]);
            if (x && x->wants_gradient) y->wants_gradient = true;
        }
    }
}

static void mark_reaches(cnv_plan *plan)
{
    for (int v = 0; v < plan->n_values; v++) plan->values[v]->reaches_seed = plan->values[v]->seed >= 0;
    for (int n = plan->n_runs - 1; n >= 0; n--) {
        const cnv_node *node = plan->runs[n];
        if (!plan->values[node->output]->reaches_seed) continue;
        for (int i = 0; i < node->n_inputs; i++) {
            cnv_value *x = cnv_plan_value(plan, node->inputs[i]);
            if (x) x->reaches_seed = true;
        }
    }
}

static void mark_backward(cnv_plan *plan, cnv_node *node)
{
    const cnv_value *y = plan->values[node->output];
    bool wanted = false;
    node->grad_inputs = 0;
    for (int i = 0; i < node->n_inputs; i++) {
        const cnv_value *x = cnv_plan_value(plan, node->inputs[i]);
        if (!x || !x->wants_gradient || !y->reaches_seed) continue;
        wanted = true;
        if (i <= CNV_LAST_BIT_INPUT) node->grad_inputs |= 1u << i;
    }
    node->needs_grad = wanted;
}

static void ask_needs(cnv_node *node)
{
    node->needs = (cnv_needs){0};
    if (node->kernel->needs) node->kernel->needs(node, &node->needs);
    if (node->needs_grad) return;
    node->needs.backward_reads = 0;
    node->needs.saved_nbytes = 0;
    node->needs.backward_scratch = 0;
}

bool cnv_node_backward_reads(const cnv_node *node, int i)
{
    return i <= CNV_LAST_BIT_INPUT && (node->needs.backward_reads & (1u << i)) != 0;
}

bool cnv_node_joins(const cnv_node *node)
{
    return node->kernel->joins && node->y_shape->dim[0] == 1;
}

static void mark_forward(cnv_plan *plan, cnv_node *node)
{
    cnv_value *y = plan->values[node->output];
    if (node->needs.backward_reads & CNV_READS_Y) y->needed = true;
    node->runs_forward = y->needed || node->needs.saved_nbytes > 0;
    for (int i = 0; i < node->n_inputs; i++) {
        cnv_value *x = cnv_plan_value(plan, node->inputs[i]);
        if (x && (node->runs_forward || cnv_node_backward_reads(node, i))) x->needed = true;
    }
}

void cnv_plan_mark(cnv_plan *plan)
{
    mark_wants(plan);
    mark_reaches(plan);
    for (int v = 0; v < plan->n_values; v++) plan->values[v]->needed = plan->values[v]->keep;
    for (int n = 0; n < plan->n_runs; n++) {
        mark_backward(plan, plan->runs[n]);
        ask_needs(plan->runs[n]);
    }
    for (int n = plan->n_runs - 1; n >= 0; n--) mark_forward(plan, plan->runs[n]);
}
