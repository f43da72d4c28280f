/*
 * The thread pool, and the only way in which the core runs anything in parallel.
 *
 * One pool serves the process. Work is a number of independent items; workers claim them one by one from a
 * shared counter, and the calling thread claims along with them, so a worker that never shows up costs its
 * share and no more. An item's result must not depend on who computes it: that is what makes results
 * bit-identical for any number of threads.
 */
#ifndef CNV_RUNTIME_THREADS_H
#define CNV_RUNTIME_THREADS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "runtime/error.h"

/* No pool is larger: OpenBLAS, as bundled, is built for 64 threads and ends the process when asked by more.
 */
#define CNV_MAX_THREADS 64

/* One pass over a plan: how many threads it may use, and how it learns that the user wants it to stop. */
typedef struct cnv_run {
    int threads;                      /* 1..CNV_MAX_THREADS; worker indices are below this */
    bool (*interrupted)(void *owner); /* asked by the calling thread only, between items, and that thread may
                                       * end there (pthread_exit); NULL: never */
    void *owner;
    atomic_bool cancelled; /* set once interrupted() has said yes; items not yet claimed are skipped */
} cnv_run;

/* Computes item `item` of the work described by `context`. `worker` (0..threads-1) names the executing
 * thread's private share of the scratch memory; two items never run on one worker at the same time. */
typedef void cnv_task(void *context, int64_t item, int worker);

/* Runs task for items 0..n_items-1 and returns when all are done, or when the run is cancelled and no worker
 * is inside an item any more. Never allocates, never fails; calls do not nest. Safe from several threads at
 * once: a call that finds the pool taken does all its items itself. Safe after fork: the child starts a pool
 * of its own. */
void cnv_parallel(cnv_run *run, int64_t n_items, cnv_task *task, void *context);

/* Asks whether the user wants the run to stop, and remembers a yes. For the walks, between two steps. */
bool cnv_run_cancelled(cnv_run *run);

/* CPUs that this process may run on, at least 1. */
int cnv_available_cpus(void);

/* Threads that a new plan uses. Default: CNNVIZ_NUM_THREADS, else the CPUs that this process may run on. */
int cnv_num_threads(void);

/* Sets it; n must lie in 1..CNV_MAX_THREADS. */
cnv_status cnv_set_num_threads(int64_t n, cnv_error *err);

#endif
