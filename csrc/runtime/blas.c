#define _GNU_SOURCE /* RTLD_DEEPBIND */
#include "runtime/blas.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include "runtime/gemm.h"

#if defined(__APPLE__)
#define BUNDLED_FILE "libscipy_openblas.dylib"
static const char *const system_files[] = {
    "libopenblas.dylib", "/System/Library/Frameworks/Accelerate.framework/Accelerate", NULL};
#else
#define BUNDLED_FILE "libscipy_openblas.so"
static const char *const system_files[] = {"libopenblas.so.0", "libopenblas.so", NULL};
#endif

/* The interface of every CBLAS with 32-bit integers; the enumerations are passed as int. */
typedef void sgemm_function(int order, int transpose_a, int transpose_b, int m, int n, int k, float alpha,
                            const float *a, int lda, const float *b, int ldb, float beta, float *c, int ldc);
typedef void set_threads_function(int n);
typedef int get_parallel_function(void);
typedef const char *get_config_function(void);

enum { ROW_MAJOR = 101, NO_TRANSPOSE = 111, TRANSPOSE = 112 };

/* The largest extent of one call of the library: far below 2^31, and a multiple of any tile. */
enum { LONGEST = 1 << 30 };

/* The library, which cnv_blas_init writes and other functions read. */
static struct {
    sgemm_function *sgemm; /* NULL is the builtin GEMM */
    char name[1024];
    char config[256];
} blas = {NULL, "builtin", ""};

/* The address of a symbol under its plain name or with the prefix of the scipy-openblas32 wheels. POSIX says
 * that the object pointer dlsym returns holds a function; C does not, hence the copies at the callers. */
static void *find(void *library, const char *symbol)
{
    char prefixed[64];
    snprintf(prefixed, sizeof prefixed, "scipy_%s", symbol);
    void *address = dlsym(library, prefixed);
    return address != NULL ? address : dlsym(library, symbol);
}

/* Sets OpenBLAS to one thread and stores its description; another CBLAS has neither function. */
static cnv_status tame(void *library, const char *path, cnv_error *err)
{
    set_threads_function *set_threads = NULL;
    get_parallel_function *get_parallel = NULL;
    get_config_function *get_config = NULL;
    void *address = find(library, "openblas_get_parallel");
    memcpy(&get_parallel, &address, sizeof address);
    if (get_parallel != NULL && get_parallel() == 0) {
        return cnv_fail(
            err, CNV_INVALID,
            "%s was built without thread support, so several threads can not call it: choose another BLAS",
            path);
    }
    address = find(library, "openblas_set_num_threads");
    memcpy(&set_threads, &address, sizeof address);
    if (set_threads != NULL) set_threads(1);
    address = find(library, "openblas_get_config");
    memcpy(&get_config, &address, sizeof address);
    snprintf(blas.config, sizeof blas.config, "%s", get_config != NULL ? get_config() : "");
    return CNV_OK;
}

/* RTLD_LOCAL hides the library's symbols from other libraries, RTLD_DEEPBIND theirs from it: otherwise an
 * OpenBLAS that another library has loaded with RTLD_GLOBAL answers the calls that our copy makes to itself.
 * AddressSanitizer refuses RTLD_DEEPBIND, and C libraries other than glibc do not have it. */
#if defined(RTLD_DEEPBIND) && !defined(CNV_SANITIZED)
enum { LOAD_FLAGS = RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND };
#else
enum { LOAD_FLAGS = RTLD_NOW | RTLD_LOCAL };
#endif

/* The library stays loaded until the process ends. */
static cnv_status load(const char *path, const char *name, cnv_error *err)
{
    cnv_status status = CNV_OK;
    void *address = NULL;
    void *library = dlopen(path, LOAD_FLAGS);
    if (library == NULL) {
        return cnv_fail(err, CNV_INVALID, "can not load BLAS from %s: %s", path, dlerror());
    }
    address = find(library, "cblas_sgemm");
    if (address == NULL) {
        status = cnv_fail(err, CNV_INVALID, "%s has no cblas_sgemm", path);
        goto done;
    }
    CNV_TRY(tame(library, path, err));
    memcpy(&blas.sgemm, &address, sizeof address);
    snprintf(blas.name, sizeof blas.name, "%s", name);

done:
    if (status != CNV_OK) dlclose(library);
    return status;
}

static cnv_status load_bundled(const char *folder, cnv_error *err)
{
    char path[4096];
    if (folder == NULL) return cnv_fail(err, CNV_INVALID, "this build of cnnviz bundles no BLAS");
    int length = snprintf(path, sizeof path, "%s/%s", folder, BUNDLED_FILE);
    if (length < 0 || (size_t)length >= sizeof path) {
        return cnv_fail(err, CNV_INVALID, "the path of the bundled BLAS is too long: %s", folder);
    }
    return load(path, "bundled", err);
}

static cnv_status load_system(cnv_error *err)
{
    for (const char *const *file = system_files; *file != NULL; file++) {
        if (load(*file, "system", err) == CNV_OK) return CNV_OK;
    }
    return CNV_INVALID;
}

static void use_builtin(void)
{
    blas.sgemm = NULL;
    blas.config[0] = '\0';
    snprintf(blas.name, sizeof blas.name, "builtin");
}

cnv_status cnv_blas_init(const char *choice, const char *bundled_dir, cnv_error *err)
{
    if (choice == NULL || choice[0] == '\0') {
        if (load_bundled(bundled_dir, NULL) != CNV_OK && load_system(NULL) != CNV_OK) use_builtin();
        return CNV_OK;
    }
    if (strcmp(choice, "bundled") == 0) return load_bundled(bundled_dir, err);
    if (strcmp(choice, "system") == 0) return load_system(err);
    if (strcmp(choice, "builtin") == 0) {
        use_builtin();
        return CNV_OK;
    }
    if (choice[0] == '/') return load(choice, choice, err);
    return cnv_fail(err, CNV_INVALID, "CNNVIZ_BLAS=%s: expected bundled, system, builtin or an absolute path",
                    choice);
}

const char *cnv_blas_name(void)
{
    return blas.name;
}

const char *cnv_blas_config(void)
{
    return blas.config;
}

static int min_extent(int64_t extent)
{
    return (int)(extent < LONGEST ? extent : LONGEST);
}

void cnv_sgemm(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k, float alpha,
               const float *a, int64_t lda, const float *b, int64_t ldb, float beta, float *c, int64_t ldc)
{
    bool strides_fit = lda <= INT32_MAX && ldb <= INT32_MAX && ldc <= INT32_MAX;
    if (blas.sgemm == NULL || k == 0 || !strides_fit) {
        cnv_gemm_builtin(transpose_a, transpose_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
        return;
    }
    for (int64_t i = 0; i < m; i += LONGEST) {
        for (int64_t j = 0; j < n; j += LONGEST) {
            for (int64_t d = 0; d < k; d += LONGEST) {
                const float *a_block = a + (transpose_a ? d * lda + i : i * lda + d);
                const float *b_block = b + (transpose_b ? j * ldb + d : d * ldb + j);
                blas.sgemm(ROW_MAJOR, transpose_a ? TRANSPOSE : NO_TRANSPOSE,
                           transpose_b ? TRANSPOSE : NO_TRANSPOSE, min_extent(m - i), min_extent(n - j),
                           min_extent(k - d), alpha, a_block, (int)lda, b_block, (int)ldb,
                           d == 0 ? beta : 1.0f, c + i * ldc + j, (int)ldc);
            }
        }
    }
}
