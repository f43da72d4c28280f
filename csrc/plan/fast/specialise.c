/*
 * Nodes -> runs: nodes that the fast tier can compute become made nodes on blocked pictures; every other node
 * runs as the user built it. A picture stays blocked from node to node, and a layout node converts it where a
 * node that needs the other layout, or the user, reads it.
 *
 * A value that the request names is always made in N,C,H,W too. If the caller wants a value's gradient, all
 * its consumers read the N,C,H,W copy, so that one buffer receives the whole gradient.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "plan/fast/blocked.h"
#include "plan/fast/fuse.h"
#include "plan/op.h"
#include "runtime/alloc.h"

/* A value of the user's. */
typedef struct lowered_value {
    cnv_value_id blocked; /* blocked copy that consumers read; CNV_NONE before it is made */
    bool plain;         /* the N,C,H,W numbers need no layout node: a run, an input or a constant has them */
    bool comes_blocked; /* the producer writes a blocked picture */
} lowered_value;

typedef struct lowering {
    cnv_plan *plan;
    const cnv_fast *fast;
    lowered_value *values;
    cnv_fusion *fusion;
    int *readers;
} lowering;

/* Appends a node to the runs as the one that computes a value; the runs own a made node from here on. */
static cnv_status append(lowering *l, cnv_node *node, cnv_value_id output, cnv_error *err)
{
    cnv_value *y = l->plan->values[output];
    node->output = output;
    node->y_shape = &y->shape;
    y->made_by = node;
    return cnv_plan_append_run(l->plan, node, err);
}

/* Makes a node without output, in place of a node of the user's or of none (NULL). It owns the form, which is
 * freed on failure too. */
static cnv_status make(lowering *l, const cnv_kernel *kernel, const cnv_value_id *inputs, int n_inputs,
                       const cnv_node *user, const char *name, void *form, cnv_node **node, cnv_error *err)
{
    cnv_status status = form != NULL ? CNV_OK : cnv_fail(err, CNV_NO_MEMORY, "out of memory for a node");
    if (status == CNV_OK) status = cnv_node_new(l->plan, kernel, inputs, n_inputs, n_inputs, name, node, err);
    if (status != CNV_OK) {
        cnv_free(form);
        return status;
    }
    (*node)->made_for = user;
    (*node)->form = form;
    (*node)->label = ((cnv_form *)form)->text;
    return CNV_OK;
}

static cnv_form *new_form(const lowering *l, const char *what, const cnv_shape *picture)
{
    cnv_form *form = cnv_alloc(1, sizeof *form);
    if (form == NULL) return NULL;
    form->fast = l->fast;
    form->picture = cnv_picture_of(picture);
    form->high = INFINITY;
    snprintf(form->text, sizeof form->text, "%s %s", l->fast->name, what);
    return form;
}

/* Appends a layout node x -> y for a value of the user's, which is either x or y. */
static cnv_status convert(lowering *l, const cnv_kernel *kernel, cnv_value_id x, cnv_value_id y,
                          cnv_value_id value, cnv_error *err)
{
    const cnv_value *v = l->plan->values[value];
    const cnv_node *user = v->origin == CNV_FROM_NODE ? l->plan->nodes[v->producer] : NULL;
    cnv_node *node = NULL;
    cnv_status status = make(l, kernel, &x, 1, user, v->name, new_form(l, "layout", &v->shape), &node, err);
    if (status != CNV_OK) return status;
    status = append(l, node, y, err);
    if (status != CNV_OK) cnv_node_free(node);
    return status;
}

/* The blocked copy of a value, converted from N,C,H,W unless it is there. */
static cnv_status blocked(lowering *l, cnv_value_id value, cnv_value_id *twin, cnv_error *err)
{
    cnv_status status = CNV_OK;
    const cnv_value *v = l->plan->values[value];
    if (l->values[value].blocked == CNV_NONE) {
        const cnv_shape shape = cnv_blocked_shape(&v->shape);
        CNV_TRY(cnv_plan_append_value(l->plan, &shape, v->name, CNV_FROM_NODE, -1, twin, err));
        CNV_TRY(convert(l, &cnv_kernel_to_blocked, value, *twin, value, err));
        l->values[value].blocked = *twin;
    }
    *twin = l->values[value].blocked;
done:
    return status;
}

/* Makes sure that a value's N,C,H,W numbers are computed. */
static cnv_status plain(lowering *l, cnv_value_id value, cnv_error *err)
{
    const cnv_value *v = cnv_plan_value(l->plan, value);
    if (v == NULL || l->values[value].plain) return CNV_OK;
    l->values[value].plain = true;
    return convert(l, &cnv_kernel_to_plain, l->values[value].blocked, value, value, err);
}

/* Appends a made node to the runs as the one that computes the blocked copy of a value. */
static cnv_status emit(lowering *l, cnv_node *node, cnv_value_id value, cnv_error *err)
{
    cnv_status status = CNV_OK;
    const cnv_value *v = l->plan->values[value];
    const cnv_shape shape = cnv_blocked_shape(&v->shape);
    lowered_value *lowered = &l->values[value];
    cnv_node *pending = node;
    CNV_TRY(cnv_plan_append_value(l->plan, &shape, v->name, CNV_FROM_NODE, -1, &lowered->blocked, err));
    CNV_TRY(append(l, node, lowered->blocked, err));
    pending = NULL;
    lowered->comes_blocked = true;
    lowered->plain = false;
    if (v->keep || v->wrt || v->seed >= 0) CNV_TRY(plain(l, value, err));
    if (v->wrt) lowered->blocked = CNV_NONE;
done:
    cnv_node_free(pending);
    return status;
}

/* Notes in a user's node the made node that computes it. */
static void credit(cnv_plan *plan, int n, cnv_node *by, const char *label)
{
    plan->nodes[n]->by = by;
    plan->nodes[n]->label = label;
}

static void add_text(cnv_form *form, const char *text)
{
    const size_t used = strlen(form->text);
    snprintf(form->text + used, sizeof form->text - used, "%s", text);
}

/* Lets a form end with the rectifier that node n is. */
static void rectify(cnv_form *form, const cnv_node *node)
{
    form->rectify = true;
    form->high = node->op == &cnv_op_clip ? node->params.clip.high : INFINITY;
}

static void credit_fused(cnv_plan *plan, const cnv_fusion *f, cnv_node *by)
{
    cnv_form *form = by->form;
    if (f->addition >= 0) add_text(form, " + add");
    if (f->rectifier >= 0) add_text(form, " + relu");
    if (f->addition >= 0) credit(plan, f->addition, by, "fused");
    if (f->rectifier >= 0) credit(plan, f->rectifier, by, "fused");
    credit(plan, f->first, by, form->text);
}

/* A convolution, fused with the nodes after it up to `last`. */
static cnv_status lower_conv(lowering *l, int last, cnv_error *err)
{
    cnv_status status = CNV_OK;
    cnv_plan *plan = l->plan;
    const cnv_fusion *f = &l->fusion[last];
    const cnv_node *conv = plan->nodes[f->first];
    const bool depthwise = !cnv_conv_is_served(conv), planar = !depthwise && cnv_conv_is_planar(conv);
    cnv_value_id inputs[4] = {conv->inputs[0], conv->inputs[1], conv->inputs[2], CNV_NONE};
    cnv_node *node = NULL;
    if (planar)
        CNV_TRY(plain(l, inputs[0], err));
    else
        CNV_TRY(blocked(l, conv->inputs[0], &inputs[0], err));
    if (f->residual != CNV_NONE) CNV_TRY(blocked(l, f->residual, &inputs[3], err));
    void *form =
        depthwise ? cnv_depthwise_form(conv, l->fast) : cnv_conv_form(conv, l->fast, planar, plan->threads);
    CNV_TRY(make(l, depthwise ? &cnv_kernel_blocked_depthwise : &cnv_kernel_blocked_conv, inputs,
                 depthwise ? 3 : 4, conv, conv->name, form, &node, err));
    if (f->rectifier >= 0) rectify(form, plan->nodes[f->rectifier]);
    credit_fused(plan, f, node);
    CNV_TRY(emit(l, node, plan->nodes[last]->output, err));
done:
    return status;
}

/* A transposed convolution. */
static cnv_status lower_transposed(lowering *l, int n, cnv_error *err)
{
    cnv_status status = CNV_OK;
    const cnv_node *user = l->plan->nodes[n];
    cnv_value_id inputs[3] = {CNV_NONE, user->inputs[1], user->inputs[2]};
    cnv_node *node = NULL;
    CNV_TRY(blocked(l, user->inputs[0], &inputs[0], err));
    cnv_form *form = cnv_conv_form(user, l->fast, false, l->plan->threads);
    CNV_TRY(make(l, &cnv_kernel_blocked_conv_transpose, inputs, 3, user, user->name, form, &node, err));
    credit(l->plan, n, node, form->text);
    CNV_TRY(emit(l, node, user->output, err));
done:
    return status;
}

/* An addition or a rectifier that is not fused with a convolution. */
static cnv_status lower_finish(lowering *l, int n, cnv_error *err)
{
    cnv_status status = CNV_OK;
    const cnv_node *user = l->plan->nodes[n];
    const bool adds = !cnv_is_rectifier(user);
    cnv_value_id inputs[2] = {CNV_NONE, CNV_NONE};
    cnv_node *node = NULL;
    for (int i = 0; i < (adds ? 2 : 1); i++) CNV_TRY(blocked(l, user->inputs[i], &inputs[i], err));
    cnv_form *form = new_form(l, adds ? "add" : "relu", user->y_shape);
    CNV_TRY(make(l, &cnv_kernel_blocked_finish, inputs, 2, user, user->name, form, &node, err));
    if (!adds) rectify(form, user);
    credit(l->plan, n, node, form->text);
    CNV_TRY(emit(l, node, user->output, err));
done:
    return status;
}

static cnv_status lower_pool(lowering *l, int n, cnv_error *err)
{
    cnv_status status = CNV_OK;
    const cnv_node *user = l->plan->nodes[n];
    const bool max = user->op == &cnv_op_max_pool;
    cnv_value_id x;
    cnv_node *node = NULL;
    CNV_TRY(blocked(l, user->inputs[0], &x, err));
    cnv_form *form = new_form(l, max ? "max pool" : "average pool", user->y_shape);
    CNV_TRY(make(l, max ? &cnv_kernel_blocked_max_pool : &cnv_kernel_blocked_average_pool, &x, 1, user,
                 user->name, form, &node, err));
    form->pool = cnv_pool_of(user);
    credit(l->plan, n, node, form->text);
    CNV_TRY(emit(l, node, user->output, err));
done:
    return status;
}

/* Global average pooling writes N,C,1,1: a picture of one pixel is a list of channels. */
static cnv_status lower_mean(lowering *l, int n, cnv_error *err)
{
    cnv_status status = CNV_OK;
    const cnv_node *user = l->plan->nodes[n];
    cnv_value_id x;
    cnv_node *node = NULL;
    CNV_TRY(blocked(l, user->inputs[0], &x, err));
    cnv_form *form = new_form(l, "mean", user->x_shape[0]);
    CNV_TRY(make(l, &cnv_kernel_blocked_mean, &x, 1, user, user->name, form, &node, err));
    form->pool = cnv_pool_of(user);
    credit(l->plan, n, node, form->text);
    status = append(l, node, user->output, err);
    if (status != CNV_OK) cnv_node_free(node);
done:
    return status;
}

static cnv_status lower_linear(lowering *l, int n, cnv_error *err)
{
    cnv_status status = CNV_OK;
    const cnv_node *user = l->plan->nodes[n];
    cnv_node *node = NULL;
    CNV_TRY(plain(l, user->inputs[0], err));
    cnv_form *form = new_form(l, "linear", user->x_shape[0]);
    CNV_TRY(make(l, &cnv_kernel_fast_linear, user->inputs, 3, user, user->name, form, &node, err));
    credit(l->plan, n, node, form->text);
    status = append(l, node, user->output, err);
    if (status != CNV_OK) cnv_node_free(node);
done:
    return status;
}

/* Whether a node concatenates channels, and all inputs but the last fill their blocks. */
static bool concat_is_served(const cnv_node *node)
{
    if (node->op != &cnv_op_concat || node->y_shape->ndim != 4 || node->params.axis != 1) return false;
    for (int i = 0; i + 1 < node->n_inputs; i++)
        if (node->x_shape[i]->dim[1] % CNV_LANES != 0) return false;
    return true;
}

static cnv_status lower_concat(lowering *l, int n, cnv_error *err)
{
    cnv_status status = CNV_OK;
    const cnv_node *user = l->plan->nodes[n];
    cnv_node *node = NULL;
    cnv_value_id *inputs = cnv_alloc((size_t)user->n_inputs, sizeof *inputs);
    if (inputs == NULL) {
        status = cnv_fail(err, CNV_NO_MEMORY, "out of memory for a node");
        goto done;
    }
    for (int i = 0; i < user->n_inputs; i++) CNV_TRY(blocked(l, user->inputs[i], &inputs[i], err));
    cnv_form *form = new_form(l, "concat", user->y_shape);
    CNV_TRY(make(l, &cnv_kernel_blocked_concat, inputs, user->n_inputs, user, user->name, form, &node, err));
    credit(l->plan, n, node, form->text);
    CNV_TRY(emit(l, node, user->output, err));
done:
    cnv_free(inputs);
    return status;
}

/* The node as the user built it. */
static cnv_status keep(lowering *l, int n, cnv_error *err)
{
    cnv_status status = CNV_OK;
    cnv_node *user = l->plan->nodes[n];
    for (int i = 0; i < user->n_inputs; i++) CNV_TRY(plain(l, user->inputs[i], err));
    CNV_TRY(append(l, user, user->output, err));
done:
    return status;
}

/* Whether an input comes blocked: a node after a convolution is computed blocked, one before it is not. */
static bool reads_blocked(const lowering *l, const cnv_node *node)
{
    for (int i = 0; i < node->n_inputs; i++)
        if (node->inputs[i] != CNV_NONE && l->values[node->inputs[i]].comes_blocked) return true;
    return false;
}

static cnv_status lower_node(lowering *l, int n, cnv_error *err)
{
    const cnv_node *node = l->plan->nodes[n];
    const cnv_fusion *f = &l->fusion[n];
    if (f->last != n) return CNV_OK; /* fused with a later node */
    if (f->first != n || cnv_is_fast_conv(l->plan, node)) return lower_conv(l, n, err);
    if (cnv_is_fast_transposed(l->plan, node)) return lower_transposed(l, n, err);
    if (cnv_is_fast_linear(l->plan, node)) return lower_linear(l, n, err);
    if (!reads_blocked(l, node)) return keep(l, n, err);
    if (cnv_is_rectifier(node) || cnv_is_addition(l->plan, node)) return lower_finish(l, n, err);
    if (cnv_pool_is_served(node)) return lower_pool(l, n, err);
    if (node->op == &cnv_op_global_average_pool && node->x_shape[0]->ndim == 4) return lower_mean(l, n, err);
    if (concat_is_served(node)) return lower_concat(l, n, err);
    return keep(l, n, err);
}

static cnv_status lower_all(lowering *l, cnv_error *err)
{
    cnv_status status = CNV_OK;
    cnv_plan *plan = l->plan;
    for (cnv_value_id v = 0; v < plan->n_user_values; v++)
        l->values[v] = (lowered_value){.blocked = CNV_NONE, .plain = true};
    for (int n = 0; n < plan->n_nodes; n++)
        for (int i = 0; i < plan->nodes[n]->n_inputs; i++)
            if (plan->nodes[n]->inputs[i] != CNV_NONE) l->readers[plan->nodes[n]->inputs[i]]++;
    cnv_plan_fuse(plan, l->readers, l->fusion);
    for (int n = 0; n < plan->n_nodes && status == CNV_OK; n++) {
        plan->nodes[n]->runs_forward = plan->nodes[n]->needs_grad = false;
        status = lower_node(l, n, err);
    }
    return status;
}

cnv_status cnv_plan_lower(cnv_plan *plan, cnv_error *err)
{
    cnv_status status = CNV_OK;
    const cnv_fast *fast = cnv_fast_kernels();
    for (int n = 0; n < plan->n_nodes && fast == NULL; n++) {
        plan->values[plan->nodes[n]->output]->made_by = plan->nodes[n];
        CNV_TRY(cnv_plan_append_run(plan, plan->nodes[n], err));
    }
    if (fast == NULL) return CNV_OK;
    lowering l = {.plan = plan,
                  .fast = fast,
                  .values = cnv_alloc((size_t)plan->n_user_values, sizeof *l.values),
                  .fusion = cnv_alloc((size_t)plan->n_nodes, sizeof *l.fusion),
                  .readers = cnv_alloc((size_t)plan->n_user_values, sizeof *l.readers)};
    if (l.values != NULL && l.fusion != NULL && l.readers != NULL)
        status = lower_all(&l, err);
    else
        status =
            cnv_fail(err, CNV_NO_MEMORY, "out of memory for preparing a plan of %d nodes", plan->n_nodes);
    cnv_free(l.values);
    cnv_free(l.fusion);
    cnv_free(l.readers);
done:
    return status;
}
