/*
 * Errors: a status to branch on, and a message for a person.
 *
 * A function that can fail returns a cnv_status and takes a cnv_error * as its last argument. The caller owns
 * the cnv_error and may pass NULL when it does not want the text. Kernels never fail: they return void.
 */
#ifndef CNV_RUNTIME_ERROR_H
#define CNV_RUNTIME_ERROR_H

typedef enum {
    CNV_OK = 0,
    CNV_INVALID,     /* an argument, a shape or a parameter is wrong: ValueError */
    CNV_NO_MEMORY,   /* an allocation failed: MemoryError */
    CNV_INTERRUPTED, /* the caller's poll said stop; what was computed so far is undefined */
    CNV_INTERNAL,    /* a broken invariant: a defect of cnnviz, never of its input */
} cnv_status;

/* 1024 bytes hold a node name, an argument name and eight extents with room to spare; longer text is cut. */
typedef struct {
    char message[1024];
} cnv_error;

/* Writes the formatted message into err (NULL allowed) and returns status, so that a call can stand in a
 * return. */
__attribute__((format(printf, 3, 4))) cnv_status cnv_fail(cnv_error *err, cnv_status status,
                                                          const char *format, ...);

/* The project's only macro with control flow: leave through the function's one exit label, `done`, when a
 * step fails. The function declares `cnv_status status = CNV_OK;`. */
#define CNV_TRY(step)                    \
    do {                                 \
        status = (step);                 \
        if (status != CNV_OK) goto done; \
    } while (0)

#endif
