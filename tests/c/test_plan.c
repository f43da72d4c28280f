/* The plan without Python: constants, mistakes of the builder, shared memory, and every allocation failing
 * once. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* nanosleep, fork */
#endif
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "check.h"
#include "cnnviz.h"
#include "plan/constant.h"
#include "runtime/alloc.h"

/* ---- constants ---- */

static void count_release(void *owner)
{
    ++*(int *)owner;
}

static int n_packed;

static void pack_negated(const cnv_packing *packing, const float *data, const cnv_shape *shape, void *packed)
{
    (void)packing;
    n_packed++;
    for (int64_t i = 0; i < cnv_shape_size(shape); i++) ((float *)packed)[i] = -data[i];
}

static void test_constant(void)
{
    float data[4] = {1, 2, 3, 4};
    cnv_shape shape = {.ndim = 1, .dim = {4}};
    cnv_packing packing = {.kind = 7, .nbytes = sizeof data, .pack = pack_negated};
    int released = 0;
    cnv_constant *constant = NULL;
    const void *first = NULL, *second = NULL;
    CHECK(cnv_constant_new(data, &shape, count_release, &released, &constant, NULL) == CNV_OK, "new");
    CHECK(cnv_constant_packed_nbytes(constant) == 0, "nothing is packed yet");
    CHECK(cnv_constant_pack(constant, &packing, &first, NULL) == CNV_OK, "pack");
    CHECK(cnv_constant_pack(constant, &packing, &second, NULL) == CNV_OK, "pack again");
    CHECK(first == second && n_packed == 1, "packed %d times", n_packed);
    CHECK(cnv_constant_packed_nbytes(constant) == sizeof data, "%zu bytes",
          cnv_constant_packed_nbytes(constant));
    packing.kind = 8;
    CHECK(cnv_constant_pack(constant, &packing, &second, NULL) == CNV_OK && second != first, "another kind");
    data[2] = 9;
    cnv_constant_refresh(constant);
    CHECK(n_packed == 2 && ((const float *)first)[2] == -3, "packed again without cnv_constant_changed");
    cnv_constant_changed(constant);
    cnv_constant_refresh(constant);
    CHECK(n_packed == 4 && ((const float *)first)[2] == -9 && ((const float *)second)[2] == -9, "%d packed",
          n_packed);
    cnv_constant_retain(constant);
    cnv_constant_release(constant);
    CHECK(released == 0, "released too early");
    cnv_constant_release(constant);
    CHECK(released == 1, "released %d times", released);
    cnv_constant_release(NULL);
    shape.dim[0] = 0;
    CHECK(cnv_constant_new(data, &shape, count_release, &released, &constant, NULL) == CNV_INVALID, "empty");
}

#ifndef CHECK_UNDER_TSAN
static atomic_bool packing_begun;

static void pack_slowly(const cnv_packing *packing, const float *data, const cnv_shape *shape, void *packed)
{
    const struct timespec time = {0, 100000000};
    atomic_store(&packing_begun, true);
    nanosleep(&time, NULL);
    pack_negated(packing, data, shape, packed);
}

static const cnv_packing slow = {.kind = 9, .nbytes = 4 * sizeof(float), .pack = pack_slowly};

static void *pack_in_thread(void *constant)
{
    const void *packed;
    CHECK(cnv_constant_pack(constant, &slow, &packed, NULL) == CNV_OK, "pack in a thread");
    return NULL;
}

static void test_fork_while_another_thread_packs(void)
{
    const float data[4] = {1, 2, 3, 4};
    const cnv_shape shape = {.ndim = 1, .dim = {4}};
    cnv_constant *constant = NULL;
    pthread_t thread;
    int status = -1;
    CHECK(cnv_constant_new(data, &shape, NULL, NULL, &constant, NULL) == CNV_OK, "new");
    pthread_create(&thread, NULL, pack_in_thread, constant);
    while (!atomic_load(&packing_begun)) sched_yield();
    const pid_t child = fork();
    if (child == 0) {
        const void *packed = NULL;
        alarm(10); /* ends a child that waits for ever */
        _exit(cnv_constant_pack(constant, &slow, &packed, NULL) == CNV_OK && ((const float *)packed)[3] == -4
                  ? 0
                  : 1);
    }
    waitpid(child, &status, 0);
    CHECK(status == 0, "the child ends with status %d", status);
    pthread_join(thread, NULL);
    cnv_constant_release(constant);
}
#endif

/* ---- shapes and the builder ---- */

static void test_shapes(void)
{
    static const struct {
        cnv_shape shape;
        bool fits;
    } rows[] = {
        {{0, {0}}, true},
        {{2, {3, 4}}, true},
        {{1, {0}}, false},
        {{1, {-1}}, false},
        {{2, {INT64_MAX, 2}}, false},
        {{3, {1LL << 31, 1LL << 31, 1}}, false},
        {{3, {1LL << 30, 1LL << 29, 1}}, true},
        {{2, {1LL << 32, 1LL << 32}}, false},
        {{9, {1, 1, 1, 1, 1, 1, 1, 1}}, false},
        {{-1, {1}}, false},
    };
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        cnv_error err = {""};
        bool fits = cnv_shape_check(&rows[r].shape, "it", &err) == CNV_OK;
        CHECK(fits == rows[r].fits, "row %zu: fits %d, message \"%s\"", r, fits, err.message);
    }
}

static void test_builder_mistakes(void)
{
    cnv_plan *plan = NULL;
    cnv_shape shape = {.ndim = 4, .dim = {1, 2, 4, 4}};
    cnv_value_id x = CNV_NONE, y = CNV_NONE;
    const cnv_params params = {.shape = {0}};
    CHECK(cnv_plan_new(&plan, NULL) == CNV_OK, "new");
    CHECK(cnv_plan_input(plan, &shape, "x", &x, NULL) == CNV_OK && x == 0, "x is value %d", (int)x);
    const struct {
        const char *op;
        cnv_value_id inputs[2];
        int n_inputs;
        const char *in_message;
    } rows[] = {
        {"no_such_operator", {0}, 1, "no_such_operator"},
        {"relu", {0, 0}, 2, "2 inputs"},
        {"relu", {0}, 0, "0 inputs"},
        {"relu", {7}, 1, "value 7"},
        {"relu", {-1}, 1, "value -1"},
        {"add", {0, CNV_NONE}, 2, "value -1"},
        {"concat", {0, CNV_NONE}, 2, "value -1"},
        {"reshape", {0}, 1, "elements"},
    };
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        cnv_error err = {""};
        cnv_status status =
            cnv_plan_add(plan, rows[r].op, rows[r].inputs, rows[r].n_inputs, &params, "block3/n", &y, &err);
        CHECK(status == CNV_INVALID && strncmp(err.message, "block3/n", 8) == 0 &&
                  strstr(err.message, rows[r].in_message),
              "row %zu: status %d, message \"%s\"", r, (int)status, err.message);
        CHECK(cnv_plan_n_nodes(plan) == 0 && !cnv_plan_shape(plan, 1), "row %zu: the plan has changed", r);
    }
    CHECK(cnv_plan_add(plan, "relu", &x, 1, NULL, "r", &y, NULL) == CNV_OK && y == 1, "y is value %d",
          (int)y);
    cnv_plan_free(plan);
    cnv_plan_free(NULL);
}

/* ---- every allocation fails once ---- */

static cnv_status build_and_run(cnv_constant *weights, cnv_error *err)
{
    cnv_status status = CNV_OK;
    cnv_plan *plan = NULL;
    cnv_shape shape = {.ndim = 4, .dim = {1, 2, 6, 6}}, flat = {.ndim = 2, .dim = {1, 3}};
    cnv_params conv = {
        .conv = {.window = {.stride = {1, 1}, .dilation = {1, 1}, .pad = {1, 1, 1, 1}}, .groups = 1}};
    cnv_params reshape = {.shape = flat};
    cnv_value_id x, w, h, r, a, g, f;
    float image[72], cotangent[3] = {1, -1, 2};
    const float *inputs[] = {image}, *cotangents[] = {cotangent};
    check_fill(image, 72, 1);
    CNV_TRY(cnv_plan_new(&plan, err));
    CNV_TRY(cnv_plan_input(plan, &shape, "x", &x, err));
    CNV_TRY(cnv_plan_constant(plan, weights, "w", &w, err));
    CNV_TRY(cnv_plan_add(plan, "conv2d", (cnv_value_id[]){x, w}, 2, &conv, "conv", &h, err));
    CNV_TRY(cnv_plan_add(plan, "relu", &h, 1, NULL, "relu", &r, err));
    CNV_TRY(cnv_plan_add(plan, "add", (cnv_value_id[]){r, h}, 2, NULL, "add", &a, err));
    CNV_TRY(cnv_plan_add(plan, "global_average_pool", &a, 1, NULL, "gap", &g, err));
    CNV_TRY(cnv_plan_add(plan, "reshape", &g, 1, &reshape, "flat", &f, err));
    cnv_request request = {.keep = &f,
                           .n_keep = 1,
                           .seeds = &f,
                           .n_seeds = 1,
                           .wrt = (cnv_value_id[]){x, w},
                           .n_wrt = 2,
                           .threads = 2};
    CNV_TRY(cnv_plan_prepare(plan, &request, err));
    CNV_TRY(cnv_plan_forward(plan, inputs, NULL, NULL, err));
    CNV_TRY(cnv_plan_backward(plan, cotangents, CNV_RELU_PLAIN, NULL, NULL, err));
    CHECK(cnv_plan_read(plan, f) && cnv_plan_gradient(plan, x) && cnv_plan_gradient(plan, w),
          "nothing to read");
    CHECK(!cnv_plan_read(plan, r) && !cnv_plan_gradient(plan, r), "relu was not asked for");
done:
    cnv_plan_free(plan);
    return status;
}

static void test_failing_allocations(void)
{
    float numbers[54];
    cnv_shape shape = {.ndim = 4, .dim = {3, 2, 3, 3}};
    cnv_constant *weights = NULL;
    check_fill(numbers, 54, 2);
    CHECK(cnv_constant_new(numbers, &shape, NULL, NULL, &weights, NULL) == CNV_OK, "new");
    for (int persist = 0; persist < 2; persist++) {
        cnv_status status = CNV_NO_MEMORY;
        int n = 0;
        while (status == CNV_NO_MEMORY && n < 1000) {
            cnv_error err = {""};
            cnv_alloc_fail_at((uint64_t)++n, persist);
            status = build_and_run(weights, &err);
            cnv_alloc_fail_at(0, false);
            CHECK(status == CNV_OK || (status == CNV_NO_MEMORY && strstr(err.message, "out of memory")),
                  "allocation %d: status %d, message \"%s\"", n, (int)status, err.message);
        }
        CHECK(status == CNV_OK && n > 30, "ended after %d allocations with status %d", n, (int)status);
    }
    cnv_constant_release(weights);
}

static void test_failed_prepare_can_be_repeated(void)
{
    cnv_plan *plan = NULL;
    cnv_shape shape = {.ndim = 2, .dim = {2, 3}};
    cnv_value_id x, y, nowhere = 99;
    CHECK(cnv_plan_new(&plan, NULL) == CNV_OK && cnv_plan_input(plan, &shape, "x", &x, NULL) == CNV_OK, "x");
    CHECK(cnv_plan_add(plan, "relu", &x, 1, NULL, "r", &y, NULL) == CNV_OK, "r");
    const struct {
        cnv_request request;
        cnv_status status;
    } rows[] = {
        {{.keep = &nowhere, .n_keep = 1, .threads = 1}, CNV_INVALID},
        {{.seeds = &nowhere, .n_seeds = 1, .threads = 1}, CNV_INVALID},
        {{.wrt = &nowhere, .n_wrt = 1, .seeds = &y, .n_seeds = 1, .threads = 1}, CNV_INVALID},
        {{.wrt = &x, .n_wrt = 1, .threads = 1}, CNV_INVALID},
        {{.seeds = (cnv_value_id[]){y, y}, .n_seeds = 2, .threads = 1}, CNV_INVALID},
        {{.threads = 0}, CNV_INVALID},
        {{.threads = CNV_MAX_THREADS + 1}, CNV_INVALID},
        {{.keep = &y, .n_keep = 1, .threads = 1}, CNV_OK},
        {{.keep = &y, .n_keep = 1, .threads = 1}, CNV_INVALID}, /* only once */
    };
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        cnv_error err = {""};
        cnv_status status = cnv_plan_prepare(plan, &rows[r].request, &err);
        CHECK(status == rows[r].status, "row %zu: status %d, message \"%s\"", r, (int)status, err.message);
    }
    cnv_plan_free(plan);
}

/* ---- plans that share memory ---- */

static const char *const busy = "running in another thread";

/* relu of four numbers, prepared. */
static cnv_status prepare_small(cnv_plan **plan, const cnv_plan *shares, cnv_error *err)
{
    cnv_status status = CNV_OK;
    cnv_shape shape = {.ndim = 1, .dim = {4}};
    cnv_value_id x, y;
    CNV_TRY(cnv_plan_new(plan, err));
    CNV_TRY(cnv_plan_input(*plan, &shape, "x", &x, err));
    CNV_TRY(cnv_plan_add(*plan, "relu", &x, 1, NULL, "r", &y, err));
    cnv_request request = {.seeds = &y, .n_seeds = 1, .wrt = &x, .n_wrt = 1, .threads = 1, .shares = shares};
    CNV_TRY(cnv_plan_prepare(*plan, &request, err));
done:
    return status;
}

/* Asked in the middle of the other plan's pass. */
static bool try_to_use(void *owner)
{
    cnv_plan *plan = owner, *third = NULL;
    const float numbers[4] = {0}, *arrays[] = {numbers};
    cnv_error err = {""};
    CHECK(cnv_plan_forward(plan, arrays, NULL, NULL, &err) == CNV_INVALID && strstr(err.message, busy),
          "forward: \"%s\"", err.message);
    err.message[0] = '\0';
    CHECK(cnv_plan_backward(plan, arrays, CNV_RELU_PLAIN, NULL, NULL, &err) == CNV_INVALID &&
              strstr(err.message, busy),
          "backward: \"%s\"", err.message);
    err.message[0] = '\0';
    CHECK(prepare_small(&third, plan, &err) == CNV_INVALID && strstr(err.message, busy), "prepare: \"%s\"",
          err.message);
    cnv_plan_free(third);
    return false;
}

static void test_shared_memory_is_used_by_one_at_a_time(void)
{
    cnv_plan *first = NULL, *second = NULL;
    const float numbers[4] = {1, -2, 3, -4}, *arrays[] = {numbers};
    cnv_error err = {""};
    CHECK(prepare_small(&first, NULL, &err) == CNV_OK && prepare_small(&second, first, &err) == CNV_OK, "%s",
          err.message);
    CHECK(cnv_plan_forward(first, arrays, NULL, NULL, &err) == CNV_OK, "%s", err.message);
    CHECK(cnv_plan_forward(second, arrays, try_to_use, first, &err) == CNV_OK, "%s", err.message);
    CHECK(cnv_plan_backward(first, arrays, CNV_RELU_PLAIN, NULL, NULL, &err) == CNV_INVALID &&
              strstr(err.message, "call forward again"),
          "\"%s\"", err.message);
    CHECK(cnv_plan_backward(second, arrays, CNV_RELU_PLAIN, NULL, NULL, &err) == CNV_OK, "%s", err.message);
    cnv_plan_free(second);
    cnv_plan_free(first);
}

int main(void)
{
    test_constant();
#ifndef CHECK_UNDER_TSAN
    test_fork_while_another_thread_packs();
#endif
    test_shapes();
    test_builder_mistakes();
    test_failing_allocations();
    test_failed_prepare_can_be_repeated();
    test_shared_memory_is_used_by_one_at_a_time();
    return check_report();
}
