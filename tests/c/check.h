/*
 * What the C tests share. A test is a program: rows of CHECK, then `return check_report();`.
 */
#ifndef CNV_TESTS_CHECK_H
#define CNV_TESTS_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Prints file, line and the formatted row when ok is false, and counts it; returns ok. */
#define CHECK(ok, ...) check_row((ok), __FILE__, __LINE__, __VA_ARGS__)
__attribute__((format(printf, 4, 5))) bool check_row(bool ok, const char *file, int line, const char *format,
                                                     ...);

/* Prints how many checks ran and failed; the exit status for main. A program without checks fails. */
int check_report(void);

/* n floats that end at a page nobody may touch: a kernel that runs over the end dies on the spot, sanitizer
 * or not. Filled with NaN, so that a read of what was never written shows. Released with check_unguard. */
float *check_guarded(int64_t n);
void check_unguard(float *block, int64_t n);

/* n numbers in [-1, 1), the same for the same seed. */
void check_fill(float *block, int64_t n, uint64_t seed);

/* The largest |a[i] - b[i]| / (1 + |b[i]|); NaN anywhere gives infinity. */
double check_distance(const float *a, const float *b, int64_t n);

/* The sanitizer does not follow a process with threads through a fork. */
#if defined(__SANITIZE_THREAD__)
#define CHECK_UNDER_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define CHECK_UNDER_TSAN 1
#endif
#endif

#endif
