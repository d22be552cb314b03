#include "rl/train/sources.h"

#include "core/file.h"
#include "language/init.h"
#include "rl/judge/judge_prompt.h"
#include "rl/judge/judging.h"
#include "rl/train/curriculum.h"
#include "rl/train/others.h"

#include <stdlib.h>
#include <string.h>

/* True if `path` is `folder` or lies below it; folder NULL: it doesn't. */
static bool is_within(const char *path, const char *folder) {
    char *inner = folder ? fv_path_absolute(path) : NULL, *outer = folder ? fv_path_absolute(folder) : NULL;
    size_t n = outer ? strlen(outer) : 0;
    if (n == 1) n = 0; /* "/" */
    bool within = inner && outer && !strncmp(inner, outer, n) && (inner[n] == '/' || !inner[n]);
    free(inner);
    free(outer);
    return within;
}

/* What a new run reads can't lie in the folder that is moved aside for it. */
static fv_status check_place(const fv_recipe *r, const char *field, const char *path, fv_sources_when when, fv_error *err) {
    if (!path || !is_within(path, when.moved)) return FV_OK;
    return fv_fail(err, FV_BAD_RECIPE, "%s: %s %s lies in the folder %s, which is moved aside for a new run; give another out=, or --resume", r->file, field, path, when.moved);
}

/* ---- The export ---- */

/* The exported model takes the place of an older one, which is moved aside, and of nothing else: a wrong name must not cost anyone their files. */
static fv_status check_export(const fv_recipe *r, fv_error *err) {
    const char *folder = fv_get_text(r->json, "export"), *base = fv_get_text(r->json, "model.path");
    if (!folder) return FV_OK;
    if (fv_file_exists(folder)) return fv_fail(err, FV_BAD_RECIPE, "%s: export must be a folder, %s is a file", r->file, folder);
    if (is_within(fv_get_text(r->json, "out"), folder)) return fv_fail(err, FV_BAD_RECIPE, "%s: export must be a folder of its own, %s holds the run", r->file, folder);
    if (base && is_within(base, folder) && (fv_get_text(r->json, "adapter") || fv_get_int(r->json, "lora.r")))
        return fv_fail(err, FV_BAD_RECIPE, "%s: export must be a folder of its own: an adapter in place of its model %s would be nothing's", r->file, base);
    if (!fv_folder_exists(folder)) return FV_OK;
    fv_names names;
    FV_TRY(fv_folder_list(&names, folder, err));
    bool model = false;
    for (size_t i = 0; i < names.count; i++) model |= !strcmp(names.names[i], "config.json") || !strcmp(names.names[i], "adapter_config.json");
    fv_status s = !names.count || model ? FV_OK : fv_fail(err, FV_BAD_RECIPE, "%s: export must be a new or empty folder, or an older model's; %s holds something else", r->file, folder);
    fv_names_free(&names);
    return s;
}

/* ---- Models ---- */

/* With an adapter's folder (NULL: none) on it. */
static fv_status try_model(const fv_recipe *r, const char *field, const char *adapter, fv_sources_when when, fv_error *err) {
    const char *path = fv_get_text(r->json, field);
    fv_model *m;
    if (!path || is_within(path, when.made)) return FV_OK;
    if (path[0] != '/' && !fv_folder_exists(path)) return fv_fail(err, FV_BAD_MODEL, "%s: %s: there is no folder %s here; a recipe's paths are meant from the working folder", r->file, field, path);
    FV_TRY(check_place(r, field, path, when, err));
    FV_TRY(fv_model_open(&m, path, err));
    fv_status s = adapter ? fv_model_adapt(m, adapter, err) : FV_OK;
    fv_model_close(m);
    return s;
}

static fv_status try_preset(const fv_recipe *r, const char *init, fv_error *err) {
    fv_new_weights shapes;
    fv_model *m;
    fv_status s = fv_model_outline(&m, &shapes, init, err);
    if (s == FV_BAD_USAGE && err) err->status = FV_BAD_RECIPE; /* an unknown preset is a field's fault here */
    if (s != FV_OK) return fv_fail_in(err, "%s: model.init", r->file);
    fv_model_close(m);
    fv_new_weights_clear(&shapes);
    return FV_OK;
}

static fv_status check_models(const fv_recipe *r, fv_sources_when when, fv_error *err) {
    const char *init = fv_get_text(r->json, "model.init"), *adapter = fv_get_text(r->json, "adapter");
    if (adapter && is_within(adapter, when.made)) adapter = NULL;
    FV_TRY(check_place(r, "adapter", adapter, when, err));
    if (adapter && !fv_folder_exists(adapter)) return fv_fail(err, FV_BAD_MODEL, "%s: adapter: there is no folder %s", r->file, adapter);
    if (init && when.moved) FV_TRY(try_preset(r, init, err)); /* a resumed run has its model */
    return try_model(r, "model.path", adapter, when, err);
}

/* ---- Data ---- */

/* OUT/NAME.jsonl of a filter before stage `number`. */
static bool is_filtered(const fv_recipe *r, int number, const char *path) {
    bool found = false;
    for (int i = 0; i < number && !found; i++) {
        fv_text name = {0};
        if (r->stages[i].kind != FV_STAGE_FILTER) continue;
        fv_text_printf(&name, "%s/%s.jsonl", fv_get_text(r->json, "out"), r->stages[i].name);
        char *a = name.failed ? NULL : fv_path_absolute(name.data), *b = fv_path_absolute(path);
        found = a && b && !strcmp(a, b);
        free(a);
        free(b);
        fv_text_clear(&name);
    }
    return found;
}

/* number: of the stage that reads it. */
static fv_status check_data(const fv_recipe *r, const char *field, const json_t *spec, int number, fv_sources_when when, fv_error *err) {
    if (!spec || json_object_get(spec, "stage")) return FV_OK;
    for (size_t i = 0; json_is_array(spec) && i < json_array_size(spec); i++) FV_TRY(check_data(r, field, json_array_get(spec, i), number, when, err));
    const char *path = json_is_string(spec) ? json_string_value(spec) : json_string_value(json_object_get(spec, "path"));
    if (json_is_array(spec) || (path && (is_filtered(r, number, path) || is_within(path, when.made)))) return FV_OK;
    FV_TRY(check_place(r, field, path, when, err));
    fv_dataset *data;
    FV_TRY(fv_curriculum_data(&data, spec, (uint64_t)fv_get_int(r->json, "seed"), err));
    fv_dataset_close(data);
    return FV_OK;
}

static fv_status check_all_data(const fv_recipe *r, fv_sources_when when, fv_error *err) {
    int whole = -1; /* the first stage that reads the recipe's own */
    for (int i = when.stage; i < r->stage_count; i++) {
        const json_t *own = fv_get(r->stages[i].json, "data");
        if (own) FV_TRY(check_data(r, "data", own, i, when, err));
        else if (whole < 0) whole = i;
    }
    if (whole >= 0) FV_TRY(check_data(r, "data", fv_get(r->json, "data"), whole, when, err));
    return check_data(r, "eval_data", fv_get(r->json, "eval_data"), r->stage_count, when, err);
}

/* ---- Judges ---- */

char *fv_sources_beside(const fv_recipe *r, const char *name) {
    char *folder = fv_path_folder(r->file), *path = folder ? fv_path_join(folder, name) : NULL;
    free(folder);
    return path;
}

static bool leads_up(const char *name) {
    for (const char *at = name; at; at = strchr(at, '/') ? strchr(at, '/') + 1 : NULL)
        if (!strncmp(at, "..", 2) && (!at[2] || at[2] == '/')) return true;
    return false;
}

/* given: a name, or names by kind. */
static fv_status read_prompts(json_t *prompts, const fv_recipe *r, const json_t *given, fv_error *err) {
    const char *kind, *name = json_string_value(given);
    json_t *of_kind;
    json_object_foreach((json_t *)given, kind, of_kind) FV_TRY(read_prompts(prompts, r, of_kind, err));
    if (!name) return FV_OK;
    if (leads_up(name)) return fv_fail(err, FV_BAD_RECIPE, "%s: prompt %s must lie beside the recipe or below it, where a run folder can keep a copy, or have an absolute name", r->file, name);
    char *path = fv_sources_beside(r, name), *text = NULL;
    fv_judge_prompt parsed;
    fv_status s = path ? fv_judge_prompt_read(&parsed, path, err) : fv_fail(err, FV_NO_MEMORY, "%s: out of memory", r->file);
    if (s == FV_OK) {
        fv_judge_prompt_clear(&parsed);
        s = fv_file_read(&text, NULL, path, err);
    }
    if (s == FV_OK && json_object_set_new(prompts, name, json_string(text))) s = fv_fail(err, FV_BAD_RECIPE, "%s: is no text in UTF-8", path);
    free(text);
    free(path);
    return s;
}

static fv_status check_judges(json_t *prompts, const fv_recipe *r, fv_sources_when when, fv_error *err) {
    bool asked = false;
    for (int i = when.stage; i < r->stage_count; i++) {
        fv_pipeline *parts;
        const fv_use *use = NULL;
        FV_TRY(fv_pipeline_open(&parts, r->stages[i].json, err));
        fv_status s = fv_judging_use(&use, r, &r->stages[i], parts, err);
        if (s == FV_OK && use) s = read_prompts(prompts, r, json_object_get(use->options, "prompt"), err);
        asked |= use != NULL;
        fv_pipeline_close(parts);
        FV_TRY(s);
    }
    return asked ? try_model(r, "judge.path", NULL, when, err) : FV_OK;
}

/* ---- Teachers ---- */

/* Opened beside the policy, where both are there: what one writes, the other must be able to score. */
static fv_status try_teacher(const fv_recipe *r, fv_sources_when when, fv_error *err) {
    const char *path = fv_get_text(r->json, "model.path");
    fv_model *policy = NULL, *teacher = NULL;
    FV_TRY(try_model(r, "teacher.path", NULL, when, err));
    if (!path || is_within(path, when.made) || is_within(fv_get_text(r->json, "teacher.path"), when.made)) return FV_OK;
    fv_status s = fv_model_open(&policy, path, err);
    if (s == FV_OK) s = fv_model_open(&teacher, fv_get_text(r->json, "teacher.path"), err);
    if (s == FV_OK) s = fv_others_fit(policy, teacher, r, err);
    fv_model_close(teacher);
    fv_model_close(policy);
    return s;
}

static fv_status check_teachers(const fv_recipe *r, fv_sources_when when, fv_error *err) {
    bool taught = false;
    for (int i = when.stage; i < r->stage_count; i++) {
        fv_pipeline *parts;
        bool here;
        FV_TRY(fv_pipeline_open(&parts, r->stages[i].json, err));
        fv_status s = fv_others_teacher(&here, r, &r->stages[i], parts, err);
        taught |= here;
        fv_pipeline_close(parts);
        FV_TRY(s);
    }
    return taught ? try_teacher(r, when, err) : FV_OK;
}

fv_status fv_sources_open(json_t **prompts, const fv_recipe *r, fv_sources_when when, fv_error *err) {
    *prompts = json_object();
    fv_status s = *prompts ? check_export(r, err) : fv_fail(err, FV_NO_MEMORY, "%s: out of memory", r->file);
    if (s == FV_OK) s = check_models(r, when, err);
    if (s == FV_OK) s = check_all_data(r, when, err);
    if (s == FV_OK) s = check_judges(*prompts, r, when, err);
    if (s == FV_OK) s = check_teachers(r, when, err);
    if (s == FV_OK) return FV_OK;
    json_decref(*prompts);
    *prompts = NULL;
    return s;
}

fv_status fv_sources_keep(const json_t *prompts, const char *folder, fv_error *err) {
    const char *name;
    json_t *text;
    json_object_foreach((json_t *)prompts, name, text) {
        if (name[0] == '/') continue;
        char *to = fv_path_join(folder, name), *above = to ? fv_path_folder(to) : NULL;
        fv_status s = fv_folder_make(above, err);
        if (s == FV_OK) s = fv_file_write(to, json_string_value(text), json_string_length(text), err);
        free(above);
        free(to);
        FV_TRY(s);
    }
    return FV_OK;
}
