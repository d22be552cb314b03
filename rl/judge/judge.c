#include "rl/judge/judge.h"

#include "rl/recipe/recipe.h"
#include "rl/text/python.h"

#include <stdlib.h>
#include <string.h>

enum { QUOTE_MOST = 200 };

fv_status fv_question_hear(fv_question *q, const char *text, fv_error *err) {
    if (!(q->use ? q->use->part->hears(q->use, q->response, text) : q->hears(fv_span_of(text))))
        return fv_fail(err, FV_BAD_DATA, "%s can't read \"%.*s\"", q->use ? q->use->label : q->label, QUOTE_MOST, text);
    q->reply = strdup(text);
    return q->reply ? FV_OK : fv_fail(err, FV_NO_MEMORY, "a judge's reply: out of memory");
}

fv_status fv_judge_wanted(const fv_recipe *r, fv_error *err) {
    if (fv_get_text(r->json, "judge.url") || fv_get_text(r->json, "judge.path") || fv_get_bool(r->json, "judge.policy") || fv_get_bool(r->json, "judge.reference")) return FV_OK;
    return fv_fail(err, FV_BAD_RECIPE, "%s: its parts need a judge: `judge: {path: FOLDER}`, `judge: {url: http://127.0.0.1:8000/v1, model: NAME}`, `judge: policy`, or `judge: reference`", r->file);
}

fv_status fv_judge_open(fv_judge **out, const fv_trainer *t, fv_slot *reference, fv_error *err) {
    *out = NULL;
    FV_TRY(fv_judge_wanted(t->recipe, err));
    return fv_get_text(t->recipe->json, "judge.url") ? fv_judge_server(out, t, err) : fv_judge_model(out, t, reference, err);
}

void fv_judge_close(fv_judge *j) {
    if (j) j->close(j);
}
