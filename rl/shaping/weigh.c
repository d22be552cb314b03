#include "rl/pipeline.h"
#include "rl/recipe/schedule.h"
#include "rl/rewards/reading.h"

#include <math.h>
#include <string.h>

/* Does the row's `field` have one of `values`? No field: every row does. */
static bool meant(const fv_use *u, const fv_response *r) {
    const char *field = fv_get_text(u->options, "field"), *own = *field ? fv_response_field(r, field) : NULL;
    const json_t *values = fv_get(u->options, "values");
    for (size_t i = 0; i < json_array_size(values); i++) {
        const char *value = json_string_value(json_array_get(values, i));
        if (own && value && !strcmp(own, value)) return true;
    }
    return !*field;
}

/* Other weights for some rows, or for a variant of the reward: the sum of the terms is taken again with `weights`; terms that are not named keep their own. */
static void weigh(const fv_use *u, fv_group *g, const fv_moment *when) {
    const fv_uses *terms = &u->pipeline->terms;
    const char *variant = fv_get_text(u->options, "variant");
    if (*variant && strcmp(variant, u->variant) != 0) return;
    for (int i = 0; i < g->count; i++) {
        if (!meant(u, &g->items[i])) continue;
        double sum = 0;
        for (int k = 0; k < terms->count; k++) {
            const json_t *own = json_object_get(fv_get(u->options, "weights"), terms->uses[k].label);
            double value = g->items[i].terms[k];
            if (!isnan(value)) sum += (own ? fv_schedule_at(own, when->step, when->steps) : fv_pipeline_weight(&terms->uses[k], when)) * value;
        }
        g->items[i].reward = sum;
    }
}

static fv_status check(const fv_use *u, fv_error *err) {
    const char *label, *why;
    json_t *weight;
    int term;
    json_object_foreach((json_t *)fv_get(u->options, "weights"), label, weight) {
        FV_TRY(fv_pipeline_find(u, label, &term, err));
        if (!fv_schedule_valid(weight, &why)) return fv_fail(err, FV_BAD_RECIPE, "weigh: the weight of %s %s", label, why);
    }
    return FV_OK;
}

const fv_part fv_part_shaping_weigh = {.name = "weigh",
                                       .hook = FV_HOOK_SHAPING,
                                       .doc = "other `weights` of terms where the row's `field` is one of `values` (no field: in all rows), or in one variant alone (DeepEyes)",
                                       .fields = "{field: '', values: [], variant: '', weights: {}}",
                                       .check = check,
                                       .shape = weigh};
