#define _DEFAULT_SOURCE /* MAP_ANONYMOUS */
#include "check.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static int n_checks = 0;
static int n_failed = 0;

bool check_row(bool ok, const char *file, int line, const char *format, ...)
{
    n_checks++;
    if (ok) return true;
    n_failed++;
    va_list args;
    va_start(args, format);
    fprintf(stderr, "%s:%d: ", file, line);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    return false;
}

int check_report(void)
{
    printf("%d checks, %d failed\n", n_checks, n_failed);
    return n_failed > 0 || n_checks == 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* Bytes of the readable pages before the guard page. */
static size_t body_nbytes(int64_t n)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t nbytes = (size_t)n * sizeof(float);
    return (nbytes + page - 1) / page * page;
}

float *check_guarded(int64_t n)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t body = body_nbytes(n);
    char *base = mmap(NULL, body + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED || mprotect(base + body, page, PROT_NONE) != 0) {
        perror("check_guarded");
        exit(EXIT_FAILURE);
    }
    float *block = (float *)(void *)(base + body) - n;
    for (int64_t i = 0; i < n; i++) {
        block[i] = NAN;
    }
    return block;
}

void check_unguard(float *block, int64_t n)
{
    size_t body = body_nbytes(n);
    munmap((char *)(block + n) - body, body + (size_t)sysconf(_SC_PAGESIZE));
}

void check_fill(float *block, int64_t n, uint64_t seed)
{
    uint64_t state = seed * 2 + 1;
    for (int64_t i = 0; i < n; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u; /* Knuth's MMIX generator */
        block[i] = (float)(int32_t)(state >> 32) * 0x1p-31f;
    }
}

double check_distance(const float *a, const float *b, int64_t n)
{
    double worst = 0.0;
    for (int64_t i = 0; i < n; i++) {
        double distance = fabs((double)a[i] - b[i]) / (1.0 + fabs((double)b[i]));
        if (!(distance <= worst)) worst = isnan(distance) ? INFINITY : distance;
    }
    return worst;
}
