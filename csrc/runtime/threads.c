/*
 * One word, the gate, holds everything about the current job that workers race for:
 *
 *     bits 32..63  number of the job
 *     bits 16..31  its threads while it is open, 0 once it is closed
 *     bits  0..15  workers inside it
 *
 * A worker enters by adding 1 to an open gate in one compare-and-swap, so it can never enter a job that is
 * over: the number has changed. The caller opens the gate, claims items like everybody, closes the gate, and
 * waits for the workers inside, who are busy with items that they claimed before. A worker that the system
 * gave no time to simply never entered.
 *
 * Waiting is spinning first, as the next job usually comes within microseconds, then sleeping on a condition.
 * A sleeper announces itself before it looks at the gate for the last time, and the caller changes the gate
 * before it looks for sleepers, both in sequentially consistent order: one of the two always sees the other.
 *
 * Where another program takes a worker's CPU in the middle of an item, the caller has to wait until the
 * worker gets it back, which is some milliseconds: a small network does dozens of jobs in that time. So each
 * worker has an account. Waiting for it much longer than items take is what it costs, the items that it saves
 * the caller are what it brings. One that owes too much is left out of the jobs of the next milliseconds, and
 * for twice as long when it is late again soon after. A program that keeps a CPU busy takes every other turn
 * and is found out within a few; a hypervisor that takes one per cent now and then is worth putting up with.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* sched_getaffinity */
#endif
#include "runtime/threads.h"

#include "runtime/denormals.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <time.h>

/* Waking a sleeper costs 10 to 20 us, and on a virtual machine, whose CPU may be given to somebody else as
 * soon as it is idle, several times that; the sleeper may also wake on another CPU, and leave its caches
 * behind. So threads spin for about as long as large items take, and as a program does something between two
 * passes through a small network. */
#define SPIN_NS 1000000
#define SPIN_ROUND 64 /* looks between two readings of the clock */

/* Waiting for a worker is normal for as long as it may be at an item: so many times the average of the
 * caller's own, which may have been the small ones. What comes on top is a thread that has no CPU; a turn of
 * another program lasts some 3 ms. */
#define PATIENCE_ITEMS 4
#define PATIENCE_NS 300000

/* A worker has to bring so many times what it costs: beside a busy program it gets every other turn and
 * brings as much as it costs, and that is not worth having. It may owe a few turns. */
#define KEEP 2
#define LIMIT_NS 8000000

/* How long one that owes more is left out. The first time a turn or two of the other program; at most so long
 * that trying again, and waiting for another turn, is a matter of per cents. */
#define SHORT_LEAVE_NS 8000000
#define LONG_LEAVE_NS 128000000

#define JOB_SHIFT 32
#define THREADS_SHIFT 16
#define FIELD_MASK 0xffffu

typedef struct {
    pthread_t thread; /* of a worker */
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    atomic_bool asleep;

    atomic_bool left_out; /* enters no job until the caller says so */
    int64_t owes_ns;      /* what it has cost, KEEP times, and has not brought since; not below 0 */
    int64_t back_ns;      /* when the caller says so, or said; 0: never was left out */
    int64_t leave_ns;     /* how long it was last left out */
} sleeper;

static struct {
    atomic_flag taken; /* a caller is using the pool */
    atomic_uint_fast64_t gate;
    int workers;  /* started so far; only who has taken the pool reads or writes it */
    int cpus;     /* that the process could run on when it started its first job */
    bool crowded; /* this job has more threads than CPUs: waiting must not burn what others could use */
    int left_out; /* how many workers are */
    int shunned;  /* the CPU that workers are kept off, -1: none yet */
    atomic_int last_out;               /* the worker that has left a job last */
    sleeper sleepers[CNV_MAX_THREADS]; /* [0] is the caller, [i] is worker i */

    /* The job: written before the gate opens, read by who has entered. */
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
    int index;     /* of the waiting thread */
    uint64_t been; /* the job that it has left, and need not enter again */
} waiter;

/* What a waiter waits for, asked of the gate. */
typedef bool gate_test(uint64_t gate, const waiter *self);

static bool may_enter(uint64_t gate, const waiter *self)
{
    if (self->index >= gate_threads(gate) || gate >> JOB_SHIFT == self->been) return false;
    return !atomic_load_explicit(&pool.sleepers[self->index].left_out, memory_order_relaxed);
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

/* The gate has changed: the thread, if it sleeps, must look again. */
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

/* Returns how many items it has computed. */
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
    waiter self = {.index = (int)(intptr_t)argument, .been = 0}; /* jobs are numbered from 1 on */
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

/* In a forked child only the forking thread lives on: the pool is as new. */
static void reset_pool(void)
{
    atomic_flag_clear(&pool.taken);
    atomic_store(&pool.gate, 0);
    pool.workers = 0;
    for (int i = 0; i < CNV_MAX_THREADS; i++) {
        pthread_mutex_init(&pool.sleepers[i].mutex, NULL);
        pthread_cond_init(&pool.sleepers[i].wake, NULL);
        atomic_store(&pool.sleepers[i].asleep, false);
        atomic_store(&pool.sleepers[i].left_out, false);
        pool.sleepers[i].owes_ns = 0;
        pool.sleepers[i].back_ns = 0;
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

/* Workers never see a signal: those belong to the program's own threads. They are detached, as nothing that
 * they hold outlives a job, and end with the process. */
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

/* Where the system refuses a thread, fewer serve. */
static void start_workers(int threads)
{
    while (pool.workers < threads - 1 && start_worker(pool.workers + 1)) {
        pool.workers++;
        pool.shunned = -1;
    }
}

/* Keeps the workers off the CPU that the caller is on, and otherwise where the caller may be. A system may
 * wake a worker on its caller's CPU although others are idle; virtual machines do so in order to need fewer.
 * One of the two then waits for the other until the system thinks again, which is some milliseconds. */
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

/* Lets workers back in whose time is over. */
static void readmit(int64_t now)
{
    for (int i = 1; i <= pool.workers && pool.left_out > 0; i++) {
        sleeper *worker = &pool.sleepers[i];
        if (!atomic_load(&worker->left_out) || now < worker->back_ns) continue;
        atomic_store(&worker->left_out, false);
        pool.left_out--;
    }
}

/* Leaves a worker out: for twice as long as before when it was back only shortly. */
static void leave_out(sleeper *worker, int64_t now)
{
    bool again = worker->back_ns > 0 && now - worker->back_ns < worker->leave_ns;
    worker->leave_ns = again ? 2 * worker->leave_ns : SHORT_LEAVE_NS;
    if (worker->leave_ns > LONG_LEAVE_NS) worker->leave_ns = LONG_LEAVE_NS;
    worker->back_ns = now + worker->leave_ns;
    worker->owes_ns = LIMIT_NS;
    atomic_store(&worker->left_out, true);
    pool.left_out++;
}

/* Credits every worker with its part of what they have saved the caller. */
static void credit(int workers, int64_t saved_ns)
{
    for (int i = 1; i <= workers; i++) {
        int64_t owes = pool.sleepers[i].owes_ns - saved_ns / workers;
        pool.sleepers[i].owes_ns = owes > 0 ? owes : 0;
    }
}

static void charge(int index, int64_t late_ns, int64_t now)
{
    sleeper *worker = &pool.sleepers[index];
    worker->owes_ns += KEEP * late_ns;
    if (worker->owes_ns > LIMIT_NS) leave_out(worker, now);
}

static void open_gate(int threads)
{
    uint64_t job = (atomic_load(&pool.gate) >> JOB_SHIFT) + 1;
    atomic_store(&pool.gate, job << JOB_SHIFT | (uint64_t)threads << THREADS_SHIFT);
    for (int i = 1; i < threads; i++)
        if (!atomic_load(&pool.sleepers[i].left_out)) wake(i);
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

/* Closes the gate and settles with the workers. The caller has computed so many items since `start`. */
static void end_job(int workers, int64_t computed, int64_t start)
{
    const int64_t closed = now_ns();
    const bool waited = close_gate();
    if (computed == 0) return; /* nothing to compare with */
    const int64_t item_ns = (closed - start) / computed;
    credit(workers, (pool.n_items - computed) * item_ns);
    if (!waited) return;
    const int64_t now = now_ns(), late = now - closed - PATIENCE_NS - PATIENCE_ITEMS * item_ns;
    if (late > 0) charge(atomic_load(&pool.last_out), late, now);
}

static void compute_alone(cnv_run *run, int64_t n_items, cnv_task *task, void *context)
{
    for (int64_t item = 0; item < n_items && !cnv_run_cancelled(run); item++) compute(task, context, item, 0);
}

/* What is left to do when the caller's thread ends inside run->interrupted, as Python lets daemon threads end
 * when it exits: the job lies on the stack of that thread, and workers must be out of it before it goes. */
static void abandon_job(void *run)
{
    atomic_store(&((cnv_run *)run)->cancelled, true);
    close_gate();
    atomic_flag_clear(&pool.taken);
}

/* Lets workers in, and returns how many items the caller has computed. */
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
