#include "rl/protocols/reading.h"

#include "rl/answer.h"

#include <stdio.h>
#include <string.h>

/* ---- Responses ---- */

void fv_read_answer(fv_text *out, const char *response) { fv_edit_set(out, fv_answer_find(response)); }

void fv_read_turn(fv_text *out, const char *response) {
    static const char head[] = "<|im_start|>assistant\n";
    const char *at = fv_py_find_last(fv_span_of(response), head);
    fv_edit_set(out, fv_py_before(fv_span_of(at ? at + sizeof head - 1 : response), "<|im_end|>"));
}

/* Cuts one pair of tags after the other; an opening tag without a closing one behind it stays, and so does what follows. */
static void cut_blocks(fv_text *t, const char *open, const char *close) {
    for (;;) {
        fv_span all = fv_edit_span(t);
        const char *from = fv_py_find(all, open);
        if (!from) break;
        fv_span rest = {from, all.size - (size_t)(from - all.text)};
        const char *to = fv_py_find(rest, close);
        if (!to) return;
        fv_text made = {0};
        fv_text_bytes(&made, all.text, (size_t)(from - all.text));
        fv_text_add(&made, to + strlen(close));
        fv_edit_swap(t, &made);
        if (t->failed) return;
    }
    fv_edit_set(t, fv_py_after_last(fv_edit_span(t), close));
}

void fv_read_lmms(fv_text *out, const char *response) {
    fv_read_turn(out, response);
    cut_blocks(out, "<think>", "</think>");
    cut_blocks(out, "<analysis>", "</analysis>");
    fv_edit_set(out, fv_py_strip(fv_edit_span(out)));
}

/* ---- Rows ---- */

bool fv_row_word(fv_text *out, const json_t *row, const char *field) {
    char room[FV_JSON_WORD];
    const json_t *v = json_object_get(row, field);
    const char *word = fv_json_word(v, room);
    if (word) fv_text_add(out, word);
    else if (json_is_real(v)) fv_json_dump(out, v, 0);
    return word || json_is_real(v);
}

fv_span fv_row_span(const json_t *row, const char *field) { return fv_span_of(json_string_value(json_object_get(row, field))); }

/* An option's text; a number as text, as evaluators that read tables have it ("4", "4.5"). */
static fv_span option_of(fv_options *o, int i, const json_t *v) {
    if (!json_is_number(v)) return fv_span_of(json_string_value(v));
    fv_text text = {0};
    fv_json_dump(&text, v, 0);
    snprintf(o->numbers[i], sizeof o->numbers[i], "%s", text.data ? text.data : "");
    fv_text_clear(&text);
    return fv_span_of(o->numbers[i]);
}

void fv_options_read(fv_options *o, const json_t *row) {
    const json_t *values[FV_OPTIONS];
    *o = (fv_options){.count = fv_options_find(row, values)};
    for (int i = 0; i < o->count; i++) {
        o->text[i] = option_of(o, i, values[i]);
        if (values[i] && !o->text[i].text) o->text[i] = fv_span_of("");
    }
}

char fv_leading_letter(fv_span s, fv_span *rest) {
    bool open = s.size && s.text[0] == '(';
    if (open) s.text++, s.size--;
    if (!s.size || s.text[0] < 'A' || s.text[0] > 'Z') return 0;
    char letter = s.text[0];
    s.text++, s.size--;
    if (s.size && !strchr(open ? ")" : ".):", s.text[0])) return 0;
    if (open && !s.size) return 0;
    if (s.size) s.text++, s.size--;
    *rest = fv_py_strip(s);
    return letter;
}

fv_span fv_option_text(const fv_options *o, int i) {
    fv_span s = fv_py_strip(o->text[i]), rest;
    return fv_leading_letter(s, &rest) == (char)('A' + i) && rest.size ? rest : s;
}

int fv_option_said(const fv_options *o, fv_span answer) {
    fv_text a = {0}, b = {0};
    fv_span rest;
    char letter = fv_leading_letter(answer, &rest);
    int found = -1, count = 0;
    if (letter && letter < 'A' + o->count) return letter - 'A';
    fv_edit_set(&a, fv_py_strip_of(answer, "."));
    fv_edit_lower(&a);
    for (int i = 0; i < o->count; i++) {
        fv_edit_set(&b, fv_py_strip_of(fv_option_text(o, i), "."));
        fv_edit_lower(&b);
        if (!b.size || !fv_edit_same(&a, &b)) continue;
        found = i;
        count++;
    }
    fv_text_clear(&a);
    fv_text_clear(&b);
    return count == 1 ? found : -1;
}

int fv_options_right(const fv_options *o, const json_t *row) {
    static const char *const fields[] = {"answer", "label", "ground_truth", "solution"};
    fv_span s = {0}, rest;
    for (size_t k = 0; k < FV_COUNT(fields) && !s.text; k++) {
        const json_t *v = json_object_get(row, fields[k]);
        if (json_is_integer(v)) return json_integer_value(v) >= 0 && json_integer_value(v) < o->count ? (int)json_integer_value(v) : -1;
        s = fv_row_span(row, fields[k]);
    }
    if (!s.text) return -1;
    (void)fv_py_pair(&s, s, "<answer>", "</answer>");
    s = fv_py_strip(s);
    char letter = fv_leading_letter(s, &rest);
    if (letter && letter < 'A' + o->count) return letter - 'A';
    for (int i = 0; i < o->count; i++)
        if (fv_span_same(s, fv_option_text(o, i)) || fv_span_same(s, fv_py_strip(o->text[i]))) return i;
    return -1;
}

void fv_mark_letter(fv_mark *m, char given, char right) {
    if (given) fv_text_char(&m->extracted, given);
    fv_text_char(&m->right, right);
    m->score = given == right;
}
