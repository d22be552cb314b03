/* A reward for short answers. */
#include "rl/answer.h"
#include "rl/part.h"
#include "rl/recipe/recipe.h"

#include <ctype.h>
#include <stdio.h>

static int words_in(fv_span s) {
    int words = 0;
    for (size_t i = 0; i < s.size; i++)
        if (!isspace((unsigned char)s.text[i]) && (i == 0 || isspace((unsigned char)s.text[i - 1]))) words++;
    return words;
}

/* 1 for a last turn of at most `words` words, words / count for a longer one. */
static fv_status brief(const fv_use *u, fv_group *g, int term, const fv_moment *when, fv_error *err) {
    (void)err; /* what is wrong with one response goes into the response: the others are paid */
    double most = fv_get_at(u->options, "words", when->step, when->steps); /* may be a schedule in the recipe */
    for (int i = 0; i < g->count; i++) {
        fv_response *r = &g->items[i];
        if (!r->text) {
            snprintf(r->error, sizeof r->error, "%s: brief needs a response", r->place ? r->place : r->id);
            continue;
        }
        int count = words_in(fv_answer_last_turn(r->text));
        r->terms[term] = count <= most ? 1 : most / count;
    }
    return FV_OK;
}

const fv_part fv_part_reward_brief = {.name = "brief",
                                      .hook = FV_HOOK_REWARD,
                                      .doc = "1 for a last turn of at most `words` words, less for a longer one",
                                      .fields = "{words: 20}",
                                      .limits = "{words: [1, 1.0e6]}",
                                      .scope = FV_SCOPE_ITEM,
                                      .reward = brief};
