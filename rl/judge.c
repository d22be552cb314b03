#include "rl/judge.h"

#include "rl/recipe.h"

#include <stdlib.h>
#include <string.h>

enum { QUOTE_MOST = 200 };

fv_status fv_question_hear(fv_question *q, const char *text, fv_error *err) {
    if (!q->use->part->hears(q->use, q->response, text))
        return fv_fail(err, FV_BAD_DATA, "%s can't read \"%.*s\"", q->use->label, QUOTE_MOST, text);
    q->reply = strdup(text);
    return q->reply ? FV_OK : fv_fail(err, FV_NO_MEMORY, "a judge's reply: out of memory");
}

fv_status fv_judge_open(fv_judge **out, const fv_trainer *t, fv_slot *reference, fv_error *err) {
    const json_t *recipe = t->recipe->json;
    *out = NULL;
    if (fv_get_text(recipe, "judge.url")) return fv_judge_server(out, t, err);
    if (fv_get_text(recipe, "judge.path") || fv_get_bool(recipe, "judge.policy") || fv_get_bool(recipe, "judge.reference")) return fv_judge_model(out, t, reference, err);
    return fv_fail(err, FV_BAD_RECIPE, "%s: its parts need a judge: `judge: {path: FOLDER}`, `judge: {url: http://127.0.0.1:8000/v1, model: NAME}`, `judge: policy`, or `judge: reference`", t->recipe->file);
}

void fv_judge_close(fv_judge *j) {
    if (j) j->close(j);
}
