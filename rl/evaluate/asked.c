#include "rl/evaluate/asked.h"

#include "core/progress.h"
#include "rl/judge/judge.h"
#include "rl/judge/judge_prompt.h"
#include "rl/train/sources.h"

#include <stdlib.h>
#include <string.h>

enum { AT_ONCE = 64, LONG = 2 * AT_ONCE }; /* questions of a call; from LONG on there is a bar */

struct fv_asked {
    fv_trainer t; /* what a judge's server looks at: the recipe and its seed */
    const fv_protocol *protocol;
    fv_judge *judge;
    fv_judge_prompt prompt;
};

static fv_status open_all(fv_asked *a, const fv_recipe *recipe, fv_error *err) {
    const char *prompt = fv_get_text(recipe->json, "evaluate.judge_prompt");
    if (!fv_get_text(recipe->json, "judge.url")) return fv_fail(err, FV_BAD_RECIPE, "%s: an evaluation asks a judge that is a server: judge.url and judge.model", recipe->file);
    if (!prompt)
        return fv_fail(err, FV_BAD_RECIPE, "%s: protocol %s leaves some answers to the judge: evaluate.judge_prompt must be the file with what it is asked (recipes/judges/)", recipe->file, a->protocol->name);
    char *path = fv_sources_beside(recipe, prompt);
    fv_status s = fv_judge_prompt_read(&a->prompt, path, err);
    free(path);
    return s == FV_OK ? fv_judge_open(&a->judge, &a->t, NULL, err) : s;
}

fv_status fv_asked_open(fv_asked **out, const fv_recipe *recipe, fv_error *err) {
    const fv_protocol *p;
    *out = NULL;
    FV_TRY(fv_protocol_find(&p, fv_get_text(recipe->json, "evaluate.protocol"), err));
    if (!p->hears || fv_judge_wanted(recipe, NULL) != FV_OK) return FV_OK;
    fv_asked *a = calloc(1, sizeof *a);
    if (!a) return fv_fail(err, FV_NO_MEMORY, "evaluation: out of memory");
    a->t.recipe = recipe;
    a->t.seed = (uint64_t)fv_get_int(recipe->json, "seed");
    a->protocol = p;
    fv_status s = open_all(a, recipe, err);
    if (s == FV_OK) *out = a;
    else fv_asked_close(a);
    return s;
}

void fv_asked_close(fv_asked *a) {
    if (!a) return;
    fv_judge_close(a->judge);
    fv_judge_prompt_clear(&a->prompt);
    free(a);
}

/* The question about a response, if its rules leave it open: q->messages is NULL where they don't. */
static fv_status compose(const fv_asked *a, const fv_response *response, int64_t number, fv_question *q, fv_error *err) {
    fv_response reading = *response;
    fv_mark mark = {0};
    fv_text asked = {0};
    *q = (fv_question){.number = (int)number, .label = a->protocol->name, .hears = a->protocol->hears, .temperature = fv_get_num(a->t.recipe->json, "judge.temperature")};
    fv_status s = fv_protocol_mark(a->protocol, &reading, &mark, err);
    if (s == FV_OK && reading.unjudged) {
        fv_judge_add_asked(&asked, response->row);
        q->messages = asked.failed ? NULL : fv_judge_prompt_fill(&a->prompt, &(fv_judge_values){asked.data, mark.right.data, mark.extracted.data, 0});
        if (!q->messages) s = fv_fail(err, FV_NO_MEMORY, "a judge's question: out of memory");
    }
    fv_text_clear(&asked);
    fv_mark_clear(&mark);
    return s;
}

static fv_status settle(const fv_question *q, fv_row *row, fv_error *err) {
    json_t *said = json_string(q->reply ? q->reply : q->error.text);
    if (said && json_object_set_new(row->json, q->reply ? "judge_text" : "judge_error", said) == 0) return FV_OK;
    return fv_fail(err, FV_NO_MEMORY, "a judge's reply: out of memory");
}

fv_status fv_asked_run(fv_asked *a, const fv_response *responses, fv_row *const *rows, int64_t count, bool quiet, fv_error *err) {
    fv_question *questions = calloc((size_t)count + 1, sizeof *questions);
    int n = 0;
    fv_status s = questions ? FV_OK : fv_fail(err, FV_NO_MEMORY, "evaluation: out of memory");
    for (int64_t i = 0; i < count && s == FV_OK; i++) {
        if (!rows[i] || responses[i].error[0]) continue;
        s = compose(a, &responses[i], i, &questions[n], err);
        n += questions[n].messages != NULL;
    }
    int64_t budget = fv_get_int(a->t.recipe->json, "judge.budget"), left = budget ? budget : INT64_MAX;
    fv_progress *progress = quiet || n < LONG ? NULL : fv_progress_open(&(fv_progress_options){.label = "judge", .unit = "answer", .total = n});
    for (int at = 0, some; at < n && s == FV_OK; at += some) {
        some = n - at < AT_ONCE ? n - at : AT_ONCE;
        s = a->judge->ask(a->judge, questions + at, some, 0, left, err);
        for (int i = at; i < at + some && s == FV_OK; i++) {
            left -= questions[i].requests < left ? questions[i].requests : left;
            s = settle(&questions[i], rows[questions[i].number], err);
        }
        fv_progress_update(progress, at + some, "%s", "");
    }
    fv_progress_close(progress);
    for (int i = 0; i < n; i++) {
        json_decref(questions[i].messages);
        free(questions[i].reply);
    }
    free(questions);
    return s;
}
