/* Checks the request, and calls the parts of prepare in their order. */
#include "plan/state.h"

static cnv_status check_ids(const cnv_plan *plan, const char *what, const cnv_value_id *ids, int n,
                            cnv_error *err)
{
    for (int i = 0; i < n; i++)
        if (!cnv_plan_value(plan, ids[i]))
            return cnv_fail(err, CNV_INVALID, "%s names value %d, but the plan has %d values", what,
                            (int)ids[i], plan->n_values);
    return CNV_OK;
}

static cnv_status check_request(const cnv_plan *plan, const cnv_request *request, cnv_error *err)
{
    cnv_status status = CNV_OK;
    CNV_TRY(check_ids(plan, "keep", request->keep, request->n_keep, err));
    CNV_TRY(check_ids(plan, "seeds", request->seeds, request->n_seeds, err));
    CNV_TRY(check_ids(plan, "wrt", request->wrt, request->n_wrt, err));
    if (request->shares && request->shares->stage == CNV_BUILDING)
        status = cnv_fail(err, CNV_INVALID, "shares is a plan that is not prepared: prepare it first");
    else if (request->threads < 1 || request->threads > CNV_MAX_THREADS)
        status = cnv_fail(err, CNV_INVALID, "threads is %d, not in 1..%d", request->threads, CNV_MAX_THREADS);
    else if (request->n_wrt > 0 && request->n_seeds == 0)
        status =
            cnv_fail(err, CNV_INVALID,
                     "wrt asks for gradients, but seeds is empty: name the values that are differentiated in "
                     "prepare(seeds=...)");
done:
    return status;
}

static cnv_status take_workspace(cnv_plan *plan, const cnv_plan *shares, cnv_error *err)
{
    plan->workspace = shares ? cnv_workspace_retain(shares->workspace) : cnv_workspace_new();
    return plan->workspace ? CNV_OK : cnv_fail(err, CNV_NO_MEMORY, "out of memory for a plan");
}

static cnv_status note_request(cnv_plan *plan, const cnv_request *request, cnv_error *err)
{
    for (int v = 0; v < plan->n_values; v++) {
        plan->values[v]->keep = plan->values[v]->wrt = false;
        plan->values[v]->seed = -1;
    }
    for (int i = 0; i < request->n_keep; i++) plan->values[request->keep[i]]->keep = true;
    for (int i = 0; i < request->n_wrt; i++) plan->values[request->wrt[i]]->wrt = true;
    for (int i = 0; i < request->n_seeds; i++) {
        cnv_value *value = plan->values[request->seeds[i]];
        if (value->seed >= 0) return cnv_fail(err, CNV_INVALID, "seeds names %s twice", value->name);
        value->seed = i;
    }
    plan->threads = request->threads;
    plan->n_seeds = request->n_seeds;
    plan->n_wrt = request->n_wrt;
    return CNV_OK;
}

/* Divides the memory for packed weights, `room` bytes, among the nodes. */
static void claim(cnv_plan *plan, size_t room)
{
    for (int c = 0; c < CNV_CLAIMS; c++)
        for (int n = 0; n < plan->n_runs; n++)
            if (plan->runs[n]->kernel->claim)
                plan->runs[n]->kernel->claim(plan, plan->runs[n], (cnv_claim)c, &room);
}

/* Lets the nodes pack their weights. */
static cnv_status settle(cnv_plan *plan, cnv_error *err)
{
    cnv_status status = CNV_OK;
    for (int n = 0; n < plan->n_runs && status == CNV_OK; n++) {
        cnv_node *node = plan->runs[n];
        if (node->kernel->settle) status = node->kernel->settle(plan, node, err);
        plan->memory.packed_nbytes += node->packed_nbytes;
    }
    return status;
}

cnv_status cnv_plan_prepare(cnv_plan *plan, const cnv_request *request, cnv_error *err)
{
    cnv_status status = CNV_OK;
    if (plan->stage != CNV_BUILDING) return cnv_fail(err, CNV_INVALID, "the plan is already prepared");
    CNV_TRY(check_request(plan, request, err));
    CNV_TRY(note_request(plan, request, err));
    plan->n_user_values = plan->n_values;
    CNV_TRY(take_workspace(plan, request->shares, err));
    CNV_TRY(cnv_plan_lower(plan, err));
    claim(plan, request->packed_nbytes);
    cnv_plan_mark(plan);
    CNV_TRY(settle(plan, err));
    CNV_TRY(cnv_plan_make_steps(plan, err));
    CNV_TRY(cnv_plan_lay_gradients(plan, err));
    CNV_TRY(cnv_plan_lay_memory(plan, err));
    plan->stage = CNV_PREPARED;
done:
    if (status != CNV_OK) cnv_plan_unprepare(plan);
    return status;
}
