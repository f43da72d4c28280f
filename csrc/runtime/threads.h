/*
 * The thread pool, and the only way in which the core runs anything in parallel.
 *
 * The process has one pool. A job is a number of independent items; workers claim items one by one from a
 * shared counter, and so does the calling thread, so a worker that is not scheduled only leaves its share to
 * the others. An item's result must not depend on the worker that computes it: that makes results
 * bit-identical for any number of threads.
 */
#ifndef CNV_RUNTIME_THREADS_H
#define CNV_RUNTIME_THREADS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "runtime/error.h"

/* The largest number of threads: the bundled OpenBLAS is built for 64, and ends the process if more
 * call it. */
#define CNV_MAX_THREADS 64

/* One pass over a plan: the threads that it may use, and the way in which the user stops it. */
typedef struct cnv_run {
    int threads; /* 1..CNV_MAX_THREADS; worker indices are below it */
    /* Returns whether the run must stop. Only the calling thread calls it, between items, and that thread may
     * end inside it (pthread_exit). NULL: the run never stops early. */
    bool (*interrupted)(void *owner);
    void *owner;
    atomic_bool cancelled; /* set once interrupted() has returned true; items not yet claimed are skipped */
} cnv_run;

/* Computes item `item` of the work described by `context`. `worker` (0..threads-1) names the executing
 * thread's private share of the scratch memory; two items never run on one worker at the same time. */
typedef void cnv_task(void *context, int64_t item, int worker);

/* Runs task for items 0..n_items-1 and returns when all are done, or when the run is cancelled and no worker
 * is inside an item any more. Never allocates, never fails; calls do not nest. Several threads may call it at
 * once: a call that finds the pool taken computes all its items itself. It works after fork: the child starts
 * its own pool. */
void cnv_parallel(cnv_run *run, int64_t n_items, cnv_task *task, void *context);

/* Asks interrupted() whether the run must stop, and stores the answer in `cancelled`. A walk over a plan
 * calls it between two steps. */
bool cnv_run_cancelled(cnv_run *run);

/* The number of CPUs that this process may run on, at least 1. */
int cnv_available_cpus(void);

/* The number of threads that a new plan uses: CNNVIZ_NUM_THREADS, else the CPUs that this process may
 * run on. */
int cnv_num_threads(void);

/* Sets the number of threads that a new plan uses; n must lie in 1..CNV_MAX_THREADS. */
cnv_status cnv_set_num_threads(int64_t n, cnv_error *err);

#endif
