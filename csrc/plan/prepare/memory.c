/*
 * The layout of the arena. Forward values share a buffer when one is a view of the other, when they are
 * inputs of a concatenation, or when a kernel may write its output over an input that no later step reads.
 * Every buffer gets a lifetime on the time line of state.h, and arena.c overlaps buffers that are never alive
 * together.
 *
 * The arrays that the user may read (kept values, gradients in wrt) and those that backward reads from
 * forward live to the end of the time line, so that a second backward finds everything that it needs.
 */
#include "plan/constant.h"
#include "plan/state.h"
#include "runtime/alloc.h"

typedef struct {
    cnv_buffer *list;
    int n;
} buffer_list;

static cnv_value *storage_of(const cnv_plan *plan, cnv_value_id value)
{
    return plan->values[plan->values[value]->storage];
}

/* The reads and writes of every value, before any sharing. */
static void find_reads(cnv_plan *plan)
{
    for (cnv_value_id v = 0; v < plan->n_values; v++) {
        plan->values[v]->storage = v;
        plan->values[v]->place = 0;
        plan->values[v]->last_read = -1;
        plan->values[v]->pinned = plan->values[v]->keep;
        plan->values[v]->buffer = plan->values[v]->gradient_buffer = CNV_NO_BUFFER;
    }
    for (int s = 0; s < plan->n_steps; s++) {
        const cnv_node *node = plan->steps[s].node;
        cnv_value *y = plan->values[node->output];
        y->first_write = s;
        if (y->last_read < s) y->last_read = s;
        if (node->needs.backward_reads & CNV_READS_Y) y->pinned = true;
        for (int i = 0; i < node->n_inputs; i++) {
            cnv_value *x = cnv_plan_value(plan, node->inputs[i]);
            if (!x) continue;
            if (node->runs_forward) x->last_read = s;
            if (cnv_node_backward_reads(node, i)) x->pinned = true;
        }
    }
}

/* Whether input i can be computed at its place in y. */
static bool may_join(const cnv_plan *plan, const cnv_node *node, int i)
{
    const cnv_value *x = cnv_plan_value(plan, node->inputs[i]);
    return x && x->storage == node->inputs[i] && x->made_by && x->made_by->runs_forward &&
           !x->made_by->kernel->view;
}

/* Moves all values in the storage of `from` into that of `to`, at offset `place`. */
static void move_storage(cnv_plan *plan, cnv_value_id from, cnv_value_id to, int64_t place)
{
    cnv_value *old = plan->values[from], *held = plan->values[to];
    for (cnv_value_id v = 0; v < plan->n_values; v++) {
        if (plan->values[v]->storage != from) continue;
        plan->values[v]->storage = to;
        plan->values[v]->place += place;
    }
    held->pinned |= old->pinned;
    if (held->last_read < old->last_read) held->last_read = old->last_read;
    if (held->first_write > old->first_write) held->first_write = old->first_write;
}

/* Lets the inputs of a concatenation be computed at their places in its output, so that no kernel copies
 * them. */
static void join_storage(cnv_plan *plan)
{
    for (int s = 0; s < plan->n_steps; s++) {
        const cnv_node *node = plan->steps[s].node;
        if (!cnv_node_joins(node) || !node->runs_forward) continue;
        int64_t place = 0;
        for (int i = 0; i < node->n_inputs; i++) {
            if (may_join(plan, node, i)) move_storage(plan, node->inputs[i], node->output, place);
            place += cnv_shape_size(node->x_shape[i]);
        }
    }
}

/* Whether step s is the last to read its first input, whose numbers are not needed afterwards. */
static bool may_overwrite(const cnv_plan *plan, const cnv_node *node, int s)
{
    cnv_value_id root = plan->values[node->inputs[0]]->storage;
    const cnv_value *held = plan->values[root];
    int reads = 0;
    for (int i = 0; i < node->n_inputs; i++) {
        const cnv_value *x = cnv_plan_value(plan, node->inputs[i]);
        reads += x && x->storage == root;
    }
    return held->origin == CNV_FROM_NODE && !held->pinned && held->last_read == s && reads == 1 &&
           cnv_value_nbytes(held) == cnv_shape_size(node->y_shape) * sizeof(float);
}

static void share_storage(cnv_plan *plan)
{
    for (int s = 0; s < plan->n_steps; s++) {
        const cnv_node *node = plan->steps[s].node;
        cnv_value *y = plan->values[node->output];
        bool joined = y->storage != node->output;
        bool overwrites = node->kernel->inplace && !joined && may_overwrite(plan, node, s);
        if (!node->runs_forward || (!node->kernel->view && !overwrites)) continue;
        cnv_value *held = storage_of(plan, node->inputs[0]);
        y->storage = plan->values[node->inputs[0]]->storage;
        y->place = plan->values[node->inputs[0]]->place;
        held->pinned |= y->pinned;
        if (held->last_read < y->last_read) held->last_read = y->last_read;
    }
}

/* Rounds up to whole lines; SIZE_MAX, which no arena holds, when that overflows. */
static size_t whole_lines(size_t nbytes)
{
    size_t padded;
    if (__builtin_add_overflow(nbytes, CNV_ALIGNMENT - 1, &padded)) return SIZE_MAX;
    return padded & ~(size_t)(CNV_ALIGNMENT - 1);
}

static int add_buffer(buffer_list *buffers, size_t nbytes, int born, int dies, cnv_purpose purpose)
{
    buffers->list[buffers->n] = (cnv_buffer){whole_lines(nbytes), born, dies, purpose, 0};
    return buffers->n++;
}

static void buffers_of_values(cnv_plan *plan, buffer_list *buffers)
{
    int end = 2 * plan->n_steps;
    for (int s = 0; s < plan->n_steps; s++) {
        const cnv_node *node = plan->steps[s].node;
        cnv_value *y = plan->values[node->output];
        if (!node->runs_forward || y->storage != node->output) continue;
        y->buffer = add_buffer(buffers, cnv_value_nbytes(y), y->first_write, y->pinned ? end : y->last_read,
                               CNV_FOR_VALUES);
    }
}

static void buffers_of_gradients(cnv_plan *plan, buffer_list *buffers)
{
    for (cnv_value_id v = 0; v < plan->n_values; v++) {
        cnv_value *x = plan->values[v];
        if (x->gradient_root != v) continue;
        x->gradient_buffer =
            add_buffer(buffers, cnv_value_nbytes(x), x->gradient_born, x->gradient_dies, CNV_FOR_GRADIENTS);
    }
}

/* Scratch of all workers together, in bytes; SIZE_MAX when that overflows. */
static size_t all_workers(const cnv_plan *plan, size_t nbytes)
{
    size_t product;
    return cnv_mul_size(whole_lines(nbytes), (size_t)plan->threads, &product) ? product : SIZE_MAX;
}

static void buffers_of_steps(cnv_plan *plan, buffer_list *buffers)
{
    int end = 2 * plan->n_steps;
    for (int s = 0; s < plan->n_steps; s++) {
        cnv_step *step = &plan->steps[s];
        const cnv_needs *needs = &step->node->needs;
        if (needs->saved_nbytes > 0)
            step->saved_buffer = add_buffer(buffers, needs->saved_nbytes, s, end, CNV_FOR_SAVED);
        if (step->forward && needs->forward_scratch > 0)
            step->forward_scratch =
                add_buffer(buffers, all_workers(plan, needs->forward_scratch), s, s, CNV_FOR_SCRATCH);
        if (step->backward && needs->backward_scratch > 0)
            step->backward_scratch = add_buffer(buffers, all_workers(plan, needs->backward_scratch),
                                                end - 1 - s, end - 1 - s, CNV_FOR_SCRATCH);
    }
}

/* The address of an array at offset `place`, in floats, of a buffer; NULL without a buffer. */
static void *address(const cnv_plan *plan, int buffer, int64_t place)
{
    if (buffer == CNV_NO_BUFFER) return NULL;
    return plan->base + plan->buffers[buffer].offset + (size_t)place * sizeof(float);
}

/* The values of inputs get their addresses from each forward. */
static void locate_values(cnv_plan *plan)
{
    for (cnv_value_id v = 0; v < plan->n_values; v++) {
        cnv_value *value = plan->values[v];
        const cnv_value *held = plan->values[value->storage];
        value->data = held->origin == CNV_FROM_CONSTANT ? cnv_constant_data(held->constant)
                                                        : address(plan, held->buffer, value->place);
        if (value->gradient_root != CNV_NONE)
            value->gradient =
                address(plan, plan->values[value->gradient_root]->gradient_buffer, value->gradient_place);
    }
}

static void locate_steps(cnv_plan *plan)
{
    for (int s = 0; s < plan->n_steps; s++) {
        cnv_step *step = &plan->steps[s];
        const cnv_node *node = step->node;
        const cnv_value *y = plan->values[node->output];
        step->forward_io.y = (float *)y->data;
        step->forward_io.saved = step->backward_io.saved = address(plan, step->saved_buffer, 0);
        step->forward_io.scratch = address(plan, step->forward_scratch, 0);
        step->forward_io.scratch_stride = whole_lines(node->needs.forward_scratch);
        step->backward_io.scratch = address(plan, step->backward_scratch, 0);
        step->backward_io.scratch_stride = whole_lines(node->needs.backward_scratch);
        step->backward_io.y = node->needs.backward_reads & CNV_READS_Y ? (float *)y->data : NULL;
        step->backward_io.dy = y->gradient;
        for (int i = 0; i < node->n_inputs; i++) {
            const cnv_value *x = cnv_plan_value(plan, node->inputs[i]);
            step->dx[i] = x && node->needs_grad ? x->gradient : NULL;
        }
    }
}

void cnv_plan_locate(cnv_plan *plan)
{
    plan->base = plan->workspace->base;
    locate_values(plan);
    locate_steps(plan);
}

static cnv_status measure(cnv_plan *plan, const buffer_list *buffers, cnv_error *err)
{
    cnv_status status = CNV_OK;
    size_t *const nbytes[CNV_PURPOSES] = {&plan->memory.values_nbytes, &plan->memory.gradients_nbytes,
                                          &plan->memory.saved_nbytes, &plan->memory.scratch_nbytes};
    for (int p = 0; p < CNV_PURPOSES; p++)
        CNV_TRY(cnv_arena_peak(buffers->list, buffers->n, (cnv_purpose)p, 2 * plan->n_steps, nbytes[p], err));
done:
    return status;
}

cnv_status cnv_plan_lay_memory(cnv_plan *plan, cnv_error *err)
{
    cnv_status status = CNV_OK;
    size_t most = 2 * (size_t)plan->n_values + 3 * (size_t)plan->n_steps;
    plan->buffers = cnv_alloc(most, sizeof *plan->buffers);
    buffer_list buffers = {plan->buffers, 0};
    if (!buffers.list) {
        status = cnv_fail(err, CNV_NO_MEMORY, "out of memory for the layout of a plan");
        goto done;
    }
    find_reads(plan);
    join_storage(plan);
    share_storage(plan);
    buffers_of_values(plan, &buffers);
    buffers_of_gradients(plan, &buffers);
    buffers_of_steps(plan, &buffers);
    CNV_TRY(cnv_arena_lay(buffers.list, buffers.n, &plan->memory.arena_nbytes, err));
    CNV_TRY(measure(plan, &buffers, err));
    CNV_TRY(cnv_workspace_reserve(plan->workspace, plan->memory.arena_nbytes, err));
done:
    return status;
}
