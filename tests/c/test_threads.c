/* The thread pool: each item is computed once, workers are private, several callers, cancelling, late
 * workers, forks. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* setenv, nanosleep, fork */
#endif
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "check.h"
#include "runtime/threads.h"

#define MOST_ITEMS 5000

typedef struct {
    int done[MOST_ITEMS]; /* not atomic, so that ThreadSanitizer tests whether the pool orders accesses */
    atomic_int inside[CNV_MAX_THREADS];
    atomic_int
        broken; /* the number of items that ran beside another on one worker, or on a worker out of range */
    int threads;
    int spin; /* work per item */
} ledger;

static ledger *new_ledger(int threads, int spin)
{
    ledger *book = calloc(1, sizeof *book);
    if (!book) exit(EXIT_FAILURE);
    book->threads = threads;
    book->spin = spin;
    return book;
}

static void note_item(void *context, int64_t item, int worker)
{
    ledger *book = context;
    if (worker < 0 || worker >= book->threads || atomic_fetch_add(&book->inside[worker], 1) != 0)
        atomic_fetch_add(&book->broken, 1);
    for (volatile int i = 0; i < book->spin; i++) {
    }
    book->done[item]++;
    atomic_fetch_sub(&book->inside[worker], 1);
}

static int count_wrong(const ledger *book, int64_t n_items)
{
    int wrong = atomic_load(&book->broken);
    for (int64_t i = 0; i < MOST_ITEMS; i++) wrong += book->done[i] != (i < n_items);
    return wrong;
}

static void nap(long ns)
{
    struct timespec time = {0, ns};
    nanosleep(&time, NULL);
}

static void test_every_item_once(void)
{
    static const struct {
        int threads, spin, pause_us;
        int64_t n_items;
    } rows[] = {
        {1, 10, 0, 100},  {2, 10, 0, 0},   {2, 10, 0, 1},    {2, 0, 0, 5000},    {4, 10, 0, 3},
        {4, 500, 0, 257}, {4, 0, 0, 5000}, {64, 10, 0, 500}, {64, 0, 200, 5000}, {4, 100, 300, 64},
    };
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        for (int repeat = 0; repeat < 50; repeat++) {
            ledger *book = new_ledger(rows[r].threads, rows[r].spin);
            cnv_run run = {.threads = rows[r].threads};
            cnv_parallel(&run, rows[r].n_items, note_item, book);
            int wrong = count_wrong(book, rows[r].n_items);
            free(book);
            if (!CHECK(wrong == 0, "row %zu, repeat %d: %d items wrong", r, repeat, wrong)) break;
            if (rows[r].pause_us) nap(rows[r].pause_us * 1000); /* long enough for the workers to sleep */
        }
    }
}

/* Runs one job and returns the number of wrong items; the ledger is clean afterwards. */
static int play(ledger *book, int64_t n_items)
{
    cnv_run run = {.threads = book->threads};
    cnv_parallel(&run, n_items, note_item, book);
    int wrong = count_wrong(book, n_items);
    memset(book->done, 0, sizeof book->done);
    return wrong;
}

static void *call_often(void *unused)
{
    intptr_t wrong = 0;
    ledger *book = new_ledger(3, 20);
    (void)unused;
    for (int repeat = 0; repeat < 100; repeat++) wrong += play(book, 200);
    free(book);
    return (void *)wrong;
}

static void test_several_callers(void)
{
    pthread_t callers[4];
    for (int i = 0; i < 4; i++) pthread_create(&callers[i], NULL, call_often, NULL);
    for (int i = 0; i < 4; i++) {
        void *wrong;
        pthread_join(callers[i], &wrong);
        CHECK(wrong == NULL, "caller %d: %d items wrong", i, (int)(intptr_t)wrong);
    }
}

/* Returns true once *owner calls have returned false. */
static bool countdown(void *owner)
{
    int *left = owner;
    return --*left < 0;
}

/* A job whose workers stay inside their items until the caller's thread ends. */
typedef struct {
    atomic_int inside; /* items that workers have begun and not ended */
    atomic_int others; /* items that workers have begun */
    atomic_bool ending;
} siege;

static void hold_out(void *context, int64_t item, int worker)
{
    siege *s = context;
    (void)item;
    if (worker == 0) {
        nap(100000);
        return;
    }
    atomic_fetch_add(&s->inside, 1);
    atomic_fetch_add(&s->others, 1);
    while (!atomic_load(&s->ending)) nap(100000);
    nap(20000000);
    atomic_fetch_sub(&s->inside, 1);
}

static bool end_when_others_are_inside(void *owner)
{
    siege *s = owner;
    if (atomic_load(&s->others) == 0) return false;
    atomic_store(&s->ending, true);
    pthread_exit(NULL);
}

static void *call_and_end(void *context)
{
    cnv_run run = {.threads = 3, .interrupted = end_when_others_are_inside, .owner = context};
    for (;;) cnv_parallel(&run, MOST_ITEMS, hold_out, context);
    return NULL;
}

static void test_a_caller_that_ends_in_the_middle(void)
{
    siege s = {0};
    pthread_t caller;
    pthread_create(&caller, NULL, call_and_end, &s);
    pthread_join(caller, NULL);
    CHECK(atomic_load(&s.inside) == 0, "%d workers are in a job whose caller is gone",
          atomic_load(&s.inside));
    atomic_store(&s.others, 0);
    cnv_run run = {.threads = 3};
    for (int i = 0; i < 200 && atomic_load(&s.others) == 0; i++) {
        cnv_parallel(&run, 50, hold_out, &s);
        nap(1000000);
    }
    CHECK(atomic_load(&s.others) > 0, "no worker takes part in the next job");
}

/* Gives the caller time to poll, even if it shares a CPU with the workers. */
static void note_item_slowly(void *context, int64_t item, int worker)
{
    if (worker != 0) nap(50000);
    note_item(context, item, worker);
}

static void test_cancel(void)
{
    for (int threads = 1; threads <= 4; threads++) {
        for (int polls = 0; polls < 20; polls += 5) {
            int left = polls;
            ledger *book = new_ledger(threads, 2000);
            cnv_run run = {.threads = threads, .interrupted = countdown, .owner = &left};
            cnv_parallel(&run, MOST_ITEMS, note_item_slowly, book);
            int done = 0;
            for (int i = 0; i < MOST_ITEMS; i++) done += book->done[i];
            CHECK(atomic_load(&run.cancelled), "threads %d, polls %d: not cancelled", threads, polls);
            CHECK(done < MOST_ITEMS && done >= polls, "threads %d, polls %d: %d items done", threads, polls,
                  done);
            CHECK(atomic_load(&book->broken) == 0, "threads %d, polls %d: workers mixed up", threads, polls);
            cnv_parallel(&run, MOST_ITEMS, note_item, book);
            CHECK(cnv_run_cancelled(&run), "a cancelled run stays cancelled");
            free(book);
        }
    }
}

typedef struct {
    atomic_int by_worker; /* items that the worker has computed */
    int nap_us;           /* the time that the worker sleeps in each item */
} attendance;

static void attend(void *context, int64_t item, int worker)
{
    attendance *list = context;
    (void)item;
    for (volatile int i = 0; i < 20000; i++) {
    }
    if (worker == 0) return;
    atomic_fetch_add(&list->by_worker, 1);
    if (list->nap_us > 0) nap(1000L * list->nap_us);
}

/* Runs one job of two threads and returns the number of items that the worker has computed. */
static int attended(int nap_us, int64_t n_items)
{
    attendance list = {.nap_us = nap_us};
    cnv_run run = {.threads = 2};
    cnv_parallel(&run, n_items, attend, &list);
    return atomic_load(&list.by_worker);
}

/* Whether the worker takes part in one of many jobs: on a busy machine it may miss the first ones. */
static bool attends_again(int nap_us, int64_t n_items)
{
    for (int job = 0; job < 2000; job++)
        if (attended(nap_us, n_items) > 0) return true;
    return false;
}

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void test_a_late_worker_is_left_out_for_a_while(void)
{
    CHECK(attends_again(0, 100), "the worker never takes part");
    CHECK(attends_again(30000, 100), "the worker is never late");
    double start = seconds();
    int items = 0;
    for (int job = 0; job < 20; job++) items += attended(0, 3);
    if (seconds() - start < 0.007) CHECK(items == 0, "a late worker took part in %d items", items);
    nap(20000000);
    CHECK(attends_again(0, 100), "the worker never comes back");
}

/* Whether the worker takes part within 4 ms, half of the shortest leave. */
static bool is_back_at_once(void)
{
    double start = seconds();
    while (seconds() - start < 0.004)
        if (attended(0, 100) > 0) return true;
    return false;
}

static void test_a_worker_that_is_rarely_late_stays(void)
{
    int back = 0;
    for (int i = 0; i < 20; i++) {
        for (int job = 0; job < 300; job++) attended(0, 100);
        if (attends_again(1500, 3) && is_back_at_once()) back++;
    }
    CHECK(back > 0, "left out for each of 20 times that it was 1.5 ms late");
}

#ifdef __linux__
typedef struct {
    int caller;          /* the CPU that the caller began on */
    atomic_int visitors; /* items of a worker that was allowed on that CPU */
    atomic_int others;   /* items of workers */
} seating;

static void take_seat(void *context, int64_t item, int worker)
{
    seating *plan = context;
    cpu_set_t set;
    (void)item;
    for (volatile int i = 0; i < 20000; i++) {
    }
    if (worker == 0 || sched_getaffinity(0, sizeof set, &set) != 0) return;
    atomic_fetch_add(&plan->others, 1);
    if (CPU_ISSET(plan->caller, &set)) atomic_fetch_add(&plan->visitors, 1);
}

static void test_workers_keep_off_the_callers_cpu(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) != 0 || CPU_COUNT(&set) < 2) return;
    int others = 0;
    for (int job = 0; job < 2000 && others < 50; job++) {
        seating plan = {.caller = sched_getcpu()};
        cnv_run run = {.threads = 2};
        cnv_parallel(&run, 100, take_seat, &plan);
        if (plan.caller != sched_getcpu()) continue; /* the caller has moved, perhaps before the job began */
        others += atomic_load(&plan.others);
        CHECK(atomic_load(&plan.visitors) == 0, "job %d: a worker may run on CPU %d, which is its caller's",
              job, plan.caller);
    }
    CHECK(others > 0, "the worker never takes part");
}
#endif

#ifndef CHECK_UNDER_TSAN
static void fork_and_check(const char *when)
{
    ledger *book = new_ledger(
        4, 100); /* allocated before the fork, which AddressSanitizer's allocator does not survive */
    pid_t child = fork();
    if (child == 0) {
        alarm(20); /* ends a child that hangs */
        _exit(play(book, 300) ? EXIT_FAILURE : EXIT_SUCCESS);
    }
    int status = -1;
    pid_t waited = child > 0 ? waitpid(child, &status, 0) : child;
    free(book);
    CHECK(waited == child && status == 0, "child forked %s: pid %d, status %d", when, (int)child, status);
}

static void test_fork(void)
{
    pthread_t callers[2];
    fork_and_check("after jobs");
    for (int i = 0; i < 2; i++) pthread_create(&callers[i], NULL, call_often, NULL);
    for (int i = 0; i < 20; i++) fork_and_check("while others use the pool");
    for (int i = 0; i < 2; i++) pthread_join(callers[i], NULL);
    CHECK(call_often(NULL) == NULL, "the forks have broken the parent's pool");
}
#endif

static void test_number_of_threads(void)
{
    static const struct {
        const char *text;
        int threads; /* 0 for the number of available CPUs */
    } rows[] = {{"3", 3},  {"1", 1}, {"900", CNV_MAX_THREADS}, {"0", 0}, {"-2", 0}, {"many", 0},
                {"4x", 0}, {"", 0}};
    unsetenv("CNNVIZ_NUM_THREADS");
    int machine = cnv_num_threads();
    CHECK(machine >= 1 && machine <= CNV_MAX_THREADS, "%d threads", machine);
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        setenv("CNNVIZ_NUM_THREADS", rows[r].text, 1);
        int wanted = rows[r].threads ? rows[r].threads : machine;
        CHECK(cnv_num_threads() == wanted, "CNNVIZ_NUM_THREADS=%s: %d threads", rows[r].text,
              cnv_num_threads());
    }
    static const int refused[] = {0, -1, CNV_MAX_THREADS + 1};
    for (int i = 0; i < 3; i++) {
        cnv_error err;
        CHECK(cnv_set_num_threads(refused[i], &err) == CNV_INVALID, "%d accepted", refused[i]);
    }
    CHECK(cnv_set_num_threads(2, NULL) == CNV_OK && cnv_num_threads() == 2,
          "the number that was set is not used");
}

int main(void)
{
    test_every_item_once();
    test_several_callers();
    test_a_caller_that_ends_in_the_middle();
    test_cancel();
    test_a_late_worker_is_left_out_for_a_while();
    test_a_worker_that_is_rarely_late_stays();
#ifdef __linux__
    test_workers_keep_off_the_callers_cpu();
#endif
#ifndef CHECK_UNDER_TSAN
    test_fork();
#endif
    test_number_of_threads();
    return check_report();
}
