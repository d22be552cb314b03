#include "rl/rewards/format.h"

#include "rl/recipe/recipe.h"
#include "rl/rewards/reading.h"

#include <string.h>

static int count(const char *text, const char *word) {
    int n = 0;
    for (const char *at = text; (at = strstr(at, word)); at += strlen(word)) n++;
    return n;
}

/* Well formed by its tags: it ends with one <answer> pair, and its tool calls are closed; `think: true` also asks for a thinking pair.
 * Observations are part of the text: what they hold of these tags comes in pairs. */
static bool has_tags(const fv_response *r, bool think) {
    int answers = count(r->text, "<answer>");
    bool good = answers >= 1 && answers == count(r->text, "</answer>") && count(r->text, "<tool_call>") == count(r->text, "</tool_call>") &&
                count(r->text, "<think>") == count(r->text, "</think>") && (!think || count(r->text, "<think>") >= 1);
    return good && !(r->failures > 0);
}

/* 1 if the response is well formed, else 0. */
static fv_status format(const fv_use *u, fv_group *g, int term, const fv_moment *when, fv_error *err) {
    (void)when;
    const char *like = fv_get_text(u->options, "like"), *which = fv_get_text(u->options, "text"), *clean = fv_get_text(u->options, "clean");
    bool think = fv_get_bool(u->options, "think"), tags = !strcmp(like, "tags");
    for (int i = 0; i < g->count; i++) {
        fv_response *r = &g->items[i];
        fv_text text = {0};
        bool there = r->text != NULL;
        fv_status s = tags ? FV_OK : fv_read_text(&text, which, clean, r, &there, err);
        if (s == FV_OK && there) r->terms[term] = tags ? has_tags(r, think) : fv_format_find(like)(fv_edit_span(&text));
        if (s == FV_OK && !there) fv_response_lacks(r, u, tags || !strcmp(which, "response") ? "a response" : which);
        fv_text_clear(&text);
        FV_TRY(s);
    }
    return FV_OK;
}

const fv_part fv_part_reward_format = {.name = "format",
                                       .hook = FV_HOOK_REWARD,
                                       .doc = "1 if tags are balanced, an <answer> pair is there and no tool call failed; think: a <think> pair too; "
                                              "like: another format (rl/rewards/formats.c) of `text`, cleaned",
                                       .fields = "{think: false, like: tags, text: response, clean: none}",
                                       .limits = "{" FV_READ_LIMITS ", like: [tags" FV_FORMATS(FV_FORMAT_LIMIT) "]}",
                                       .scope = FV_SCOPE_ITEM,
                                       .reward = format};
