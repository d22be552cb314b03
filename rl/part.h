/* Parts: the small rules that a recipe composes (DESIGN, commitment 3): reward terms, shaping, advantages, token weights, objectives, filters. A part gets all
 * that it needs through arguments and declares what that is; the trainer knows no algorithm. One part a file, in the folder of its hook.
 *
 *     responses -> reward terms -> (weighted sum) -> shaping -> advantage -> token weights -> objective -> streams -> one shared backward */
#ifndef FV_RL_PART_H
#define FV_RL_PART_H

#include "core/json.h"

#include <stdint.h>

typedef enum { FV_HOOK_REWARD, FV_HOOK_SHAPING, FV_HOOK_ADVANTAGE, FV_HOOK_WEIGHT, FV_HOOK_OBJECTIVE, FV_HOOK_FILTER, FV_HOOKS } fv_hook;

/* What a reward term looks at: one response, or all of a group (fv_pipeline_pays_alone). What an advantage is of: a response, or each of its tokens. */
typedef enum { FV_SCOPE_ITEM, FV_SCOPE_GROUP, FV_SCOPE_TOKEN } fv_scope;

/* What a part needs beyond the responses; the trainer runs the passes that some part of the recipe asks for, once for all. */
enum {
    FV_NEED_REFERENCE = 1,      /* reference_logp of every trained token (slot "reference") */
    FV_NEED_VOCABULARY = 2,     /* visits whole log-prob rows of the policy, position by position (fv_part.visit) */
    FV_NEED_JUDGE = 4,          /* judge_text of each response */
    FV_NEED_SECOND_PASS = 8,    /* the same policy's answer by what each response describes */
    FV_NEED_SHUFFLED = 16,      /* further answers to the same video with its frames in random order */
    FV_NEED_VALUE = 32          /* the policy has a value head: `value` of each trained token, as it was sampled, and under the weights that are trained */
};

/* One response: what a rollout made, or a row of a file says. Texts are borrowed. Absent numbers are NAN, absent texts NULL. */
typedef struct fv_response {
    const char *id, *group;
    const char *place;              /* "responses.jsonl:3", for messages */
    const json_t *row;              /* the sample's (or response row's) fields */
    const json_t *given;            /* of a response that was read from a file: its fields, of which some replace what training knows by itself (`fovea reward`); else NULL */
    const char *text;               /* everything after the first prompt, observations included, special tokens kept */
    const char *answer;             /* the right answer, NULL if the row has none */
    const char *judge_text;
    const char *second_text;        /* what the second pass answered; "" where it had nothing to answer by */
    const char *frames;             /* "ordered", "shuffled": in what order the response saw a clip, where some see it shuffled */
    double length, images, calls, failures, turns; /* tokens written by the policy; pictures that came back; tool calls, bad ones; assistant turns */
    const char *stop_reason;
    double *terms;                  /* [terms of the recipe], unweighted; NAN: does not apply */
    double reward;                  /* what the objective sees */
    double advantage;
    /* Tokens that are trained, in order; NULL where no policy was run. */
    int tokens;
    const float *logp, *reference_logp, *entropy; /* [tokens] */
    float *token_advantage;         /* [tokens], starts as `advantage` in each; of an advantage of scope token it is what the part says */
    const float *value;             /* [tokens] what the value head expects before each token; NULL where there is none */
    float *returns;                 /* [tokens] what it is to expect */
    float *token_weight;            /* [tokens], starts as 1 */
    const double *noted;            /* [tokens] what a token weight's visit made of each position; NULL: nothing was visited */
    char error[256];                /* "" or why it could not be scored: left out of the group's baseline, advantage 0 */
    bool unjudged;                  /* `error` says that a term needs judge_text: a judge may still be asked (rl/judge/judging.h) */
    bool aside;                     /* says something about its group, and is not trained on: no part of shaping and baseline, advantage 0 */
} fv_response;

typedef struct {
    fv_response *items;
    int count;
    int failed; /* of the group, beside those: they could not be scored (fv_pipeline_advantage) */
} fv_group;

/* When: for schedules and annealing. */
typedef struct {
    int64_t step, steps;            /* of the stage, 0-based */
    uint64_t seed;
} fv_moment;

/* What an objective sees and writes: trained tokens in canonical order, all of an update's or some of them. Streams are sums over parts, and all that objectives write: one backward
 * consumes them. */
typedef struct {
    int64_t count;                  /* tokens here */
    int64_t total;                  /* trained tokens of the whole update, for normalisation */
    const float *logp;              /* under the weights that are being trained */
    const float *old_logp;          /* as sampled */
    const float *reference_logp;    /* or NULL */
    const float *entropy;
    const float *advantage, *weight;/* per token */
    const int32_t *response;        /* which response of the update a token belongs to */
    int responses;                  /* of the whole update */
    const int32_t *response_tokens; /* by response: trained tokens of each */
    const float *value, *old_value, *returns; /* of the value head: now, as sampled, and what it is to be; `value` NULL: there is none */
    float *dvalue;                  /* += dL/dvalue */
    float *dlogp;                   /* += dL/dlogp */
    float *dentropy;                /* += dL/dentropy */
    const float *divergence;        /* of each token's distribution from the other that this part compares it with; NULL: it compares with none */
    float *ddivergence;             /* += dL/ddivergence, of the same */
    double clipped_low, clipped_high; /* += tokens whose ratio was clipped from below, from above (for metrics) */
} fv_streams;

/* What an objective may want whole distributions of, and their distance from the policy's: another slot (or the policy itself, blind), with or without the pictures. */
typedef enum { FV_OTHER_POLICY, FV_OTHER_REFERENCE, FV_OTHER_TEACHER } fv_other;
typedef struct {
    fv_other who;
    bool blind;
    double beta;                    /* which distance: core/ops.h, divergence */
} fv_compared;

typedef struct fv_part fv_part;
/* A part as a recipe uses it: its options resolved, its state. */
typedef struct {
    const fv_part *part;
    const json_t *options;          /* resolved: every field of part->fields is there */
    const char *variant;            /* "released", "paper" */
    void *state;                    /* part->state_size bytes, cleared; NULL if none */
    char label[48];                 /* what reports and metrics call it: a term's `name`, else the part's; where that is taken, "exact.2" */
    const struct fv_pipeline *pipeline; /* the parts beside it, where one reads another's term (rl/pipeline.h: fv_pipeline_find) */
} fv_use;

struct fv_part {
    const char *name;               /* "exact" */
    fv_hook hook;
    const char *doc;                /* one line; the formula's source */
    const char *fields;             /* options with defaults, as YAML: "{pattern: null, ignore_case: false}". Numbers may be schedules: read them by fv_get_at */
    const char *limits;             /* what options may be, as YAML: "{clip_low: [0, 1], normalise: [tokens, responses]}"; NULL: anything of the default's type */
    fv_scope scope;
    unsigned needs;
    size_t state_size;              /* POD; saved with a checkpoint as it is */
    fv_status (*check)(const fv_use *u, fv_error *err); /* what `limits` can't say of the options, when a pipeline opens; may be NULL */
    /* Of FV_NEED_JUDGE: what a judge is asked of an unjudged response. *prompt: which of the texts in its option `prompt` (NULL: there is one); given: what is to be judged. */
    void (*ask)(const fv_use *u, const fv_response *r, const char **prompt, fv_text *given);
    bool (*hears)(const fv_use *u, const fv_response *r, const char *judge_text); /* and whether this can be read as an answer to that */
    /* Exactly the one of the part's hook is set. */
    fv_status (*reward)(const fv_use *u, fv_group *g, int term, const fv_moment *when, fv_error *err);      /* items[i].terms[term] = ... ; items[i].error on a missing field */
    void (*shape)(const fv_use *u, fv_group *g, const fv_moment *when);                                     /* items[i].reward = ... */
    void (*advantage)(const fv_use *u, fv_group *g, const fv_moment *when);                                 /* items[i].advantage (and token_advantage) = ... */
    void (*settle)(const fv_use *u, const fv_group *groups, int count, const fv_moment *when);              /* of an advantage: once the whole batch has one; may be NULL */
    void (*weigh)(const fv_use *u, fv_group *g, const fv_moment *when);                                     /* items[i].token_weight *= ... */
    void (*objective)(const fv_use *u, fv_streams *s, const fv_moment *when, double *loss);                 /* adds to streams; *loss += its value */
    bool (*compares)(const fv_use *u, const fv_moment *when, fv_compared *out);                             /* of an objective: with what; false: not now. NULL: never */
    bool (*keep)(const fv_use *u, const fv_response *r, const fv_moment *when);                             /* filter: rejection sampling */
    /* With `weigh`, FV_NEED_VOCABULARY: a number for one position, which weigh finds as `noted` of the responses. rows[i]: the log-probs of the whole vocabulary
     * that answer i of `count` had there, NULL where it has ended. Called from several threads. */
    double (*visit)(const fv_use *u, const double *const *rows, int count, int vocabulary, const fv_moment *when);
    void (*update)(const fv_use *u, const fv_group *groups, int count, const fv_moment *when);              /* state, after the step; may be NULL */
};

const fv_part *fv_part_find(fv_hook hook, const char *name);
const fv_part *const *fv_parts(int *count);     /* all, for help and docs */
const char *fv_hook_name(fv_hook hook);

#endif
