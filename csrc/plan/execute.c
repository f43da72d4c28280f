/* The two walks: forward up the steps, backward down them. Prepare has decided everything else. */
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 199309L /* clock_gettime */
#endif
#include <string.h>
#include <time.h>

#include "plan/constant.h"
#include "plan/state.h"

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static cnv_run start_run(const cnv_plan *plan, bool (*interrupted)(void *), void *owner)
{
    return (cnv_run){
        .threads = plan->threads, .interrupted = interrupted, .owner = owner, .cancelled = false};
}

/* Writes the arrays that this pass reads into the steps: a pass brings new arrays for the inputs. */
static void bind_inputs(cnv_plan *plan, const float *const *inputs)
{
    for (cnv_value_id v = 0; v < plan->n_values; v++) {
        const cnv_value *held = plan->values[plan->values[v]->storage];
        if (held->origin == CNV_FROM_INPUT) plan->values[v]->data = inputs[held->producer];
        if (held->origin == CNV_FROM_CONSTANT) cnv_constant_refresh(held->constant);
    }
    for (int s = 0; s < plan->n_steps; s++) {
        cnv_step *step = &plan->steps[s];
        const cnv_node *node = step->node;
        for (int i = 0; i < node->n_inputs; i++) {
            const cnv_value *x = cnv_plan_value(plan, node->inputs[i]);
            step->x[i] = x ? x->data : NULL;
            bool constant = x && x->origin == CNV_FROM_CONSTANT;
            step->x[node->n_inputs + i] = constant || cnv_node_backward_reads(node, i) ? step->x[i] : NULL;
        }
    }
}

cnv_status cnv_plan_forward(cnv_plan *plan, const float *const *inputs, bool (*interrupted)(void *),
                            void *owner, cnv_error *err)
{
    cnv_run run = start_run(plan, interrupted, owner);
    if (plan->stage == CNV_BUILDING)
        return cnv_fail(err, CNV_INVALID, "forward needs a prepared plan: call prepare first");
    cnv_status status = cnv_workspace_enter(plan->workspace, err);
    if (status != CNV_OK) return status;
    plan->stage = CNV_PREPARED;
    plan->workspace->holder = plan;
    if (plan->base != plan->workspace->base) cnv_plan_locate(plan);
    bind_inputs(plan, inputs);
    for (int s = 0; s < plan->n_steps; s++) {
        cnv_step *step = &plan->steps[s];
        const double start = now();
        if (cnv_run_cancelled(&run)) break;
        if (step->forward) step->forward(step->node, &step->forward_io, &run);
        step->forward_seconds = now() - start;
    }
    const bool stopped = cnv_run_cancelled(&run);
    cnv_workspace_leave(plan->workspace);
    if (stopped) return cnv_fail(err, CNV_INTERRUPTED, "forward was interrupted");
    plan->stage = CNV_FORWARD_DONE;
    return CNV_OK;
}

/* Whether the activations of the last forward are still in the workspace. */
static bool holds(const cnv_plan *plan)
{
    return plan->stage >= CNV_FORWARD_DONE && plan->workspace->holder == plan;
}

/* CHUNK is the number of floats in one item of a fill: enough to make the cost of an item negligible, few
 * enough to share a large buffer among all threads. */
#define CHUNK ((int64_t)1 << 16)

typedef struct {
    float *to;
    const float *from; /* NULL stands for zeros */
    int64_t size;
    bool add;
} fill_context;

static void fill_chunk(void *context, int64_t item, int worker)
{
    const fill_context *fill = context;
    int64_t start = item * CHUNK;
    int64_t n = fill->size - start < CHUNK ? fill->size - start : CHUNK;
    float *to = fill->to + start;
    (void)worker;
    if (!fill->from) {
        memset(to, 0, (size_t)n * sizeof *to);
    } else if (!fill->add) {
        memcpy(to, fill->from + start, (size_t)n * sizeof *to);
    } else {
        for (int64_t i = 0; i < n; i++) to[i] += fill->from[start + i];
    }
}

static void fill(fill_context context, cnv_run *run)
{
    cnv_parallel(run, (context.size + CHUNK - 1) / CHUNK, fill_chunk, &context);
}

static void run_fills(const cnv_plan *plan, int first, int n, const float *const *cotangents, cnv_run *run)
{
    for (int f = first; f < first + n; f++) {
        const cnv_fill *entry = &plan->fills[f];
        const cnv_value *value = plan->values[entry->value];
        const float *from = entry->seed >= 0 ? cotangents[entry->seed] : NULL;
        if (!entry->first && !from) continue;
        fill((fill_context){value->gradient, from, cnv_shape_size(&value->shape), !entry->first}, run);
    }
}

static void step_back(const cnv_step *step, cnv_relu_rule relu, cnv_run *run)
{
    cnv_io io = step->backward_io;
    io.relu = relu;
    if (step->backward) {
        step->backward(step->node, &io, run);
    } else if (io.dx[0] != io.dy) { /* a view whose gradient is apart from its source's */
        fill((fill_context){io.dx[0], io.dy, cnv_shape_size(step->node->y_shape), true}, run);
    }
}

static cnv_status check_backward(const cnv_plan *plan, cnv_error *err)
{
    if (plan->stage == CNV_BUILDING)
        return cnv_fail(err, CNV_INVALID, "backward needs a prepared plan: call prepare first");
    if (plan->stage == CNV_PREPARED)
        return cnv_fail(err, CNV_INVALID, "backward needs a finished forward: call forward first");
    if (plan->n_wrt == 0)
        return cnv_fail(err, CNV_INVALID,
                        "the plan was prepared without wrt: name the values whose gradient is wanted in "
                        "prepare(wrt=...)");
    return CNV_OK;
}

/* The backward walk, between cnv_workspace_enter and leave. */
static cnv_status walk_down(cnv_plan *plan, const float *const *cotangents, cnv_relu_rule relu, cnv_run *run,
                            cnv_error *err)
{
    if (!holds(plan))
        return cnv_fail(
            err, CNV_INVALID,
            "the activations are gone: another plan with the same arena has run; call forward again");
    plan->stage = CNV_FORWARD_DONE;
    for (int s = plan->n_steps - 1; s >= 0; s--) {
        cnv_step *step = &plan->steps[s];
        const double start = now();
        if (!step->node->needs_grad) continue;
        if (cnv_run_cancelled(run)) break;
        run_fills(plan, step->first_fill, step->n_fills, cotangents, run);
        step_back(step, relu, run);
        step->backward_seconds = now() - start;
    }
    run_fills(plan, plan->n_fills - plan->n_final, plan->n_final, cotangents, run);
    if (cnv_run_cancelled(run)) return cnv_fail(err, CNV_INTERRUPTED, "backward was interrupted");
    plan->stage = CNV_BACKWARD_DONE;
    return CNV_OK;
}

cnv_status cnv_plan_backward(cnv_plan *plan, const float *const *cotangents, cnv_relu_rule relu,
                             bool (*interrupted)(void *), void *owner, cnv_error *err)
{
    cnv_status status = CNV_OK;
    cnv_run run = start_run(plan, interrupted, owner);
    CNV_TRY(check_backward(plan, err));
    CNV_TRY(cnv_workspace_enter(plan->workspace, err));
    status = walk_down(plan, cotangents, relu, &run, err);
    cnv_workspace_leave(plan->workspace);
done:
    return status;
}

const float *cnv_plan_read(const cnv_plan *plan, cnv_value_id value)
{
    const cnv_value *found = cnv_plan_value(plan, value);
    if (!found || plan->stage < CNV_FORWARD_DONE) return NULL;
    if (found->origin == CNV_FROM_NODE && !holds(plan)) return NULL;
    return found->keep || found->origin != CNV_FROM_NODE ? found->data : NULL;
}

const float *cnv_plan_gradient(const cnv_plan *plan, cnv_value_id value)
{
    const cnv_value *found = cnv_plan_value(plan, value);
    return found && found->wrt && plan->stage == CNV_BACKWARD_DONE && holds(plan) ? found->gradient : NULL;
}
