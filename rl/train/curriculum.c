#include "rl/train/curriculum.h"

#include "datasets/draw.h"
#include "rl/recipe/schedule.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* NULL: it has none. */
static const json_t *weight_of(const json_t *source) { return json_object_get(source, "weight"); }

static bool changes(const json_t *spec) {
    bool any = false;
    for (size_t s = 0; s < json_array_size(spec); s++) any |= json_is_object(weight_of(json_array_get(spec, s)));
    return any && json_array_size(spec) > 1;
}

/* ---- Data ---- */

/* A source with a number for its weight; a list's elements likewise. A new reference, NULL when out of memory. */
static json_t *with_numbers(const json_t *spec) {
    const json_t *weight = weight_of(spec);
    json_t *out = json_copy((json_t *)spec);
    int failed = out == NULL;
    if (json_is_object(weight)) failed |= json_object_set_new(out, "weight", json_real(fmax(fv_schedule_at(weight, 0, 1), fv_schedule_at(weight, 1, 1))));
    for (size_t i = 0; i < json_array_size(out) && !failed; i++) failed |= json_array_set_new(out, i, with_numbers(json_array_get(out, i)));
    if (!failed) return out;
    json_decref(out);
    return NULL;
}

fv_status fv_curriculum_data(fv_dataset **out, const json_t *spec, uint64_t seed, fv_error *err) {
    *out = NULL;
    json_t *plain = with_numbers(spec);
    fv_status s = plain ? fv_dataset_open(out, plain, seed, err) : fv_fail(err, FV_NO_MEMORY, "data: out of memory");
    json_decref(plain);
    return s;
}

/* ---- Steps ---- */

/* Shares of step `at`. False if no source has any. */
static bool lay_out(fv_curriculum *c) {
    double all = 0;
    for (int s = 0; s < c->sources; s++) {
        const json_t *weight = weight_of(json_array_get(c->spec, (size_t)s));
        c->weights[s] = weight ? fv_schedule_at(weight, c->at, c->steps) : 1;
        all += c->weights[s];
    }
    if (all > 0) fv_mix_places(c->places, c->weights, c->sources);
    return all > 0;
}

/* Schedules that are 0 together anywhere are so at an end: none turns back on its way. Leaves the first step laid out. */
static fv_status check_ends(fv_curriculum *c, fv_error *err) {
    for (int end = 1; end >= 0; end--) {
        c->at = end && c->steps ? c->steps - 1 : 0;
        if (!lay_out(c))
            return fv_fail(err, FV_BAD_RECIPE, "data: no source has a weight above 0 at step %lld of %lld; let one be a number, or a schedule that is above 0 there", (long long)c->at,
                           (long long)c->steps);
    }
    return FV_OK;
}

static fv_status open_schedules(fv_curriculum *c, const json_t *spec, fv_error *err) {
    c->sources = (int)json_array_size(spec);
    c->spec = json_deep_copy(spec);
    c->weights = calloc((size_t)c->sources, sizeof *c->weights);
    c->places = calloc((size_t)c->sources + 1, sizeof *c->places);
    c->drawn = calloc((size_t)c->sources, sizeof *c->drawn);
    if (!c->spec || !c->weights || !c->places || !c->drawn) return fv_fail(err, FV_NO_MEMORY, "data: out of memory");
    return check_ends(c, err);
}

fv_status fv_curriculum_open(fv_curriculum *c, const json_t *spec, uint64_t seed, int batch, int64_t steps, double epochs, fv_error *err) {
    memset(c, 0, sizeof *c);
    FV_TRY(fv_curriculum_data(&c->data, spec, seed, err));
    c->batch = batch;
    c->steps = steps ? steps : (int64_t)ceil(epochs * (double)fv_dataset_count(c->data) / batch);
    fv_status s = changes(spec) ? open_schedules(c, spec, err) : FV_OK;
    if (s != FV_OK) fv_curriculum_close(c);
    return s;
}

void fv_curriculum_close(fv_curriculum *c) {
    fv_dataset_close(c->data);
    json_decref(c->spec);
    free(c->weights);
    free(c->places);
    free(c->drawn);
    memset(c, 0, sizeof *c);
}

/* Counts what the steps up to `step` take: the next one in training, all from the first one where a run goes on. */
static void go_to(fv_curriculum *c, int64_t step) {
    if (step < c->at) {
        memset(c->drawn, 0, (size_t)c->sources * sizeof *c->drawn);
        c->at = 0;
        lay_out(c);
    }
    while (c->at < step) {
        int64_t begin = c->at * c->batch, end = begin + c->batch;
        for (int s = 0; s < c->sources; s++) c->drawn[s] += fv_mix_drawn(c->places, s, end) - fv_mix_drawn(c->places, s, begin);
        c->at++;
        lay_out(c);
    }
}

int64_t fv_curriculum_row(fv_curriculum *c, uint64_t seed, int64_t step, int i) {
    int64_t begin = step * c->batch, nth;
    if (!c->spec) return fv_dataset_draw(c->data, seed, begin + i);
    go_to(c, step);
    int s = fv_mixed(c->places, c->sources, begin + i, &nth);
    return fv_dataset_draw_of(c->data, seed, s, c->drawn[s] + nth - fv_mix_drawn(c->places, s, begin));
}
