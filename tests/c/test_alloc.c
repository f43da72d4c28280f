/* Heap memory: alignment, zeros, overflow, counting, injected failures. */
#include <string.h>

#include "check.h"
#include "runtime/alloc.h"

static bool all_zero(const char *block, size_t nbytes)
{
    for (size_t i = 0; i < nbytes; i++)
        if (block[i]) return false;
    return true;
}

static void test_blocks(void)
{
    static const struct {
        size_t count, size;
    } rows[] = {{0, 4},  {4, 0},    {1, 1},       {63, 1},      {64, 1},
                {65, 1}, {1000, 4}, {1 << 20, 4}, {5 << 20, 1}, {3 << 20, 8}};
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        size_t nbytes = rows[r].count * rows[r].size;
        for (int repeat = 0; repeat < 3; repeat++) {
            char *block = cnv_alloc(rows[r].count, rows[r].size);
            if (!CHECK(block, "%zu x %zu: out of memory", rows[r].count, rows[r].size)) continue;
            CHECK((uintptr_t)block % CNV_ALIGNMENT == 0, "%zu x %zu: at %p", rows[r].count, rows[r].size,
                  (void *)block);
            CHECK(all_zero(block, nbytes), "%zu x %zu: not zeroed", rows[r].count, rows[r].size);
            memset(block, 0xff, nbytes); /* the next block must be zeroed again */
            cnv_free(block);
        }
    }
    cnv_free(NULL);
}

static void test_impossible_sizes(void)
{
    static const struct {
        size_t count, size;
    } rows[] = {{SIZE_MAX, 2}, {SIZE_MAX / 2, 4}, {SIZE_MAX, 1}, {SIZE_MAX - 64, 1}, {SIZE_MAX / 4, 1}};
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++)
        CHECK(!cnv_alloc(rows[r].count, rows[r].size), "%zu x %zu was allocated", rows[r].count,
              rows[r].size);
}

static void test_products(void)
{
    size_t product = 0;
    CHECK(cnv_mul_size(1u << 20, 1u << 20, &product) && product == (size_t)1 << 40, "2^40 is %zu", product);
    CHECK(!cnv_mul_size((size_t)1 << 32, (size_t)1 << 32, &product), "2^64 fits");
    CHECK(cnv_mul_size(0, SIZE_MAX, &product) && product == 0, "0 is %zu", product);
}

static void test_counting_and_failing(void)
{
    uint64_t before = cnv_alloc_calls();
    void *blocks[6];
    for (int persist = 0; persist < 2; persist++) {
        cnv_alloc_fail_at(3, persist);
        for (int i = 0; i < 6; i++) blocks[i] = cnv_alloc(1, 8);
        cnv_alloc_fail_at(0, false);
        for (int i = 0; i < 6; i++) {
            bool fails = persist ? i >= 2 : i == 2;
            CHECK(!blocks[i] == fails, "persist %d: call %d %s", persist, i + 1,
                  fails ? "succeeded" : "failed");
            cnv_free(blocks[i]);
        }
    }
    CHECK(cnv_alloc_calls() - before == 12, "%d calls counted", (int)(cnv_alloc_calls() - before));
}

int main(void)
{
    test_blocks();
    test_impossible_sizes();
    test_products();
    test_counting_and_failing();
    return check_report();
}
