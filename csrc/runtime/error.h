/*
 * Errors: a status for the program, and a message for the user.
 *
 * A function that can fail returns a cnv_status and takes a cnv_error * as its last argument. The caller owns
 * the cnv_error and may pass NULL if it does not need the message. Kernels never fail: they return void.
 */
#ifndef CNV_RUNTIME_ERROR_H
#define CNV_RUNTIME_ERROR_H

typedef enum {
    CNV_OK = 0,
    CNV_INVALID,     /* an argument, a shape or a parameter is wrong: ValueError */
    CNV_NO_MEMORY,   /* an allocation failed: MemoryError */
    CNV_INTERRUPTED, /* interrupted() has returned true; the results of the pass are undefined */
    CNV_INTERNAL,    /* a broken invariant: a defect of cnnviz, never of its input */
} cnv_status;

/* 1024 bytes hold a node name, an argument name and eight extents with room to spare; longer text is cut. */
typedef struct {
    char message[1024];
} cnv_error;

/* Writes the formatted message into err, unless it is NULL, and returns status. */
__attribute__((format(printf, 3, 4))) cnv_status cnv_fail(cnv_error *err, cnv_status status,
                                                          const char *format, ...);

/* Leaves through the function's exit label, `done`, if a step fails. It is the project's only macro with
 * control flow. The function declares `cnv_status status = CNV_OK;`. */
#define CNV_TRY(step)                    \
    do {                                 \
        status = (step);                 \
        if (status != CNV_OK) goto done; \
    } while (0)

#endif
