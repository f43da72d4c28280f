#include "runtime/account.h"

/* The wait for a worker that is not charged: PATIENCE_ITEMS times the average time of the caller's items,
 * which may have been the shorter ones, and PATIENCE_NS. A longer wait means that the worker has lost its
 * CPU; a time slice of another program is some 3 ms. */
#define PATIENCE_ITEMS 4
#define PATIENCE_NS 300000

/* A worker is used while the time that it saves is at least KEEP times the time that the caller waits for it:
 * beside a busy program it gets every other time slice and saves as much as it costs, which is no gain. */
#define KEEP 2

/* The largest debt of a worker that is used: a few time slices of another program. */
#define LIMIT_NS 8000000

/* The first leave is a time slice or two of the other program. The longest leave makes the cost of trying the
 * worker again, which is another time slice, a few per cent. */
#define SHORT_LEAVE_NS 8000000
#define LONG_LEAVE_NS 128000000

void cnv_account_reset(cnv_account *account)
{
    atomic_store(&account->left_out, false);
    account->owes_ns = 0;
    account->back_ns = 0;
}

bool cnv_account_readmit(cnv_account *account, int64_t now)
{
    if (!atomic_load(&account->left_out) || now < account->back_ns) return false;
    atomic_store(&account->left_out, false);
    return true;
}

void cnv_account_credit(cnv_account *account, int64_t saved_ns)
{
    const int64_t owes = account->owes_ns - saved_ns;
    account->owes_ns = owes > 0 ? owes : 0;
}

/* Begins a leave, twice as long as the last one if that ended only shortly before. */
static void leave_out(cnv_account *account, int64_t now)
{
    const bool again = account->back_ns > 0 && now - account->back_ns < account->leave_ns;
    account->leave_ns = again ? 2 * account->leave_ns : SHORT_LEAVE_NS;
    if (account->leave_ns > LONG_LEAVE_NS) account->leave_ns = LONG_LEAVE_NS;
    account->back_ns = now + account->leave_ns;
    account->owes_ns = LIMIT_NS;
    atomic_store(&account->left_out, true);
}

bool cnv_account_charge(cnv_account *account, int64_t waited_ns, int64_t item_ns, int64_t now)
{
    const int64_t late_ns = waited_ns - PATIENCE_NS - PATIENCE_ITEMS * item_ns;
    if (late_ns <= 0) return false;
    account->owes_ns += KEEP * late_ns;
    if (account->owes_ns <= LIMIT_NS) return false;
    leave_out(account, now);
    return true;
}
