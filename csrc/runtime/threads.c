/*
 * The gate is one word that holds everything about the current job that workers race for:
 *
 *     bits 32..63  the job's number
 *     bits 16..31  the job's threads while it is open, 0 once it is closed
 *     bits  0..15  the number of workers inside it
 *
 * A worker enters by adding 1 to an open gate in one compare-and-swap, so it can never enter a job that is
 * over: the number has changed. The caller opens the gate, claims items as the workers do, closes the gate,
 * and waits for the workers inside, which finish the items that they have claimed. A worker that the system
 * did not schedule in time never entered, and costs nothing.
 *
 * A waiting thread spins first, because the next job usually comes within microseconds, then sleeps on a
 * condition variable. A sleeper announces itself before it looks at the gate for the last time, and the
 * caller changes the gate before it looks for sleepers, both in sequentially consistent order: one of the two
 * always sees the other.
 *
 * If another program takes a worker's CPU in the middle of an item, the caller has to wait until the worker
 * gets it back. account.h decides which workers are worth that risk.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* sched_getaffinity */
#endif
#include "runtime/threads.h"

#include "runtime/account.h"
#include "runtime/denormals.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <time.h>

/* The time that a thread spins before it sleeps: about as long as large items take, and as a program is busy
 * between two passes through a small network. Waking a sleeper costs 10 to 20 us, and several times that on a
 * virtual machine, which may lose its CPU as soon as it is idle; the sleeper may also wake on another CPU
 * with cold caches. */
#define SPIN_NS 1000000
#define SPIN_ROUND 64 /* tests of the gate between two readings of the clock */

#define JOB_SHIFT 32
#define THREADS_SHIFT 16
#define FIELD_MASK 0xffffu

typedef struct {
    pthread_t thread; /* the worker's; unused for the caller */
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    atomic_bool asleep;
    cnv_account account;
} sleeper;

static struct {
    atomic_flag taken; /* set while a caller is using the pool */
    atomic_uint_fast64_t gate;
    int workers;  /* the workers started so far; read and written only by the caller that took the pool */
    int cpus;     /* the CPUs that the process could run on when it started its first job */
    bool crowded; /* this job has more threads than CPUs, so a waiting thread must not spin */
    int left_out; /* the number of workers whose account leaves them out */
    int shunned;  /* the CPU that workers are kept off, -1 before the first job */
    atomic_int last_out;               /* the worker that has left a job last */
    sleeper sleepers[CNV_MAX_THREADS]; /* [0] is the caller, [i] is worker i */

    /* The job, written before the gate opens and read by the threads inside it. */
    cnv_task *task;
    void *context;
    int64_t n_items;
    cnv_run *run;
    atomic_int_fast64_t next_item;
} pool = {.taken = ATOMIC_FLAG_INIT};

static pthread_once_t pool_once = PTHREAD_ONCE_INIT;

static int gate_threads(uint64_t gate)
{
    return (int)(gate >> THREADS_SHIFT & FIELD_MASK);
}

static int gate_inside(uint64_t gate)
{
    return (int)(gate & FIELD_MASK);
}

static void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

typedef struct {
    int index;     /* the waiting thread's */
    uint64_t been; /* the number of the last job that the thread entered, and must not enter again */
} waiter;

/* The condition that a waiter waits for. */
typedef bool gate_test(uint64_t gate, const waiter *self);

static bool may_enter(uint64_t gate, const waiter *self)
{
    if (self->index >= gate_threads(gate) || gate >> JOB_SHIFT == self->been) return false;
    return !atomic_load_explicit(&pool.sleepers[self->index].account.left_out, memory_order_relaxed);
}

static bool nobody_inside(uint64_t gate, const waiter *self)
{
    (void)self;
    return gate_inside(gate) == 0;
}

static bool spin_until(gate_test *test, const waiter *self)
{
    int64_t deadline = now_ns() + SPIN_NS;
    do {
        for (int i = 0; i < SPIN_ROUND; i++) {
            if (test(atomic_load_explicit(&pool.gate, memory_order_acquire), self)) return true;
            relax();
        }
    } while (now_ns() < deadline);
    return false;
}

static void sleep_until(gate_test *test, const waiter *self)
{
    sleeper *bed = &pool.sleepers[self->index];
    pthread_mutex_lock(&bed->mutex);
    atomic_store(&bed->asleep, true);
    while (!test(atomic_load(&pool.gate), self)) pthread_cond_wait(&bed->wake, &bed->mutex);
    atomic_store(&bed->asleep, false);
    pthread_mutex_unlock(&bed->mutex);
}

static void wait_until(gate_test *test, const waiter *self, bool spin)
{
    if (test(atomic_load(&pool.gate), self)) return;
    if (spin && spin_until(test, self)) return;
    sleep_until(test, self);
}

/* Makes a sleeping thread test the gate, which has changed, again. */
static void wake(int index)
{
    sleeper *other = &pool.sleepers[index];
    if (!atomic_load(&other->asleep)) return;
    pthread_mutex_lock(&other->mutex);
    pthread_cond_signal(&other->wake);
    pthread_mutex_unlock(&other->mutex);
}

static bool enter(waiter *self)
{
    uint64_t gate = atomic_load(&pool.gate);
    while (may_enter(gate, self)) {
        if (!atomic_compare_exchange_weak(&pool.gate, &gate, gate + 1)) continue;
        self->been = gate >> JOB_SHIFT;
        return true;
    }
    return false;
}

static void leave(int index)
{
    atomic_store_explicit(&pool.last_out, index, memory_order_relaxed);
    uint64_t gate = atomic_fetch_sub(&pool.gate, 1) - 1;
    if (gate_inside(gate) == 0 && gate_threads(gate) == 0) wake(0);
}

static void compute(cnv_task *task, void *context, int64_t item, int index)
{
    const cnv_float_mode mode = cnv_flush_denormals();
    task(context, item, index);
    cnv_restore_float_mode(mode);
}

/* Claims and computes items until none is left or the run is cancelled; returns the number computed. */
static int64_t compute_items(int index, bool polls)
{
    for (int64_t computed = 0;; computed++) {
        bool stop = polls ? cnv_run_cancelled(pool.run) : atomic_load(&pool.run->cancelled);
        if (stop) return computed;
        int64_t item = atomic_fetch_add(&pool.next_item, 1);
        if (item >= pool.n_items) return computed;
        compute(pool.task, pool.context, item, index);
    }
}

static void *work(void *argument)
{
    waiter self = {.index = (int)(intptr_t)argument, .been = 0}; /* the first job is 1 */
    bool spin = true;
    for (;;) {
        wait_until(may_enter, &self, spin);
        if (!enter(&self)) continue;
        compute_items(self.index, false);
        spin = !pool.crowded;
        leave(self.index);
    }
    return NULL;
}

/* Makes the pool as new in a forked child, in which only the forking thread exists. */
static void reset_pool(void)
{
    atomic_flag_clear(&pool.taken);
    atomic_store(&pool.gate, 0);
    pool.workers = 0;
    for (int i = 0; i < CNV_MAX_THREADS; i++) {
        pthread_mutex_init(&pool.sleepers[i].mutex, NULL);
        pthread_cond_init(&pool.sleepers[i].wake, NULL);
        atomic_store(&pool.sleepers[i].asleep, false);
        cnv_account_reset(&pool.sleepers[i].account);
    }
    pool.left_out = 0;
    pool.shunned = -1;
}

static void init_pool(void)
{
    pool.cpus = cnv_available_cpus();
    reset_pool();
    pthread_atfork(NULL, NULL, reset_pool);
}

/* Workers block all signals, which belong to the program's own threads. They are detached, because nothing
 * that they hold outlives a job, and end with the process. */
static bool start_worker(int index)
{
    sigset_t all, before;
    pthread_t *thread = &pool.sleepers[index].thread;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    bool started = pthread_create(thread, NULL, work, (void *)(intptr_t)index) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (started) pthread_detach(*thread);
    return started;
}

/* Starts the workers that are missing; if the system refuses a thread, the pool works with fewer. */
static void start_workers(int threads)
{
    while (pool.workers < threads - 1 && start_worker(pool.workers + 1)) {
        pool.workers++;
        pool.shunned = -1;
    }
}

/* Restricts the workers to the caller's CPUs except the one that the caller is on. A system may wake a worker
 * on its caller's CPU although others are idle, as virtual machines do to need fewer CPUs; one of the two
 * then waits for the other until the scheduler runs again, some milliseconds later. */
static void keep_apart(void)
{
#ifdef __linux__
    const int cpu = sched_getcpu();
    cpu_set_t set;
    if (cpu == pool.shunned) return;
    pool.shunned = cpu;
    if (cpu < 0 || sched_getaffinity(0, sizeof set, &set) != 0) return;
    CPU_CLR(cpu, &set);
    if (CPU_COUNT(&set) == 0) return;
    for (int i = 1; i <= pool.workers; i++) pthread_setaffinity_np(pool.sleepers[i].thread, sizeof set, &set);
#endif
}

/* Lets the workers back in whose leave is over. */
static void readmit(int64_t now)
{
    for (int i = 1; i <= pool.workers && pool.left_out > 0; i++)
        if (cnv_account_readmit(&pool.sleepers[i].account, now)) pool.left_out--;
}

/* Credits every worker with its share of the time that they have saved the caller. */
static void credit(int workers, int64_t saved_ns)
{
    for (int i = 1; i <= workers; i++) cnv_account_credit(&pool.sleepers[i].account, saved_ns / workers);
}

static void open_gate(int threads)
{
    uint64_t job = (atomic_load(&pool.gate) >> JOB_SHIFT) + 1;
    atomic_store(&pool.gate, job << JOB_SHIFT | (uint64_t)threads << THREADS_SHIFT);
    for (int i = 1; i < threads; i++)
        if (!atomic_load(&pool.sleepers[i].account.left_out)) wake(i);
}

/* Returns whether workers were still inside. */
static bool close_gate(void)
{
    const waiter caller = {.index = 0, .been = 0};
    uint64_t gate = atomic_fetch_and(&pool.gate, ~((uint64_t)FIELD_MASK << THREADS_SHIFT));
    if (gate_inside(gate) == 0) return false;
    wait_until(nobody_inside, &caller, !pool.crowded);
    return true;
}

/* Closes the gate and settles the workers' accounts. The caller has computed `computed` items since
 * `start`. */
static void end_job(int workers, int64_t computed, int64_t start)
{
    const int64_t closed = now_ns();
    const bool waited = close_gate();
    if (computed == 0) return; /* the time of an item is unknown */
    const int64_t item_ns = (closed - start) / computed;
    credit(workers, (pool.n_items - computed) * item_ns);
    if (!waited) return;
    const int64_t now = now_ns();
    sleeper *last = &pool.sleepers[atomic_load(&pool.last_out)];
    if (cnv_account_charge(&last->account, now - closed, item_ns, now)) pool.left_out++;
}

static void compute_alone(cnv_run *run, int64_t n_items, cnv_task *task, void *context)
{
    for (int64_t item = 0; item < n_items && !cnv_run_cancelled(run); item++) compute(task, context, item, 0);
}

/* Cleans up if the caller's thread ends inside run->interrupted, as Python ends daemon threads when it exits:
 * the job is on that thread's stack, so all workers must have left it before the stack goes. */
static void abandon_job(void *run)
{
    atomic_store(&((cnv_run *)run)->cancelled, true);
    close_gate();
    atomic_flag_clear(&pool.taken);
}

/* Lets workers in, computes items with them, and returns the number that the caller has computed. */
static int64_t run_job(cnv_run *run, int threads)
{
    int64_t computed;
    pthread_cleanup_push(abandon_job, run);
    open_gate(threads);
    computed = compute_items(0, true);
    pthread_cleanup_pop(0);
    return computed;
}

void cnv_parallel(cnv_run *run, int64_t n_items, cnv_task *task, void *context)
{
    int threads = n_items < run->threads ? (int)n_items : run->threads;
    pthread_once(&pool_once, init_pool);
    if (threads <= 1 || atomic_flag_test_and_set(&pool.taken)) {
        compute_alone(run, n_items, task, context);
        return;
    }
    start_workers(threads);
    pool.crowded = threads > pool.cpus;
    if (!pool.crowded) keep_apart();
    pool.task = task;
    pool.context = context;
    pool.n_items = n_items;
    pool.run = run;
    atomic_store(&pool.next_item, 0);
    const int64_t start = now_ns();
    readmit(start);
    const int64_t computed = run_job(run, threads);
    end_job(threads - 1, computed, start);
    atomic_flag_clear(&pool.taken);
}

bool cnv_run_cancelled(cnv_run *run)
{
    if (atomic_load(&run->cancelled)) return true;
    if (!run->interrupted || !run->interrupted(run->owner)) return false;
    atomic_store(&run->cancelled, true);
    return true;
}
