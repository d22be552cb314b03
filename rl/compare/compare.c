#include "rl/compare/compare.h"

#include "rl/compare/comparison.h"
#include "rl/report/comparison.h"
#include "rl/train/sources.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool has_file(const char *folder, const char *name) {
    char *path = fv_path_join(folder, name);
    bool there = path && fv_file_exists(path);
    free(path);
    return there;
}

/* What a run that is there was made by must be what it would be made by now, but for threads, which change no bit. */
static fv_status check_same(const fv_recipe *now, fv_error *err) {
    const char *folder = fv_arms_folder(now);
    if (!has_file(folder, "recipe.yaml")) return FV_OK;
    char *path = fv_path_join(folder, "recipe.yaml");
    fv_recipe *then = NULL;
    fv_error why;
    fv_status s = path ? FV_OK : fv_fail(err, FV_NO_MEMORY, "%s: out of memory", folder);
    bool same = s == FV_OK && fv_recipe_open(&then, path, NULL, 0, &why) == FV_OK;
    if (same) {
        json_object_set(then->json, "threads", json_object_get(now->json, "threads"));
        same = json_equal(then->json, now->json);
    }
    if (s == FV_OK && !same) s = fv_fail(err, FV_BAD_RECIPE, "%s: was made by another recipe than this one; leave --resume out to begin anew, or give another out=", folder);
    fv_recipe_close(then);
    free(path);
    return s;
}

/* Number `number` of all. Its report is the last thing that a run writes. */
static fv_status run_one(const fv_arms *a, const fv_recipe *run, int number, const fv_train_options *options, fv_error *err) {
    const char *folder = fv_arms_folder(run);
    char label[128];
    if (has_file(folder, "report.html")) return FV_OK;
    snprintf(label, sizeof label, "%.80s, %d of %d", fv_arms_name(run), number, a->seed_count * a->arm_count + (a->shared != NULL));
    fv_train_options one = *options;
    one.label = label;
    return fv_train(run, &one, err);
}

/* Adds what a run reads to *prompts; a run that is done reads nothing more. */
static fv_status check_one(json_t *prompts, const fv_arms *a, const fv_recipe *run, bool resume, fv_error *err) {
    json_t *own;
    fv_sources_when when = {.moved = resume ? NULL : fv_arms_folder(a->recipe), .made = a->shared && run != a->shared ? fv_arms_folder(a->shared) : NULL};
    if (resume && has_file(fv_arms_folder(run), "report.html")) return FV_OK;
    fv_status s = fv_sources_open(&own, run, when, err);
    if (s != FV_OK) return fv_fail_in(err, "%s", fv_arms_name(run));
    int failed = json_object_update(prompts, own);
    json_decref(own);
    return failed ? fv_fail(err, FV_NO_MEMORY, "%s: out of memory", a->recipe->file) : FV_OK;
}

/* Mistakes of any run are told before an earlier comparison makes way and before the first one is trained. Seeds differ in nothing that is read. */
static fv_status check_sources(json_t **prompts, const fv_arms *a, bool resume, fv_error *err) {
    *prompts = json_object();
    if (!*prompts) return fv_fail(err, FV_NO_MEMORY, "%s: out of memory", a->recipe->file);
    if (a->shared) FV_TRY(check_one(*prompts, a, a->shared, resume, err));
    for (int i = 0; i < (resume ? a->seed_count : 1) * a->arm_count; i++) FV_TRY(check_one(*prompts, a, a->runs[i].recipe, resume, err));
    return FV_OK;
}

/* What an arm says of weights (freeze, muon, lora), and the memory that it needs, by the model that all begin with: its own is yet to be trained. */
static fv_status check_weights(const fv_arms *a, const fv_recipe *run, fv_error *err) {
    static const char *const start[] = {"model", "adapter", "lora"};
    fv_recipe like = *run;
    fv_needs needs;
    like.json = json_copy(run->json); /* stages are shared */
    int failed = like.json ? 0 : -1;
    for (size_t i = 0; i < FV_COUNT(start) && !failed; i++) {
        const json_t *value = fv_get(a->recipe->json, start[i]);
        if (value) failed = json_object_set(like.json, start[i], (json_t *)value);
    }
    fv_status s = failed ? fv_fail(err, FV_NO_MEMORY, "%s: out of memory", run->file) : fv_needs_find(&needs, &like, err);
    if (s == FV_OK) s = fv_needs_check(&needs, &like, err);
    json_decref(like.json);
    if (s != FV_OK) fv_fail_in(err, "%s", fv_arms_name(run));
    return s;
}

static fv_status begin_folder(const fv_arms *a, bool resume, fv_error *err) {
    const char *folder = fv_arms_folder(a->recipe);
    json_t *prompts;
    fv_text t = {0};
    fv_status s = check_sources(&prompts, a, resume, err);
    for (int i = 0; i < a->arm_count && s == FV_OK && !resume; i++) s = check_weights(a, a->runs[i].recipe, err);
    if (s == FV_OK && !resume) s = fv_run_make_way(folder, NULL, err);
    if (s == FV_OK && a->shared) s = check_same(a->shared, err);
    for (int i = 0; i < a->seed_count * a->arm_count && s == FV_OK; i++) s = check_same(a->runs[i].recipe, err);
    if (s == FV_OK) s = fv_folder_make(folder, err);
    if (s == FV_OK) s = fv_sources_keep(prompts, folder, err);
    json_decref(prompts);
    FV_TRY(s);
    fv_yaml_write(&t, a->tree);
    return fv_file_save(folder, "recipe.yaml", &t, err);
}

static fv_status write_results(const fv_arms *a, fv_text *table, fv_error *err) {
    fv_comparison c;
    fv_status s = fv_comparison_open(&c, a, err);
    if (s == FV_OK) s = fv_comparison_write(&c, err);
    if (s == FV_OK) s = fv_comparison_page(&c, err);
    if (s == FV_OK && table) s = fv_comparison_text(table, &c, err);
    fv_comparison_close(&c);
    return s;
}

fv_status fv_compare(const fv_arms *a, const fv_train_options *options, fv_text *table, fv_error *err) {
    int number = 1;
    FV_TRY(begin_folder(a, options->resume, err));
    if (a->shared) FV_TRY(run_one(a, a->shared, number++, options, err));
    for (int i = 0; i < a->seed_count * a->arm_count; i++) FV_TRY(run_one(a, a->runs[i].recipe, number++, options, err));
    return write_results(a, table, err);
}
