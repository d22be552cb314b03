#include "rl/rewards/drawn.h"

#include "rl/text/python.h"

enum { NUMBERS = 64 };

/* tuple(map(float, bbox_2d)): numbers, texts of numbers, or the digits of a text. -1: it raises. */
static int read_box(const json_t *box, double *out) {
    int n = 0;
    if (json_is_string(box)) {
        fv_span s = {json_string_value(box), json_string_length(box)};
        for (size_t i = 0; i < s.size && n < NUMBERS; i++)
            if (!fv_py_float((fv_span){s.text + i, 1}, &out[n++])) return -1;
        return n;
    }
    if (!json_is_array(box)) return -1;
    for (size_t i = 0; i < json_array_size(box) && n < NUMBERS; i++) {
        const json_t *v = json_array_get(box, i);
        bool good = json_is_number(v) || json_is_boolean(v);
        out[n] = json_is_boolean(v) ? json_is_true(v) : json_number_value(v);
        if (json_is_string(v)) good = fv_py_float((fv_span){json_string_value(v), json_string_length(v)}, &out[n]);
        if (!good) return -1;
        n++;
    }
    return n;
}

static bool same_label(const json_t *a, const json_t *b) {
    if (json_is_number(a) && json_is_number(b)) return json_number_value(a) == json_number_value(b);
    return json_equal((json_t *)a, (json_t *)b);
}

/* Some label that a list or dict can't be has two different boxes; there are none where the episode is not well formed. */
static bool changed_its_mind(const json_t *boxes, bool formed) {
    (void)formed;
    double a[NUMBERS], b[NUMBERS];
    for (size_t i = 0; i < json_array_size(boxes); i++)
        for (size_t k = 0; k < i; k++) {
            const json_t *x = json_array_get(boxes, i), *y = json_array_get(boxes, k), *label = json_object_get(x, "label");
            if (!label || json_is_array(label) || json_is_object(label) || !same_label(label, json_object_get(y, "label"))) continue;
            int n = read_box(json_object_get(x, "bbox_2d"), a), m = read_box(json_object_get(y, "bbox_2d"), b);
            if (n < 0 || m < 0) continue;
            bool same = n == m;
            for (int c = 0; same && c < n; c++) same = a[c] == b[c];
            if (!same) return true;
        }
    return false;
}

/* ViLaSR's reflection: 1 if the episode is well formed and gives one label two different boxes, else 0. The release logs it and filters by it; it is not paid. */
static fv_status reflection(const fv_use *u, fv_group *g, int term, const fv_moment *when, fv_error *err) {
    (void)when;
    return fv_drawn_reward(u, g, term, changed_its_mind, err);
}

const fv_part fv_part_reward_reflection = {.name = "reflection",
                                           .hook = FV_HOOK_REWARD,
                                           .doc = "1 if a well-formed episode gives one label two different boxes (ViLaSR's reflection)",
                                           .fields = "{}",
                                           .scope = FV_SCOPE_ITEM,
                                           .reward = reflection};
