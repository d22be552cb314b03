#include "rl/part.h"
#include "rl/recipe.h"

#include <stdio.h>
#include <string.h>

static int count(const char *text, const char *word) {
    int n = 0;
    for (const char *at = text; (at = strstr(at, word)); at += strlen(word)) n++;
    return n;
}

/* 1 if the response is well formed: it ends with one <answer> pair, and its tool calls are closed; `think: true` also asks for a thinking pair.
 * Observations are part of the text: what they hold of these tags comes in pairs. */
static fv_status format(const fv_use *u, fv_group *g, int term, const fv_moment *when, fv_error *err) {
    (void)when, (void)err;
    bool think = fv_get_bool(u->options, "think");
    for (int i = 0; i < g->count; i++) {
        fv_response *r = &g->items[i];
        if (!r->text) {
            snprintf(r->error, sizeof r->error, "%s: format needs a response", r->place ? r->place : r->id);
            continue;
        }
        int answers = count(r->text, "<answer>");
        bool good = answers >= 1 && answers == count(r->text, "</answer>") && count(r->text, "<tool_call>") == count(r->text, "</tool_call>") &&
                    count(r->text, "<think>") == count(r->text, "</think>") && (!think || count(r->text, "<think>") >= 1);
        if (r->failures > 0) good = false;
        r->terms[term] = good;
    }
    return FV_OK;
}

const fv_part fv_part_reward_format = {.name = "format",
                                       .hook = FV_HOOK_REWARD,
                                       .doc = "1 if tags are balanced, an <answer> pair is there and no tool call failed; think: a <think> pair too",
                                       .fields = "{think: false}",
                                       .scope = FV_SCOPE_ITEM,
                                       .reward = format};
