#include "kernels/split.h"

typedef struct {
    int64_t n;
    int64_t grain;
    cnv_range *range;
    void *context;
} pieces;

static void run_piece(void *context, int64_t item, int worker)
{
    const pieces *p = context;
    int64_t begin = item * p->grain;
    int64_t end = p->n - begin < p->grain ? p->n : begin + p->grain;
    p->range(p->context, begin, end, worker);
}

void cnv_parallel_range(cnv_run *run, int64_t n, int64_t grain, cnv_range *range, void *context)
{
    pieces p = {n, grain, range, context};
    cnv_parallel(run, (n + grain - 1) / grain, run_piece, &p);
}
