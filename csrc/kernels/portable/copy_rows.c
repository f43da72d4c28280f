#include <string.h>

#include "kernels/portable/shape.h"
#include "kernels/split.h"

typedef struct {
    float *y;
    int64_t y_stride;
    const float *x;
    int64_t x_stride;
    int64_t n;
} rows_work;

static void copy_range(void *context, int64_t begin, int64_t end, int worker)
{
    const rows_work *work = context;
    for (int64_t r = begin; r < end; r++)
        memcpy(work->y + r * work->y_stride, work->x + r * work->x_stride, (size_t)work->n * sizeof *work->y);
    (void)worker;
}

static void add_range(void *context, int64_t begin, int64_t end, int worker)
{
    const rows_work *work = context;
    for (int64_t r = begin; r < end; r++) {
        float *y = work->y + r * work->y_stride;
        const float *x = work->x + r * work->x_stride;
        for (int64_t i = 0; i < work->n; i++) y[i] += x[i];
    }
    (void)worker;
}

void cnv_copy_rows(float *y, int64_t y_stride, const float *x, int64_t x_stride, int64_t rows, int64_t n,
                   cnv_run *run)
{
    rows_work work = {y, y_stride, x, x_stride, n};
    cnv_parallel_range(run, rows, cnv_grain_of(n), copy_range, &work);
}

void cnv_add_rows(float *y, int64_t y_stride, const float *x, int64_t x_stride, int64_t rows, int64_t n,
                  cnv_run *run)
{
    rows_work work = {y, y_stride, x, x_stride, n};
    cnv_parallel_range(run, rows, cnv_grain_of(n), add_range, &work);
}
