/* Scoring: the log-prob of every token of given conversations, tensors on the way, and the gradient (CLI.md, "score output"). A row's numbers are its
 * own: they depend neither on what shares its pass nor on threads or instruction sets. Memory does not grow with the file. */
#ifndef FV_RL_SCORE_H
#define FV_RL_SCORE_H

#include "rl/engine/pack.h"
#include "rl/session.h"
#include "rl/train/feed.h"

typedef struct {
    const char *out;      /* JSON lines, written whole or not at all */
    const char *dump;     /* folder for a safetensors file a row; NULL: none */
    const char *grad;     /* safetensors of gradients (the session must have them); NULL: none */
    float temperature;    /* 0: each row's own, else 1 */
    int tokens;           /* of one pass, where rows are shorter; 0: 4096 */
    fv_bad_row *bad;      /* may be NULL */
    void *context;
    bool quiet;
    const volatile int *stop; /* may be NULL */
} fv_score_options;

typedef struct {
    int64_t rows, bad, targets; /* scored; not usable; tokens with loss_mask 1 that have something before them */
    double loss;                /* mean negative log-prob of those */
} fv_score_counts;

fv_status fv_score(fv_score_counts *counts, fv_session *s, const fv_dataset *data, const fv_score_options *options, fv_error *err);

/* One row of a pass that has run: which rows of the pass its tokens are. */
typedef struct {
    const fv_model *model;
    fv_slot *slot;
    const fv_pack *pack;
    const fv_var *hidden;        /* of the pass */
    const fv_tower_out *visual;
    const fv_sample *sample;
    const int32_t *rows;         /* [tokens of the sample] */
} fv_scored_row;

/* The name of a row's file: ID.safetensors, with '/' as '_'. */
void fv_score_file(fv_text *out, const char *id);

/* Writes folder/ID.safetensors; scratch from the arena is given back. */
fv_status fv_score_dump(const char *folder, const fv_scored_row *row, fv_arena *arena, fv_error *err);

#endif
