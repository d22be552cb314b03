#include "rl/rewards/reading.h"

#include "rl/text/python.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Qwen2.5-VL's tokenizer_config.json, added tokens with "special": true. */
static const char *const special[] = {"<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>", "<|box_start|>", "<|box_end|>",
                                      "<|quad_start|>", "<|quad_end|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>"};

void fv_read_plain(fv_text *out, const char *text) {
    while (*text) {
        size_t skip = 0;
        for (size_t i = 0; i < FV_COUNT(special) && *text == '<' && !skip; i++)
            if (!strncmp(text, special[i], strlen(special[i]))) skip = strlen(special[i]);
        if (!skip) fv_text_char(out, *text++);
        text += skip;
    }
}

static fv_status add_turn(fv_turns *t, fv_text *text, bool assistant, fv_error *err) {
    if (!t->count && !assistant) return fv_text_clear(text), FV_OK; /* the prompt */
    char **texts = realloc(t->text, ((size_t)t->count + 1) * sizeof *texts);
    if (texts) t->text = texts;
    bool *who = realloc(t->assistant, ((size_t)t->count + 1) * sizeof *who);
    if (who) t->assistant = who;
    if (!texts || !who) return fv_text_clear(text), fv_fail(err, FV_NO_MEMORY, "turns of a response: out of memory");
    FV_TRY(fv_text_take(text, &t->text[t->count], NULL, err));
    t->assistant[t->count++] = assistant;
    return FV_OK;
}

/* A segment behind its role: the first "ROLE\n" in it is dropped, as replace(.., 1) does; before a picture's user text, its placeholder and line break too. */
static fv_status add_segment(fv_turns *t, fv_span s, const char *role, bool assistant, fv_error *err) {
    static const char picture[] = "<|vision_start|><|image_pad|><|vision_end|>\n";
    const char *const dropped[] = {role, assistant ? NULL : picture};
    fv_text text = {0};
    fv_edit_set(&text, s);
    for (size_t i = 0; i < FV_COUNT(dropped); i++) {
        fv_span all = fv_edit_span(&text);
        const char *at = dropped[i] ? fv_py_find(all, dropped[i]) : NULL;
        if (!at) continue;
        fv_text made = {0};
        size_t before = (size_t)(at - all.text), skip = before + strlen(dropped[i]);
        fv_text_bytes(&made, all.text, before);
        fv_text_bytes(&made, all.text + skip, all.size - skip);
        fv_edit_swap(&text, &made);
    }
    return add_turn(t, &text, assistant, err);
}

static fv_status cut_response(fv_turns *t, const char *response, fv_error *err) {
    static const char start[] = "<|im_start|>", end[] = "<|im_end|>";
    bool first = strncmp(response, start, sizeof start - 1) != 0; /* the prompt ended in "assistant\n" */
    while (first || *response) {
        const char *a = strstr(response, start), *b = strstr(response, end);
        const char *stop = a && (!b || a < b) ? a : b;
        fv_span s = {response, stop ? (size_t)(stop - response) : strlen(response)};
        if (first) FV_TRY(add_segment(t, s, "", true, err));
        else if (s.size >= 4 && !memcmp(s.text, "user", 4)) FV_TRY(add_segment(t, s, "user\n", false, err));
        else if (s.size >= 9 && !memcmp(s.text, "assistant", 9)) FV_TRY(add_segment(t, s, "assistant\n", true, err));
        first = false;
        response = stop ? stop + strlen(stop == a ? start : end) : response + s.size;
    }
    fv_text nothing = {0};
    return t->count ? FV_OK : add_turn(t, &nothing, true, err); /* of a head without a body, too, there is something to pay for */
}

static fv_status add_message(fv_turns *t, const json_t *message, fv_error *err) {
    const json_t *content = json_object_get(message, "content");
    const char *role = json_string_value(json_object_get(message, "role"));
    fv_text text = {0};
    if (json_is_string(content)) fv_text_add(&text, json_string_value(content));
    for (size_t i = 0; i < json_array_size(content); i++) {
        const char *part = json_string_value(json_object_get(json_array_get(content, i), "text"));
        if (part) fv_text_add(&text, part);
    }
    return add_turn(t, &text, role && !strcmp(role, "assistant"), err);
}

fv_status fv_turns_open(fv_turns *out, const fv_response *r, fv_error *err) {
    *out = (fv_turns){0};
    const json_t *turns = json_object_get(r->given, "turns");
    fv_status s = FV_OK;
    if (!json_object_get(json_array_get(turns, 0), "role")) return r->text ? cut_response(out, r->text, err) : FV_OK;
    for (size_t i = 0; i < json_array_size(turns) && s == FV_OK; i++) s = add_message(out, json_array_get(turns, i), err);
    return s;
}

void fv_turns_close(fv_turns *t) {
    for (int i = 0; i < t->count; i++) free(t->text[i]);
    free(t->text);
    free(t->assistant);
    *t = (fv_turns){0};
}

void fv_response_lacks(fv_response *r, const fv_use *u, const char *what) {
    if (!r->error[0]) snprintf(r->error, sizeof r->error, "%.100s: %s needs %.80s", r->place ? r->place : r->id, u->label, what);
}

void fv_response_unjudged(fv_response *r, const fv_use *u, const char *what) {
    if (r->error[0]) return;
    fv_response_lacks(r, u, what);
    r->unjudged = true;
}

const char *fv_response_field(const fv_response *r, const char *field) { return r->row ? json_string_value(json_object_get(r->row, field)) : NULL; }

const char *fv_response_solution(const fv_response *r) {
    const char *solution = fv_response_field(r, "solution");
    return solution ? solution : r->answer;
}

/* ---- The text that a term reads ---- */

/* Vision-SR1: re.sub(r"\s*(<|>|/)\s*", r"\1"), for models that write blanks around tags. */
static void tighten_tags(fv_text *t) {
    fv_text made = {0};
    fv_span s = fv_edit_span(t);
    for (size_t at = 0, n; at < s.size;) {
        size_t end = at;
        while ((n = fv_py_space(s.text + end, s.size - end)) > 0) end += n;
        bool mark = end < s.size && strchr("<>/", s.text[end]);
        if (mark) {
            fv_text_char(&made, s.text[end++]);
            while ((n = fv_py_space(s.text + end, s.size - end)) > 0) end += n;
        } else if (end == at) {
            fv_text_char(&made, s.text[end++]);
        } else {
            fv_text_bytes(&made, s.text + at, end - at);
        }
        at = end;
    }
    fv_edit_swap(t, &made);
}

fv_status fv_read_text(fv_text *out, const char *which, const char *clean, const fv_response *r, bool *there, fv_error *err) {
    fv_turns turns = {0};
    if (!strcmp(which, "last_turn")) {
        fv_status s = fv_turns_open(&turns, r, err);
        *there = s == FV_OK && turns.count > 0;
        if (*there) fv_text_add(out, turns.text[turns.count - 1]);
        fv_turns_close(&turns);
        FV_TRY(s);
    } else {
        const char *text = !strcmp(which, "response") ? r->text : r->second_text;
        *there = text != NULL;
        if (text) fv_read_plain(out, text);
    }
    if (!strcmp(clean, "dollars")) fv_edit_replace(out, "$", "");
    if (!strcmp(clean, "tags")) tighten_tags(out);
    return FV_OK;
}
