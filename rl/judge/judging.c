#include "rl/judge/judging.h"

#include "core/random.h"
#include "rl/judge/judge_prompt.h"
#include "rl/judge/judge_record.h"
#include "rl/train/sources.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PROMPTS_MOST = 8 };

struct fv_judging {
    const fv_trainer *t;
    const fv_stage *stage;
    const fv_pipeline *pipeline;
    const fv_use *use;       /* the term that asks */
    fv_judge *judge;
    fv_judge_record *record;
    fv_judge_prompt prompts[PROMPTS_MOST];
    char names[PROMPTS_MOST][32]; /* of prompts; "" where there is one */
    int prompt_count;
    int64_t step;            /* of the run, 1-based: what the figures below are of */
    int questions, failures;
    int64_t requests;
    double seconds;
};

/* ---- Opening ---- */

static fv_status add_prompt(fv_judging *j, const char *name, const json_t *file, fv_error *err) {
    char *path = fv_sources_beside(j->t->recipe, json_string_value(file));
    snprintf(j->names[j->prompt_count], sizeof j->names[0], "%.31s", name);
    fv_status s = fv_judge_prompt_read(&j->prompts[j->prompt_count], path, err);
    j->prompt_count += s == FV_OK;
    free(path);
    return s;
}

static fv_status read_prompts(fv_judging *j, fv_error *err) {
    const json_t *given = json_object_get(j->use->options, "prompt");
    const char *name;
    json_t *file;
    if (!json_is_object(given)) return add_prompt(j, "", given, err);
    json_object_foreach((json_t *)given, name, file) FV_TRY(add_prompt(j, name, file, err));
    return FV_OK;
}

/* Options that name prompts, or are none. */
static bool is_prompts(const json_t *given) {
    const char *kind;
    json_t *of_kind;
    if (!json_is_object(given)) return json_is_string(given);
    json_object_foreach((json_t *)given, kind, of_kind)
        if (!json_is_string(of_kind)) return false;
    return json_object_size(given) > 0 && json_object_size(given) <= PROMPTS_MOST;
}

static bool is_temperature(const json_t *given) { return json_is_number(given) && json_number_value(given) >= 0 && json_number_value(given) <= 100; }

/* Nothing, one for all, or some by the prompts' names. */
static bool is_temperatures(const json_t *given, const json_t *prompts) {
    const char *name;
    json_t *one;
    if (!json_is_object(given)) return !given || json_is_null(given) || is_temperature(given);
    json_object_foreach((json_t *)given, name, one)
        if (!is_temperature(one) || !json_object_get(prompts, name)) return false;
    return true;
}

fv_status fv_judging_use(const fv_use **out, const fv_recipe *r, const fv_stage *stage, const fv_pipeline *p, fv_error *err) {
    *out = NULL;
    for (int k = 0; k < p->terms.count; k++) {
        const fv_use *u = &p->terms.uses[k];
        if (!(u->part->needs & FV_NEED_JUDGE)) continue;
        if (*out) return fv_fail(err, FV_UNSUPPORTED, "%s: stages.%s: %s and %s both ask a judge; one term of a stage may", r->file, stage->name, (*out)->label, u->label); /* a response has one judge_text */
        *out = u;
    }
    if (!*out) return FV_OK;
    if (!is_prompts(json_object_get((*out)->options, "prompt")))
        return fv_fail(err, FV_BAD_RECIPE, "%s: %s: option prompt must be a file with what the judge is asked (recipes/judges/), or at most %d of them by kind", r->file, (*out)->label, PROMPTS_MOST);
    if (!is_temperatures(json_object_get((*out)->options, "temperature"), json_object_get((*out)->options, "prompt")))
        return fv_fail(err, FV_BAD_RECIPE, "%s: %s: option temperature must be a number 0..100, or such numbers by the names of prompts", r->file, (*out)->label);
    return fv_judge_wanted(r, err);
}

fv_status fv_judging_open(fv_judging **out, const fv_trainer *t, fv_slot *reference, const fv_stage *stage, const fv_pipeline *p, fv_error *err) {
    fv_judging *j = calloc(1, sizeof *j);
    *out = NULL;
    if (!j) return fv_fail(err, FV_NO_MEMORY, "judge: out of memory");
    *j = (fv_judging){.t = t, .stage = stage, .pipeline = p};
    char *path = fv_run_path(t->run, "judgements.jsonl");
    fv_status s = fv_judging_use(&j->use, t->recipe, stage, p, err);
    if (s == FV_OK) s = fv_judge_open(&j->judge, t, reference, err);
    if (s == FV_OK) s = read_prompts(j, err);
    if (s == FV_OK) s = fv_judge_record_open(&j->record, path, t->step + 1, err);
    free(path);
    if (s == FV_OK) *out = j;
    else fv_judging_close(j);
    return s;
}

void fv_judging_close(fv_judging *j) {
    if (!j) return;
    for (int i = 0; i < j->prompt_count; i++) fv_judge_prompt_clear(&j->prompts[i]);
    fv_judge_record_close(j->record);
    fv_judge_close(j->judge);
    free(j);
}

/* ---- Questions ---- */

static const fv_judge_prompt *find_prompt(const fv_judging *j, const char *name) {
    for (int i = 0; i < j->prompt_count; i++)
        if (!j->names[i][0] || (name && !strcmp(j->names[i], name))) return &j->prompts[i];
    return NULL;
}

/* The term's own, one for all or by the prompt's name, else the judge's. */
static double temperature_of(const fv_judging *j, const char *name) {
    const json_t *own = json_object_get(j->use->options, "temperature"), *named = name ? json_object_get(own, name) : NULL;
    const json_t *given = json_is_object(own) ? named : own;
    return json_is_number(given) ? json_number_value(given) : fv_get_num(j->t->recipe->json, "judge.temperature");
}

/* The prompt's pictures; clips are none. out [prompt->picture_count] */
static int list_pictures(const fv_prompt *prompt, const fv_picture **out) {
    int n = 0;
    for (int i = 0; i < prompt->picture_count; i++)
        if (prompt->pictures[i]->image) out[n++] = prompt->pictures[i];
    return n;
}

/* Composes the question about list[i]; pictures [the prompt's] backs its own. */
static fv_status compose(const fv_judging *j, const fv_judged *list, int i, fv_question *q, const fv_picture **pictures, fv_error *err) {
    const fv_response *r = list[i].response;
    fv_text asked = {0}, given = {0};
    const char *name;
    *q = (fv_question){.number = i, .use = j->use, .response = r, .pictures = pictures, .picture_count = list_pictures(&list[i].sample->prompt, pictures)};
    j->use->part->ask(j->use, r, &name, &given);
    fv_judge_add_asked(&asked, r->row);
    const fv_judge_prompt *prompt = find_prompt(j, name);
    q->temperature = temperature_of(j, name);
    fv_judge_values values = {asked.data, r->answer, given.data, q->picture_count};
    if (prompt) q->messages = fv_judge_prompt_fill(prompt, &values);
    bool failed = asked.failed || given.failed || (prompt && !q->messages);
    fv_text_clear(&asked);
    fv_text_clear(&given);
    if (failed) return json_decref(q->messages), fv_fail(err, FV_NO_MEMORY, "judge: out of memory");
    return prompt ? FV_OK : fv_fail(err, FV_BAD_RECIPE, "%s: %s: option prompt has nothing for %s", j->t->recipe->file, j->use->label, name);
}

/* What a question is, within its step: its place, its words, its pictures. */
static uint64_t key_of(const fv_question *q) {
    fv_text t = {0};
    fv_text_printf(&t, "%d ", q->number);
    fv_json_dump(&t, q->messages, 0);
    for (int i = 0; i < q->picture_count; i++) fv_text_printf(&t, " %016" PRIx64, q->pictures[i]->hash);
    uint64_t key = fv_hash_bytes(t.data, t.size);
    fv_text_clear(&t);
    return key;
}

/* ---- A step ---- */

typedef struct {
    fv_question *questions;      /* to ask */
    const fv_picture **pictures; /* of all of them */
    uint64_t *keys;
    int count;
} asking;

static void close_asking(asking *a) {
    for (int i = 0; i < a->count; i++) {
        json_decref(a->questions[i].messages);
        free(a->questions[i].reply);
    }
    free(a->questions);
    free(a->pictures);
    free(a->keys);
}

/* A response gets what the record says of it, to be paid again; or its failure. */
static void settle(fv_judging *j, fv_response *r, const json_t *entry) {
    const char *reply = json_string_value(json_object_get(entry, "reply")), *why = json_string_value(json_object_get(entry, "error"));
    j->questions++;
    j->failures += reply == NULL;
    j->requests += json_integer_value(json_object_get(entry, "requests"));
    r->judge_text = reply;
    if (reply) r->error[0] = '\0';
    else snprintf(r->error, sizeof r->error, "judge: %.200s", why ? why : "");
}

/* Questions of all unjudged responses; those that stand in the record are settled at once. */
static fv_status collect(fv_judging *j, const fv_judged *list, int count, asking *a, fv_error *err) {
    size_t pictures = 0;
    for (int i = 0; i < count; i++) pictures += (size_t)list[i].sample->prompt.picture_count;
    a->questions = calloc((size_t)count + 1, sizeof *a->questions);
    a->keys = calloc((size_t)count + 1, sizeof *a->keys);
    a->pictures = calloc(pictures + 1, sizeof *a->pictures);
    if (!a->questions || !a->keys || !a->pictures) return fv_fail(err, FV_NO_MEMORY, "judge: out of memory");
    const fv_picture **room = a->pictures;
    for (int i = 0; i < count; i++) {
        fv_question *q = &a->questions[a->count];
        if (!list[i].response->unjudged) continue;
        FV_TRY(compose(j, list, i, q, room, err));
        a->keys[a->count] = key_of(q);
        const json_t *entry = fv_judge_record_find(j->record, j->step, a->keys[a->count]);
        if (entry) {
            settle(j, list[i].response, entry);
            json_decref(q->messages);
            *q = (fv_question){0};
            continue;
        }
        room += q->picture_count;
        a->count++;
    }
    return FV_OK;
}

/* Whether a failure ends the run: as the recipe has it, and where no question of the run was ever answered, since that judge is not set up as it was meant. */
static const fv_question *find_fatal(const fv_judging *j, const asking *a) {
    const fv_question *failed = NULL;
    bool answered = fv_judge_record_answered(j->record);
    for (int i = 0; i < a->count; i++) {
        answered |= a->questions[i].reply != NULL;
        if (!a->questions[i].reply) failed = &a->questions[i];
    }
    return answered && strcmp(fv_get_text(j->t->recipe->json, "judge.failures"), "stop") != 0 ? NULL : failed;
}

static fv_status ask_all(fv_judging *j, const fv_judged *list, asking *a, fv_error *err) {
    int64_t budget = fv_get_int(j->t->recipe->json, "judge.budget"), left = budget ? budget - fv_judge_record_requests(j->record) : INT64_MAX;
    if (!a->count) return FV_OK;
    FV_TRY(j->judge->ask(j->judge, a->questions, a->count, j->step, left > 0 ? left : 0, err));
    const fv_question *fatal = find_fatal(j, a);
    for (int i = 0; i < a->count; i++) {
        fv_response *r = list[a->questions[i].number].response;
        if (fatal && !a->questions[i].reply) continue; /* a run that goes on from here asks it again */
        FV_TRY(fv_judge_record_add(j->record, j->step, a->keys[i], r->id, &a->questions[i], err));
        settle(j, r, fv_judge_record_find(j->record, j->step, a->keys[i]));
    }
    return fatal ? fv_fail(err, fatal->error.status, "%s: step %lld: the judge did not answer: %s", j->stage->name, (long long)j->step, fatal->error.text) : FV_OK;
}

fv_status fv_judging_run(fv_judging *j, const fv_judged *list, int count, fv_error *err) {
    double began = fv_now();
    asking a = {0};
    if (j->step != j->t->step + 1) j->seconds = 0;
    j->step = j->t->step + 1;
    j->questions = j->failures = 0;
    j->requests = 0;
    fv_judge_record_step(j->record, j->step);
    fv_status s = collect(j, list, count, &a, err);
    if (s == FV_OK) s = ask_all(j, list, &a, err);
    close_asking(&a);
    j->seconds += fv_now() - began;
    return s;
}

void fv_judging_metrics(const fv_judging *j, fv_metrics *m) {
    fv_metric(m, "judge/questions", j->questions);
    fv_metric(m, "judge/failure_frequency", j->questions ? (double)j->failures / j->questions : 0);
    fv_metric(m, "judge/requests", (double)j->requests);
    fv_metric(m, "timing_s/judge", j->seconds);
}
