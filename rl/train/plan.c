#include "rl/train/plan.h"

#include "core/file.h"
#include "core/progress.h"
#include "rl/engine/pack.h"
#include "rl/pipeline.h"
#include "rl/report/record.h"
#include "rl/train/curriculum.h"
#include "rl/train/feed.h"
#include "rl/train/summary_table.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* PROBE rows are timed. LIMIT: multiply-adds of a pass over them beyond which the estimate would cost more than it is worth (a second or two). */
enum { PROBE = 4 };
static const double LIMIT = 1e11;

typedef struct {
    const fv_recipe *recipe;
    const char *path;   /* of the model that is timed; NULL: it is still to be made */
    const char *label;  /* goes before stages' names */
    fv_record earlier;  /* folder NULL: there is none */
    fv_model *model;
    double parameters;
    const fv_ops *ops;
    fv_pool *pool;
    fv_arena *scratch, *arena;
    fv_slot *slot;
} plan;

/* ---- An earlier run ---- */

/* `out` itself if it holds `file` (it will be moved aside), else the newest of out.1, out.2 ... that is there. */
static char *earlier_folder(const char *folder, const char *file) {
    char *sign = fv_path_join(folder, file), *found = sign && fv_file_exists(sign) ? strdup(folder) : NULL;
    free(sign);
    for (int i = 1; i < 10000 && !(i == 1 && found); i++) {
        fv_text t = {0};
        fv_text_printf(&t, "%s.%d", folder, i);
        bool there = t.data && fv_folder_exists(t.data);
        if (there) {
            free(found);
            found = strdup(t.data);
        }
        fv_text_clear(&t);
        if (!there) break;
    }
    return found;
}

/* folder NULL: there is none. */
static fv_status open_earlier(plan *p, const char *folder, fv_error *err) {
    if (!folder) return FV_OK;
    FV_TRY(fv_record_open(&p->earlier, folder, err));
    const char *now = fv_get_text(p->recipe->json, "model.path"), *then = fv_record_setting(&p->earlier, "model.path");
    const char *init = fv_get_text(p->recipe->json, "model.init"), *init_then = fv_record_setting(&p->earlier, "model.init");
    bool same = now ? then && !strcmp(now, then) : init && init_then && !strcmp(init, init_then);
    if (!same) fv_record_close(&p->earlier);
    return FV_OK;
}

static double stage_size(const json_t *stage) {
    double prompts = (double)fv_get_int(stage, "rollout.prompts") * (double)fv_get_int(stage, "rollout.group_size");
    return prompts > 0 ? prompts : (double)fv_get_int(stage, "batch");
}

static double setting(const fv_record *r, const char *stage, const char *name) {
    char path[256];
    double v = NAN;
    snprintf(path, sizeof path, "stages.%s.%s", stage, name);
    fv_yaml_num(fv_yaml_find(r->yaml, path), &v);
    return v;
}

/* Seconds of a step then, scaled to as many answers or conversations as now; NAN if that stage was not there. */
static double earlier_step(const plan *p, const fv_stage *stage) {
    const fv_record *r = &p->earlier;
    for (int i = 0; i < r->stage_count; i++) {
        const fv_record_stage *s = &r->stages[i];
        if (strcmp(s->name, stage->name) || strcmp(s->kind, fv_get_text(stage->json, "kind"))) continue;
        double batch = stage->kind == FV_STAGE_SFT ? setting(r, s->name, "batch") : setting(r, s->name, "rollout.prompts") * setting(r, s->name, "rollout.group_size");
        return fv_record_mean(r, "step_time", s->first, s->first + s->rows) * stage_size(stage->json) / batch;
    }
    return NAN;
}

/* Seconds of one sample of `mode` then. */
static double earlier_sample(const plan *p, const char *mode) {
    const json_t *e = fv_record_after(&p->earlier, mode);
    if (!e) e = fv_record_before(&p->earlier, mode);
    return fv_record_number(e, "seconds") / fv_record_number(e, "n");
}

/* ---- Timing passes ---- */

static double count_parameters(const fv_model *m) {
    double n = 0;
    for (int i = 0; i < m->count; i++) n += (double)fv_elements(m->weights[i].view);
    return n;
}

static fv_status open_model(plan *p, fv_error *err) {
    const json_t *r = p->recipe->json;
    const char *path = p->path;
    if (!path) return fv_fail(err, FV_UNSUPPORTED, "the model is still to be made");
    FV_TRY(fv_model_open(&p->model, path, err));
    FV_TRY(fv_model_watch(p->model, fv_get(r, "image"), fv_get(r, "video"), err));
    p->parameters = count_parameters(p->model);
    if (p->earlier.folder || p->parameters * PROBE * 64 > LIMIT) return FV_OK; /* a slot of a large model takes memory and time to pack */
    FV_TRY(fv_ops_find(&p->ops, fv_get_text(r, "device"), fv_get_text(r, "precision"), err));
    FV_TRY(fv_pool_open(&p->pool, (int)fv_get_int(r, "threads"), err));
    p->scratch = fv_ops_arena(p->ops, FV_ARENA_SCRATCH);
    p->arena = fv_ops_arena(p->ops, FV_ARENA_PASS);
    if (!p->scratch || !p->arena) return fv_fail(err, FV_NO_MEMORY, "plan: out of memory");
    return fv_slot_open(&p->slot, p->ops, (fv_exec){p->pool, p->scratch}, p->model->weights, p->model->count, &(fv_slot_options){.name = "plan", .adapter = fv_model_adapter(p->model)}, err);
}

static void close_plan(plan *p) {
    fv_slot_close(p->slot);
    fv_model_close(p->model);
    fv_pool_close(p->pool);
    fv_arena_free(p->arena);
    fv_arena_free(p->scratch);
    fv_record_close(&p->earlier);
}

/* What a row costs: making it ready (seconds of all threads together), a forward pass over it, and one of its tokens' share of that. */
typedef struct {
    double make, forward, token;
} row_cost;

/* One forward pass over all samples, as training packs them. */
static fv_status pass(plan *p, const fv_sample *samples, double *rows, fv_error *err) {
    fv_tree *tree = NULL;
    int leaves[PROBE], n = 0;
    fv_status s = fv_tree_new(&tree, p->model, err);
    for (int i = 0; i < PROBE && s == FV_OK; i++)
        if (samples[i].error.status == FV_OK) s = fv_tree_plant(tree, p->model, &samples[i].prompt, &leaves[n++], err);
    if (s == FV_OK && !n) s = fv_fail(err, FV_BAD_DATA, "no row can be used");
    if (s == FV_OK) {
        fv_pack pack;
        fv_targets targets;
        fv_pass run = fv_pass_begin(p->slot, p->arena, false);
        s = fv_pack_make(&pack, tree, leaves, n, p->model->image.merge, p->arena, err);
        if (s == FV_OK && pack.rows * p->parameters > LIMIT) s = fv_fail(err, FV_LIMIT, "too large to be timed");
        if (s == FV_OK) {
            fv_pack_targets(&targets, &pack, false, 1.0f, p->arena);
            fv_pack_score(&run, p->model, fv_pack_forward(&run, p->model, &pack, NULL), &targets);
            *rows = pack.rows;
        }
        fv_arena_reset(p->arena);
    }
    fv_tree_free(tree);
    return s;
}

static fv_status time_rows(plan *p, const json_t *spec, const json_t *env, bool generate, row_cost *out, fv_error *err) {
    fv_dataset *data = NULL;
    fv_feed *feed = NULL;
    fv_sample samples[PROBE] = {0};
    int64_t index[PROBE];
    fv_feed_options options = {.env = env, .ask = fv_get(p->recipe->json, "ask"), .generate = generate, .max_tokens = 32768};
    double rows = 0, start = 0, first = 0, second = 0;
    fv_status s = fv_curriculum_data(&data, spec, 1, err);
    for (int i = 0; i < PROBE && s == FV_OK; i++) index[i] = i % fv_dataset_count(data);
    if (s == FV_OK) s = fv_feed_open(&feed, p->model, data, p->pool, &options, err);
    if (s == FV_OK) {
        start = fv_now();
        fv_feed_take(feed, index, PROBE, samples);
        out->make = (fv_now() - start) / PROBE;
        start = fv_now();
        s = pass(p, samples, &rows, err); /* packs the weights; not counted */
        first = fv_now();
        if (s == FV_OK) s = pass(p, samples, &rows, err);
        second = fv_now();
    }
    out->forward = (second - first) / PROBE;
    out->token = rows > 0 ? (second - first) / rows : 0;
    for (int i = 0; i < PROBE; i++) fv_sample_clear(&samples[i]);
    fv_feed_close(feed);
    fv_dataset_close(data);
    return s;
}

/* Answers that are only sampled, for each one that is trained: second passes, and half a group to shuffled frames. */
static double beside(const json_t *stage) {
    fv_pipeline *parts;
    fv_error why;
    if (fv_pipeline_open(&parts, stage, &why) != FV_OK) return 0; /* the run will say why */
    double n = (parts->needs & FV_NEED_SECOND_PASS ? 1 : 0) + (parts->needs & FV_NEED_SHUFFLED ? 0.5 : 0);
    fv_pipeline_close(parts);
    return n;
}

/* Passes, in units of a forward: a way back costs two; GRPO computes all log-probs again to compare them; decoding a token by itself costs about twice its share of
 * a packed pass. Answers are taken to be half of what they may be. */
static double timed_step(plan *p, const fv_stage *stage) {
    const json_t *s = stage->json, *r = p->recipe->json;
    const json_t *spec = fv_get(s, "data") ? fv_get(s, "data") : fv_get(r, "data"), *env = fv_recipe_env(p->recipe, stage);
    row_cost cost;
    fv_error why;
    if (!p->slot || !spec || time_rows(p, spec, env, stage->kind != FV_STAGE_SFT, &cost, &why) != FV_OK) return NAN;
    if (stage->kind == FV_STAGE_SFT) return (double)fv_get_int(s, "batch") * fmax(3 * cost.forward, cost.make);
    double prompts = (double)fv_get_int(s, "rollout.prompts"), answers = prompts * (double)fv_get_int(s, "rollout.group_size");
    double tokens = answers * (double)fv_get_int(s, "rollout.max_new_tokens") / 2, train = stage->kind == FV_STAGE_GRPO ? 4 : 0;
    return prompts * (cost.make + cost.forward * (1 + train)) + tokens * cost.token * (2 * (1 + beside(s)) + train);
}

static double timed_sample(plan *p, bool forced) {
    const json_t *r = p->recipe->json;
    row_cost cost;
    fv_error why;
    if (!p->slot || time_rows(p, fv_get(r, "eval_data"), fv_recipe_env(p->recipe, NULL), true, &cost, &why) != FV_OK) return NAN;
    return fmax(cost.make, 0) + cost.forward + (forced ? 2 : (double)fv_get_int(r, "evaluate.max_new_tokens") / 2) * 2 * cost.token;
}

/* ---- Lines ---- */

/* How many rows a source has; 0 where it can't be opened (the run will say why). */
static int64_t rows_of(const plan *p, const json_t *spec) {
    fv_dataset *data = NULL;
    fv_error why;
    int64_t n = spec && fv_curriculum_data(&data, spec, (uint64_t)fv_get_int(p->recipe->json, "seed"), &why) == FV_OK ? fv_dataset_count(data) : 0;
    fv_dataset_close(data);
    return n;
}

static int64_t steps_of(const plan *p, const fv_stage *stage) {
    int64_t steps = fv_get_int(stage->json, "steps");
    if (steps || stage->kind != FV_STAGE_SFT) return steps;
    const json_t *own = fv_get(stage->json, "data");
    double rows = (double)rows_of(p, own ? own : fv_get(p->recipe->json, "data"));
    return (int64_t)ceil(fv_get_num(stage->json, "epochs") * rows / (double)fv_get_int(stage->json, "batch"));
}

static void put_time(char cell[FV_TABLE_CELL], double seconds) {
    char text[32];
    if (!isfinite(seconds)) return; /* not known; or an earlier evaluation had no rows to be timed by */
    fv_duration_text(text, seconds);
    snprintf(cell, FV_TABLE_CELL, "about %s", text);
}

static double add_stage(plan *p, fv_text_table *t, const fv_stage *stage) {
    char(*row)[FV_TABLE_CELL] = fv_text_table_row(t);
    int64_t steps = steps_of(p, stage);
    double step = p->earlier.folder ? earlier_step(p, stage) : timed_step(p, stage), seconds = steps ? step * (double)steps : NAN;
    if (!row) return seconds;
    snprintf(row[0], FV_TABLE_CELL, "  %.30s%s%.50s", p->label ? p->label : "", p->label ? ": " : "", stage->name);
    snprintf(row[1], FV_TABLE_CELL, "%s", fv_get_text(stage->json, "kind"));
    int n = steps ? snprintf(row[2], FV_TABLE_CELL, "%lld steps", (long long)steps) : snprintf(row[2], FV_TABLE_CELL, "%g epochs", fv_get_num(stage->json, "epochs"));
    if (stage->kind == FV_STAGE_SFT) snprintf(row[2] + n, FV_TABLE_CELL - (size_t)n, " of %lld conversations", (long long)fv_get_int(stage->json, "batch"));
    else
        snprintf(row[2] + n, FV_TABLE_CELL - (size_t)n, " of %lld prompts x %lld answers", (long long)fv_get_int(stage->json, "rollout.prompts"),
                 (long long)fv_get_int(stage->json, "rollout.group_size"));
    put_time(row[3], seconds);
    return seconds;
}

static double add_evaluation(plan *p, fv_text_table *t, const fv_stage *stage) {
    const json_t *r = p->recipe->json, *modes = fv_get(r, "evaluate.modes");
    int64_t every = fv_get_int(r, "evaluate.every"), steps = steps_of(p, stage), n = fv_get_int(r, "evaluate.n"), all = rows_of(p, fv_get(r, "eval_data"));
    if (!fv_recipe_evaluates(p->recipe, stage) || !json_array_size(modes)) return 0;
    if (all && (!n || all < n)) n = all;
    int64_t times = every && steps && stage->kind != FV_STAGE_FILTER ? (steps + every - 1) / every : 1;
    double seconds = 0;
    fv_text names = {0};
    for (size_t i = 0; i < json_array_size(modes); i++) {
        const char *mode = json_string_value(json_array_get(modes, i));
        if (!mode) continue;
        seconds += (double)(times * n) * (p->earlier.folder ? earlier_sample(p, mode) : timed_sample(p, !strcmp(mode, "no_tool")));
        fv_text_printf(&names, "%s%s", i ? ", " : "", mode);
    }
    if (!n) seconds = NAN;
    char(*row)[FV_TABLE_CELL] = fv_text_table_row(t);
    if (row) {
        snprintf(row[1], FV_TABLE_CELL, "evaluate");
        int k = snprintf(row[2], FV_TABLE_CELL, "%.50s", names.data ? names.data : "");
        if (n) k += snprintf(row[2] + k, FV_TABLE_CELL - (size_t)k, " on %lld", (long long)n);
        if (times > 1) snprintf(row[2] + k, FV_TABLE_CELL - (size_t)k, ", %lld times", (long long)times);
        put_time(row[3], seconds);
    }
    fv_text_clear(&names);
    return seconds;
}

static void write_head(fv_text *out, const plan *p) {
    const json_t *r = p->recipe->json;
    const char *path = fv_get_text(r, "model.path"), *init = fv_get_text(r, "model.init");
    fv_text_printf(out, "%s: %s", fv_get_text(r, "name"), path ? path : "a new model, ");
    if (!path) fv_text_add(out, init ? init : "");
    if (p->parameters > 0) fv_text_printf(out, " (%.3g million parameters)", p->parameters / 1e6);
}

/* Lines of all stages and their evaluations, and how long they take together; NAN: not known. */
static double add_stages(plan *p, fv_text_table *t) {
    double total = 0;
    for (int i = 0; i < p->recipe->stage_count; i++) {
        total += add_stage(p, t, &p->recipe->stages[i]);
        total += add_evaluation(p, t, &p->recipe->stages[i]);
    }
    return total;
}

static void add_total(fv_text_table *t, double seconds, const char *runs, const char *earlier) {
    char(*row)[FV_TABLE_CELL] = !isfinite(seconds) ? NULL : fv_text_table_row(t);
    if (!row) return;
    snprintf(row[0], FV_TABLE_CELL, "  in all");
    put_time(row[3], seconds);
    int n = snprintf(row[2], FV_TABLE_CELL, "%s", runs);
    if (earlier) snprintf(row[2] + n, FV_TABLE_CELL - (size_t)n, "%stimes as in %.50s", n ? ", " : "", earlier);
}

static fv_text_table *new_table(void) {
    fv_text_table *t = calloc(1, sizeof *t);
    if (!t) return NULL;
    t->columns = 4;
    t->left[1] = t->left[2] = true;
    return t;
}

fv_status fv_plan_text(fv_text *out, const fv_recipe *recipe, const fv_needs *needs, fv_error *err) {
    plan p = {.recipe = recipe, .path = fv_get_text(recipe->json, "model.path")};
    fv_text_table *t = new_table();
    char *folder = earlier_folder(fv_get_text(recipe->json, "out"), "metrics.jsonl");
    fv_error why;
    fv_status s = t ? open_earlier(&p, folder, err) : fv_fail(err, FV_NO_MEMORY, "plan: out of memory");
    if (s == FV_OK) {
        open_model(&p, &why); /* what is wrong with it, the run will say */
        write_head(out, &p);
        fv_text_printf(out, ", seed %lld, into %s\n", (long long)fv_get_int(recipe->json, "seed"), fv_get_text(recipe->json, "out"));
        fv_needs_text(out, needs);
        add_total(t, add_stages(&p, t), "", p.earlier.folder);
        fv_text_table_write(out, t);
    }
    free(t);
    free(folder);
    close_plan(&p);
    return s;
}

/* ---- Comparisons ---- */

/* One run of a comparison, whose earlier one is in a folder of the same name below `earlier` (NULL: there is none). The model that the shared stages are still to make is
 * as large as what they begin with, which is timed in its place. */
static fv_status add_run(const fv_arms *a, const fv_recipe *run, const char *label, const char *earlier, fv_text_table *t, double *seconds, plan *p, fv_error *err) {
    *p = (plan){.recipe = run, .path = fv_get_text((a->shared ? a->recipe : run)->json, "model.path"), .label = label};
    char *folder = earlier ? fv_path_join(earlier, fv_arms_name(run)) : NULL;
    fv_error why;
    fv_status s = open_earlier(p, folder, err);
    free(folder);
    FV_TRY(s);
    open_model(p, &why);
    *seconds = add_stages(p, t);
    return FV_OK;
}

static fv_status plan_arms(fv_text *out, const fv_arms *a, char **earlier, fv_text_table *t, fv_error *err) {
    double total = 0, seconds = 0;
    char label[80], runs[64];
    plan p;
    fv_status s = FV_OK;
    for (int i = a->shared ? -1 : 0; i < a->arm_count && s == FV_OK; i++) {
        snprintf(label, sizeof label, "%.64s", i < 0 ? "shared" : a->names[i]);
        s = add_run(a, i < 0 ? a->shared : a->runs[i].recipe, label, *earlier, t, &seconds, &p, err);
        if (s == FV_OK && (i < 0 || (!a->shared && i == 0))) {
            p.recipe = a->recipe;
            write_head(out, &p);
        }
        if (i < 0 && !p.earlier.folder) { /* another model: its arms' times are none of these either */
            free(*earlier);
            *earlier = NULL;
        }
        total += i < 0 ? seconds : seconds * a->seed_count;
        close_plan(&p);
    }
    fv_text_printf(out, ", %d arm%s x %d seed%s, into %s\n", a->arm_count, a->arm_count > 1 ? "s" : "", a->seed_count, a->seed_count > 1 ? "s" : "", fv_arms_folder(a->recipe));
    snprintf(runs, sizeof runs, "arms %d time%s", a->seed_count, a->seed_count > 1 ? "s each" : "");
    add_total(t, total, runs, *earlier);
    return s;
}

fv_status fv_plan_arms(fv_text *out, const fv_arms *arms, fv_error *err) {
    fv_text_table *t = new_table();
    char *earlier = earlier_folder(fv_arms_folder(arms->recipe), "recipe.yaml");
    fv_status s = t ? plan_arms(out, arms, &earlier, t, err) : fv_fail(err, FV_NO_MEMORY, "plan: out of memory");
    if (s == FV_OK) fv_text_table_write(out, t);
    free(earlier);
    free(t);
    return s;
}
