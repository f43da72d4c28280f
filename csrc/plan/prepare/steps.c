/* Makes a step of each node that a pass needs, with the lists of arrays that its kernel is given. */
#include "plan/state.h"
#include "runtime/alloc.h"

/* Allocates the lists that a step's io points at: x for forward, x for backward, dx; all NULL for now. */
static cnv_status make_step(const cnv_node *node, cnv_step *step, cnv_error *err)
{
    size_t n = (size_t)node->n_inputs;
    step->node = node;
    step->forward = node->kernel->view || !node->runs_forward ? NULL : node->kernel->forward;
    step->backward = node->kernel->view || !node->needs_grad ? NULL : node->kernel->backward;
    step->saved_buffer = step->forward_scratch = step->backward_scratch = CNV_NO_BUFFER;
    step->x = cnv_alloc(2 * n, sizeof *step->x);
    step->dx = cnv_alloc(n, sizeof *step->dx);
    if (!step->x || !step->dx)
        return cnv_fail(err, CNV_NO_MEMORY, "%s: out of memory for a step", node->name);
    step->forward_io.x = step->x;
    step->backward_io.x = step->x + n;
    step->backward_io.dx = step->dx;
    return CNV_OK;
}

cnv_status cnv_plan_make_steps(cnv_plan *plan, cnv_error *err)
{
    cnv_status status = CNV_OK;
    plan->steps = cnv_alloc((size_t)plan->n_runs, sizeof *plan->steps);
    if (!plan->steps) {
        status = cnv_fail(err, CNV_NO_MEMORY, "out of memory for %d steps", plan->n_runs);
        goto done;
    }
    for (int n = 0; n < plan->n_runs; n++) {
        cnv_node *node = plan->runs[n];
        bool runs = node->runs_forward || node->needs_grad;
        if (node->op) node->label = !runs ? "" : node->kernel->view ? "view" : "portable";
        if (runs) CNV_TRY(make_step(node, &plan->steps[plan->n_steps++], err));
    }
    for (int n = 0; n < plan->n_nodes; n++) {
        const cnv_node *by = plan->nodes[n]->by;
        if (by && !by->runs_forward && !by->needs_grad) plan->nodes[n]->label = "";
    }
done:
    return status;
}
