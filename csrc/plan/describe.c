/* Questions about a plan: its values, inputs and seeds, its memory, and the kernel and time of each node. */
#include "plan/op.h"
#include "plan/state.h"

const cnv_shape *cnv_plan_shape(const cnv_plan *plan, cnv_value_id value)
{
    const cnv_value *found = cnv_plan_value(plan, value);
    return found ? &found->shape : NULL;
}

const char *cnv_plan_name(const cnv_plan *plan, cnv_value_id value)
{
    const cnv_value *found = cnv_plan_value(plan, value);
    return found ? found->name : NULL;
}

int cnv_plan_n_inputs(const cnv_plan *plan)
{
    return plan->n_inputs;
}

cnv_value_id cnv_plan_input_value(const cnv_plan *plan, int i)
{
    for (cnv_value_id v = 0; v < plan->n_values; v++)
        if (plan->values[v]->origin == CNV_FROM_INPUT && plan->values[v]->producer == i) return v;
    return CNV_NONE;
}

int cnv_plan_n_nodes(const cnv_plan *plan)
{
    return plan->n_nodes;
}

void cnv_plan_memory_of(const cnv_plan *plan, cnv_plan_memory *memory)
{
    *memory = plan->memory;
}

int cnv_plan_n_seeds(const cnv_plan *plan)
{
    return plan->n_seeds;
}

int cnv_plan_seed_index(const cnv_plan *plan, cnv_value_id value)
{
    const cnv_value *found = cnv_plan_value(plan, value);
    return found && plan->stage != CNV_BUILDING ? found->seed : -1;
}

/* Adds up the steps of the node: itself, or the made nodes that stand for it. */
static void add_times(const cnv_plan *plan, const cnv_node *node, cnv_node_info *info)
{
    for (int s = 0; s < plan->n_steps; s++) {
        const cnv_step *step = &plan->steps[s];
        if (step->node != node && step->node->made_for != node) continue;
        info->forward_seconds += step->forward_seconds;
        info->backward_seconds += step->backward_seconds;
    }
}

void cnv_plan_node_info(const cnv_plan *plan, int i, cnv_node_info *info)
{
    const cnv_node *node = plan->nodes[i], *runs = node->by ? node->by : node;
    *info = (cnv_node_info){.name = node->name,
                            .op = node->op->name,
                            .kernel = node->label,
                            .value = node->output,
                            .forward = runs->runs_forward,
                            .backward = runs->needs_grad};
    add_times(plan, node, info);
    if (runs != node && runs->made_for != node) return; /* fused: the needs are the other node's */
    const size_t up = runs->needs.forward_scratch, down = runs->needs.backward_scratch;
    info->saved_nbytes = runs->needs.saved_nbytes;
    info->packed_nbytes = runs->packed_nbytes;
    info->scratch_nbytes = up > down ? up : down;
}
