/* The engine: continuous batching over a trajectory tree. Every step is one forward pass over whatever there is to do (prompts, observations, single
 * tokens of many answers), so answers of different lengths never wait for each other; results don't depend on what shares a batch (commitment 1).
 * The KV cache is the tree: pages belong to segments, the pages of a prompt serve its whole group, a page that a branch begins in is copied. */
#ifndef FV_RL_ENGINE_H
#define FV_RL_ENGINE_H

#include "rl/engine/pack.h"

typedef struct fv_engine fv_engine;

enum { FV_ENGINE_ROWS = 1024, FV_ENGINE_CARD_ROWS = 4096, FV_ENGINE_SEEN = 4 };

/* Rows of one step, if nothing else is asked for: as many as keep a processor, or a card, busy. */
static inline int fv_engine_rows(const fv_ops *ops) { return ops->device == FV_CPU ? FV_ENGINE_ROWS : FV_ENGINE_CARD_ROWS; }

typedef struct {
    int max_rows;      /* rows of one step; 0: fv_engine_rows. Longer prompts are fed in pieces */
    size_t record;     /* bytes of activations that decoding may keep for training to start at the way back (fv_engine_replay), and of the tower's 1 / FV_ENGINE_SEEN
                        * of that; 0: none */
    bool ignore_eos;   /* no end-of-turn is drawn: every answer has max_new tokens */
    int64_t max_pages; /* of 16 positions each; 0: as many as needed. Under pressure answers wait, or are fed again later; none is shortened */
} fv_engine_options;

/* An engine over one slot (borrowed). Its passes run on slot->exec. */
fv_status fv_engine_open(fv_engine **out, const fv_model *m, fv_slot *slot, const fv_engine_options *options, fv_error *err);
void fv_engine_close(fv_engine *e);

/* Starts on a tree, which may grow meanwhile; forgets all pages of an earlier one. */
void fv_engine_begin(fv_engine *e, fv_tree *t);

typedef enum { FV_STOP_NONE, FV_STOP_END, FV_STOP_LENGTH, FV_STOP_CONTEXT } fv_stop;
const char *fv_stop_name(fv_stop s); /* "end", "length", "context" */

/* Write into `segment` (made by fv_tree_branch; no children) until end-of-turn, max_new tokens in it, or max_total on its path. The k-th token of the path is drawn at
 * (key, k). */
typedef struct {
    int segment;
    float temperature, top_p; /* temperature 0: greedy; logp is then at temperature 1. top_p 0 means 1 */
    int top_k;
    uint64_t key;
    int max_new, max_total;
} fv_ask;
fv_status fv_engine_ask(fv_engine *e, const fv_ask *ask, fv_error *err);

/* One step. Segments that were finished by it: done[0 .. *count), in the order they were asked for; `room` at least fv_engine_active(e). */
typedef struct {
    int segment;
    fv_stop stop;
} fv_done;
fv_status fv_engine_step(fv_engine *e, fv_done *done, int room, int *count, fv_error *err);
int fv_engine_active(const fv_engine *e); /* asks that are not finished */
void fv_engine_drop(fv_engine *e);        /* forgets those; what was written and computed for them stays */

/* Lets a pass over `pack`, a pack of the engine's tree, take what was computed while its tokens were fed: fv_pack_forward then only copies, to the bits that it
 * would compute. False, and all is computed (but what the tower gave, where that alone was kept), where the weights are others by now or something was not kept. Lasts until the next fv_engine_begin. */
bool fv_engine_replay(const fv_engine *e, fv_pack *pack, fv_arena *arena);

/* What was done since begin: rows through the decoder, pictures through the tower, pages in use at most, rows that were fed before
 * (their pages were given back under pressure, or their last hidden state was wanted again). */
typedef struct {
    int64_t rows, steps, pictures, peak_pages, fed_again;
} fv_engine_stats;
fv_engine_stats fv_engine_counts(const fv_engine *e);

#endif
