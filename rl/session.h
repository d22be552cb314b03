/* What every verb that runs a model opens: the model, one slot over it, threads and memory. */
#ifndef FV_RL_SESSION_H
#define FV_RL_SESSION_H

#include "language/model.h"

typedef struct {
    const char *model;   /* a Hugging Face folder, or a PEFT adapter's */
    const char *adapter; /* a PEFT adapter's folder, for a model without one; NULL: none */
    const char *device;  /* "cpu", "cuda"; NULL: "cpu" */
    const char *precision; /* fv_ops_find; NULL: "f32" */
    int threads;         /* 0: all cores */
    const json_t *image, *video; /* fv_model_watch; NULL: none */
    void (*note)(const char *model, const char *note); /* is told what is odd about the model: a chat template that is not known. NULL: nobody is */
    bool gradients;      /* weights (with an adapter: its own) are trained ones: f32, with gradients (no optimizer) */
} fv_session_options;

typedef struct {
    fv_model *model;
    const fv_ops *ops;
    fv_pool *pool;
    fv_jobs *tools;      /* for environments */
    fv_arena *scratch, *arena; /* of operations; of passes */
    fv_slot *slot;
} fv_session;

/* On failure nothing is left open. */
fv_status fv_session_open(fv_session *out, const fv_session_options *options, fv_error *err);
void fv_session_close(fv_session *s); /* *s is {0} again */

#endif
