/* The layout of the arena: buffers that are alive together never overlap, and the block is nearly minimal. */
#include <stdlib.h>

#include "check.h"
#include "plan/arena.h"
#include "runtime/alloc.h"

static bool overlap(const cnv_buffer *a, const cnv_buffer *b)
{
    bool in_time = a->born <= b->dies && b->born <= a->dies;
    return in_time && a->offset < b->offset + b->nbytes && b->offset < a->offset + a->nbytes;
}

static size_t most_alive(const cnv_buffer *buffers, int n, int last_time)
{
    size_t most = 0;
    for (int t = 0; t <= last_time; t++) {
        size_t alive = 0;
        for (int i = 0; i < n; i++)
            if (buffers[i].born <= t && t <= buffers[i].dies) alive += buffers[i].nbytes;
        if (alive > most) most = alive;
    }
    return most;
}

static void test_random_layouts(void)
{
    srand(1);
    for (int round = 0; round < 300; round++) {
        cnv_buffer buffers[60];
        int n = 1 + rand() % 60;
        for (int i = 0; i < n; i++) {
            int born = rand() % 40;
            buffers[i] = (cnv_buffer){.nbytes = (size_t)(1 + rand() % 50) * CNV_ALIGNMENT,
                                      .born = born,
                                      .dies = born + rand() % 8,
                                      .purpose = (cnv_purpose)(rand() % CNV_PURPOSES)};
        }
        size_t nbytes = 0, peak = 0, bound = most_alive(buffers, n, 48);
        CHECK(cnv_arena_lay(buffers, n, &nbytes, NULL) == CNV_OK, "round %d", round);
        CHECK(nbytes >= bound && nbytes <= bound * 2, "round %d: %zu bytes, %zu alive", round, nbytes, bound);
        for (int i = 0; i < n; i++)
            for (int j = 0; j < i; j++)
                CHECK(!overlap(&buffers[i], &buffers[j]), "round %d: %d and %d overlap", round, i, j);
        CHECK(cnv_arena_peak(buffers, n, CNV_FOR_SAVED, 48, &peak, NULL) == CNV_OK && peak <= bound,
              "round %d: peak %zu, %zu alive", round, peak, bound);
    }
}

static void test_chain_reaches_the_bound(void)
{
    static const size_t kib[] = {64, 64, 16, 32, 32, 8, 16, 16, 4, 64, 128, 128};
    cnv_buffer buffers[12];
    for (int i = 0; i < 12; i++)
        buffers[i] =
            (cnv_buffer){.nbytes = kib[i] << 10, .born = i, .dies = i + 1, .purpose = CNV_FOR_VALUES};
    size_t nbytes = 0, peak = 0;
    CHECK(cnv_arena_lay(buffers, 12, &nbytes, NULL) == CNV_OK, "layout failed");
    CHECK(cnv_arena_peak(buffers, 12, CNV_FOR_VALUES, 12, &peak, NULL) == CNV_OK, "peak failed");
    CHECK(nbytes == 256 << 10 && peak == nbytes, "%zu bytes, %zu alive", nbytes, peak);
}

static void test_too_large_to_address(void)
{
    cnv_error err = {""};
    cnv_buffer buffers[] = {{.nbytes = SIZE_MAX / 8, .born = 0, .dies = 1},
                            {.nbytes = SIZE_MAX, .born = 0, .dies = 1}};
    size_t nbytes;
    CHECK(cnv_arena_lay(buffers, 2, &nbytes, &err) == CNV_NO_MEMORY, "laid out: %s", err.message);
}

int main(void)
{
    test_random_layouts();
    test_chain_reaches_the_bound();
    test_too_large_to_address();
    return check_report();
}
