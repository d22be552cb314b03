#include "rl/recipe/schedule.h"

#include <math.h>
#include <string.h>

static bool numbers(const json_t *list, size_t n) {
    if (!json_is_array(list) || json_array_size(list) != n) return false;
    for (size_t i = 0; i < n; i++)
        if (!json_is_number(json_array_get(list, i))) return false;
    return true;
}

bool fv_schedule_valid(const json_t *value, const char **why) {
    *why = "must be a number, {linear: [from, to]}, {cosine: [from, to]}, {exponential: [from, tau]} or {constant: value}";
    if (json_is_number(value)) return true;
    if (!json_is_object(value) || json_object_size(value) != 1) return false;
    const char *kind = json_object_iter_key(json_object_iter((json_t *)value));
    const json_t *v = json_object_get(value, kind);
    if (!strcmp(kind, "constant")) return json_is_number(v);
    if (!strcmp(kind, "exponential")) {
        *why = "exponential needs [from, tau] with tau > 0";
        return numbers(v, 2) && json_number_value(json_array_get(v, 1)) > 0;
    }
    return (!strcmp(kind, "linear") || !strcmp(kind, "cosine")) && numbers(v, 2);
}

double fv_schedule_at(const json_t *value, int64_t step, int64_t steps) {
    if (json_is_number(value)) return json_number_value(value);
    const char *kind = json_object_iter_key(json_object_iter((json_t *)value));
    const json_t *v = json_object_get(value, kind);
    if (!strcmp(kind, "constant")) return json_number_value(v);
    double a = json_number_value(json_array_get(v, 0)), b = json_number_value(json_array_get(v, 1));
    if (!strcmp(kind, "exponential")) return a * exp(-(double)step / b);
    double progress = steps > 0 ? (double)step / (double)steps : 1.0;
    progress = progress < 0 ? 0 : progress > 1 ? 1 : progress;
    if (!strcmp(kind, "linear")) return a + (b - a) * progress;
    return b + (a - b) * 0.5 * (1.0 + cos(3.14159265358979323846 * progress));
}
