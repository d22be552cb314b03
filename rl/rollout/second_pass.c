#include "rl/rollout/second_pass.h"

#include "core/random.h"
#include "rl/answer.h"
#include "rl/recipe/ask.h"
#include "rl/rewards/reading.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

fv_status fv_second_pass_open(fv_second_pass *p, const json_t *stage, const char *place, int count, fv_error *err) {
    *p = (fv_second_pass){.ask = fv_get_text(stage, "second_pass"), .count = count};
    if (!p->ask || !strstr(p->ask, "{description}"))
        return fv_fail(err, FV_BAD_RECIPE, "%s.second_pass must be the text that the second pass is asked, with {description} and {question} in it", place);
    size_t n = (size_t)count;
    p->samples = calloc(n, sizeof *p->samples);
    p->numbers = calloc(n, sizeof *p->numbers);
    p->asked = calloc(n, sizeof *p->asked);
    p->now = calloc(n, sizeof *p->now);
    if (!p->samples || !p->numbers || !p->asked || !p->now) return fv_fail(err, FV_NO_MEMORY, "%s: out of memory", place);
    for (int i = 0; i < count; i++) p->numbers[i] = i;
    return FV_OK;
}

void fv_second_pass_clear(fv_second_pass *p) {
    fv_rollout_clear(&p->rollout);
    for (int i = 0; i < p->count && p->samples; i++) fv_sample_clear_prompt(&p->samples[i]);
    for (int i = 0; i < p->count && p->asked; i++) p->asked[i] = false;
}

void fv_second_pass_close(fv_second_pass *p) {
    fv_second_pass_clear(p);
    free(p->samples);
    free(p->numbers);
    free(p->asked);
    free(p->now);
}

/* ---- What is asked ---- */

/* Appends the inside of the first description pair, stripped and without special tokens, which would end the turn that it stands in. False: there is none. */
static bool add_description(fv_text *out, const char *response) {
    static const char open[] = "<description>", close[] = "</description>";
    fv_text plain = {0};
    fv_read_plain(&plain, response);
    const char *at = plain.data ? strstr(plain.data, open) : NULL, *end = at ? strstr(at, close) : NULL;
    if (end) {
        at += sizeof open - 1;
        fv_span inside = fv_span_strip((fv_span){at, (size_t)(end - at)});
        fv_text_bytes(out, inside.text, inside.size);
    }
    fv_text_clear(&plain);
    return end != NULL;
}

static fv_status make_prompt(const fv_model *m, const fv_text *ask, fv_sample *s, fv_error *err) {
    const json_t *thinking = json_object_get(s->row->json, "enable_thinking");
    json_t *messages = json_pack("[{s: s, s: s}]", "role", "user", "content", ask->data ? ask->data : "");
    fv_chat_options chat = {.generation_prompt = true, .thinking = json_is_true(thinking) ? 1 : json_is_false(thinking) ? -1 : 0};
    if (!messages || ask->failed) s->error = (fv_error){.status = FV_NO_MEMORY};
    else fv_prompt_make(m, messages, &chat, &(fv_media){0}, &s->prompt, &s->error);
    json_decref(messages);
    if (s->error.status == FV_NO_MEMORY) return fv_fail(err, FV_NO_MEMORY, "second pass: out of memory");
    return FV_OK;
}

/* The sample's prompt: what is asked of a description. */
static fv_status ask(const fv_second_pass *p, fv_sample *s, const fv_text *description, const fv_model *m, int max_tokens, fv_error *err) {
    static const char *const names[] = {"{description}", "{question}"};
    const json_t *messages = json_object_get(s->row->json, "messages");
    fv_text question = {0}, text = {0};
    if (!messages) return fv_fail(&s->error, FV_BAD_DATA, "%s: a row of tokens has no question to ask again", s->row->place), FV_OK;
    fv_ask_question(&question, messages);
    fv_ask_fill(&text, p->ask, names, (const char *const[]){description->data, question.data}, 2);
    fv_status status = make_prompt(m, &text, s, err);
    if (s->error.status == FV_OK && max_tokens && s->prompt.tokens.count >= max_tokens)
        fv_fail(&s->error, FV_LIMIT, "%s: the second pass's prompt has %d tokens, max_tokens is %d", s->row->place, s->prompt.tokens.count, max_tokens);
    fv_text_clear(&question);
    fv_text_clear(&text);
    return status;
}

/* Sample i, from the response that it follows; sets whether it is asked. */
static fv_status prepare(fv_second_pass *p, const fv_rollout *first, int i, const fv_model *m, int max_tokens, fv_error *err) {
    const fv_trajectory *t = &first->trajectories[i];
    fv_sample *s = &p->samples[i];
    fv_text description = {0};
    fv_sample_clear_prompt(s);
    s->row = first->samples[t->sample].row;
    p->asked[i] = t->error.status == FV_OK && t->text && add_description(&description, t->text);
    fv_status status = p->asked[i] ? ask(p, s, &description, m, max_tokens, err) : FV_OK;
    fv_text_clear(&description);
    return status;
}

fv_status fv_second_pass_run(fv_second_pass *p, const fv_rollout *first, fv_engine *e, const fv_model *m, fv_slot *slot, const fv_rollout_options *options, const bool *again,
                             fv_error *err) {
    for (int i = 0; i < p->count; i++) {
        bool now = !again || again[i / first->group_size];
        if (now) FV_TRY(prepare(p, first, i, m, options->max_tokens, err));
        p->now[i] = now && p->asked[i];
    }
    fv_rollout_options o = *options;
    o.group_size = 1;
    o.numbers = p->numbers;
    o.seed = fv_random_key(options->seed, "second pass", 0, 0);
    return fv_rollout_beside(&p->rollout, first, e, m, slot, NULL, p->samples, p->count, p->now, &o, err);
}

const char *fv_second_pass_text(const fv_second_pass *p, int i) {
    if (!p->asked[i]) return "";
    return p->rollout.trajectories[i].error.status == FV_OK ? p->rollout.trajectories[i].text : NULL;
}

void fv_second_pass_tell(const fv_second_pass *p, fv_response *responses) {
    for (int i = 0; i < p->count; i++) {
        fv_response *r = &responses[i];
        r->second_text = fv_second_pass_text(p, i);
        if (!r->second_text && !r->error[0]) snprintf(r->error, sizeof r->error, "second pass: %.240s", p->rollout.trajectories[i].error.text);
    }
}

void fv_second_pass_metrics(const fv_second_pass *p, fv_metrics *m) {
    double asked = 0, tokens = 0;
    for (int i = 0; i < p->count; i++) {
        asked += p->asked[i];
        if (p->asked[i]) tokens += p->rollout.trajectories[i].tokens;
    }
    fv_metric(m, "second_pass/asked", asked / p->count);
    fv_metric(m, "second_pass/mean_length", asked ? tokens / asked : NAN);
}
