#include "rl/evaluate/protocol.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* THE list: a new protocol is one word here and one entry in a file of rl/protocols/. */
#define PROTOCOLS(X)                                                                                                   \
    X(exact) X(choice) X(numeric) X(open) X(mcq_lmms) X(mcq_kit) X(mvbench_lmms) X(mvbench_kit) X(videomme_lmms)               \
    X(videomme_kit) X(nextqa_lmms) X(mmvu_lmms) X(tempcompass_lmms) X(vsi_lmms) X(vstar_lmms) X(refcoco_lmms)          \
    X(clevrer) X(nextgqa)                                                                                              \
    X(sophiavl_r1) X(deepeyes) X(vilasr) X(tw_grpo) X(tw_grpo_zeroshot) X(vision_sr1) X(video_r1)

#define X(name) extern const fv_protocol fv_protocol_##name;
PROTOCOLS(X)
#undef X

static const fv_protocol *const protocols[] = {
#define X(name) &fv_protocol_##name,
    PROTOCOLS(X)
#undef X
};

const fv_protocol *const *fv_protocols(int *count) {
    *count = (int)FV_COUNT(protocols);
    return protocols;
}

fv_status fv_protocol_find(const fv_protocol **out, const char *name, fv_error *err) {
    const char *names[FV_COUNT(protocols)];
    char list[512] = "";
    for (size_t i = 0; i < FV_COUNT(protocols); i++) {
        *out = protocols[i];
        names[i] = protocols[i]->name;
        if (!strcmp(names[i], name)) return FV_OK;
        size_t n = strlen(list);
        snprintf(list + n, sizeof list - n, "%s%s", i ? ", " : "", names[i]);
    }
    *out = NULL;
    char own[256] = ""; /* "videomme": of which code? */
    for (size_t i = 0; i < FV_COUNT(protocols); i++) {
        size_t n = strlen(own), length = strlen(name);
        if (!strncmp(names[i], name, length) && names[i][length] == '@') snprintf(own + n, sizeof own - n, "%s%s", n ? " and " : "", names[i]);
    }
    if (own[0]) return fv_fail(err, FV_UNSUPPORTED, "there is no protocol %s, but %s: whose figure is it to be beside? `fovea help eval` says what each does", name, own);
    const char *near = fv_suggest(name, names, FV_COUNT(names));
    if (near) return fv_fail(err, FV_UNSUPPORTED, "there is no protocol %s; did you mean %s? `fovea help eval` says what each does", name, near);
    return fv_fail(err, FV_UNSUPPORTED, "there is no protocol %s; there are %s", name, list);
}

void fv_mark_clear(fv_mark *m) {
    fv_text_clear(&m->extracted);
    fv_text_clear(&m->right);
    *m = (fv_mark){0};
}

/* The row as rules read it, the caller's: with the right answer as `answer` where it stands elsewhere, and as `answer_text` where it is a number, which rules of options take for a
 * place. NULL: out of memory. */
static json_t *settled(const fv_response *r) {
    json_t *row = json_copy((json_t *)r->row);
    bool elsewhere = !fv_json_find(row, "answer") && !fv_json_find(row, "solution");
    int failed = row ? 0 : -1;
    if (!failed && r->answer && elsewhere) failed = json_object_set_new(row, "answer", json_string(r->answer));
    if (!failed && r->answer && json_is_number(json_object_get(row, "answer"))) failed = json_object_set_new(row, "answer_text", json_string(r->answer));
    if (!failed) return row;
    json_decref(row);
    return NULL;
}

fv_status fv_protocol_mark(const fv_protocol *p, fv_response *r, fv_mark *m, fv_error *err) {
    fv_text text = {0};
    for (size_t i = 0; i < FV_PROTOCOL_METRICS; i++) m->metrics[i] = NAN, m->counts[i] = 1;
    if (r->text) p->read(&text, r->text);
    json_t *row = settled(r);
    if (!row) text.failed = true;
    const char *missing = !r->text ? "a response" : p->mark(m, fv_edit_span(&text), row);
    const char *place = r->place ? r->place : r->id, *why = json_string_value(json_object_get(r->row, "judge_error"));
    r->unjudged = missing && p->hears && !strncmp(missing, "`judge_text`", strlen("`judge_text`"));
    if (r->unjudged && why) snprintf(r->error, sizeof r->error, "%.80s: %s: the judge: %.150s", place, p->name, why);
    else if (missing) snprintf(r->error, sizeof r->error, "%s: %s needs %s%s", place, p->name, missing, r->unjudged ? "; a server is asked with judge.url, judge.model and evaluate.judge_prompt" : "");
    bool failed = text.failed || m->extracted.failed || m->right.failed;
    fv_text_clear(&text);
    json_decref(row);
    return failed ? fv_fail(err, FV_NO_MEMORY, "evaluation: out of memory") : FV_OK;
}
