/* The trajectory tree: a forest of segments. A segment is a run of tokens with one author; a path from a root to a leaf is one conversation.
 * Rollout, rewards, training and reports all work on it (DESIGN: the trajectory tree). */
#ifndef FV_RL_TREE_H
#define FV_RL_TREE_H

#include "language/prompt.h"

enum { FV_BY_ENVIRONMENT = -1 }; /* authors: the environment, or a slot's number 0, 1, ... */

typedef struct fv_segment {
    int parent;            /* segment number, -1: a root */
    int author;
    int start;             /* tokens before it on its path */
    int count, room;
    int32_t *ids;          /* [count], as sampled: never tokenised again */
    uint8_t *mask;         /* [count] 1: trained on */
    float *logp;           /* [count] as sampled, under temperature; NAN where nobody sampled */
    float *entropy;        /* [count] nats, likewise */
    int32_t *position;     /* [count][3]: t, h, w */
    int32_t next;          /* the position that follows */
    fv_picture **pictures; /* one reference each, in order of appearance */
    int *picture_at;       /* index in ids of a picture's first token */
    int picture_count;
    float temperature;     /* under which logp was sampled; 1 for the environment's */
    uint64_t version;      /* of the author's weights */
    bool dropped;          /* no part of the tree any more */
} fv_segment;

typedef struct fv_tree {
    const fv_config *config; /* for positions; borrowed from the model */
    fv_segment **segments;   /* a segment's address stays */
    int count, room;
} fv_tree;

fv_status fv_tree_new(fv_tree **out, const fv_model *m, fv_error *err);
void fv_tree_free(fv_tree *t);

/* A new segment below `parent` (-1: a root) from tokens [first, last) of a prompt, with the pictures that begin there (shared, not copied). A picture's
 * placeholders must not be cut. mask as in the prompt. Children of a segment are ordered by creation. *out: its number. */
fv_status fv_tree_add(fv_tree *t, int parent, int author, const fv_prompt *p, int first, int last, int *out, fv_error *err);
/* An empty segment for `author` to write into. */
fv_status fv_tree_branch(fv_tree *t, int parent, int author, float temperature, uint64_t version, int *out, fv_error *err);
/* One sampled token (mask 1). */
fv_status fv_tree_append(fv_tree *t, int segment, int32_t id, float logp, float entropy, fv_error *err);
/* Takes a segment and everything below it out of the tree. */
void fv_tree_drop(fv_tree *t, int segment);

/* All segments that lie on a path to one of `leaves`, in canonical order: depth first, children by creation. Returns how many; `order` holds t->count. */
int fv_tree_order(const fv_tree *t, const int *leaves, int leaf_count, int *order);
/* The path from the root to `segment`, root first; path holds fv_tree_depth(t, segment). */
int fv_tree_depth(const fv_tree *t, int segment);
void fv_tree_path(const fv_tree *t, int segment, int *path);
int fv_tree_tokens(const fv_tree *t, int segment); /* from the root to its end; 0 for -1 */
int fv_tree_shared(const fv_tree *t, int a, int b); /* leading tokens that the paths to a and b have in common (segments, not equal ids) */

/* How many leading tokens two prompts share before either's first picture (where one root segment can serve both). */
int fv_prompt_shared(const fv_prompt *a, const fv_prompt *b);

#endif
