/* The number of threads that a new plan uses. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* sched_getaffinity */
#endif
#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

#include "runtime/threads.h"

static atomic_int chosen_threads; /* 0 until cnv_set_num_threads is called */

int cnv_available_cpus(void)
{
#ifdef __linux__
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
#endif
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n > 0 ? (int)n : 1;
}

/* CNNVIZ_NUM_THREADS if it is a whole number of at least 1, else the number of available CPUs. */
static int default_threads(void)
{
    const char *text = getenv("CNNVIZ_NUM_THREADS");
    char *end = NULL;
    long n = text ? strtol(text, &end, 10) : 0;
    if (!text || *end != '\0' || n < 1) n = cnv_available_cpus();
    return n < CNV_MAX_THREADS ? (int)n : CNV_MAX_THREADS;
}

int cnv_num_threads(void)
{
    int n = atomic_load(&chosen_threads);
    return n > 0 ? n : default_threads();
}

cnv_status cnv_set_num_threads(int64_t n, cnv_error *err)
{
    if (n < 1 || n > CNV_MAX_THREADS)
        return cnv_fail(err, CNV_INVALID, "the number of threads is %lld, not in 1..%d", (long long)n,
                        CNV_MAX_THREADS);
    atomic_store(&chosen_threads, (int)n);
    return CNV_OK;
}
