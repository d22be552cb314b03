#include "rl/sources.h"

#include "core/file.h"
#include "datasets/dataset.h"
#include "language/init.h"
#include "rl/judge_prompt.h"
#include "rl/pipeline.h"

#include <stdlib.h>
#include <string.h>

/* True if `path` is `folder` or lies below it. */
static bool is_within(const char *path, const char *folder) {
    char *inner = fv_path_absolute(path), *outer = fv_path_absolute(folder);
    size_t n = outer ? strlen(outer) : 0;
    if (n == 1) n = 0; /* "/" */
    bool within = inner && outer && !strncmp(inner, outer, n) && (inner[n] == '/' || !inner[n]);
    free(inner);
    free(outer);
    return within;
}

/* ---- The export ---- */

/* The exported model takes the place of an older one, which is moved aside, and of nothing else: a wrong name must not cost anyone their files. */
static fv_status check_export(const fv_recipe *r, fv_error *err) {
    const char *folder = fv_get_text(r->json, "export");
    if (!folder) return FV_OK;
    if (fv_file_exists(folder)) return fv_fail(err, FV_BAD_RECIPE, "%s: export must be a folder, %s is a file", r->file, folder);
    if (is_within(fv_get_text(r->json, "out"), folder)) return fv_fail(err, FV_BAD_RECIPE, "%s: export must be a folder of its own, %s holds the run", r->file, folder);
    if (!fv_folder_exists(folder)) return FV_OK;
    fv_names names;
    FV_TRY(fv_folder_list(&names, folder, err));
    bool model = false;
    for (size_t i = 0; i < names.count; i++) model |= !strcmp(names.names[i], "config.json");
    fv_status s = !names.count || model ? FV_OK : fv_fail(err, FV_BAD_RECIPE, "%s: export must be a new or empty folder, or an older model's; %s holds something else", r->file, folder);
    fv_names_free(&names);
    return s;
}

/* ---- Models and data ---- */

/* What a new run reads can't lie in the folder that is moved aside for it. */
static fv_status check_place(const fv_recipe *r, const char *field, const char *path, bool fresh, fv_error *err) {
    const char *out = fv_get_text(r->json, "out");
    if (!fresh || !path || !is_within(path, out)) return FV_OK;
    return fv_fail(err, FV_BAD_RECIPE, "%s: %s %s lies in the run folder %s, which is moved aside for a new run; give another out=, or --resume", r->file, field, path, out);
}

static fv_status try_model(const fv_recipe *r, const char *field, const char *adapter, bool fresh, fv_error *err) {
    const char *path = fv_get_text(r->json, field), *beside = adapter ? fv_get_text(r->json, adapter) : NULL;
    fv_model *m;
    if (!path) return FV_OK;
    if (path[0] != '/' && !fv_folder_exists(path)) return fv_fail(err, FV_BAD_MODEL, "%s: %s: there is no folder %s here; a recipe's paths are meant from the working folder", r->file, field, path);
    FV_TRY(check_place(r, field, path, fresh, err));
    if (beside) FV_TRY(check_place(r, adapter, beside, fresh, err));
    FV_TRY(fv_model_open(&m, path, err));
    fv_status s = beside ? fv_model_adapt(m, beside, err) : FV_OK;
    fv_model_close(m);
    return s;
}

static fv_status check_models(const fv_recipe *r, bool fresh, fv_error *err) {
    const char *init = fresh ? fv_get_text(r->json, "model.init") : NULL;
    fv_new_weights shapes;
    fv_model *m;
    if (init) {
        fv_status s = fv_model_outline(&m, &shapes, init, err);
        if (s == FV_BAD_USAGE && err) err->status = FV_BAD_RECIPE; /* an unknown preset is a field's fault here */
        if (s != FV_OK) return fv_fail_in(err, "%s: model.init", r->file);
        fv_model_close(m);
        fv_new_weights_clear(&shapes);
    }
    FV_TRY(try_model(r, "model.path", "adapter", fresh, err));
    return try_model(r, "judge.path", NULL, fresh, err);
}

/* filtered: stages of this run write files by then. */
static fv_status check_data(const fv_recipe *r, const char *field, const json_t *spec, bool fresh, bool filtered, fv_error *err) {
    if (!spec || json_object_get(spec, "stage")) return FV_OK;
    for (size_t i = 0; json_is_array(spec) && i < json_array_size(spec); i++) FV_TRY(check_data(r, field, json_array_get(spec, i), fresh, filtered, err));
    if (json_is_array(spec)) return FV_OK;
    const char *path = json_is_string(spec) ? json_string_value(spec) : json_string_value(json_object_get(spec, "path"));
    if (path && filtered && is_within(path, fv_get_text(r->json, "out"))) return FV_OK;
    FV_TRY(check_place(r, field, path, fresh, err));
    fv_dataset *data;
    FV_TRY(fv_dataset_open(&data, spec, (uint64_t)fv_get_int(r->json, "seed"), err));
    fv_dataset_close(data);
    return FV_OK;
}

static fv_status check_all_data(const fv_recipe *r, bool fresh, fv_error *err) {
    bool filtered = false;
    FV_TRY(check_data(r, "data", fv_get(r->json, "data"), fresh, false, err));
    for (int i = 0; i < r->stage_count; i++) {
        FV_TRY(check_data(r, "data", fv_get(r->stages[i].json, "data"), fresh, filtered, err));
        filtered |= r->stages[i].kind == FV_STAGE_FILTER;
    }
    return check_data(r, "eval_data", fv_get(r->json, "eval_data"), fresh, filtered, err);
}

/* ---- Prompts of judges ---- */

char *fv_sources_beside(const fv_recipe *r, const char *name) {
    char *folder = fv_path_folder(r->file), *path = folder ? fv_path_join(folder, name) : NULL;
    free(folder);
    return path;
}

/* Told of a prompt's name in the recipe, and where it is. */
typedef fv_status prompt_visitor(const void *context, const fv_recipe *r, const char *name, const char *path, fv_error *err);

static fv_status visit_prompt(const fv_recipe *r, const json_t *given, prompt_visitor *visit, const void *context, fv_error *err) {
    const char *kind, *name = json_string_value(given);
    json_t *of_kind;
    json_object_foreach((json_t *)given, kind, of_kind) FV_TRY(visit_prompt(r, of_kind, visit, context, err));
    if (!name) return FV_OK; /* the judging says what it should be */
    char *path = fv_sources_beside(r, name);
    fv_status s = path ? visit(context, r, name, path, err) : fv_fail(err, FV_NO_MEMORY, "%s: out of memory", r->file);
    free(path);
    return s;
}

static fv_status visit_prompts(const fv_recipe *r, prompt_visitor *visit, const void *context, fv_error *err) {
    for (int i = 0; i < r->stage_count; i++) {
        fv_pipeline *parts;
        FV_TRY(fv_pipeline_open(&parts, r->stages[i].json, err));
        fv_status s = FV_OK;
        for (int k = 0; k < parts->terms.count && s == FV_OK; k++) {
            const fv_use *u = &parts->terms.uses[k];
            if (u->part->needs & FV_NEED_JUDGE) s = visit_prompt(r, json_object_get(u->options, "prompt"), visit, context, err);
        }
        fv_pipeline_close(parts);
        FV_TRY(s);
    }
    return FV_OK;
}

static fv_status try_prompt(const void *context, const fv_recipe *r, const char *name, const char *path, fv_error *err) {
    fv_judge_prompt prompt;
    (void)name;
    FV_TRY(check_place(r, "prompt", path, *(const bool *)context, err));
    FV_TRY(fv_judge_prompt_read(&prompt, path, err));
    fv_judge_prompt_clear(&prompt);
    return FV_OK;
}

static fv_status keep_prompt(const void *context, const fv_recipe *r, const char *name, const char *path, fv_error *err) {
    (void)r;
    if (name[0] == '/' || strstr(name, "..")) return FV_OK;
    char *to = fv_path_join(context, name), *folder = to ? fv_path_folder(to) : NULL;
    fv_status s = fv_folder_make(folder, err);
    if (s == FV_OK) s = fv_file_copy(path, to, err);
    free(folder);
    free(to);
    return s;
}

fv_status fv_sources_keep(const fv_recipe *r, const char *folder, fv_error *err) { return visit_prompts(r, keep_prompt, folder, err); }

fv_status fv_sources_check(const fv_recipe *r, bool fresh, fv_error *err) {
    FV_TRY(check_export(r, err));
    FV_TRY(check_models(r, fresh, err));
    FV_TRY(check_all_data(r, fresh, err));
    return visit_prompts(r, try_prompt, &fresh, err);
}
