/*
 * Reads the arguments of a builder method by its operator's table. A new operator is a new table, not a new
 * parser.
 */
#ifndef CNV_PYTHON_ARGUMENTS_H
#define CNV_PYTHON_ARGUMENTS_H

#include "python/numpy_api.h"

#include "plan/argument.h"

/* The most arguments of a builder method, with `name`; checked when the module is loaded. */
#define CNV_MAX_ARGUMENTS 12

/* A call of a builder method. */
typedef struct cnv_call {
    const char *method;
    const cnv_plan *plan;
    cnv_value_id inputs[CNV_MANY];
    int n_inputs;
    cnv_params params;
    const char *name; /* borrowed from the call's arguments */
} cnv_call;

/* Whether the argument may be given by position; the others are keywords. */
bool cnv_is_positional(const cnv_argument *argument);

/* The names of cnv_pad_mode, in its order. */
extern const char *const cnv_pad_mode_names[];

/* Fills the call, whose method and plan are set before, from Python's arguments: args begins with the plan,
 * and after the table's arguments comes the keyword `name`. Returns 0, or -1 with an exception that names
 * method and argument. */
int cnv_read_arguments(cnv_call *call, const cnv_argument *table, PyObject *args, PyObject *kwargs);

#endif
