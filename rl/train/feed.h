/* The feed: rows of a data set made ready for the model, in parallel: environment texts, chat format, tokens, pictures. Rows with `input_ids` (as rollouts
 * write them) are those tokens, with their `loss_mask` and, in order, their `images`; no text is tokenised again. */
#ifndef FV_RL_FEED_H
#define FV_RL_FEED_H

#include "core/threads.h"
#include "datasets/dataset.h"
#include "rl/engine/tree.h"
#include "tools/env.h"

typedef struct {
    fv_row *row;             /* owned; NULL if it could not be read */
    fv_prompt prompt;        /* owned */
    const fv_env *env;       /* the row's, else the recipe's; NULL: none, as of a row whose env is null or false. Belongs to the feed */
    fv_error error;          /* FV_OK, or why the row can't be used */
} fv_sample;
void fv_sample_clear(fv_sample *s);
void fv_sample_clear_prompt(fv_sample *s); /* of one whose row is another sample's */

/* Bytes of a prompt's pictures: patches, and the originals or frames that are kept for tools. */
int64_t fv_prompt_bytes(const fv_model *m, const fv_prompt *p);

#define FV_FEED_BYTES ((int64_t)2 << 30) /* of pictures that fv_feed_some takes at once, where its options do not say */

/* Told of each row that can't be used; why says where. */
typedef void fv_bad_row(void *context, const fv_error *why);

typedef struct fv_feed fv_feed;

typedef struct {
    const json_t *env;       /* for rows without their own; NULL: none */
    const json_t *ask;       /* what rows of messages are asked with (rl/recipe/ask.h); NULL: as they say it */
    bool generate;           /* prompts that end where the assistant begins (assistant turns at the end, or all from the first token with loss_mask 1, are left out); else whole conversations */
    bool no_tools;           /* no environment, whatever the row says */
    int max_tokens;          /* longer ones are errors */
    int64_t bytes;           /* of pictures that fv_feed_some takes at once; 0: FV_FEED_BYTES */
    bool ahead;              /* fv_feed_expect has threads of its own; else it does nothing */
} fv_feed_options;

/* model, data and pool are borrowed. */
fv_status fv_feed_open(fv_feed **out, const fv_model *model, const fv_dataset *data, fv_pool *pool, const fv_feed_options *options, fv_error *err);
void fv_feed_close(fv_feed *f); /* after the samples that it made */

/* samples[i] of data row index[i], each on its own: a bad one has its error filled in. */
void fv_feed_take(fv_feed *f, const int64_t *index, int count, fv_sample *samples);

/* Rows that the next fv_feed_take will ask for: they are made ready meanwhile, for whoever has a card compute. (Where the processor's cores compute, they have nothing to spare: all of them read
 * rows together.) The samples are the same either way. One thread expects and takes. */
void fv_feed_expect(fv_feed *f, const int64_t *index, int count);

/* As fv_feed_take, of the first rows alone if the pictures of all of them are too large to hold: videos are. Returns how many, at least one and at most `count`. */
int fv_feed_some(fv_feed *f, const int64_t *index, int count, fv_sample *samples);

/* How many leading tokens are the system turn; 0 if the conversation begins otherwise. */
int fv_prompt_system(const fv_model *m, const fv_prompt *p);

/* Puts a sample's prompt into the tree: its system turn as a root that equal system turns share, the rest below. *leaf: the last segment. */
fv_status fv_tree_plant(fv_tree *t, const fv_model *m, const fv_prompt *p, int *leaf, fv_error *err);

#endif
