#include "kernels/portable/matmul.h"

#include "kernels/portable/linear.h"
#include "runtime/blas.h"

typedef struct {
    float *out; /* c, da or db; of the inputs below, a pass sets those that it reads */
    const float *a;
    const float *b;
    const float *dc;
    const cnv_matmul *s;
    cnv_fold fold; /* backward: the batch axes along which the operand was broadcast */
} matmul_work;

static void forward_entry(void *context, int64_t item, int worker)
{
    const matmul_work *work = context;
    const cnv_matmul *s = work->s;
    cnv_stretch at = cnv_broadcast_stretch(&s->batch, item, item + 1);
    cnv_sgemm(false, false, s->m, s->n, s->k, 1.0f, work->a + at.a * s->m * s->k, s->k,
              work->b + at.b * s->k * s->n, s->n, 0.0f, work->out + at.y * s->m * s->n, s->n);
    (void)worker;
}

/* da[M,K] += dc[M,N] * b[K,N]^T, summed in order over the copies of this matrix of a. */
static void a_entry(void *context, int64_t item, int worker)
{
    const matmul_work *work = context;
    const cnv_matmul *s = work->s;
    cnv_stretch kept = cnv_broadcast_stretch(&work->fold.kept, item, item + 1);
    for (int64_t i = 0; i < work->fold.n_dropped; i++) {
        cnv_stretch at = cnv_broadcast_stretch(&work->fold.dropped, i, i + 1);
        cnv_sgemm(false, true, s->m, s->k, s->n, 1.0f, work->dc + (kept.y + at.y) * s->m * s->n, s->n,
                  work->b + (kept.b + at.b) * s->k * s->n, s->n, 1.0f, work->out + kept.a * s->m * s->k,
                  s->k);
    }
    (void)worker;
}

/* db[K,N] += a[M,K]^T * dc[M,N], summed in order over the copies of this matrix of b. */
static void b_entry(void *context, int64_t item, int worker)
{
    const matmul_work *work = context;
    const cnv_matmul *s = work->s;
    cnv_stretch kept = cnv_broadcast_stretch(&work->fold.kept, item, item + 1);
    for (int64_t i = 0; i < work->fold.n_dropped; i++) {
        cnv_stretch at = cnv_broadcast_stretch(&work->fold.dropped, i, i + 1);
        cnv_sgemm(true, false, s->k, s->n, s->m, 1.0f, work->a + (kept.a + at.a) * s->m * s->k, s->k,
                  work->dc + (kept.y + at.y) * s->m * s->n, s->n, 1.0f, work->out + kept.b * s->k * s->n,
                  s->n);
    }
    (void)worker;
}

void cnv_matmul_forward(float *c, const float *a, const float *b, const cnv_matmul *s, cnv_run *run)
{
    if (s->rows) {
        cnv_rows rows = {.rows = s->m, .in = s->n, .out = s->k};
        cnv_rows_product(c, a, b, &rows, run);
        return;
    }
    matmul_work work = {.out = c, .a = a, .b = b, .s = s};
    cnv_parallel(run, cnv_broadcast_size(&s->batch), forward_entry, &work);
}

void cnv_matmul_backward_a(float *da, const float *dc, const float *b, const cnv_matmul *s, cnv_run *run)
{
    if (s->rows) {
        cnv_rows rows = {.rows = s->m, .in = s->n, .out = s->k};
        cnv_rows_forward_add(da, dc, b, &rows, run);
        return;
    }
    matmul_work work = {.out = da, .b = b, .dc = dc, .s = s, .fold = cnv_fold_of(&s->batch, true)};
    cnv_parallel(run, work.fold.n_kept, a_entry, &work);
}

void cnv_matmul_backward_b(float *db, const float *dc, const float *a, const cnv_matmul *s, cnv_run *run)
{
    if (s->rows) {
        cnv_rows rows = {.rows = s->m, .in = s->n, .out = s->k};
        cnv_rows_backward_weight(db, a, dc, &rows, run);
        return;
    }
    matmul_work work = {.out = db, .a = a, .dc = dc, .s = s, .fold = cnv_fold_of(&s->batch, false)};
    cnv_parallel(run, work.fold.n_kept, b_entry, &work);
}
