/* Errors: every function that can fail returns fv_status and fills the caller's fv_error with place, field, rule and value.
 * Nothing in the library exits, prints, or keeps a global error. */
#ifndef FV_CORE_ERROR_H
#define FV_CORE_ERROR_H

/* One list: the enum, and the word that stands in messages and in exit reports. */
#define FV_STATUS_MAP(X)                                                                                               \
    X(OK, "done")                                                                                                      \
    X(BAD_USAGE, "usage")            /* the caller's words: verb, option, override (exit code 2) */                    \
    X(BAD_RECIPE, "recipe")          /* a field of a recipe: unknown, out of range, inconsistent */                    \
    X(BAD_DATA, "data")              /* a row, picture or video of the user's data */                                  \
    X(BAD_MODEL, "model")            /* a checkpoint folder: config, weights, tokenizer */                             \
    X(IO, "file")                    /* the system refused to open, read, write, sync or rename */                     \
    X(NO_MEMORY, "memory")                                                                                             \
    X(LIMIT, "limit")                /* something does not fit: context, pages, vocabulary, arena */                   \
    X(UNSUPPORTED, "unsupported")    /* well-formed, but Fovea does not implement it; says what */                     \
    X(TOOL, "tool")                  /* an agent's tool call went wrong; becomes an observation, never ends a run */   \
    X(CANCELLED, "stopped")

typedef enum {
#define X(name, text) FV_##name,
    FV_STATUS_MAP(X)
#undef X
} fv_status;

typedef struct {
    fv_status status;
    char text[1024]; /* "recipe.yaml:14: rollout.group_size must be 2..1024, got 0" */
} fv_error;

#define FV_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))

/* Fills *e (may be NULL) and returns `status`, so that `return fv_fail(...)` reads well. Long texts are cut. */
fv_status fv_fail(fv_error *e, fv_status status, const char *format, ...) FV_PRINTF(3, 4);

/* Puts "place: " before the message of an error on its way up. Returns e->status (FV_OK if e is NULL). */
fv_status fv_fail_in(fv_error *e, const char *format, ...) FV_PRINTF(2, 3);

/* The status' word: "recipe", "file". */
const char *fv_status_name(fv_status status);

/* Returns early with the callee's status. */
#define FV_TRY(call)                                                                                                   \
    do {                                                                                                               \
        fv_status fv_try_status_ = (call);                                                                             \
        if (fv_try_status_ != FV_OK) return fv_try_status_;                                                            \
    } while (0)

#define FV_COUNT(array) (sizeof(array) / sizeof((array)[0]))

#endif
