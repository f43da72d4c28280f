/* cnv_sgemm and the builtin GEMM against sums in double precision, and the choice of the library. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "runtime/blas.h"
#include "runtime/gemm.h"

typedef struct {
    int64_t m, n, k;
    float alpha, beta;
} gemm_case;

/* Sizes around the tile (4 x 8) and the blocks (32 rows, 256 deep), and the shapes of a first convolution and
 * of a classifier. */
static const gemm_case cases[] = {
    {1, 1, 1, 1.0f, 0.0f},     {4, 8, 256, 1.0f, 0.0f},    {5, 9, 257, 1.5f, 0.5f}, {3, 7, 255, -1.0f, 1.0f},
    {33, 17, 600, 1.0f, 1.0f}, {31, 65, 3, 0.0f, 2.0f},    {2, 3, 0, 1.0f, 0.0f},   {2, 3, 0, 1.0f, 0.5f},
    {64, 200, 27, 1.0f, 0.0f}, {1, 1000, 512, 1.0f, 1.0f}, {0, 5, 3, 1.0f, 0.0f},   {5, 0, 3, 1.0f, 0.0f},
};

static double element(const float *x, int64_t stride, bool transposed, int64_t i, int64_t j)
{
    return transposed ? x[j * stride + i] : x[i * stride + j];
}

/* The number of elements between two rows, which must not change. */
enum { GAP = 3 };

static void check_product(const gemm_case *row, bool ta, bool tb, const float *a, int64_t lda, const float *b,
                          int64_t ldb, const float *before, const float *c, int64_t ldc)
{
    double worst = 0.0;
    int64_t touched = 0;
    for (int64_t i = 0; i < row->m; i++) {
        for (int64_t j = 0; j < row->n; j++) {
            double sum = 0.0;
            for (int64_t d = 0; d < row->k; d++) {
                sum += element(a, lda, ta, i, d) * element(b, ldb, tb, d, j);
            }
            double old = row->beta == 0.0f ? 0.0 : (double)row->beta * before[i * ldc + j];
            double error = fabs(row->alpha * sum + old - c[i * ldc + j]);
            if (!(error <= worst)) worst = isnan(error) ? INFINITY : error;
        }
        for (int64_t j = row->n; j < ldc; j++) {
            if (memcmp(&c[i * ldc + j], &before[i * ldc + j], sizeof(float)) != 0) touched++;
        }
    }
    CHECK(worst <= 1e-5 * (1.0 + sqrt((double)row->k)) && touched == 0,
          "%s m %d n %d k %d alpha %g beta %g ta %d tb %d: error %g, %d elements between rows changed",
          cnv_blas_name(), (int)row->m, (int)row->n, (int)row->k, row->alpha, row->beta, ta, tb, worst,
          (int)touched);
}

static void check_case(const gemm_case *row, bool ta, bool tb)
{
    int64_t lda = (ta ? row->m : row->k) + GAP;
    int64_t ldb = (tb ? row->k : row->n) + GAP;
    int64_t ldc = row->n + GAP;
    int64_t na = lda * (ta ? row->k : row->m), nb = ldb * (tb ? row->n : row->k), nc = ldc * row->m;
    float *a = check_guarded(na), *b = check_guarded(nb), *c = check_guarded(nc), *before = check_guarded(nc);
    check_fill(a, na, 1);
    check_fill(b, nb, 2);
    if (row->beta != 0.0f) check_fill(before, nc, 3); /* else NaN, which must not be read */
    if (nc > 0) memcpy(c, before, (size_t)nc * sizeof(float));
    cnv_sgemm(ta, tb, row->m, row->n, row->k, row->alpha, a, lda, b, ldb, row->beta, c, ldc);
    check_product(row, ta, tb, a, lda, b, ldb, before, c, ldc);
    check_unguard(a, na);
    check_unguard(b, nb);
    check_unguard(c, nc);
    check_unguard(before, nc);
}

static void check_all_cases(void)
{
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        for (int transposes = 0; transposes < 4; transposes++) {
            check_case(&cases[i], transposes & 1, transposes & 2);
        }
    }
}

/* A column of the product does not depend on the number of columns. */
static void check_columns_are_independent(void)
{
    enum { M = 37, N = 50, K = 300 };
    static float a[M * K], b[K * N], whole[M * N], part[M * N];
    check_fill(a, M * K, 1);
    check_fill(b, K * N, 2);
    cnv_gemm_builtin(false, false, M, N, K, 1.0f, a, K, b, N, 0.0f, whole, N);
    for (int64_t n = 1; n <= N; n++) {
        cnv_gemm_builtin(false, false, M, n, K, 1.0f, a, K, b, N, 0.0f, part, N);
        bool same = true;
        for (int64_t i = 0; i < M; i++) {
            same = same && memcmp(part + i * N, whole + i * N, (size_t)n * sizeof(float)) == 0;
        }
        CHECK(same, "builtin gemm: the first %d columns differ from those of the whole product", (int)n);
    }
}

static void check_choices(void)
{
    static const struct {
        const char *choice;
        const char *message; /* text that the error must contain; NULL if there is no error */
    } rows[] = {
        {"builtin", NULL},
        {"openblas", "expected bundled"},
        {"bundled", "bundles no BLAS"},
        {"/no/such/library.so", "/no/such/library.so"},
        {NULL, NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        cnv_error err = {""};
        cnv_status status = cnv_blas_init(rows[i].choice, NULL, &err);
        bool as_documented = rows[i].message == NULL
                                 ? status == CNV_OK
                                 : status == CNV_INVALID && strstr(err.message, rows[i].message) != NULL;
        CHECK(as_documented, "choice %s: status %d, message \"%s\"", rows[i].choice, (int)status,
              err.message);
    }
}

int main(void)
{
    check_all_cases(); /* before a choice the library is builtin */
    check_columns_are_independent();
    check_choices();
    const char *folder = getenv("CNNVIZ_BUNDLED_DIR"); /* the folder of the bundled library, if any */
    if (folder != NULL) {
        cnv_error err = {""};
        CHECK(cnv_blas_init("bundled", folder, &err) == CNV_OK, "%s", err.message);
        check_all_cases();
    }
    return check_report();
}
