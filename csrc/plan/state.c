/* The lists of a plan: its values, nodes and runs are made, appended and freed here. */
#include "plan/state.h"

#include <limits.h>
#include <string.h>

#include "runtime/alloc.h"

size_t cnv_value_nbytes(const cnv_value *value)
{
    return (size_t)cnv_shape_size(&value->shape) * sizeof(float);
}

cnv_value *cnv_plan_value(const cnv_plan *plan, cnv_value_id value)
{
    return value >= 0 && value < plan->n_values ? plan->values[value] : NULL;
}

/* Makes room for one more pointer in a list that doubles. */
static cnv_status reserve(void ***list, int n, int *room, cnv_error *err)
{
    if (n < *room) return CNV_OK;
    if (n > INT_MAX / 2) return cnv_fail(err, CNV_INVALID, "the plan has too many nodes");
    int wanted = n > 0 ? 2 * n : 16;
    void **larger = cnv_alloc((size_t)wanted, sizeof *larger);
    if (!larger) return cnv_fail(err, CNV_NO_MEMORY, "out of memory for a plan of %d nodes", wanted);
    if (n > 0) memcpy(larger, *list, (size_t)n * sizeof *larger);
    cnv_free(*list);
    *list = larger;
    *room = wanted;
    return CNV_OK;
}

static cnv_status copy_name(const char *name, char **copy, cnv_error *err)
{
    size_t nbytes = strlen(name) + 1;
    *copy = cnv_alloc(nbytes, 1);
    if (!*copy) return cnv_fail(err, CNV_NO_MEMORY, "out of memory for a name");
    memcpy(*copy, name, nbytes);
    return CNV_OK;
}

static void free_value(cnv_value *value)
{
    if (!value) return;
    cnv_free(value->name);
    cnv_constant_release(value->constant);
    cnv_free(value);
}

cnv_status cnv_plan_append_value(cnv_plan *plan, const cnv_shape *shape, const char *name, cnv_origin origin,
                                 int producer, cnv_value_id *value, cnv_error *err)
{
    cnv_status status = CNV_OK;
    cnv_value *made = NULL;
    CNV_TRY(cnv_shape_check(shape, name, err));
    CNV_TRY(reserve((void ***)&plan->values, plan->n_values, &plan->room_values, err));
    made = cnv_alloc(1, sizeof *made);
    if (!made) {
        status = cnv_fail(err, CNV_NO_MEMORY, "out of memory for a value");
        goto done;
    }
    CNV_TRY(copy_name(name, &made->name, err));
    made->shape = *shape;
    made->origin = origin;
    made->producer = producer;
    made->seed = -1;
    plan->values[plan->n_values] = made;
    *value = plan->n_values++;
    made = NULL;
done:
    free_value(made);
    return status;
}

void cnv_plan_drop_values(cnv_plan *plan, int n)
{
    while (plan->n_values > n) free_value(plan->values[--plan->n_values]);
}

cnv_status cnv_node_new(const cnv_plan *plan, const cnv_kernel *kernel, const cnv_value_id *inputs,
                        int n_inputs, int width, const char *name, cnv_node **node, cnv_error *err)
{
    cnv_status status = CNV_OK;
    size_t n = (size_t)width;
    cnv_node *made = cnv_alloc(1, sizeof *made);
    cnv_value_id *ids = cnv_alloc(n, sizeof *ids);
    const cnv_shape **shapes = cnv_alloc(n, sizeof *shapes);
    if (!made || !ids || !shapes) {
        status = cnv_fail(err, CNV_NO_MEMORY, "out of memory for a node");
        goto done;
    }
    CNV_TRY(copy_name(name, &made->name, err));
    for (int i = 0; i < width; i++) {
        const cnv_value *x = i < n_inputs ? cnv_plan_value(plan, inputs[i]) : NULL;
        ids[i] = i < n_inputs ? inputs[i] : CNV_NONE;
        shapes[i] = x ? &x->shape : NULL;
    }
    *made = (cnv_node){.kernel = kernel,
                       .name = made->name,
                       .inputs = ids,
                       .n_inputs = width,
                       .output = CNV_NONE,
                       .x_shape = shapes,
                       .label = ""};
    *node = made;
    made = NULL;
    ids = NULL;
    shapes = NULL;
done:
    cnv_free(made);
    cnv_free(ids);
    cnv_free((void *)shapes);
    return status;
}

void cnv_node_free(cnv_node *node)
{
    if (!node) return;
    cnv_free(node->form);
    cnv_free(node->name);
    cnv_free(node->inputs);
    cnv_free((void *)node->x_shape);
    cnv_free(node);
}

cnv_status cnv_plan_append_node(cnv_plan *plan, cnv_node *node, cnv_error *err)
{
    cnv_status status = reserve((void ***)&plan->nodes, plan->n_nodes, &plan->room_nodes, err);
    if (status == CNV_OK) plan->nodes[plan->n_nodes++] = node;
    return status;
}

cnv_status cnv_plan_append_run(cnv_plan *plan, cnv_node *node, cnv_error *err)
{
    cnv_status status = reserve((void ***)&plan->runs, plan->n_runs, &plan->room_runs, err);
    if (status == CNV_OK) plan->runs[plan->n_runs++] = node;
    return status;
}

cnv_status cnv_plan_new(cnv_plan **plan, cnv_error *err)
{
    *plan = cnv_alloc(1, sizeof **plan);
    return *plan ? CNV_OK : cnv_fail(err, CNV_NO_MEMORY, "out of memory for a plan");
}

void cnv_plan_unprepare(cnv_plan *plan)
{
    for (int s = 0; s < plan->n_steps; s++) {
        cnv_free((void *)plan->steps[s].x);
        cnv_free((void *)plan->steps[s].dx);
    }
    cnv_free(plan->steps);
    cnv_free(plan->fills);
    cnv_free(plan->buffers);
    cnv_workspace_release(plan->workspace);
    for (int n = 0; n < plan->n_runs; n++)
        if (!plan->runs[n]->op) cnv_node_free(plan->runs[n]);
    cnv_free(plan->runs);
    if (plan->n_user_values > 0) cnv_plan_drop_values(plan, plan->n_user_values);
    for (int n = 0; n < plan->n_nodes; n++) {
        plan->nodes[n]->by = NULL;
        plan->nodes[n]->label = "";
    }
    for (int v = 0; v < plan->n_values; v++) plan->values[v]->made_by = NULL;
    plan->runs = NULL;
    plan->n_runs = plan->room_runs = plan->n_user_values = 0;
    plan->steps = NULL;
    plan->fills = NULL;
    plan->buffers = NULL;
    plan->workspace = NULL;
    plan->base = NULL;
    plan->n_steps = plan->n_fills = plan->n_final = 0;
    plan->memory = (cnv_plan_memory){0};
    plan->stage = CNV_BUILDING;
}

void cnv_plan_free(cnv_plan *plan)
{
    if (!plan) return;
    cnv_plan_unprepare(plan);
    for (int i = 0; i < plan->n_nodes; i++) cnv_node_free(plan->nodes[i]);
    for (int i = 0; i < plan->n_values; i++) free_value(plan->values[i]);
    cnv_free(plan->nodes);
    cnv_free(plan->values);
    cnv_free(plan);
}
