/*
 * Values that share a gradient buffer, and the fills of the backward walk: zeros before the first
 * contribution to a buffer, and the cotangents of the seeds.
 *
 * The gradient of a view is the gradient of its source: contributions to either go into one buffer, and
 * nothing is copied. Only a view in wrt whose source is a seed or has other contributions has a buffer of its
 * own. The gradient of a value that only a concatenation reads is a slice of the concatenation's gradient;
 * nothing is copied.
 */
#include "plan/state.h"
#include "runtime/alloc.h"

/* Counts the contributions to the gradient of each value: one for each input of a step that is this value. */
static void count_contributions(cnv_plan *plan)
{
    for (cnv_value_id v = 0; v < plan->n_values; v++) plan->values[v]->contributions = 0;
    for (int s = 0; s < plan->n_steps; s++) {
        const cnv_node *node = plan->steps[s].node;
        for (int i = 0; i < node->n_inputs && node->needs_grad; i++) {
            cnv_value *x = cnv_plan_value(plan, node->inputs[i]);
            if (x) x->contributions++;
        }
    }
}

static bool shares_gradient(const cnv_plan *plan, const cnv_node *node)
{
    const cnv_value *x = plan->values[node->inputs[0]];
    const cnv_value *y = plan->values[node->output];
    if (!node->kernel->view) return false;
    return !y->wrt || (x->seed < 0 && x->contributions == 1);
}

/* Whether the gradient of input i is a slice of dy. */
static bool joins_gradient(const cnv_plan *plan, const cnv_node *node, int i)
{
    const cnv_value *x = cnv_plan_value(plan, node->inputs[i]);
    return x && x->gradient_root == node->inputs[i] && x->seed < 0 && x->contributions == 1;
}

static void join_gradients(cnv_plan *plan, const cnv_node *node)
{
    int64_t place = 0;
    for (int i = 0; i < node->n_inputs; i++) {
        const bool joins = joins_gradient(plan, node, i);
        for (cnv_value_id v = 0; v < plan->n_values && joins; v++) {
            if (plan->values[v]->gradient_root != node->inputs[i]) continue;
            plan->values[v]->gradient_root = plan->values[node->output]->gradient_root;
            plan->values[v]->gradient_place += place;
        }
        place += cnv_shape_size(node->x_shape[i]);
    }
}

static void find_roots(cnv_plan *plan)
{
    for (int v = 0; v < plan->n_values; v++) {
        cnv_value *value = plan->values[v];
        bool has_gradient = value->wrt || (value->wants_gradient && value->reaches_seed);
        value->gradient_root = has_gradient ? v : CNV_NONE;
        value->gradient_place = 0;
        value->gradient_born = -1;
        value->gradient_dies = 2 * plan->n_steps;
    }
    for (int s = 0; s < plan->n_steps; s++) {
        const cnv_node *node = plan->steps[s].node;
        if (node->needs_grad && shares_gradient(plan, node))
            plan->values[node->output]->gradient_root = plan->values[node->inputs[0]]->gradient_root;
        if (node->needs_grad && cnv_node_joins(node)) join_gradients(plan, node);
    }
}

static void add_fill(cnv_plan *plan, cnv_value_id value, int seed, int time)
{
    cnv_value *root = plan->values[plan->values[value]->gradient_root];
    bool first = root->gradient_born < 0;
    if (!first && seed < 0) return; /* zeros add nothing */
    if (first) root->gradient_born = time;
    plan->fills[plan->n_fills++] = (cnv_fill){.value = value, .seed = seed, .first = first};
}

/* Whether the step may overwrite the gradient of its input i, as the first to contribute to it. */
static bool takes_fresh(cnv_plan *plan, const cnv_node *node, int i, int time)
{
    cnv_value *root = plan->values[plan->values[node->inputs[i]]->gradient_root];
    if (!node->kernel->fresh || i > CNV_LAST_BIT_INPUT || root->gradient_born >= 0) return false;
    root->gradient_born = time;
    return true;
}

static void fill_before_step(cnv_plan *plan, int s)
{
    cnv_step *step = &plan->steps[s];
    const cnv_node *node = step->node;
    int time = 2 * plan->n_steps - 1 - s;
    step->first_fill = plan->n_fills;
    if (plan->values[node->output]->seed >= 0)
        add_fill(plan, node->output, plan->values[node->output]->seed, time);
    for (int i = 0; i < node->n_inputs; i++) {
        const cnv_value *x = cnv_plan_value(plan, node->inputs[i]);
        if (!x || x->gradient_root == CNV_NONE) continue;
        if (takes_fresh(plan, node, i, time))
            step->backward_io.fresh |= 1u << i;
        else
            add_fill(plan, node->inputs[i], -1, time);
    }
    step->n_fills = plan->n_fills - step->first_fill;
}

/* A gradient buffer is read last by the earliest step whose output shares it, or at the end by the user. */
static void find_ends(cnv_plan *plan)
{
    for (int s = plan->n_steps - 1; s >= 0; s--) {
        const cnv_node *node = plan->steps[s].node;
        if (!node->needs_grad) continue;
        plan->values[plan->values[node->output]->gradient_root]->gradient_dies = 2 * plan->n_steps - 1 - s;
    }
    for (cnv_value_id v = 0; v < plan->n_values; v++)
        if (plan->values[v]->wrt)
            plan->values[plan->values[v]->gradient_root]->gradient_dies = 2 * plan->n_steps;
}

/* Fills for the values in wrt that no visited node produces: their cotangents have not been added, and
 * without contributions they are zeros. */
static void fill_at_the_end(cnv_plan *plan)
{
    int before = plan->n_fills;
    for (cnv_value_id v = 0; v < plan->n_values; v++) {
        const cnv_value *value = plan->values[v];
        bool visited = value->made_by && value->made_by->needs_grad;
        if (value->wrt && !visited) add_fill(plan, v, value->seed, 2 * plan->n_steps);
    }
    plan->n_final = plan->n_fills - before;
}

cnv_status cnv_plan_lay_gradients(cnv_plan *plan, cnv_error *err)
{
    size_t most =
        (size_t)plan->n_values + (size_t)plan->n_seeds; /* a first fill for each value, and the cotangents */
    plan->fills = cnv_alloc(most, sizeof *plan->fills);
    if (!plan->fills) return cnv_fail(err, CNV_NO_MEMORY, "out of memory for %zu gradients", most);
    count_contributions(plan);
    find_roots(plan);
    for (int s = plan->n_steps - 1; s >= 0; s--)
        if (plan->steps[s].node->needs_grad) fill_before_step(plan, s);
    fill_at_the_end(plan);
    find_ends(plan);
    return CNV_OK;
}
