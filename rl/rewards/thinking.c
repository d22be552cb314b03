#include "rl/rewards/thinking.h"

#include "rl/pipeline.h"
#include "rl/rewards/reading.h"
#include "rl/text/python.h"
#include "rl/text/regex.h"

#include <math.h>
#include <string.h>

double fv_thinking_score(fv_span text, bool *there) {
    static const char *const patterns[] = {
        "\\\\box(?:es)?\\{([01](?:\\.\\d)?)\\}",
        "<answer>" FV_RE_SPACE "*([01](?:\\.\\d)?)" FV_RE_SPACE "*</answer>",
        "\\b([01](?:\\.\\d)?)\\b",
        "</think>" FV_RE_SPACE "*<answer>" FV_RE_SPACE "*([\\d.]+)" FV_RE_SPACE "*</answer>",
        "</think>" FV_RE_SPACE "*([\\d.]+)",
        "Total Wrong Steps\\*\\*:" FV_RE_SPACE "*(\\d+)",
        "\\*\\*(\\d+)" FV_RE_SPACE "+wrong steps\\*\\*",
        "\\*\\*.*?\\bWrong Steps\\*\\*:" FV_RE_SPACE "*(\\d+)",
    };
    fv_span g[2];
    double score = 0;
    bool found = false;
    for (size_t i = 0; i < FV_COUNT(patterns); i++) {
        if (!fv_regex_in(patterns[i], text, g, 2)) continue;
        found = fv_py_float(g[1], &score); /* "1.2.3" raises there; after ten tries it is 0 */
        break;
    }
    if (there) *there = found;
    return !found || score < 0 ? 0 : score > 1 ? 1 : score;
}

/* True if the row has what the judge said, as a number or as its text. */
static bool said(const fv_response *r, double *score) {
    const json_t *given = json_object_get(r->given, "thinking_reward");
    if (json_is_number(given)) *score = json_number_value(given);
    else if (r->judge_text) *score = fv_thinking_score(fv_span_of(r->judge_text), NULL);
    return json_is_number(given) || r->judge_text;
}

/* SophiaVL-R1. The release asks the judge only about responses with accuracy >= 0.2, and not at all where all of a group are right (>= 0.9) or wrong (<= 0.1);
 * who was not asked about has 0. The paper (arXiv 2505.17018) asks about all. `judge` chooses: auto goes by the variant. */
static fv_status thinking(const fv_use *u, fv_group *g, int term, const fv_moment *when, fv_error *err) {
    (void)when;
    const char *who = fv_get_text(u->options, "judge");
    bool everyone = !strcmp(who, "all") || (!strcmp(who, "auto") && !strcmp(u->variant, "paper")), right = true, wrong = true;
    int accuracy;
    FV_TRY(fv_pipeline_find(u, fv_get_text(u->options, "accuracy"), &accuracy, err));
    for (int i = 0; i < g->count; i++) {
        if (isnan(g->items[i].terms[accuracy])) continue; /* not one whose judge failed: who is asked is decided once */
        right &= g->items[i].terms[accuracy] >= 0.9;
        wrong &= g->items[i].terms[accuracy] <= 0.1;
    }
    for (int i = 0; i < g->count; i++) {
        fv_response *r = &g->items[i];
        bool asked = everyone || (!right && !wrong && r->terms[accuracy] >= 0.2);
        double score = 0;
        if (r->error[0]) continue;
        if (asked && !said(r, &score)) fv_response_unjudged(r, u, "`thinking_reward` or `judge_text`");
        else r->terms[term] = score;
    }
    return FV_OK;
}

/* The whole response, answer included, without dollars, as its accuracy is read (the same file: get_process_reward). */
static void ask(const fv_use *u, const fv_response *r, const char **prompt, fv_text *given) {
    (void)u;
    *prompt = NULL;
    fv_read_plain(given, r->text);
    fv_edit_replace(given, "$", "");
}

static bool hears(const fv_use *u, const fv_response *r, const char *judge_text) {
    (void)u, (void)r;
    bool there;
    fv_thinking_score(fv_span_of(judge_text), &there);
    return there;
}

static fv_status check(const fv_use *u, fv_error *err) {
    int term;
    return fv_pipeline_find(u, fv_get_text(u->options, "accuracy"), &term, err);
}

const fv_part fv_part_reward_thinking = {.name = "thinking",
                                         .hook = FV_HOOK_REWARD,
                                         .doc = "0..1, what a judge says of the thinking (SophiaVL-R1); judge: of right responses in groups that differ, or of all; "
                                                "auto: all in variant paper; prompt: the file with what it is asked",
                                         .fields = "{accuracy: accuracy, judge: auto, prompt: null}",
                                         .limits = "{judge: [auto, right, all]}",
                                         .scope = FV_SCOPE_GROUP,
                                         .needs = FV_NEED_JUDGE,
                                         .check = check,
                                         .ask = ask,
                                         .hears = hears,
                                         .reward = thinking};
