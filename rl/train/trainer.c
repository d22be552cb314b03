/* A run: stages in order, with evaluations, checkpoints and going on after a stop. */
#include "core/memory.h"
#include "rl/evaluate/evaluate.h"
#include "rl/report/report.h"
#include "rl/train/sources.h"
#include "rl/train/train.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

double fv_train_rate(const fv_stage *stage, int64_t step, int64_t steps) {
    double lr = fv_get_num(stage->json, "optim.lr"), last = fv_get_num(stage->json, "optim.final");
    int64_t warmup = fv_get_int(stage->json, "optim.warmup");
    const char *schedule = fv_get_text(stage->json, "optim.schedule");
    if (step < warmup) return lr * (double)(step + 1) / (double)warmup;
    double progress = steps > warmup ? (double)(step - warmup) / (double)(steps - warmup) : 0;
    if (!strcmp(schedule, "linear")) return lr * (1 + (last - 1) * progress);
    if (!strcmp(schedule, "cosine")) return lr * (last + (1 - last) * 0.5 * (1 + cos(3.14159265358979323846 * progress)));
    return lr;
}

fv_optim fv_train_optim(const fv_stage *stage, int64_t step, int64_t steps) {
    const json_t *s = stage->json;
    return (fv_optim){.lr = (float)fv_train_rate(stage, step, steps), .beta1 = (float)fv_get_num(s, "optim.beta1"), .beta2 = (float)fv_get_num(s, "optim.beta2"),
                      .eps = (float)fv_get_num(s, "optim.eps"), .weight_decay = (float)fv_get_num(s, "optim.weight_decay"), .clip = (float)fv_get_num(s, "optim.clip"),
                      .muon_rate = (float)fv_get_num(s, "optim.muon_rate")};
}

fv_progress *fv_train_progress(const fv_trainer *t, const fv_stage *stage, int64_t from, int64_t steps) {
    char label[192];
    snprintf(label, sizeof label, "%.100s%s%s", t->label ? t->label : "", t->label ? ": " : "", stage->name);
    return t->quiet ? NULL : fv_progress_open(&(fv_progress_options){.label = label, .unit = "step", .total = steps, .first = from});
}

int fv_train_micro(const fv_tree *tree, const int *leaves, int count, int first, int64_t limit) {
    int64_t rows = 0;
    int n = 0;
    for (; first + n < count; n++) {
        int leaf = leaves[first + n];
        rows += fv_tree_tokens(tree, leaf) - (n ? fv_tree_shared(tree, leaves[first + n - 1], leaf) : 0);
        if (n && rows > limit) break;
    }
    return n;
}

/* {stage: NAME} as the file of what that filter kept; a list's elements likewise. A new reference, NULL when out of memory. */
static json_t *named_source(const fv_trainer *t, const json_t *spec) {
    const char *stage = json_string_value(json_object_get(spec, "stage"));
    json_t *out = json_copy((json_t *)spec);
    int failed = out == NULL;
    if (stage) {
        char name[128];
        snprintf(name, sizeof name, "%.64s.jsonl", stage);
        char *path = fv_run_path(t->run, name);
        failed |= !path || json_object_set_new(out, "path", json_string(path)) || json_object_del(out, "stage");
        free(path);
    }
    for (size_t i = 0; i < json_array_size(out) && !failed; i++) failed |= json_array_set_new(out, i, named_source(t, json_array_get(out, i)));
    if (!failed) return out;
    json_decref(out);
    return NULL;
}

fv_status fv_train_data(fv_trainer *t, const fv_stage *stage, fv_curriculum *out, fv_error *err) {
    const json_t *own = fv_get(stage->json, "data");
    json_t *source = named_source(t, own ? own : fv_get(t->recipe->json, "data"));
    if (!source) return fv_fail(err, FV_NO_MEMORY, "data: out of memory");
    int batch = (int)fv_get_int(stage->json, stage->kind == FV_STAGE_SFT ? "batch" : "rollout.prompts");
    fv_status s = fv_curriculum_open(out, source, t->seed, batch, fv_get_int(stage->json, "steps"), fv_get_num(stage->json, "epochs"), err);
    json_decref(source);
    return s;
}

fv_status fv_train_bad_rows(fv_trainer *t, const fv_sample *samples, int count, fv_error *err) {
    bool stop = !strcmp(fv_get_text(t->recipe->json, "bad_rows"), "stop");
    for (int i = 0; i < count; i++) {
        const fv_sample *s = &samples[i];
        if (s->error.status == FV_OK) continue;
        FV_TRY(fv_run_bad_row(t->run, s->row ? s->row->id : NULL, &s->error, err));
        if (stop) return fv_fail(err, s->error.status, "%s", s->error.text);
        t->bad_rows++;
    }
    return FV_OK;
}

/* ---- Evaluations ---- */

static void note_bad_row(void *context, const fv_error *why) {
    fv_trainer *t = context;
    fv_error ignored; /* an evaluation counts its errors as well */
    fv_run_bad_row(t->run, NULL, why, &ignored);
}

/* What answers are worth in reinforcement: in the stage itself or the next of that kind, else the last one; *out is the caller's, NULL where a response alone does not tell. */
static fv_status open_paid(const fv_trainer *t, const fv_stage *stage, fv_pipeline **out, fv_moment *when, fv_error *err) {
    const fv_stage *pays = NULL;
    for (int i = 0; i < t->recipe->stage_count; i++) {
        const fv_stage *s = &t->recipe->stages[i];
        if (s->kind == FV_STAGE_GRPO && (!pays || pays < stage)) pays = s;
    }
    *out = NULL;
    if (!pays) return FV_OK;
    FV_TRY(fv_pipeline_open(out, pays->json, err));
    int64_t steps = fv_get_int(pays->json, "steps");
    *when = (fv_moment){pays > stage ? 0 : steps - 1, steps, t->seed};
    if (fv_pipeline_pays_alone(*out)) return FV_OK;
    fv_pipeline_close(*out);
    *out = NULL;
    return FV_OK;
}

static fv_status evaluate_mode(fv_trainer *t, const fv_dataset *data, const fv_marking *marking, const char *mode, const fv_stage *stage, bool last, fv_error *err) {
    const json_t *r = t->recipe->json;
    const char *after = stage->name;
    char name[160];
    snprintf(name, sizeof name, "%s-%s%s%s", after, mode, last ? "" : "-step-", "");
    if (!last) snprintf(name + strlen(name), sizeof name - strlen(name), "%lld", (long long)t->step);
    char *base = fv_run_path(t->run, "evaluations"), *folder = base ? fv_path_join(base, name) : NULL, *samples = folder ? fv_path_join(folder, "samples.jsonl") : NULL;
    fv_status s = fv_folder_make(folder, err);
    json_t *result = NULL;
    int own = (int)fv_get_int(stage->json, "max_tokens"), context = own > FV_EVALUATE_TOKENS ? own : FV_EVALUATE_TOKENS;
    fv_evaluate_options o = {.name = name, .label = t->label, .mode = mode, .env = fv_recipe_env(t->recipe, stage), .ask = fv_get(r, "ask"), .samples_path = samples,
                             .show_folder = folder, .show = last ? (int)fv_get_int(r, "report.samples") : 0, .n = fv_get_int(r, "evaluate.n"),
                             .max_new_tokens = (int)fv_get_int(r, "evaluate.max_new_tokens"), .max_tokens = context, .seed = t->seed, .quiet = t->quiet, .bad = note_bad_row,
                             .context = t};
    fv_jobs *tools = NULL;
    fv_pipeline *paid = NULL;
    if (s == FV_OK) s = open_paid(t, stage, &paid, &o.when, err);
    o.paid = paid;
    if (s == FV_OK) s = fv_jobs_open(&tools, fv_pool_threads(t->pool), err);
    if (s == FV_OK) s = fv_evaluate(&result, t->model, t->policy, t->pool, tools, data, marking, &o, err);
    fv_jobs_close(tools);
    fv_pipeline_close(paid);
    if (s == FV_OK) {
        json_object_set_new(result, "after_stage", json_string(after));
        json_object_set_new(result, "step", json_integer((json_int_t)t->step));
        json_object_set_new(result, "final", json_boolean(last));
        fv_text line = {0};
        fv_json_dump(&line, result, 0);
        s = fv_lines_text(t->run->evaluations, &line, err);
        fv_text_clear(&line);
        json_array_append(json_object_get(t->state, "evaluations"), result);
    }
    json_decref(result);
    free(samples);
    free(folder);
    free(base);
    return s;
}

/* All modes of the recipe. */
static fv_status evaluate(fv_trainer *t, const fv_stage *stage, bool last, fv_error *err) {
    const json_t *spec = fv_get(t->recipe->json, "eval_data"), *modes = fv_get(t->recipe->json, "evaluate.modes");
    if (!fv_recipe_evaluates(t->recipe, stage)) return FV_OK;
    fv_dataset *data = NULL;
    fv_marking marking;
    FV_TRY(fv_marking_open(&marking, t->recipe->json, err));
    fv_status s = fv_dataset_open(&data, spec, t->seed, err);
    for (size_t i = 0; i < json_array_size(modes) && s == FV_OK; i++)
        s = evaluate_mode(t, data, &marking, json_string_value(json_array_get(modes, i)), stage, last, err);
    fv_marking_clear(&marking);
    fv_dataset_close(data);
    return s;
}

/* ---- Checkpoints ---- */

static fv_status checkpoint(fv_trainer *t, int64_t stage_step, bool stage_done, fv_error *err) {
    json_object_set_new(t->state, "stage", json_integer(stage_done ? t->stage + 1 : t->stage));
    json_object_set_new(t->state, "stage_name", stage_done ? json_null() : json_string(t->recipe->stages[t->stage].name));
    json_object_set_new(t->state, "stage_step", json_integer(stage_done ? 0 : stage_step));
    json_object_set_new(t->state, "step", json_integer((json_int_t)t->step));
    json_object_set_new(t->state, "seconds", json_real(t->earlier + fv_now() - t->began));
    fv_dtype save = !strcmp(fv_get_text(t->recipe->json, "save"), "bf16") ? FV_BF16 : FV_F32;
    FV_TRY(fv_run_checkpoint(t->run, t->step, t->model, t->policy, save, t->state, err));
    t->checkpointed = fv_now();
    return FV_OK;
}

static bool due(int64_t every, int64_t done) { return every > 0 && done % every == 0; }

fv_status fv_train_end(fv_trainer *t, const fv_stage *stage, int64_t done, fv_error *err) {
    FV_TRY(evaluate(t, stage, true, err));
    json_t *entry = json_pack("{s: s, s: s, s: I, s: f}", "name", stage->name, "kind", fv_get_text(stage->json, "kind"), "steps", (json_int_t)done, "seconds",
                              t->earlier + fv_now() - t->began - json_number_value(json_object_get(t->state, "stage_began")));
    const json_t *epochs = fv_get_int(stage->json, "steps") ? NULL : fv_get(stage->json, "epochs");
    if (epochs) json_object_set(entry, "epochs", (json_t *)epochs);
    json_array_append_new(json_object_get(t->state, "stages"), entry);
    return checkpoint(t, done, true, err);
}

fv_status fv_train_after(fv_trainer *t, const fv_stage *stage, int64_t done, int64_t steps, fv_metrics *m, fv_error *err) {
    t->step++;
    fv_metric(m, "data/bad_rows", (double)t->bad_rows);
    t->bad_rows = 0;
    fv_metric(m, "memory/peak_gib", (double)fv_memory_peak() / (double)(1 << 30));
    FV_TRY(fv_run_step(t->run, t->step, stage->name, m, err));
    bool stopping = t->stop && *t->stop;
    if (done >= steps) return fv_train_end(t, stage, done, err);
    if (stage->kind != FV_STAGE_FILTER && due(fv_get_int(t->recipe->json, "evaluate.every"), done)) FV_TRY(evaluate(t, stage, false, err));
    double minutes = fv_get_num(t->recipe->json, "checkpoint.minutes");
    bool late = minutes > 0 && fv_now() - t->checkpointed > 60 * minutes;
    if (late || stopping || due(fv_get_int(t->recipe->json, "checkpoint.every"), done)) FV_TRY(checkpoint(t, done, false, err));
    if (stopping)
        return fv_fail(err, FV_CANCELLED, "%s: stopped after step %lld; `fovea train ... --resume` goes on from there", t->run->folder, (long long)t->step);
    return FV_OK;
}

/* ---- Opening ---- */

static fv_status open_new_model(fv_trainer *t, fv_error *err) {
    char *folder = fv_run_path(t->run, "model-init");
    fv_status s = fv_folder_exists(folder) ? FV_OK : fv_model_init(fv_get_text(t->recipe->json, "model.init"), t->seed, folder, FV_F32, err); /* it appears whole */
    if (s == FV_OK) s = fv_model_open(&t->model, folder, err);
    free(folder);
    return s;
}

static fv_status open_machine(fv_trainer *t, fv_error *err) {
    t->seed = (uint64_t)fv_get_int(t->recipe->json, "seed");
    FV_TRY(fv_ops_find(&t->ops, fv_get_text(t->recipe->json, "device"), fv_get_text(t->recipe->json, "precision"), err));
    FV_TRY(fv_pool_open(&t->pool, (int)fv_get_int(t->recipe->json, "threads"), err));
    t->scratch = fv_ops_arena(t->ops, FV_ARENA_SCRATCH);
    t->arena = fv_ops_arena(t->ops, FV_ARENA_PASS);
    return t->scratch && t->arena ? FV_OK : fv_fail(err, FV_NO_MEMORY, "%s: out of memory", t->recipe->file);
}

static fv_status open_model(fv_trainer *t, fv_error *err) {
    const char *path = fv_get_text(t->recipe->json, "model.path");
    FV_TRY(path ? fv_model_open(&t->model, path, err) : open_new_model(t, err));
    if (t->model->note[0]) fv_run_log(t->run, "%s: %s", t->model->folder, t->model->note);
    FV_TRY(fv_train_adapt(t->model, t->recipe, err));
    FV_TRY(fv_model_watch(t->model, fv_get(t->recipe->json, "image"), fv_get(t->recipe->json, "video"), err));
    return fv_train_policy(&t->policy, t->recipe, t->model, t->model->weights, t->ops, (fv_exec){t->pool, t->scratch}, err);
}

static fv_status open_run(fv_trainer *t, bool resume, fv_error *err) {
    char *moved;
    fv_status s = fv_run_open(&t->run, t->recipe, resume, &moved, err);
    if (s == FV_OK && moved) fv_run_log(t->run, "an earlier run was moved to %s", moved);
    free(moved);
    return s;
}

static void close_trainer(fv_trainer *t) {
    fv_slot_close(t->policy);
    fv_model_close(t->model);
    fv_pool_close(t->pool);
    fv_arena_free(t->arena);
    fv_arena_free(t->scratch);
    json_decref(t->state);
    fv_run_close(t->run);
}

/* ---- The whole ---- */

static fv_status write_summary(const fv_trainer *t, fv_error *err) {
    json_t *out = json_pack("{s: s, s: O, s: O, s: f}", "name", fv_get_text(t->recipe->json, "name"), "stages", json_object_get(t->state, "stages"), "evaluations",
                            json_object_get(t->state, "evaluations"), "seconds", t->earlier + fv_now() - t->began);
    fv_status s = fv_json_save(out, t->run->folder, "summary.json", err);
    json_decref(out);
    return s;
}

/* What is written at the end; all of it is there already where a run was resumed that had ended. */
static fv_status finish_run(const fv_trainer *t, bool ended, fv_error *err) {
    const char *folder = fv_get_text(t->recipe->json, "export");
    char *report = fv_run_path(t->run, "report.html");
    bool whole = ended && report && fv_file_exists(report);
    free(report);
    if (!whole) FV_TRY(write_summary(t, err));
    fv_dtype save = !strcmp(fv_get_text(t->recipe->json, "save"), "bf16") ? FV_BF16 : FV_F32;
    if (folder && !(whole && fv_folder_exists(folder))) FV_TRY(fv_run_save_model(folder, t->model, t->policy, save, true, err));
    return whole ? FV_OK : fv_report_write(t->run->folder, err);
}

static fv_status run_stages(fv_trainer *t, int64_t stage_step, fv_error *err) {
    static fv_status (*const by_kind[])(fv_trainer *, const fv_stage *, int64_t, fv_error *) = {
        [FV_STAGE_SFT] = fv_train_sft, [FV_STAGE_GRPO] = fv_train_grpo, [FV_STAGE_FILTER] = fv_train_filter};
    bool ended = t->stage >= t->recipe->stage_count;
    for (; t->stage < t->recipe->stage_count; t->stage++, stage_step = 0) {
        const fv_stage *stage = &t->recipe->stages[t->stage];
        if (!stage_step) json_object_set_new(t->state, "stage_began", json_real(t->earlier + fv_now() - t->began));
        fv_run_log(t->run, "stage %s (%s), from step %lld", stage->name, fv_get_text(stage->json, "kind"), (long long)stage_step);
        FV_TRY(fv_train_hold(t->policy, t->recipe, stage, err));
        FV_TRY(by_kind[stage->kind](t, stage, stage_step, err));
    }
    return finish_run(t, ended, err);
}

static fv_status check_stage_name(const fv_trainer *t, int i, const char *then, fv_error *err) {
    const char *now = i < t->recipe->stage_count ? t->recipe->stages[i].name : NULL;
    if (!then || (now && !strcmp(then, now))) return FV_OK;
    return fv_fail(err, FV_BAD_RECIPE, "%s: stage %d was %s when this run did it and is %s now; a run goes on with its own stages, in their order", t->run->folder, i + 1, then, now ? now : "missing");
}

/* A finished stage has nothing to go on with: its schedules ended where they should. Being asked for more steps of it is not met by silence. */
static fv_status check_finished(const fv_trainer *t, fv_error *err) {
    const json_t *stages = json_object_get(t->state, "stages");
    for (int i = 0; i < t->stage; i++) FV_TRY(check_stage_name(t, i, fv_get_text(json_array_get(stages, (size_t)i), "name"), err));
    FV_TRY(check_stage_name(t, t->stage, fv_get_text(t->state, "stage_name"), err));
    for (int i = 0; i < t->stage && i < t->recipe->stage_count; i++) { /* states without names are taken as they are */
        const fv_stage *stage = &t->recipe->stages[i];
        const json_t *then = json_array_get(stages, (size_t)i);
        const char *unit = stage->kind == FV_STAGE_SFT && !fv_get_int(stage->json, "steps") ? "epochs" : "steps";
        double done = fv_get_num(then, unit), wanted = fv_get_num(stage->json, unit);
        if (!json_object_get(then, unit) || wanted <= done || fv_get_num(stage->json, "stop_at") > 0) continue;
        return fv_fail(err, FV_BAD_RECIPE, "%s: stage %s ended after its %g %s, %g can't be made of them; train on with model.path=%s/checkpoints/step-%lld and another out", t->run->folder,
                       stage->name, done, unit, wanted, t->run->folder, (long long)t->step);
    }
    return FV_OK;
}

static fv_status restore(fv_trainer *t, bool resume, int64_t *stage_step, fv_error *err) {
    int64_t step = -1;
    *stage_step = 0;
    if (resume) FV_TRY(fv_run_restore(t->run, t->policy, &step, &t->state, err));
    if (step >= 0) {
        t->step = step;
        t->stage = (int)fv_get_int(t->state, "stage");
        *stage_step = fv_get_int(t->state, "stage_step");
        t->earlier = fv_get_num(t->state, "seconds");
        fv_run_log(t->run, "resumed from step %lld", (long long)step);
        return check_finished(t, err);
    }
    json_decref(t->state);
    t->state = json_pack("{s: [], s: []}", "stages", "evaluations");
    return t->state ? FV_OK : fv_fail(err, FV_NO_MEMORY, "%s: out of memory", t->recipe->file);
}

static fv_status check_memory(const fv_recipe *recipe, const fv_needs *needs, fv_error *err) {
    fv_needs found;
    if (!needs) FV_TRY(fv_needs_find(&found, recipe, err));
    return fv_needs_check(needs ? needs : &found, recipe, err);
}

/* A resumed run needs what its stages from the present one on read. */
static fv_status begin(fv_trainer *t, const fv_train_options *o, int64_t *stage_step, fv_error *err) {
    json_t *prompts = NULL;
    bool resume = o->resume;
    fv_status s = resume ? FV_OK : fv_sources_open(&prompts, t->recipe, (fv_sources_when){.moved = fv_get_text(t->recipe->json, "out")}, err);
    if (s == FV_OK) s = check_memory(t->recipe, o->needs, err);
    if (s == FV_OK) s = open_machine(t, err);
    if (s == FV_OK) s = open_run(t, resume, err);
    if (s == FV_OK) s = open_model(t, err);
    if (s == FV_OK) s = restore(t, resume, stage_step, err);
    if (s == FV_OK && resume) s = fv_sources_open(&prompts, t->recipe, (fv_sources_when){.stage = t->stage}, err);
    if (s == FV_OK) s = fv_sources_keep(prompts, t->run->folder, err);
    if (s == FV_OK) s = fv_run_write_recipe(t->run, t->recipe, err);
    json_decref(prompts);
    return s;
}

fv_status fv_train(const fv_recipe *recipe, const fv_train_options *options, fv_error *err) {
    fv_trainer t = {.recipe = recipe, .quiet = options->quiet, .label = options->label, .stop = options->stop, .began = fv_now(), .checkpointed = fv_now()};
    int64_t stage_step;
    if (fv_get(recipe->json, "arms")) return fv_fail(err, FV_BAD_RECIPE, "%s: has arms, which are runs of their own: fv_compare trains them", recipe->file);
    fv_status s = begin(&t, options, &stage_step, err);
    if (s == FV_OK) s = run_stages(&t, stage_step, err);
    if (s != FV_OK && t.run) fv_run_log(t.run, "stopped: %s", err->text);
    close_trainer(&t);
    return s;
}
