/* The accounts of workers: which waits are charged, how long a leave is, and what shortens a debt. */
#include "check.h"
#include "runtime/account.h"

#define MS 1000000

/* One wait of the caller for a worker at the millisecond `now`, whose items take `item` milliseconds. */
typedef struct {
    int now, wait, item;
    int leave; /* the leave that begins, in milliseconds; 0 if none begins */
} wait;

static void test_one_wait(void)
{
    static const wait rows[] = {
        {0, 0, 0, 0}, {0, 4, 0, 0}, {0, 5, 0, 8}, {0, 5, 1, 0}, {0, 1000, 249, 0}, {0, 1000, 248, 8},
    };
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        cnv_account account;
        cnv_account_reset(&account);
        const bool left =
            cnv_account_charge(&account, rows[r].wait * (int64_t)MS, rows[r].item * (int64_t)MS, 0);
        CHECK(left == (rows[r].leave > 0) && atomic_load(&account.left_out) == left,
              "%d ms for items of %d ms: leave %d", rows[r].wait, rows[r].item, left);
    }
}

/* A worker that is late again soon after its leave stays out for twice as long, up to 128 ms. */
static void test_leaves_grow(void)
{
    static const wait rows[] = {
        {1000, 5, 0, 8},   {1010, 5, 0, 16},  {1030, 5, 0, 32}, {1065, 5, 0, 64},
        {1130, 5, 0, 128}, {1260, 5, 0, 128}, {1700, 5, 0, 8},
    };
    cnv_account account;
    cnv_account_reset(&account);
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        const int64_t now = rows[r].now * (int64_t)MS, back = now + rows[r].leave * (int64_t)MS;
        CHECK(cnv_account_charge(&account, rows[r].wait * (int64_t)MS, 0, now), "row %zu: no leave", r);
        CHECK(!cnv_account_readmit(&account, back - 1), "row %zu: back before %d ms are over", r,
              rows[r].leave);
        CHECK(cnv_account_readmit(&account, back), "row %zu: not back after %d ms", r, rows[r].leave);
        CHECK(!cnv_account_readmit(&account, back), "row %zu: back twice", r);
    }
}

/* Debts add up; credit takes them off, and never leaves a balance for later. */
static void test_debts(void)
{
    static const struct {
        int credit; /* before each wait, in milliseconds */
        int waits;  /* of 2 ms before the one that begins a leave, at most 100 */
    } rows[] = {{0, 2}, {2, 4}, {4, 100}, {1000, 100}};
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        cnv_account account;
        int waits = 0;
        cnv_account_reset(&account);
        cnv_account_credit(&account, 1000 * (int64_t)MS);
        while (waits < 100) {
            cnv_account_credit(&account, rows[r].credit * (int64_t)MS);
            if (cnv_account_charge(&account, 2 * MS, 0, 0)) break;
            waits++;
        }
        CHECK(waits == rows[r].waits, "credit of %d ms: a leave after %d waits, not %d", rows[r].credit,
              waits, rows[r].waits);
    }
}

int main(void)
{
    test_one_wait();
    test_leaves_grow();
    test_debts();
    return check_report();
}
