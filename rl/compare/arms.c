#include "rl/compare/arms.h"

#include "core/file.h"
#include "datasets/dataset.h"
#include "rl/pipeline.h"
#include "rl/recipe/recipe_value.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool fv_arms_wanted(const fv_recipe *recipe) { return fv_get(recipe->json, "arms") != NULL; }
const char *fv_arms_folder(const fv_recipe *run) { return fv_get_text(run->json, "out"); }
const char *fv_arms_name(const fv_recipe *run) { return fv_path_name(fv_arms_folder(run)); }

/* ---- The fields ---- */

static fv_status read_arms(fv_arms *a, const fv_yaml *arms, fv_error *err) {
    if (!arms || !arms->count) return fv_yaml_fail(arms, err, "arms must name at least one arm: {plain: {}, other: {stages.rl.optim.lr: 1.0e-4}}");
    if (arms->count > FV_ARMS_MOST) return fv_yaml_fail(arms, err, "there may be %d arms, got %zu", FV_ARMS_MOST, arms->count);
    for (size_t i = 0; i < arms->count; i++) {
        const fv_yaml *arm = arms->items[i];
        if (!fv_recipe_good_name(arm->key)) return fv_yaml_fail(arm, err, "arms: names are 1 to 64 letters, digits, '-', '_' and '.', since folders are called after them, got %.80s", arm->key);
        if (arm->kind != FV_YAML_MAPPING) return fv_yaml_fail(arm, err, "arms.%s must be a mapping of what it changes: {path.to.field: value}, or {} for nothing", arm->key);
    }
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)fv_get(a->recipe->json, "arms"), name, value) a->names[a->arm_count++] = name;
    return FV_OK;
}

static fv_status read_seeds(fv_arms *a, const fv_yaml *seeds, fv_error *err) {
    a->seeds[0] = fv_get_int(a->recipe->json, "seed");
    a->seed_count = 1;
    if (!seeds || !seeds->count) return FV_OK;
    if (seeds->count > FV_ARMS_SEEDS) return fv_yaml_fail(seeds, err, "there may be %d seeds, got %zu", FV_ARMS_SEEDS, seeds->count);
    for (size_t i = 0; i < seeds->count; i++) {
        bool good = fv_yaml_int(seeds->items[i], &a->seeds[i]) && a->seeds[i] >= 0 && a->seeds[i] <= 9000000000000000;
        for (size_t k = 0; k < i && good; k++) good = a->seeds[k] != a->seeds[i];
        if (!good) return fv_yaml_fail(seeds->items[i], err, "seeds must be different whole numbers 0..9e+15");
    }
    a->seed_count = (int)seeds->count;
    return FV_OK;
}

static fv_status read_shared(fv_arms *a, const fv_yaml *shared, fv_error *err) {
    const fv_recipe *r = a->recipe;
    a->shared_stages = shared ? (int)shared->count : 0;
    for (int i = 0; i < a->shared_stages; i++) {
        const char *name = fv_yaml_word(shared->items[i]);
        if (i + 1 >= r->stage_count || !name || strcmp(name, r->stages[i].name))
            return fv_yaml_fail(shared->items[i], err, "shared must be the first stages in their order, and not all of them; stage %d of %d is %s", i + 1, r->stage_count,
                                i < r->stage_count ? r->stages[i].name : "not there");
    }
    return FV_OK;
}

static fv_status read_compare(const fv_yaml *compare, fv_error *err) {
    if (compare && compare->count >= FV_ARMS_METRICS) return fv_yaml_fail(compare, err, "compare may name %d metrics, got %zu", FV_ARMS_METRICS - 1, compare->count);
    for (size_t i = 0; compare && i < compare->count; i++)
        if (!fv_yaml_word(compare->items[i])) return fv_yaml_fail(compare->items[i], err, "compare must be names of metrics: [completions/mean_length]");
    return FV_OK;
}

static fv_status read_fields(fv_arms *a, fv_error *err) {
    const fv_yaml *t = a->tree;
    FV_TRY(read_arms(a, fv_yaml_get(t, "arms"), err));
    FV_TRY(read_seeds(a, fv_yaml_get(t, "seeds"), err));
    FV_TRY(read_shared(a, fv_yaml_get(t, "shared"), err));
    FV_TRY(read_compare(fv_yaml_get(t, "compare"), err));
    if (fv_get_text(a->recipe->json, "export")) return fv_yaml_fail(fv_yaml_get(t, "export"), err, "export is not for a recipe with arms: every run keeps its model in checkpoints/");
    return FV_OK;
}

/* ---- What an arm changes ---- */

/* True if the path is `field` or lies below it. */
static bool is_field(const char *path, const char *field) {
    size_t n = strlen(field);
    return !strncmp(path, field, n) && (!path[n] || path[n] == '.');
}

/* What is one for the whole comparison; with shared stages, also what they began with. */
static fv_status check_change(const fv_arms *a, const char *path, fv_error *err) {
    static const char *const whole[] = {"arms", "seeds", "shared", "compare", "seed", "out", "name", "export"}, *const start[] = {"model", "adapter", "lora"};
    for (size_t i = 0; i < FV_COUNT(whole); i++)
        if (is_field(path, whole[i])) return fv_fail(err, FV_BAD_RECIPE, "%s is the same for all arms", path);
    if (!strcmp(path, "stages")) return fv_fail(err, FV_BAD_RECIPE, "name the fields of stages one by one: stages.%s.FIELD", a->recipe->stages[0].name);
    for (size_t i = 0; i < FV_COUNT(start) && a->shared_stages; i++)
        if (is_field(path, start[i])) return fv_fail(err, FV_BAD_RECIPE, "%s can't be changed, since every arm begins with the model of the shared stages", path);
    char stage[300];
    snprintf(stage, sizeof stage, "stages.%.*s", !strncmp(path, "stages.", 7) ? (int)strcspn(path + 7, ".") : 0, path + 7);
    const fv_yaml *changed = fv_yaml_find(a->tree, stage), *stages = fv_yaml_get(a->tree, "stages");
    int only = fv_recipe_stage_of(a->tree, path);
    if (only >= 0) changed = stages->items[only];
    for (int i = 0; i < a->shared_stages; i++)
        if (changed == stages->items[i]) return fv_fail(err, FV_BAD_RECIPE, "%s can't be changed, since stage %s runs once for all arms (shared)", path, a->recipe->stages[i].name);
    return FV_OK;
}

/* "path=value" as on the command line. */
static fv_status change_text(const fv_yaml *change, char **out, fv_error *err) {
    fv_text t = {0};
    fv_text_printf(&t, "%s=", change->key);
    if (change->kind == FV_YAML_SCALAR && !change->quoted) fv_text_add(&t, fv_yaml_is_null(change) ? "" : fv_yaml_word(change));
    else {
        json_t *value = fv_recipe_json(change);
        fv_json_dump(&t, value, 0);
        json_decref(value);
    }
    return fv_text_take(&t, out, NULL, err);
}

static fv_status change_tree(const fv_arms *a, fv_yaml *tree, const fv_yaml *arm, fv_error *err) {
    for (size_t i = 0; i < arm->count; i++) {
        char *text;
        FV_TRY(check_change(a, arm->items[i]->key, err));
        FV_TRY(change_text(arm->items[i], &text, err));
        fv_status s = fv_recipe_change(tree, (const char *const[]){text}, 1, err);
        free(text);
        FV_TRY(s);
    }
    return FV_OK;
}

/* ---- Trees of single runs ---- */

/* A source of rows; what a shared filter kept is a file by now. */
static fv_yaml *copy_source(const fv_arms *a, const fv_yaml *source) {
    const char *stage = fv_yaml_word(fv_yaml_get(source, "stage"));
    bool shared = false;
    for (int i = 0; i < a->shared_stages && stage; i++) shared |= !strcmp(stage, a->recipe->stages[i].name);
    if (source->kind == FV_YAML_SCALAR || (source->kind == FV_YAML_MAPPING && !shared)) return fv_yaml_copy(source);
    fv_yaml *copy = fv_yaml_new(source->kind);
    fv_status s = copy ? FV_OK : FV_NO_MEMORY;
    for (size_t i = 0; i < source->count && s == FV_OK; i++) {
        const fv_yaml *item = source->items[i];
        if (source->kind == FV_YAML_SEQUENCE) s = fv_yaml_append(copy, copy_source(a, item), NULL);
        else if (strcmp(item->key, "stage")) s = fv_yaml_put(copy, item->key, fv_yaml_copy(item), NULL);
    }
    if (shared && s == FV_OK) {
        char name[128];
        snprintf(name, sizeof name, "shared/%.64s.jsonl", stage);
        char *path = fv_path_join(fv_arms_folder(a->recipe), name);
        s = path ? fv_yaml_put(copy, "path", fv_yaml_new_text(path), NULL) : FV_NO_MEMORY;
        free(path);
    }
    if (s == FV_OK) return copy;
    fv_yaml_free(copy);
    return NULL;
}

/* Stages [first, last). */
static fv_yaml *copy_stages(const fv_arms *a, const fv_yaml *stages, int first, int last) {
    fv_yaml *copy = fv_yaml_new(FV_YAML_SEQUENCE);
    fv_status s = copy ? FV_OK : FV_NO_MEMORY;
    for (int i = first; i < last && s == FV_OK; i++) {
        const fv_yaml *data = fv_yaml_get(stages->items[i], "data");
        fv_yaml *stage = fv_yaml_copy(stages->items[i]);
        if (stage && data && first) s = fv_yaml_put(stage, "data", copy_source(a, data), NULL);
        if (s == FV_OK) s = fv_yaml_append(copy, stage, NULL);
        else fv_yaml_free(stage);
    }
    if (s == FV_OK) return copy;
    fv_yaml_free(copy);
    return NULL;
}

/* A copy of `tree` with stages [first, last) alone, nothing of the comparison in it, and a folder of its own. NULL: out of memory. */
static fv_yaml *copy_run(const fv_arms *a, const fv_yaml *tree, int first, int last, const char *name) {
    static const char *const left_out[] = {"arms", "seeds", "shared", "compare", "export"};
    fv_yaml *copy = fv_yaml_new(FV_YAML_MAPPING);
    fv_status s = copy ? FV_OK : FV_NO_MEMORY;
    for (size_t i = 0; i < tree->count && s == FV_OK; i++) {
        const fv_yaml *item = tree->items[i];
        bool out = false;
        for (size_t k = 0; k < FV_COUNT(left_out); k++) out |= !strcmp(item->key, left_out[k]);
        if (!out) s = fv_yaml_put(copy, item->key, strcmp(item->key, "stages") ? fv_yaml_copy(item) : copy_stages(a, item, first, last), NULL);
    }
    fv_text title = {0};
    fv_text_printf(&title, "%s, %s", fv_get_text(a->recipe->json, "name"), name);
    char *folder = fv_path_join(fv_arms_folder(a->recipe), name);
    if (s == FV_OK) s = title.failed || !folder ? FV_NO_MEMORY : fv_yaml_put(copy, "name", fv_yaml_new_text(title.data), NULL);
    if (s == FV_OK) s = fv_yaml_put(copy, "out", fv_yaml_new_text(folder), NULL);
    free(folder);
    fv_text_clear(&title);
    if (s == FV_OK) return copy;
    fv_yaml_free(copy);
    return NULL;
}

/* The folder of the model that the shared stages end with. */
static fv_yaml *start_text(const fv_arms *a) {
    char *path = fv_path_join(fv_arms_folder(a->recipe), "shared/model");
    fv_yaml *text = path ? fv_yaml_new_text(path) : NULL;
    free(path);
    return text;
}

/* Exported as f32, whatever checkpoints are kept as: the arms go on from the very weights. */
static fv_status resolve_shared(fv_arms *a, fv_error *err) {
    fv_yaml *tree = copy_run(a, a->tree, 0, a->shared_stages, "shared");
    fv_status s = tree ? fv_yaml_put(tree, "export", start_text(a), err) : FV_OK;
    if (s == FV_OK && tree) s = fv_yaml_put(tree, "save", fv_yaml_new_text("f32"), err);
    if (s == FV_OK) return fv_recipe_resolve(&a->shared, tree, a->recipe->file, err);
    fv_yaml_free(tree);
    return s;
}

/* An adapter that the shared stages trained is part of the folder that they exported. */
static fv_status begin_with_shared(const fv_arms *a, fv_yaml *tree, fv_error *err) {
    fv_yaml *model = fv_yaml_new(FV_YAML_MAPPING);
    FV_TRY(fv_yaml_put(tree, "model", model, err));
    FV_TRY(fv_yaml_put(model, "path", start_text(a), err));
    FV_TRY(fv_yaml_put(tree, "lora", fv_yaml_new(FV_YAML_SCALAR), err));
    return fv_yaml_put(tree, "adapter", fv_yaml_new(FV_YAML_SCALAR), err);
}

static fv_status resolve_run(const fv_arms *a, const fv_yaml *arm, fv_arm_run *run, fv_error *err) {
    char name[96];
    snprintf(name, sizeof name, "%.64s-%lld", arm->key, (long long)run->seed);
    fv_yaml *whole = fv_yaml_copy(a->tree), *tree = NULL;
    fv_status s = whole ? change_tree(a, whole, arm, err) : fv_fail(err, FV_NO_MEMORY, "%s: out of memory", a->recipe->file);
    if (s == FV_OK) {
        tree = copy_run(a, whole, a->shared_stages, (int)fv_yaml_get(whole, "stages")->count, name); /* an arm may leave some out */
        s = tree ? fv_yaml_put(tree, "seed", fv_yaml_new_int(run->seed), err) : fv_fail(err, FV_NO_MEMORY, "%s: out of memory", a->recipe->file);
    }
    if (s == FV_OK && a->shared_stages) s = begin_with_shared(a, tree, err);
    fv_yaml_free(whole);
    if (s == FV_OK) return fv_recipe_resolve(&run->recipe, tree, a->recipe->file, err);
    fv_yaml_free(tree);
    return s;
}

/* Parts are looked at now: their turn may come hours later. */
static fv_status check_run(const fv_recipe *r, fv_error *err) {
    fv_pipeline *parts;
    for (int i = 0; i < r->stage_count; i++) {
        FV_TRY(fv_pipeline_open(&parts, r->stages[i].json, err));
        fv_pipeline_close(parts);
    }
    return FV_OK;
}

/* Puts the arm and its place before what is wrong with it, which is a fault of the recipe, whoever noticed. */
static fv_status in_arm(const fv_arms *a, fv_status s, const fv_yaml *arm, fv_error *err) {
    char place[256];
    size_t file = strlen(a->recipe->file);
    if (s == FV_OK || !err) return s;
    fv_yaml_place(arm, place, sizeof place);
    if (!strncmp(err->text, a->recipe->file, file) && !strncmp(err->text + file, ": ", 2)) memmove(err->text, err->text + file + 2, strlen(err->text + file + 2) + 1); /* said once */
    if (s == FV_BAD_USAGE) err->status = FV_BAD_RECIPE;
    return fv_fail_in(err, "%s: arms.%s", place, arm->key);
}

static fv_status resolve_all(fv_arms *a, fv_error *err) {
    const fv_yaml *arms = fv_yaml_get(a->tree, "arms");
    if (a->shared_stages) FV_TRY(resolve_shared(a, err));
    a->runs = calloc((size_t)(a->seed_count * a->arm_count), sizeof *a->runs);
    if (!a->runs) return fv_fail(err, FV_NO_MEMORY, "%s: out of memory", a->recipe->file);
    for (int i = 0; i < a->seed_count * a->arm_count; i++) {
        fv_arm_run *run = &a->runs[i];
        *run = (fv_arm_run){.arm = i % a->arm_count, .seed = a->seeds[i / a->arm_count]};
        const fv_yaml *arm = arms->items[run->arm];
        FV_TRY(in_arm(a, resolve_run(a, arm, run, err), arm, err));
        if (i < a->arm_count) FV_TRY(in_arm(a, check_run(run->recipe, err), arm, err));
    }
    return FV_OK;
}

static fv_status open_tree(fv_arms *a, const char *path, const char *const *overrides, int override_count, fv_error *err) {
    FV_TRY(fv_yaml_read(&a->tree, path, err));
    FV_TRY(fv_recipe_change(a->tree, overrides, override_count, err));
    FV_TRY(fv_recipe_resolve(&a->recipe, fv_yaml_copy(a->tree), path, err));
    FV_TRY(read_fields(a, err));
    return resolve_all(a, err);
}

fv_status fv_arms_open(fv_arms **out, const char *path, const char *const *overrides, int override_count, fv_error *err) {
    *out = NULL;
    fv_arms *a = calloc(1, sizeof *a);
    if (!a) return fv_fail(err, FV_NO_MEMORY, "%s: out of memory", path);
    fv_status s = open_tree(a, path, overrides, override_count, err);
    if (s == FV_OK) *out = a;
    else fv_arms_close(a);
    return s;
}

void fv_arms_close(fv_arms *a) {
    if (!a) return;
    for (int i = 0; a->runs && i < a->seed_count * a->arm_count; i++) fv_recipe_close(a->runs[i].recipe);
    fv_recipe_close(a->shared);
    fv_recipe_close(a->recipe);
    fv_yaml_free(a->tree);
    free(a->runs);
    free(a);
}
