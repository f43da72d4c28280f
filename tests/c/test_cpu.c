/* The choice of the tier of kernels. */
#include <string.h>

#include "check.h"
#include "runtime/cpu.h"

int main(void)
{
    cnv_error err = {""};
    CHECK(cnv_cpu_tier() == CNV_TIER_PORTABLE, "before any choice the tier is %s", cnv_cpu_tier_name());
    CHECK(cnv_cpu_init(NULL, &err) == CNV_OK, "%s", err.message);
    cnv_tier best = cnv_cpu_tier();

    static const char *const names[] = {"portable", "avx2", "avx512"};
    for (int i = 0; i < 3; i++) {
        cnv_status status = cnv_cpu_init(names[i], &err);
        bool available = i <= (int)best;
        CHECK(available ? status == CNV_OK : status == CNV_INVALID && strstr(err.message, names[i]) != NULL,
              "%s: status %d, message \"%s\"", names[i], (int)status, err.message);
        CHECK(!available || strcmp(cnv_cpu_tier_name(), names[i]) == 0, "asked for %s, got %s", names[i],
              cnv_cpu_tier_name());
    }
    static const char *const unknown[] = {"AVX2", "sse9", " avx2"};
    for (int i = 0; i < 3; i++) {
        cnv_status status = cnv_cpu_init(unknown[i], &err);
        CHECK(status == CNV_INVALID && strstr(err.message, unknown[i]) != NULL,
              "%s: status %d, message \"%s\"", unknown[i], (int)status, err.message);
    }
    CHECK(cnv_cpu_init("", &err) == CNV_OK && cnv_cpu_tier() == best, "\"\" stands for the best tier");
    return check_report();
}
