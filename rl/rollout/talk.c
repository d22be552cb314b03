#include "rl/rollout/talk.h"

#include "language/unicode.h"

#include <stdlib.h>
#include <string.h>

struct fv_talk {
    fv_session *session;
    fv_talk_options options;
    fv_engine *engine;
    fv_env *env;              /* NULL: none */
    fv_row row;               /* what an environment is reset with: one without messages */
    fv_sample sample;         /* what is being said */
    json_t *last;             /* the message that was said last */
    fv_rollout rollout;       /* tree NULL: nothing was said yet */
    /* the listener, and how far it has heard: */
    const fv_talk_listener *listener;
    int turn, token;          /* tokens of that turn that are in `bytes` */
    fv_text bytes;            /* of the turn, special tokens left out */
    size_t heard;             /* bytes that were passed on */
};

fv_status fv_talk_open(fv_talk **out, fv_session *s, const fv_talk_options *options, fv_error *err) {
    *out = NULL;
    fv_talk *t = calloc(1, sizeof *t);
    if (!t) return fv_fail(err, FV_NO_MEMORY, "chat: out of memory");
    t->session = s;
    t->options = *options;
    t->row.json = json_pack("{s:b}", "enable_thinking", options->thinking >= 0);
    fv_status status = t->row.json ? FV_OK : fv_fail(err, FV_NO_MEMORY, "chat: out of memory");
    if (status == FV_OK && options->env) status = fv_env_open(&t->env, options->env, s->model->image.patch * s->model->image.merge, err);
    if (status == FV_OK) status = fv_engine_open(&t->engine, s->model, s->slot, NULL, err);
    if (status == FV_OK) *out = t;
    else fv_talk_close(t);
    return status;
}

void fv_talk_reset(fv_talk *t) {
    fv_rollout_clear(&t->rollout);
    json_decref(t->last);
    t->last = NULL;
}

void fv_talk_close(fv_talk *t) {
    if (!t) return;
    fv_talk_reset(t);
    fv_engine_close(t->engine);
    fv_env_close(t->env);
    json_decref(t->row.json);
    fv_text_clear(&t->bytes);
    free(t);
}

static int leaf_of(const fv_talk *t) {
    return t->rollout.tree ? t->rollout.trajectories[0].leaf : -1;
}

int fv_talk_tokens(const fv_talk *t) {
    return t->rollout.tree ? fv_tree_tokens(t->rollout.tree, leaf_of(t)) : 0;
}

int64_t fv_talk_computed(const fv_talk *t) {
    return t->rollout.stats.rows;
}

/* ---- What is said, as tokens ---- */

/* A system text and what is said, with what the environment has to say. `always`: there is a system text in any case, if an empty one. */
static fv_status messages_of(const fv_talk *t, const json_t *content, bool always, json_t **out, fv_error *err) {
    const char *system = t->options.system ? t->options.system : always ? "" : NULL;
    json_t *messages = json_array();
    bool failed = !messages || (system && json_array_append_new(messages, json_pack("{s:s, s:s}", "role", "system", "content", system)));
    failed = failed || json_array_append_new(messages, json_pack("{s:s, s:O}", "role", "user", "content", content));
    fv_status s = failed ? fv_fail(err, FV_NO_MEMORY, "chat: out of memory") : FV_OK;
    *out = messages;
    if (s == FV_OK && t->env) {
        s = fv_env_messages(t->env, messages, NULL, NULL, out, err);
        json_decref(messages);
    }
    if (s != FV_OK) json_decref(*out), *out = NULL;
    return s;
}

/* Is the last answer to be said again, without its thoughts? (An answer of several turns stays as it is.) */
static bool says_again(const fv_talk *t) {
    return fv_chat_forgets(t->session->model->chat) && t->rollout.trajectories[0].turn_count == 1;
}

/* The segment that the next prompt goes below. */
static int parent_of_next(const fv_talk *t) {
    return says_again(t) ? t->rollout.trajectories[0].prompt : leaf_of(t);
}

/* What the format begins an answer with. It is the answer's beginning here, not the prompt's end: as an earlier turn it will be another. */
static const char *opening(const fv_talk *t) {
    return fv_chat_opening(t->session->model->chat, t->options.thinking);
}

/* The last answer as a message. */
static fv_status last_answer(const fv_talk *t, json_t **out, fv_error *err) {
    const fv_model *m = t->session->model;
    const fv_segment *s = t->rollout.tree->segments[leaf_of(t)];
    char *text;
    int n = s->count;
    for (int i = 0; i < m->config.eos_count && n == s->count; i++) n -= n > 0 && s->ids[n - 1] == m->config.eos[i];
    FV_TRY(fv_tokenizer_decode(m->tokenizer, s->ids, n, false, &text, err));
    *out = json_pack("{s:s, s:s+}", "role", "assistant", "content", opening(t), text);
    free(text);
    return *out ? FV_OK : fv_fail(err, FV_NO_MEMORY, "chat: out of memory");
}

/* Two conversations that differ in what comes next, which is what the second has more: a system turn, then the next message; where the answer is said again,
 * the question that it answered is in both. */
static fv_status frame_next(const fv_talk *t, const json_t *messages, json_t **before, json_t **whole, fv_error *err) {
    json_t *answer = NULL, *system = json_array_get(messages, 0), *next = json_array_get(messages, json_array_size(messages) - 1);
    if (says_again(t)) FV_TRY(last_answer(t, &answer, err));
    *before = answer ? json_pack("[O, O]", system, t->last) : json_pack("[O]", system);
    *whole = answer ? json_pack("[O, O, o, O]", system, t->last, answer, next) : json_pack("[O, O]", system, next);
    return *before && *whole ? FV_OK : fv_fail(err, FV_NO_MEMORY, "chat: out of memory");
}

/* What stands between the tokens so far and the next turn: the end of the agent's turn, if it has none. */
static const char *joint(const fv_talk *t) {
    const fv_segment *last = t->rollout.tree->segments[leaf_of(t)];
    if (says_again(t)) return "";
    bool ended = last->count > 0 && last->ids[last->count - 1] == fv_tokenizer_id(t->session->model->tokenizer, "<|im_end|>");
    return ended ? "\n" : "<|im_end|>\n";
}

/* A turn that follows others is what the chat format writes after what came before. */
static fv_status prompt_of_next(const fv_talk *t, const json_t *messages, const fv_chat_options *chat, fv_prompt *out, fv_error *err) {
    const fv_model *m = t->session->model;
    fv_chat_text head = {0}, text = {0};
    fv_text next = {0};
    json_t *before = NULL, *whole = NULL;
    fv_chat_options up_to = {.generation_prompt = says_again(t), .no_opening = true};
    fv_status s = frame_next(t, messages, &before, &whole, err);
    if (s == FV_OK) s = fv_chat_render(m->chat, before, &up_to, &head, err);
    if (s == FV_OK) s = fv_chat_render(m->chat, whole, chat, &text, err);
    if (s == FV_OK) fv_text_printf(&next, "%s%s", joint(t), text.text + strlen(head.text));
    if (next.failed) s = fv_fail(err, FV_NO_MEMORY, "chat: out of memory");
    if (s == FV_OK) s = fv_prompt_text(m, next.data, text.media, text.media_count, NULL, out, err);
    fv_text_clear(&next);
    fv_chat_text_clear(&head);
    fv_chat_text_clear(&text);
    json_decref(before);
    json_decref(whole);
    return s;
}

/* *message: what is said, as the environment completes it; the caller's. */
static fv_status make_prompt(const fv_talk *t, const json_t *content, fv_prompt *out, json_t **message, fv_error *err) {
    fv_chat_options chat = {.generation_prompt = true, .no_opening = true};
    bool first = !t->rollout.tree;
    json_t *messages;
    FV_TRY(messages_of(t, content, !first, &messages, err));
    fv_status s = first ? fv_prompt_make(t->session->model, messages, &chat, NULL, out, err) : prompt_of_next(t, messages, &chat, out, err);
    *message = s == FV_OK ? json_incref(json_array_get(messages, json_array_size(messages) - 1)) : NULL;
    json_decref(messages);
    FV_TRY(s);
    int room = t->session->model->config.text.max_positions, used = first ? 0 : fv_tree_tokens(t->rollout.tree, parent_of_next(t));
    if (used + out->tokens.count < room) return FV_OK;
    fv_fail(err, FV_LIMIT, "the conversation has no room left: %d tokens and %d more, the model takes %d", used, out->tokens.count, room);
    fv_prompt_clear(out);
    json_decref(*message);
    return FV_LIMIT;
}

/* ---- Who listens ---- */

/* Passes on what is whole; at a turn's end the rest as well. */
static void pass_on(fv_talk *t, bool all) {
    const char *bytes = t->bytes.data;
    size_t size = t->bytes.size, end = all ? size : fv_utf8_whole(bytes, size);
    if (end <= t->heard) return;
    fv_text text = {0};
    fv_utf8_repair(&text, bytes + t->heard, end - t->heard);
    if (!text.failed && t->listener->text) t->listener->text(t->listener->context, text.data, text.size);
    fv_text_clear(&text);
    t->heard = end;
}

/* Takes in what was written since the last time. */
static void hear(fv_talk *t, bool ended) {
    const fv_trajectory *a = &t->rollout.trajectories[0];
    const fv_tokenizer *tokenizer = t->session->model->tokenizer;
    while (t->turn < a->turn_count) {
        const fv_agent_turn *turn = &a->turns[t->turn];
        const fv_segment *s = t->rollout.tree->segments[turn->segment];
        for (; t->token < s->count; t->token++) {
            size_t length;
            const char *bytes = fv_tokenizer_bytes(tokenizer, s->ids[t->token], &length);
            if (bytes && !fv_tokenizer_is_special(tokenizer, s->ids[t->token])) fv_text_bytes(&t->bytes, bytes, length);
        }
        bool over = ended || t->turn + 1 < a->turn_count;
        pass_on(t, over);
        if (!over) return;
        if (turn->step.calls && t->listener->step) t->listener->step(t->listener->context, &turn->step);
        fv_text_rewind(&t->bytes);
        t->heard = 0;
        t->token = 0;
        t->turn++;
    }
}

static void watch(void *context, int ended, int all) {
    (void)all;
    hear(context, ended > 0);
}

/* ---- Saying ---- */

/* The prompt goes into the tree, and the agent acts. */
static fv_status let_answer(fv_talk *t, fv_error *err) {
    static const int64_t number = 0;
    fv_session *s = t->session;
    fv_rollout_options o = {.group_size = 1, .temperature = t->options.temperature, .top_p = t->options.top_p, .max_new_tokens = t->options.max_new_tokens,
                            .max_tokens = s->model->config.text.max_positions, .seed = t->options.seed, .numbers = &number,
                            .forced = opening(t)[0] ? opening(t) : NULL, .stop = t->options.stop};
    if (!t->rollout.tree) return fv_rollout_run(&t->rollout, t->engine, s->model, s->slot, s->tools, &t->sample, 1, &o, watch, t, err);
    t->rollout.trajectories[0].leaf = parent_of_next(t);
    return fv_rollout_go_on(&t->rollout, t->engine, s->model, s->slot, s->tools, &o, watch, t, err);
}

fv_status fv_talk_say(fv_talk *t, const json_t *content, const fv_talk_listener *listener, const fv_trajectory **answer, fv_error *err) {
    json_t *message;
    *answer = NULL;
    t->sample = (fv_sample){.row = &t->row, .env = t->env};
    FV_TRY(make_prompt(t, content, &t->sample.prompt, &message, err));
    t->listener = listener;
    t->turn = t->token = 0;
    t->heard = 0;
    fv_text_rewind(&t->bytes);
    fv_status s = let_answer(t, err);
    fv_prompt_clear(&t->sample.prompt);
    json_decref(t->last);
    t->last = message;
    if (s != FV_OK) {
        fv_talk_reset(t);
        return s;
    }
    hear(t, true);
    *answer = &t->rollout.trajectories[0];
    return FV_OK;
}
