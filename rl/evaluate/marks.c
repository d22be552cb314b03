#include "rl/evaluate/marks.h"

#include "rl/answer.h"
#include "rl/evaluate/strata.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- How ---- */

fv_status fv_marking_open(fv_marking *m, const json_t *recipe, fv_error *err) {
    *m = (fv_marking){.by = fv_get_text(recipe, "evaluate.by"), .seed = (uint64_t)fv_get_int(recipe, "seed")};
    FV_TRY(fv_protocol_find(&m->protocol, fv_get_text(recipe, "evaluate.protocol"), err));
    return fv_pipeline_term(&m->term, recipe, "evaluate.score", err);
}

void fv_marking_clear(fv_marking *m) {
    fv_pipeline_close(m->term);
    *m = (fv_marking){0};
}

/* The protocol that marks; NULL: the term does. */
static const fv_protocol *rule_of(const fv_marking *m) { return m->protocol->mark ? m->protocol : NULL; }

const char *fv_marking_name(const fv_marking *m) { return rule_of(m) ? m->protocol->name : m->term->terms.uses[0].part->name; }

json_t *fv_marking_header(const fv_marking *m) {
    const char *doc = rule_of(m) ? m->protocol->doc : m->term->terms.uses[0].part->doc, *source = rule_of(m) ? m->protocol->source : "Fovea";
    return json_pack("{s: s, s: s, s: s}", "protocol", fv_marking_name(m), "extractor", doc, "source", source);
}

void fv_marks_clear(fv_marks *m) {
    fv_tally_clear(&m->all);
    for (size_t i = 0; i < FV_COUNT(m->levels); i++) fv_tally_clear(&m->levels[i]);
    *m = (fv_marks){0};
}

/* ---- Lines ---- */

static void add_text(fv_text *t, const char *key, const fv_text *text) {
    fv_text_add(t, key);
    fv_text_json(t, text->data ? text->data : "", text->size);
}

/* The row as it was, without what is shown and the tokens, so that the line can be marked again, by other protocols too. Rows that share a picture say so. */
static void add_doc(fv_text *t, const fv_row *row) {
    static const char *const left_out[] = {"messages", "prompt", "conversations", "images", "input_ids", "loss_mask", "logprobs", "response", "doc", "resps", "filtered_resps"};
    json_t *doc = json_copy(row->json);
    char room[FV_JSON_WORD];
    const char *cluster = fv_tally_cluster(row, room);
    for (size_t i = 0; i < FV_COUNT(left_out); i++) json_object_del(doc, left_out[i]);
    if (cluster && !json_object_get(doc, "group")) json_object_set_new(doc, "group", json_string(cluster));
    if (doc) fv_json_dump(t, doc, 0);
    else t->failed = true;
    json_decref(doc);
}

static fv_status write_line(const fv_marks *m, int64_t number, const json_t *id, const fv_row *row, const fv_response *r, const fv_mark *mark, const char *category, fv_error *err) {
    fv_text t = {0}, response = {0};
    if (r->text) fv_text_add(&response, r->text);
    fv_text_add(&t, "{\"id\": ");
    fv_json_dump(&t, id, 0);
    add_text(&t, ", \"response\": ", &response);
    add_text(&t, ", \"extracted\": ", &mark->extracted);
    add_text(&t, ", \"answer\": ", &mark->right);
    fv_text_add(&t, ", \"score\": ");
    fv_text_f64(&t, mark->score);
    if (category) {
        fv_text_add(&t, ", \"category\": ");
        fv_text_json(&t, category, strlen(category));
    }
    const json_t *doc_id = fv_json_find(row->json, "doc_id"); /* of a log that was read */
    fv_text_add(&t, ", \"doc_id\": ");
    if (doc_id) fv_json_dump(&t, doc_id, 0);
    else fv_text_printf(&t, "%lld", (long long)number);
    add_text(&t, ", \"target\": ", &mark->right);
    add_text(&t, ", \"resps\": [[", &response);
    add_text(&t, "]], \"filtered_resps\": [", &mark->extracted);
    fv_text_add(&t, "], \"doc\": ");
    add_doc(&t, row);
    fv_text_char(&t, '}');
    t.failed |= response.failed || mark->extracted.failed || mark->right.failed;
    fv_status s = fv_lines_text(m->samples, &t, err);
    fv_text_clear(&t);
    fv_text_clear(&response);
    return s;
}

/* ---- Marking ---- */

/* By a recipe's term, whose answer is the one that `exact` finds. */
static fv_status mark_by_term(const fv_marking *m, fv_response *r, fv_mark *mark, fv_error *err) {
    fv_group g = {.items = r, .count = 1};
    FV_TRY(fv_pipeline_reward(m->term, &g, &(fv_moment){0, 1, m->seed}, err));
    fv_span extracted = r->text ? fv_answer_find(r->text) : (fv_span){"", 0};
    fv_text_bytes(&mark->extracted, extracted.text, extracted.size);
    if (r->answer) fv_text_add(&mark->right, r->answer);
    mark->score = isnan(r->reward) ? NAN : r->terms[0]; /* whatever its weight is */
    return FV_OK;
}

static fv_status mark_one(const fv_marking *m, fv_response *r, fv_mark *mark, fv_error *err) {
    if (!rule_of(m)) return mark_by_term(m, r, mark, err);
    FV_TRY(fv_protocol_mark(m->protocol, r, mark, err));
    r->reward = r->terms[0] = mark->score;
    return FV_OK;
}

/* ---- Counting ---- */

enum { MOST_CATEGORIES = FV_COUNT(((fv_protocol *)0)->facets) + 2 };

typedef struct {
    int count;
    const char *names[MOST_CATEGORIES];
    char rooms[MOST_CATEGORIES][FV_JSON_WORD]; /* of fields that are numbers */
} categories;

/* Where the next category's name may be put. */
static char *room_in(categories *c) { return c->rooms[c->count]; }

static void add_category(categories *c, const char *name) {
    for (int i = 0; i < c->count; i++)
        if (name && !strcmp(c->names[i], name)) return;
    if (name) c->names[c->count++] = name;
}

/* The categories that a row is counted in: the protocol's, and the field `by`; without a protocol's, fv_tally_category's. */
static void categories_of(categories *c, const fv_marking *m, const fv_mark *mark, const fv_row *row) {
    const fv_protocol *p = rule_of(m);
    c->count = 0;
    add_category(c, mark->category);
    for (int i = 0; p && p->facets[i]; i++) add_category(c, fv_json_word(json_object_get(row->json, p->facets[i]), room_in(c)));
    if (c->count && m->by) add_category(c, fv_json_word(json_object_get(row->json, m->by), room_in(c)));
    if (!c->count) add_category(c, fv_tally_category(row, m->by, room_in(c)));
}

static fv_status count(fv_marks *m, const fv_mark *mark, const fv_row *row, const categories *c, fv_error *err) {
    char room[FV_JSON_WORD];
    const fv_protocol *p = rule_of(m->how);
    const char *cluster = p && p->cluster ? fv_json_word(json_object_get(row->json, p->cluster), room) : NULL;
    if (!cluster) cluster = fv_tally_cluster(row, room);
    FV_TRY(fv_tally_add(&m->all, mark->score, c->count ? c->names[0] : NULL, cluster, err));
    for (int k = 1; k < c->count; k++) FV_TRY(fv_tally_add_category(&m->all, mark->score, c->names[k], err));
    for (int i = 0; p && p->metrics[i]; i++)
        if (!isnan(mark->metrics[i])) m->metrics[i].sum += mark->metrics[i] * mark->counts[i], m->metrics[i].n += mark->counts[i];
    for (int i = 0; p && p->levels && p->levels[i].category; i++)
        if (!strcmp(p->levels[i].category, mark->category)) FV_TRY(fv_tally_add(&m->levels[i], mark->score, NULL, cluster, err));
    return FV_OK;
}

fv_status fv_marks_add(fv_marks *m, int64_t number, const json_t *id, fv_response *r, const fv_row *row, fv_error *err) {
    fv_mark mark = {0};
    categories c;
    fv_status s = r->error[0] ? FV_OK : mark_one(m->how, r, &mark, err);
    if (s == FV_OK && !r->error[0]) {
        categories_of(&c, m->how, &mark, row);
        if (mark.left_out) m->left_out++;
        else s = count(m, &mark, row, &c, err);
        if (s == FV_OK && m->samples) s = write_line(m, number, id, row, r, &mark, c.count ? c.names[0] : NULL, err);
    }
    fv_mark_clear(&mark);
    return s;
}

void fv_marks_write(const fv_marks *m, json_t *out) {
    const fv_protocol *p = rule_of(m->how);
    fv_tally_write(&m->all, out);
    if (!p) return;
    if (p->levels) fv_strata_write(m->levels, p->levels, out);
    json_t *metrics = p->metrics[0] ? json_object() : NULL;
    for (int i = 0; p->metrics[i]; i++) json_object_set_new(metrics, p->metrics[i], m->metrics[i].n > 0 ? json_real(m->metrics[i].sum / m->metrics[i].n) : json_null());
    if (metrics) json_object_set_new(out, "metrics", metrics);
    json_object_set_new(out, "left_out", json_integer((json_int_t)m->left_out));
}
