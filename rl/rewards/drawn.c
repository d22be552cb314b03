#include "rl/rewards/drawn.h"

#include "rl/text/python.h"
#include "rl/text/regex.h"
#include "tools/literal.h"

#include <string.h>

/* The last message of an episode that ended in an observation is not the assistant's: none of its turns may then answer. */
static bool turn_formed(const char *text, bool last) {
    fv_span g, s = fv_span_of(text);
    bool opens = strstr(text, "<answer>") != NULL, closes = strstr(text, "</answer>") != NULL;
    if (!fv_regex_in("(?s)\\A<think>.*?</think>" FV_RE_SPACE "*Action:.*\\z", s, &g, 1)) return false;
    return last ? opens && closes : !opens && !closes;
}

/* An item is a box, a line, or neither. */
static bool has(const json_t *item, const char *key) {
    if (json_is_object(item)) return json_object_get(item, key) != NULL;
    if (json_is_string(item)) return strstr(json_string_value(item), key) != NULL;
    for (size_t i = 0; i < json_array_size(item); i++) {
        const char *word = json_string_value(json_array_get(item, i));
        if (word && !strcmp(word, key)) return true;
    }
    return false;
}

static bool add_items(json_t *boxes, const json_t *block) {
    if (!json_is_array(block)) return (json_is_object(block) && !json_object_size(block)) || (json_is_string(block) && !json_string_length(block));
    for (size_t i = 0; i < json_array_size(block); i++) {
        json_t *item = json_array_get(block, i);
        bool box = has(item, "bbox_2d") && has(item, "label"), line = has(item, "start_point_2d") && has(item, "end_point_2d") && has(item, "label");
        if (!box && !line) return false;
        if (box) json_array_append(boxes, item);
    }
    return true;
}

/* All fenced blocks of the turns, which are joined without a break between them. */
static bool read_blocks(json_t *boxes, const char *text) {
    bool good = true;
    for (const char *at = text; *at && good;) {
        if (!fv_span_same(fv_py_strip(fv_line_next(&at)), fv_span_of("```json"))) continue;
        fv_text inside = {0};
        for (const char *line = at; *line;) {
            fv_span l = fv_line_next(&line);
            fv_text_bytes(&inside, l.text, l.size);
            if (*line) fv_text_char(&inside, '\n');
        }
        json_t *block = fv_literal(fv_py_before(fv_edit_span(&inside), "```"));
        good = block && add_items(boxes, block);
        json_decref(block);
        fv_text_clear(&inside);
    }
    return good;
}

json_t *fv_drawn_boxes(const fv_turns *t, bool *formed) {
    json_t *boxes = json_array();
    fv_text all = {0};
    *formed = true;
    for (int i = 0; i < t->count && *formed; i++) {
        if (!t->assistant[i]) continue;
        *formed = turn_formed(t->text[i], i == t->count - 1);
        fv_text_add(&all, t->text[i]);
    }
    if (*formed) *formed = read_blocks(boxes, fv_edit_span(&all).text);
    if (!*formed) json_array_clear(boxes);
    if (all.failed) {
        json_decref(boxes);
        boxes = NULL;
    }
    fv_text_clear(&all);
    return boxes;
}

fv_status fv_drawn_reward(const fv_use *u, fv_group *g, int term, bool (*rule)(const json_t *boxes, bool formed), fv_error *err) {
    for (int i = 0; i < g->count; i++) {
        fv_response *r = &g->items[i];
        fv_turns t;
        bool formed = false;
        FV_TRY(fv_turns_open(&t, r, err));
        json_t *boxes = t.count ? fv_drawn_boxes(&t, &formed) : NULL;
        if (!t.count) fv_response_lacks(r, u, "`response` or `turns`");
        else if (!boxes) fv_response_lacks(r, u, "more memory");
        else r->terms[term] = rule(boxes, formed);
        json_decref(boxes);
        fv_turns_close(&t);
    }
    return FV_OK;
}
