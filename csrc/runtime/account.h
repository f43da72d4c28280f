/*
 * The account of a worker: whether it saves the caller more time than it costs.
 *
 * If another program takes a worker's CPU in the middle of an item, the caller waits until the worker gets it
 * back, some milliseconds in which a small network runs dozens of jobs. The account is charged with the time
 * that the caller waits beyond the time of a few items, and credited with the items that the worker saves the
 * caller. A worker whose debt exceeds a limit is left out of the jobs of the next milliseconds, and for twice
 * as long if it exceeds the limit again soon after. A program that keeps a CPU busy takes every other time
 * slice and is noticed within a few; a hypervisor that takes one per cent now and then stays below the limit.
 */
#ifndef CNV_RUNTIME_ACCOUNT_H
#define CNV_RUNTIME_ACCOUNT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* Written by the caller only, between jobs; left_out is also read by the worker. */
typedef struct cnv_account {
    atomic_bool left_out; /* the worker may enter no job */
    int64_t owes_ns;      /* the debt, at least 0 */
    int64_t back_ns;      /* the end of the last leave; 0 before the first one */
    int64_t leave_ns;     /* the length of the last leave */
} cnv_account;

void cnv_account_reset(cnv_account *account);

/* Ends the leave of a worker if it is over by `now`; returns whether it did. */
bool cnv_account_readmit(cnv_account *account, int64_t now);

/* Takes the time that the worker has saved the caller off its debt. */
void cnv_account_credit(cnv_account *account, int64_t saved_ns);

/* Adds the time that the caller has waited for the worker, whose items take item_ns each, to its debt; begins
 * a leave if the debt exceeds the limit, and returns whether it did. */
bool cnv_account_charge(cnv_account *account, int64_t waited_ns, int64_t item_ns, int64_t now);

#endif
