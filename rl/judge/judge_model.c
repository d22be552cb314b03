/* A judge in this process: a model of its own, or the policy as it is at this step, or as the stage found it. Its answers are a function of the question, the seed and the step alone, like any
 * answer of the engine. */
#include "rl/judge/judge.h"

#include "core/random.h"
#include "rl/rollout/rollout.h"

#include <stdlib.h>
#include <string.h>

enum { AT_ONCE = 32, CONTEXT = 32768 }; /* questions of one rollout: the patches of their pictures are in memory together */

typedef struct {
    fv_judge base;
    const fv_trainer *t;
    fv_model *own_model; /* NULL: the policy or its reference judges */
    fv_slot *own_slot;
    const fv_model *model;
    fv_slot *slot;
    fv_engine *engine;   /* apart from the rollout's, which keeps its tree meanwhile */
} judge_model;

static fv_status make_prompt(const judge_model *j, const fv_question *q, fv_prompt *out, fv_error *err) {
    fv_image **images = calloc((size_t)q->picture_count + 1, sizeof *images);
    if (!images) return fv_fail(err, FV_NO_MEMORY, "a judge's question: out of memory");
    for (int i = 0; i < q->picture_count; i++) images[i] = q->pictures[i]->image;
    fv_media media = {.images = images, .image_count = q->picture_count};
    fv_status s = fv_prompt_make(j->model, q->messages, &(fv_chat_options){.generation_prompt = true}, &media, out, err);
    free(images);
    FV_TRY(s);
    return out->tokens.count < CONTEXT ? FV_OK : fv_fail(err, FV_LIMIT, "the question has %d tokens, more than %d", out->tokens.count, CONTEXT);
}

typedef struct {
    const judge_model *judge;
    const fv_question *questions;
    fv_sample *samples;
} making;

/* Pictures are resized and laid out in patches: on all threads, as by the feed. */
static void make_prompts(void *context, int64_t begin, int64_t end, int worker) {
    (void)worker;
    making *m = context;
    for (int64_t i = begin; i < end; i++) make_prompt(m->judge, &m->questions[i], &m->samples[i].prompt, &m->samples[i].error);
}

/* What was written, without its special tokens. */
static fv_status take_reply(const judge_model *j, const fv_rollout *r, int i, fv_question *q, fv_error *err) {
    const fv_trajectory *t = &r->trajectories[i];
    char *text;
    if (t->error.status != FV_OK) return q->error = t->error, FV_OK;
    const fv_segment *s = r->tree->segments[t->turns[0].segment];
    q->requests = 1;
    FV_TRY(fv_tokenizer_decode(j->model->tokenizer, s->ids, s->count, true, &text, err));
    fv_question_hear(q, text, &q->error);
    free(text);
    return FV_OK;
}

static fv_status ask_some(judge_model *j, fv_question *questions, int count, int64_t step, fv_error *err) {
    const json_t *recipe = j->t->recipe->json;
    fv_sample samples[AT_ONCE] = {0};
    int64_t numbers[AT_ONCE];
    for (int i = 0; i < count; i++) numbers[i] = questions[i].number;
    fv_parallel(j->t->pool, count, 1, make_prompts, &(making){j, questions, samples});
    fv_rollout_options o = {.group_size = 1, .temperature = (float)questions[0].temperature, .max_new_tokens = (int)fv_get_int(recipe, "judge.max_new_tokens"),
                            .max_tokens = CONTEXT, .numbers = numbers, .step = step, .seed = fv_random_key(j->t->seed, "judge", (uint64_t)j->t->stage, 0)};
    fv_rollout r;
    fv_status s = fv_rollout_run(&r, j->engine, j->model, j->slot, NULL, samples, count, &o, NULL, NULL, err);
    for (int i = 0; i < count && s == FV_OK; i++) s = take_reply(j, &r, i, &questions[i], err);
    fv_rollout_clear(&r);
    for (int i = 0; i < count; i++) fv_sample_clear(&samples[i]);
    return s;
}

static fv_status ask(fv_judge *base, fv_question *questions, int count, int64_t step, int64_t budget, fv_error *err) {
    judge_model *j = (judge_model *)base;
    if (budget < count) {
        for (int i = (int)budget; i < count; i++) fv_fail(&questions[i].error, FV_LIMIT, "the budget of requests is used up");
        count = (int)budget;
    }
    for (int at = 0, n; at < count; at += n) { /* a batch has one temperature */
        for (n = 1; n < AT_ONCE && at + n < count && questions[at + n].temperature == questions[at].temperature;) n++;
        FV_TRY(ask_some(j, questions + at, n, step, err));
    }
    return FV_OK;
}

static void close_model(fv_judge *base) {
    judge_model *j = (judge_model *)base;
    fv_engine_close(j->engine);
    fv_slot_close(j->own_slot);
    fv_model_close(j->own_model);
    free(j);
}

static fv_status open_own(judge_model *j, const char *folder, fv_error *err) {
    const fv_trainer *t = j->t;
    FV_TRY(fv_model_open(&j->own_model, folder, err));
    fv_slot_options o = {.name = "judge", .adapter = fv_model_adapter(j->own_model)};
    FV_TRY(fv_slot_open(&j->own_slot, t->ops, (fv_exec){t->pool, t->scratch}, j->own_model->weights, j->own_model->count, &o, err));
    j->model = j->own_model;
    j->slot = j->own_slot;
    return FV_OK;
}

fv_status fv_judge_model(fv_judge **out, const fv_trainer *t, fv_slot *reference, fv_error *err) {
    const char *folder = fv_get_text(t->recipe->json, "judge.path");
    judge_model *j = calloc(1, sizeof *j);
    *out = NULL;
    if (!j) return fv_fail(err, FV_NO_MEMORY, "judge: out of memory");
    *j = (judge_model){.base = {ask, close_model}, .t = t, .model = t->model, .slot = fv_get_bool(t->recipe->json, "judge.reference") ? reference : t->policy};
    fv_status s = folder ? open_own(j, folder, err) : FV_OK;
    if (s == FV_OK) s = fv_engine_open(&j->engine, j->model, j->slot, &(fv_engine_options){0}, err);
    if (s == FV_OK) *out = &j->base;
    else close_model(&j->base);
    return s;
}
