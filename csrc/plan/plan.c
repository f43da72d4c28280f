/* The builder: values and nodes are appended one by one, and every mistake is found before anything changes.
 */
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "plan/constant.h"
#include "plan/state.h"
#include "plan/table.h"
#include "runtime/alloc.h"

size_t cnv_value_nbytes(const cnv_value *value)
{
    return (size_t)cnv_shape_size(&value->shape) * sizeof(float);
}

cnv_value *cnv_plan_value(const cnv_plan *plan, cnv_value_id value)
{
    return value >= 0 && value < plan->n_values ? plan->values[value] : NULL;
}

cnv_status cnv_plan_new(cnv_plan **plan, cnv_error *err)
{
    *plan = cnv_alloc(1, sizeof **plan);
    return *plan ? CNV_OK : cnv_fail(err, CNV_NO_MEMORY, "out of memory for a plan");
}

static void free_value(cnv_value *value)
{
    if (!value) return;
    cnv_free(value->name);
    cnv_constant_release(value->constant);
    cnv_free(value);
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

static cnv_status check_building(const cnv_plan *plan, const char *name, cnv_error *err)
{
    if (plan->stage == CNV_BUILDING) return CNV_OK;
    return cnv_fail(err, CNV_INVALID, "%s: the plan is prepared, nothing can be added to it", name);
}

/* Room for one more pointer in a list that doubles. */
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

/* A value that is not in the plan yet, with room for it there. */
static cnv_status new_value(cnv_plan *plan, const cnv_shape *shape, const char *name, cnv_value **value,
                            cnv_error *err)
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
    *value = made;
    made = NULL;
done:
    free_value(made);
    return status;
}

static cnv_value_id append_value(cnv_plan *plan, cnv_value *value, cnv_origin origin, int producer)
{
    value->origin = origin;
    value->producer = producer;
    plan->values[plan->n_values] = value;
    return plan->n_values++;
}

cnv_status cnv_plan_input(cnv_plan *plan, const cnv_shape *shape, const char *name, cnv_value_id *value,
                          cnv_error *err)
{
    cnv_status status = CNV_OK;
    cnv_value *made;
    CNV_TRY(check_building(plan, name, err));
    CNV_TRY(new_value(plan, shape, name, &made, err));
    *value = append_value(plan, made, CNV_FROM_INPUT, plan->n_inputs++);
done:
    return status;
}

cnv_status cnv_plan_constant(cnv_plan *plan, cnv_constant *constant, const char *name, cnv_value_id *value,
                             cnv_error *err)
{
    cnv_status status = CNV_OK;
    cnv_value *made;
    CNV_TRY(check_building(plan, name, err));
    CNV_TRY(new_value(plan, cnv_constant_shape(constant), name, &made, err));
    made->constant = cnv_constant_retain(constant);
    *value = append_value(plan, made, CNV_FROM_CONSTANT, -1);
done:
    return status;
}

/* The number of inputs and each id; absent ones only after the mandatory ones, and none of a list. */
static cnv_status check_inputs(const cnv_plan *plan, const cnv_op *op, const cnv_value_id *inputs,
                               int n_inputs, cnv_error *err)
{
    const int fewest = cnv_fewest_inputs(op->arguments), most = cnv_most_inputs(op->arguments);
    if (n_inputs < fewest || n_inputs > most)
        return cnv_fail(err, CNV_INVALID, "%d inputs given, %d to %d are possible", n_inputs, fewest, most);
    for (int i = 0; i < n_inputs; i++) {
        if (inputs[i] == CNV_NONE && i >= fewest && most < CNV_MANY) continue;
        if (!cnv_plan_value(plan, inputs[i]))
            return cnv_fail(err, CNV_INVALID, "input %d is value %d, but the plan has %d values", i,
                            (int)inputs[i], plan->n_values);
    }
    return CNV_OK;
}

/* The inputs of a node, absent ones included; of a list, its length. */
static int width_of(const cnv_op *op, int n_inputs)
{
    const int most = cnv_most_inputs(op->arguments);
    return most == CNV_MANY ? n_inputs : most;
}

/* A node with everything but its output. `width` is the number of its inputs, absent ones included. */
static cnv_status new_node(cnv_plan *plan, const cnv_op *op, const cnv_value_id *inputs, int n_inputs,
                           int width, const cnv_params *params, const char *name, cnv_node **node,
                           cnv_error *err)
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
        ids[i] = i < n_inputs ? inputs[i] : CNV_NONE;
        shapes[i] = cnv_plan_shape(plan, ids[i]);
    }
    *made = (cnv_node){.op = op,
                       .name = made->name,
                       .inputs = ids,
                       .n_inputs = width,
                       .output = CNV_NONE,
                       .params = params ? *params : (cnv_params){.axis = 0},
                       .x_shape = shapes,
                       .kernel = ""};
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

/* Puts the node's name and operator in front of a row's message. */
static void prefix_message(cnv_error *err, const char *name, const char *op)
{
    cnv_error plain;
    if (!err) return;
    plain = *err;
    cnv_fail(err, CNV_INVALID, "%.400s (%s): %.500s", name, op, plain.message);
}

static cnv_status infer(const cnv_node *node, cnv_shape *shape, cnv_error *err)
{
    cnv_status status = node->op->infer(node, shape, err);
    return status == CNV_OK ? cnv_shape_check(shape, "the output", err) : status;
}

cnv_status cnv_plan_add(cnv_plan *plan, const char *op_name, const cnv_value_id *inputs, int n_inputs,
                        const cnv_params *params, const char *name, cnv_value_id *value, cnv_error *err)
{
    cnv_status status = CNV_OK;
    cnv_node *node = NULL;
    cnv_value *output = NULL;
    cnv_shape shape = {0};
    const cnv_op *op = cnv_op_find(op_name);
    CNV_TRY(check_building(plan, name, err));
    if (!op) {
        status = cnv_fail(err, CNV_INVALID, "%s: there is no operator %s", name, op_name);
        goto done;
    }
    status = check_inputs(plan, op, inputs, n_inputs, err);
    if (status == CNV_OK)
        status = new_node(plan, op, inputs, n_inputs, width_of(op, n_inputs), params, name, &node, err);
    if (status == CNV_OK) status = infer(node, &shape, err);
    if (status == CNV_OK) status = reserve((void ***)&plan->nodes, plan->n_nodes, &plan->room_nodes, err);
    if (status == CNV_OK) status = new_value(plan, &shape, name, &output, err);
    if (status != CNV_OK) {
        prefix_message(err, name, op_name);
        goto done;
    }
    node->y_shape = &output->shape;
    node->output = *value = append_value(plan, output, CNV_FROM_NODE, plan->n_nodes);
    plan->nodes[plan->n_nodes++] = node;
    node = NULL;
done:
    cnv_node_free(node);
    return status;
}

cnv_status cnv_plan_make_value(cnv_plan *plan, const cnv_shape *shape, const char *name, cnv_value_id *value,
                               cnv_error *err)
{
    cnv_value *made;
    cnv_status status = new_value(plan, shape, name, &made, err);
    if (status != CNV_OK) return status;
    made->seed = -1;
    *value = append_value(plan, made, CNV_FROM_NODE, -1);
    return status;
}

cnv_status cnv_plan_make_node(cnv_plan *plan, const cnv_op *op, const cnv_value_id *inputs, int n_inputs,
                              const cnv_params *params, const char *name, cnv_node **node, cnv_error *err)
{
    return new_node(plan, op, inputs, n_inputs, n_inputs, params, name, node, err);
}

void cnv_plan_drop_values(cnv_plan *plan, int n)
{
    while (plan->n_values > n) free_value(plan->values[--plan->n_values]);
}

cnv_status cnv_plan_append_run(cnv_plan *plan, cnv_node *node, cnv_error *err)
{
    cnv_status status = reserve((void ***)&plan->runs, plan->n_runs, &plan->room_runs, err);
    if (status == CNV_OK) plan->runs[plan->n_runs++] = node;
    return status;
}

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

/* Adds up the steps that go by the node's name: itself, or what prepare has made for it and its output. */
static void add_times(const cnv_plan *plan, const cnv_node *node, cnv_node_info *info)
{
    for (int s = 0; s < plan->n_steps; s++) {
        const cnv_step *step = &plan->steps[s];
        if (step->node != node && (!step->node->form || strcmp(step->node->name, node->name) != 0)) continue;
        info->forward_seconds += step->forward_seconds;
        info->backward_seconds += step->backward_seconds;
    }
}

void cnv_plan_node_info(const cnv_plan *plan, int i, cnv_node_info *info)
{
    const cnv_node *node = plan->nodes[i], *runs = node->by ? node->by : node;
    *info = (cnv_node_info){.name = node->name,
                            .op = node->op->name,
                            .kernel = node->kernel,
                            .value = node->output,
                            .forward = runs->runs_forward,
                            .backward = runs->needs_grad};
    add_times(plan, node, info);
    if (runs != node && strcmp(runs->name, node->name) != 0) return; /* fused: the needs are the other's */
    const size_t up = runs->needs.forward_scratch, down = runs->needs.backward_scratch;
    info->saved_nbytes = runs->needs.saved_nbytes;
    info->packed_nbytes = runs->packed_nbytes;
    info->scratch_nbytes = up > down ? up : down;
}
