/*
 * Helpers of all C tests. A test is a program: rows of CHECK, then `return check_report();`.
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

/* Prints the numbers of checks and failures; returns main's exit status. A program without checks fails. */
int check_report(void);

/* A block of n floats before an inaccessible page: a kernel that reads or writes beyond the end crashes, with
 * or without a sanitizer. The block is filled with NaN, so that a read of an unwritten number shows.
 * check_unguard frees it. */
float *check_guarded(int64_t n);
void check_unguard(float *block, int64_t n);

/* n numbers in [-1, 1), the same for the same seed. */
void check_fill(float *block, int64_t n, uint64_t seed);

/* The largest |a[i] - b[i]| / (1 + |b[i]|); NaN anywhere gives infinity. */
double check_distance(const float *a, const float *b, int64_t n);

/* ThreadSanitizer does not support a fork of a process with threads. */
#if defined(__SANITIZE_THREAD__)
#define CHECK_UNDER_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define CHECK_UNDER_TSAN 1
#endif
#endif

#endif
