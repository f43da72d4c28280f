/* The builder: values and nodes are appended one by one, and every mistake is found before anything changes.
 */
#include "plan/constant.h"
#include "plan/state.h"
#include "plan/table.h"

static cnv_status check_building(const cnv_plan *plan, const char *name, cnv_error *err)
{
    if (plan->stage == CNV_BUILDING) return CNV_OK;
    return cnv_fail(err, CNV_INVALID, "%s: the plan is prepared, nothing can be added to it", name);
}

cnv_status cnv_plan_input(cnv_plan *plan, const cnv_shape *shape, const char *name, cnv_value_id *value,
                          cnv_error *err)
{
    cnv_status status = CNV_OK;
    CNV_TRY(check_building(plan, name, err));
    CNV_TRY(cnv_plan_append_value(plan, shape, name, CNV_FROM_INPUT, plan->n_inputs, value, err));
    plan->n_inputs++;
done:
    return status;
}

cnv_status cnv_plan_constant(cnv_plan *plan, cnv_constant *constant, const char *name, cnv_value_id *value,
                             cnv_error *err)
{
    cnv_status status = CNV_OK;
    CNV_TRY(check_building(plan, name, err));
    CNV_TRY(
        cnv_plan_append_value(plan, cnv_constant_shape(constant), name, CNV_FROM_CONSTANT, -1, value, err));
    plan->values[*value]->constant = cnv_constant_retain(constant);
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

/* Appends the output and then the node; the plan owns it afterwards. */
static cnv_status append(cnv_plan *plan, cnv_node *node, const cnv_shape *shape, cnv_value_id *value,
                         cnv_error *err)
{
    cnv_value_id output;
    cnv_status status =
        cnv_plan_append_value(plan, shape, node->name, CNV_FROM_NODE, plan->n_nodes, &output, err);
    if (status != CNV_OK) return status;
    status = cnv_plan_append_node(plan, node, err);
    if (status != CNV_OK) {
        cnv_plan_drop_values(plan, output);
        return status;
    }
    node->y_shape = &plan->values[output]->shape;
    node->output = *value = output;
    return CNV_OK;
}

/* Checks and appends a node of the operator. */
static cnv_status add(cnv_plan *plan, const cnv_op *op, const cnv_value_id *inputs, int n_inputs,
                      const cnv_params *params, const char *name, cnv_value_id *value, cnv_error *err)
{
    cnv_status status = CNV_OK;
    cnv_node *node = NULL;
    cnv_shape shape = {0};
    CNV_TRY(check_inputs(plan, op, inputs, n_inputs, err));
    CNV_TRY(cnv_node_new(plan, &op->kernel, inputs, n_inputs, width_of(op, n_inputs), name, &node, err));
    node->op = op;
    if (params) node->params = *params;
    CNV_TRY(infer(node, &shape, err));
    CNV_TRY(append(plan, node, &shape, value, err));
    node = NULL;
done:
    cnv_node_free(node);
    return status;
}

cnv_status cnv_plan_add(cnv_plan *plan, const char *op_name, const cnv_value_id *inputs, int n_inputs,
                        const cnv_params *params, const char *name, cnv_value_id *value, cnv_error *err)
{
    cnv_status status = CNV_OK;
    const cnv_op *op = cnv_op_find(op_name);
    CNV_TRY(check_building(plan, name, err));
    if (!op) {
        status = cnv_fail(err, CNV_INVALID, "%s: there is no operator %s", name, op_name);
        goto done;
    }
    status = add(plan, op, inputs, n_inputs, params, name, value, err);
    if (status != CNV_OK) prefix_message(err, name, op_name);
done:
    return status;
}
