#include "rl/train/policy.h"

#include "core/file.h"
#include "language/lora.h"
#include "rl/pipeline.h"
#include "rl/train/run.h"

#include <stdlib.h>
#include <string.h>

/* adapter_config.json of a new adapter, as the recipe's `lora` has it; PEFT's defaults elsewhere. */
static json_t *adapter_config(const json_t *lora) {
    static const struct {
        const char *peft, *ours;
    } fields[] = {{"r", "r"}, {"lora_alpha", "alpha"}, {"lora_dropout", "dropout"}, {"target_modules", "targets"}, {"exclude_modules", "exclude"}, {"modules_to_save", "modules_to_save"},
                  {"use_rslora", "rslora"}, {"use_dora", "dora"}};
    json_t *config = json_pack("{s: s, s: s, s: s, s: b, s: b, s: b}", "peft_type", "LORA", "task_type", "CAUSAL_LM", "bias", "none", "fan_in_fan_out", false, "inference_mode", true,
                               "init_lora_weights", true);
    for (size_t i = 0; i < FV_COUNT(fields); i++) {
        json_t *value = json_object_get(lora, fields[i].ours);
        if (value) json_object_set(config, fields[i].peft, value);
    }
    return config;
}

static bool learns_rows(const fv_recipe *r) {
    for (int i = 0; i < r->stage_count; i++)
        if (r->stages[i].kind == FV_STAGE_SFT) return true;
    return false;
}

fv_status fv_train_adapt(fv_model *m, const fv_recipe *r, fv_error *err) {
    const char *folder = fv_get_text(r->json, "adapter");
    if (folder) FV_TRY(fv_model_adapt(m, folder, err));
    if (fv_get_int(r->json, "lora.r")) {
        json_t *config = adapter_config(fv_get(r->json, "lora"));
        fv_status s = config ? fv_model_adapt_new(m, config, (uint64_t)fv_get_int(r->json, "seed"), err) : fv_fail(err, FV_NO_MEMORY, "%s: out of memory", r->file);
        json_decref(config);
        if (s != FV_OK) return fv_fail_in(err, "%s", r->file);
    }
    const fv_lora *l = m->lora;
    if (l && l->config.dora && l->config.dropout > 0 && learns_rows(r))
        return fv_fail(err, FV_UNSUPPORTED, "%s: dropout with DoRA is not trained (PEFT's would need every product twice): set it to 0", l->place);
    return FV_OK;
}

enum { PATTERNS_MAX = 64 };

/* A field's list of name patterns (NULL: none); patterns [PATTERNS_MAX], borrowed from the recipe. */
static fv_status read_patterns(const fv_recipe *r, const char *field, const json_t *list, const char **patterns, int *count, fv_error *err) {
    *count = 0;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *p = json_string_value(json_array_get(list, i));
        if (!p || *count == PATTERNS_MAX) return fv_fail(err, FV_BAD_RECIPE, "%s: %s must be a list of at most %d name patterns", r->file, field, PATTERNS_MAX);
        patterns[(*count)++] = p;
    }
    return FV_OK;
}

static const json_t *freeze_of(const fv_recipe *r, const fv_stage *stage) {
    const json_t *own = fv_get(stage->json, "freeze");
    return own ? own : fv_get(r->json, "freeze");
}

static bool has(const json_t *list, const char *pattern) {
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *p = json_string_value(json_array_get(list, i));
        if (p && !strcmp(p, pattern)) return true;
    }
    return false;
}

/* The patterns that every stage freezes by: what they name has no master, no gradient and no moments in the whole run. */
static fv_status read_freeze(const fv_recipe *r, const char **patterns, int *count, fv_error *err) {
    const fv_stage *first = NULL;
    for (int i = r->stage_count; i-- > 0;)
        if (r->stages[i].kind != FV_STAGE_FILTER) first = &r->stages[i];
    FV_TRY(read_patterns(r, "freeze", first ? freeze_of(r, first) : fv_get(r->json, "freeze"), patterns, count, err));
    for (int i = 0; i < r->stage_count; i++) {
        int kept = 0;
        for (int k = 0; k < *count; k++)
            if (r->stages[i].kind == FV_STAGE_FILTER || has(freeze_of(r, &r->stages[i]), patterns[k])) patterns[kept++] = patterns[k];
        *count = kept;
    }
    return FV_OK;
}

/* Whether some stage's parts want a value head. */
static fv_status wants_head(bool *out, const fv_recipe *r, fv_error *err) {
    *out = false;
    for (int i = 0; i < r->stage_count; i++) {
        fv_pipeline *parts;
        FV_TRY(fv_pipeline_open(&parts, r->stages[i].json, err));
        *out |= (parts->needs & FV_NEED_VALUE) != 0;
        fv_pipeline_close(parts);
    }
    return FV_OK;
}

/* A head that lies in the model's folder (its adapter's, where there is one) is gone on with; else it begins with zeros. */
static fv_status read_head(fv_value_head *head, fv_weights **file, const fv_recipe *r, int64_t width, fv_error *err) {
    const char *folder = fv_get_text(r->json, "adapter") ? fv_get_text(r->json, "adapter") : fv_get_text(r->json, "model.path");
    char *path = folder ? fv_path_join(folder, FV_VALUE_HEAD) : NULL;
    *head = (fv_value_head){{.name = FV_VALUE_HEAD_WEIGHT, .view = fv_mat(NULL, 1, width)}, {.name = FV_VALUE_HEAD_BIAS, .view = fv_vec(NULL, 1)}};
    fv_weight *parts[] = {&head->weight, &head->bias};
    fv_status s = path && fv_file_exists(path) ? fv_weights_open(file, path, err) : FV_OK;
    for (size_t i = 0; i < FV_COUNT(parts) && *file && s == FV_OK; i++) {
        fv_view found, want = parts[i]->view;
        s = fv_weights_get(*file, parts[i]->name, &found, err);
        if (s == FV_OK && (fv_elements(found) != fv_elements(want) || (found.dtype != FV_F32 && found.dtype != FV_BF16)))
            s = fv_fail(err, FV_BAD_MODEL, "%s: %s must have %lld numbers in F32 or BF16, as the model is wide, got %lld in %s", path, parts[i]->name, (long long)fv_elements(want),
                        (long long)fv_elements(found), fv_dtype_name(found.dtype));
        if (s != FV_OK) break;
        parts[i]->view.data = found.data;
        parts[i]->view.dtype = found.dtype;
    }
    free(path);
    return s;
}

fv_status fv_train_policy(fv_slot **out, const fv_recipe *r, const fv_model *m, const fv_weight *weights, const fv_ops *ops, fv_exec exec, fv_error *err) {
    const char *freeze[PATTERNS_MAX], *muon[PATTERNS_MAX];
    *out = NULL;
    fv_slot_options o = {.name = "policy", .train = true, .freeze = freeze, .muon = muon, .offload = fv_get_bool(r->json, "offload_optimizer"), .adapter = fv_model_adapter(m)};
    FV_TRY(read_freeze(r, freeze, &o.freeze_count, err));
    FV_TRY(read_patterns(r, "muon", fv_get(r->json, "muon"), muon, &o.muon_count, err));
    fv_value_head head;
    fv_weights *file = NULL;
    bool wanted;
    FV_TRY(wants_head(&wanted, r, err));
    fv_status s = wanted ? read_head(&head, &file, r, m->config.text.hidden, err) : FV_OK;
    if (wanted) o.head = &head;
    if (s == FV_OK && (s = fv_slot_open(out, ops, exec, weights, m->count, &o, err)) != FV_OK) fv_fail_in(err, "%s", r->file);
    fv_weights_close(file); /* masters are copies */
    for (int i = 0; i < r->stage_count && s == FV_OK; i++) s = fv_train_hold(*out, r, &r->stages[i], err); /* before anything is trained */
    if (s != FV_OK) fv_slot_close(*out);
    if (s != FV_OK) *out = NULL;
    return s;
}

fv_status fv_train_hold(fv_slot *policy, const fv_recipe *r, const fv_stage *stage, fv_error *err) {
    const char *freeze[PATTERNS_MAX];
    int count;
    if (stage->kind == FV_STAGE_FILTER) return FV_OK;
    FV_TRY(read_patterns(r, "freeze", freeze_of(r, stage), freeze, &count, err));
    fv_status s = fv_slot_hold(policy, freeze, count, err);
    if (s != FV_OK && fv_get(stage->json, "freeze")) fv_fail_in(err, "%s: stages.%s", r->file, stage->name);
    return s;
}
