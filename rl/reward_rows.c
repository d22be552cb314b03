#include "rl/reward_rows.h"

#include "core/file.h"
#include "core/progress.h"
#include "rl/pipeline.h"
#include "rl/responses.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    const fv_recipe *recipe;
    const fv_stage *stage;
    fv_pipeline *pipeline;
    fv_responses r;
    double *terms;       /* [rows][terms] */
    float **weights;     /* [rows]: token weights, NULL: none */
    float **values;      /* [rows]: values, token advantages and returns, one behind the other; NULL: none */
    int64_t *next;       /* [rows] the next row of the same group, -1: the last */
    fv_response *group;  /* [rows] scratch: a group's responses side by side */
    int64_t *group_row;  /* [rows] which rows they are */
} job;

/* A row with log-probs and no response wants token weights only. */
static bool weights_only(const fv_response *r) { return r->row && !r->text && json_is_array(json_object_get(r->row, "logprobs")); }

const fv_stage *fv_reward_stage(const fv_recipe *r) {
    static const fv_stage_kind kinds[] = {FV_STAGE_GRPO, FV_STAGE_FILTER};
    for (size_t k = 0; k < FV_COUNT(kinds); k++)
        for (int i = r->stage_count; i-- > 0;)
            if (r->stages[i].kind == kinds[k] && json_array_size(fv_get(r->stages[i].json, "reward.terms"))) return &r->stages[i];
    return NULL;
}

static fv_status find_stage(job *j, fv_error *err) {
    j->stage = fv_reward_stage(j->recipe);
    if (!j->stage) return fv_fail(err, FV_BAD_RECIPE, "%s: no stage has reward terms (stages of kind grpo and filter do)", j->recipe->file);
    return fv_pipeline_open(&j->pipeline, j->stage->json, err);
}

/* `values` of a row: what a value head had said before each of its tokens. */
static fv_status take_values(job *j, size_t i, fv_error *err) {
    fv_response *r = &j->r.items[i];
    const json_t *list = r->row ? json_object_get(r->row, "values") : NULL, *value;
    size_t n = json_array_size(list), k, rows = r->row ? json_array_size(json_object_get(r->row, "logprobs")) : 0;
    if (!list || !(j->pipeline->needs & FV_NEED_VALUE)) return FV_OK;
    if (!n || (rows && rows != n)) snprintf(r->error, sizeof r->error, "%.100s: values must be a list of numbers, one before each token", r->place);
    if (r->error[0]) return FV_OK;
    if (!(j->values[i] = calloc(3 * n, sizeof **j->values))) return fv_fail(err, FV_NO_MEMORY, "reward: out of memory");
    json_array_foreach(list, k, value) {
        if (!json_is_number(value)) snprintf(r->error, sizeof r->error, "%.100s: values must be a list of numbers, one before each token", r->place);
        j->values[i][k] = (float)json_number_value(value);
    }
    r->tokens = (int)n;
    r->value = j->values[i];
    r->token_advantage = j->values[i] + n;
    r->returns = j->values[i] + 2 * n;
    return FV_OK;
}

/* Numbers of a row that stand above the recipe's: a row that brings something else by such a name means one. */
static void check_numbers(fv_response *r) {
    static const struct {
        const char *field;
        double low, high;
    } own[] = {{"step", 0, 1e15}, {"anneal_steps", 1e-6, 1e12}, {"alpha", 0, 1000}, {"thinking_reward", 0, 1}};
    for (size_t k = 0; k < FV_COUNT(own) && r->row && !r->error[0]; k++) {
        const json_t *v = fv_json_find(r->row, own[k].field);
        double x = json_number_value(v);
        if (v && !(json_is_number(v) && x >= own[k].low && x <= own[k].high))
            snprintf(r->error, sizeof r->error, "%.100s: %s must be a number, %g..%g", r->place, own[k].field, own[k].low, own[k].high);
    }
}

static fv_status take_memory(job *j, fv_error *err) {
    size_t n = (size_t)j->r.count;
    j->terms = calloc(n * FV_MAX_PARTS, sizeof *j->terms);
    j->weights = calloc(n, sizeof *j->weights);
    j->values = calloc(n, sizeof *j->values);
    j->next = calloc(n, sizeof *j->next);
    j->group = calloc(n, sizeof *j->group);
    j->group_row = calloc(n, sizeof *j->group_row);
    if (!j->terms || !j->weights || !j->values || !j->next || !j->group || !j->group_row) return fv_fail(err, FV_NO_MEMORY, "reward: out of memory");
    for (size_t i = 0; i < n; i++) {
        fv_response *r = &j->r.items[i];
        r->terms = j->terms + i * FV_MAX_PARTS;
        check_numbers(r);
        FV_TRY(take_values(j, i, err));
        const json_t *logprobs = r->row ? json_object_get(r->row, "logprobs") : NULL;
        size_t tokens = json_array_size(logprobs);
        bool whole = json_is_array(json_array_get(logprobs, 0)); /* a trajectory has those of its own tokens only: no weights, then */
        if (!tokens || !j->pipeline->weights.count || (r->text && !whole)) continue;
        if (!(j->weights[i] = calloc(tokens, sizeof **j->weights))) return fv_fail(err, FV_NO_MEMORY, "reward: out of memory");
        r->tokens = (int)tokens;
        r->token_weight = j->weights[i];
    }
    return FV_OK;
}

/* Chains the rows of each group; first[i] is true where a group (or a row of none) begins. */
static fv_status chain_groups(job *j, bool *first, fv_error *err) {
    json_t *last = json_object(); /* group -> its last row so far */
    fv_status s = last ? FV_OK : fv_fail(err, FV_NO_MEMORY, "reward: out of memory");
    for (int64_t i = 0; i < j->r.count && s == FV_OK; i++) {
        const char *name = j->r.items[i].group;
        const json_t *before = name ? json_object_get(last, name) : NULL;
        j->next[i] = -1;
        first[i] = !before;
        if (before) j->next[json_integer_value(before)] = i;
        if (name && json_object_set_new(last, name, json_integer((json_int_t)i))) s = fv_fail(err, FV_NO_MEMORY, "reward: out of memory");
    }
    json_decref(last);
    return s;
}

/* Rewards of the responses, then advantages and weights of all. */
static fv_status run_group(job *j, int64_t first, fv_error *err) {
    fv_group scored = {.items = j->group}, all = {.items = j->group};
    for (int pass = 0; pass < 2; pass++) /* responses stand before rows for weights */
        for (int64_t i = first; i >= 0; i = j->next[i]) {
            if (j->r.items[i].error[0] || weights_only(&j->r.items[i]) != (pass == 1)) continue;
            j->group_row[all.count] = i;
            j->group[all.count++] = j->r.items[i];
            scored.count += pass == 0;
        }
    const json_t *step = j->r.items[first].row ? json_object_get(j->r.items[first].row, "step") : NULL;
    fv_moment when = {(int64_t)json_number_value(step), fv_get_int(j->stage->json, "steps"), (uint64_t)fv_get_int(j->recipe->json, "seed")};
    if (scored.count) FV_TRY(fv_pipeline_reward(j->pipeline, &scored, &when, err));
    for (int k = scored.count; k < all.count; k++) all.items[k].aside = true; /* rows for weights alone */
    if (all.count) FV_TRY(fv_pipeline_advantage(j->pipeline, &all, &when, err));
    for (int k = 0; k < all.count; k++) j->r.items[j->group_row[k]] = all.items[k];
    return FV_OK;
}

/* ---- Lines ---- */

static void add_terms(fv_text *t, const job *j, const fv_response *r) {
    const fv_uses *terms = &j->pipeline->terms;
    fv_text_add(t, ", \"reward\": ");
    fv_text_f64(t, r->reward);
    fv_text_add(t, ", \"terms\": {");
    for (int k = 0; k < terms->count; k++) {
        fv_text_printf(t, k ? ", \"%s\": " : "\"%s\": ", terms->uses[k].label);
        fv_text_f64(t, r->terms[k]);
    }
    fv_text_char(t, '}');
}

static void add_numbers(fv_text *t, const char *name, const float *list, int n) {
    fv_text_printf(t, ", \"%s\": [", name);
    for (int k = 0; k < n; k++) {
        if (k) fv_text_add(t, ", ");
        fv_text_f32(t, list[k]);
    }
    fv_text_char(t, ']');
}

static void add_line(fv_text *t, const job *j, int64_t i) {
    const fv_response *r = &j->r.items[i];
    fv_text_add(t, "{\"id\": ");
    fv_json_dump(t, j->r.ids[i], 0);
    if (r->error[0]) {
        fv_text_add(t, ", \"error\": ");
        fv_text_json(t, r->error, strlen(r->error));
    } else {
        if (r->group) {
            fv_text_add(t, ", \"group\": ");
            fv_json_dump(t, json_object_get(r->row, "group"), 0);
        }
        if (!weights_only(r)) add_terms(t, j, r);
        if (!r->aside && r->group && j->pipeline->advantage.count && !isnan(r->advantage)) { /* a filter has none, nor what wants values and finds none */
            fv_text_add(t, ", \"advantage\": ");
            fv_text_f64(t, r->advantage);
        }
        if (r->value) {
            add_numbers(t, "token_advantages", r->token_advantage, r->tokens);
            add_numbers(t, "returns", r->returns, r->tokens);
        }
        if (r->token_weight) add_numbers(t, "token_weights", r->token_weight, r->tokens);
    }
    fv_text_add(t, "}\n");
}

static fv_status write_lines(const job *j, const char *path, fv_reward_counts *counts, fv_error *err) {
    fv_out *out;
    FV_TRY(fv_out_open(&out, path, err));
    for (int64_t i = 0; i < j->r.count; i++) {
        fv_text line = {0};
        add_line(&line, j, i);
        fv_out_text(out, &line);
        fv_text_clear(&line);
        counts->rows++;
        counts->bad += j->r.items[i].error[0] != 0;
    }
    return fv_out_commit(out, err);
}

static fv_status run_all(job *j, const char *data, fv_reward_counts *counts, fv_error *err) {
    FV_TRY(find_stage(j, err));
    FV_TRY(fv_responses_open(&j->r, data, err));
    FV_TRY(take_memory(j, err));
    bool *first = calloc((size_t)j->r.count, sizeof *first);
    fv_status s = first ? chain_groups(j, first, err) : fv_fail(err, FV_NO_MEMORY, "reward: out of memory");
    for (int64_t i = 0; i < j->r.count && s == FV_OK; i++) {
        fv_response *r = &j->r.items[i];
        if (weights_only(r) && !j->pipeline->weights.count) snprintf(r->error, sizeof r->error, "%.100s: a row without response wants token weights, and this recipe has none", r->place);
    }
    fv_progress *progress = fv_progress_open(&(fv_progress_options){.label = "reward", .unit = "row", .total = j->r.count});
    for (int64_t i = 0; i < j->r.count && s == FV_OK; i++) {
        if (!first[i]) continue;
        counts->groups += j->r.items[i].group != NULL;
        s = run_group(j, i, err);
        fv_progress_update(progress, i + 1, "%s", "");
    }
    fv_progress_close(progress);
    free(first);
    fv_moment first_step = {0, fv_get_int(j->stage->json, "steps"), (uint64_t)fv_get_int(j->recipe->json, "seed")};
    if (s == FV_OK) fv_pipeline_settle(j->pipeline, &(fv_group){.items = j->r.items, .count = (int)j->r.count}, 1, &first_step);
    return s;
}

fv_status fv_reward_rows(fv_reward_counts *counts, const fv_recipe *recipe, const char *data, const char *out, fv_error *err) {
    memset(counts, 0, sizeof *counts);
    job j = {.recipe = recipe};
    fv_status s = run_all(&j, data, counts, err);
    if (s == FV_OK) s = write_lines(&j, out, counts, err);
    for (int64_t i = 0; i < j.r.count && j.weights; i++) free(j.weights[i]);
    for (int64_t i = 0; i < j.r.count && j.values; i++) free(j.values[i]);
    free(j.values);
    free(j.terms);
    free(j.weights);
    free(j.next);
    free(j.group);
    free(j.group_row);
    fv_responses_close(&j.r);
    fv_pipeline_close(j.pipeline);
    return s;
}
