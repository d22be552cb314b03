#include "rl/recipe/recipe_tree.h"

#include "rl/evaluate/protocol.h"
#include "rl/recipe/recipe_value.h"
#include "rl/recipe/schedule.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Resolving a mapping against the table ---- */

static bool under(const char *path, const char *prefix) {
    size_t n = strlen(prefix);
    return !strncmp(path, prefix, n) && path[n] == '.';
}

enum { NAMES_MOST = 256, NAME_ROOM = 64 };

/* Names that may stand where `path` does: fields of `where`, then those of any place, cut to as many words as it has ("modle" may be "model", of model.path). */
static size_t names_like(int where, const char *path, char (*cut)[NAME_ROOM], const char **names) {
    int n, dots = 0;
    const fv_field *all = fv_recipe_fields(&n);
    size_t count = 0;
    for (const char *c = path; *c; c++) dots += *c == '.';
    for (int pass = 0; pass < 2; pass++)
        for (int k = 0; k < n && count < NAMES_MOST - 1; k++) {
            if (!(all[k].where & where) != (pass == 1)) continue;
            size_t length = 0;
            for (int left = dots; all[k].path[length] && (all[k].path[length] != '.' || left-- > 0);) length++;
            snprintf(cut[count], NAME_ROOM, "%.*s", (int)length, all[k].path);
            names[count] = cut[count];
            count++;
        }
    names[count] = "stages";
    return count + 1;
}

/* A field that is meant by `path`: one whose last name it is (lr), one that stands a level higher (model.lora), or one like it (stpes as an override beside the only stage). */
static const char *near_field(int where, const char *path, char (*cut)[NAME_ROOM]) {
    const char *names[NAMES_MOST];
    int n;
    const fv_field *all = fv_recipe_fields(&n);
    for (int k = 0; k < n; k++) {
        const char *dot = strrchr(all[k].path, '.');
        if (dot && !strcmp(dot + 1, path)) return all[k].path;
    }
    const char *last = strrchr(path, '.') ? strrchr(path, '.') + 1 : path;
    for (int k = 0; k < n && last != path; k++)
        if ((all[k].where & where) && (!strcmp(all[k].path, last) || under(all[k].path, last))) return last;
    return fv_suggest(path, names, names_like(where, path, cut, names));
}

/* A field that is right in another place is told so; otherwise the nearest name. */
static fv_status unknown_field(const fv_yaml *y, int where, const char *prefix, const char *path, fv_error *err) {
    static const struct {
        int where;
        const char *place;
    } places[] = {{FV_TOP, "of the recipe itself, beside stages"}, {FV_STAGE_SFT, "of a stage of kind sft"}, {FV_STAGE_GRPO, "of a stage of kind grpo"}, {FV_STAGE_FILTER, "of a stage of kind filter"}};
    int n;
    const fv_field *all = fv_recipe_fields(&n);
    const char *elsewhere = NULL;
    char cut[NAMES_MOST][NAME_ROOM];
    for (int k = 0; k < n && !elsewhere; k++)
        for (size_t i = 0; i < FV_COUNT(places) && !elsewhere; i++)
            if (!(all[k].where & where) && (all[k].where & places[i].where) && (!strcmp(all[k].path, path) || under(all[k].path, path))) elsewhere = places[i].place;
    if (elsewhere) return fv_yaml_fail(y, err, "unknown field %s%s here; it is a field %s", prefix, path, elsewhere);
    const char *near = near_field(where, path, cut);
    if (near) return fv_yaml_fail(y, err, "unknown field %s%s; did you mean %s?", prefix, path, near);
    return fv_yaml_fail(y, err, "unknown field %s%s; `fovea help recipe` lists the fields", prefix, path);
}

/* Complains about the first key below `y` that no field of `where` names. `at` is the path so far. */
static fv_status check_names(const fv_yaml *y, int where, const char *prefix, const char *at, fv_error *err) {
    int n;
    const fv_field *all = fv_recipe_fields(&n);
    for (size_t i = 0; i < y->count; i++) {
        char path[160];
        snprintf(path, sizeof path, "%s%s%s", at, *at ? "." : "", y->items[i]->key);
        if (where == FV_TOP && !strcmp(path, "stages")) continue;
        bool leaf = false, branch = false;
        for (int k = 0; k < n; k++) {
            if (!(all[k].where & where)) continue;
            leaf |= !strcmp(all[k].path, path);
            branch |= under(all[k].path, path);
        }
        if (leaf) continue;
        if (branch && y->items[i]->kind == FV_YAML_MAPPING) {
            FV_TRY(check_names(y->items[i], where, prefix, path, err));
            continue;
        }
        if (branch && fv_yaml_is_null(y->items[i])) continue;
        if (branch) return fv_yaml_fail(y->items[i], err, "%s%s must be a mapping", prefix, path);
        return unknown_field(y->items[i], where, prefix, path, err);
    }
    return FV_OK;
}

static void put_path(json_t *root, const char *path, json_t *value) {
    char part[96];
    while (strchr(path, '.')) {
        size_t n = strcspn(path, ".");
        snprintf(part, sizeof part, "%.*s", (int)n, path);
        json_t *next = json_object_get(root, part);
        if (!next) json_object_set_new(root, part, next = json_object());
        root = next;
        path += n + 1;
    }
    json_object_set_new(root, path, value);
}

static fv_status resolve(const fv_yaml *y, int where, const char *prefix, json_t *out, fv_error *err) {
    FV_TRY(check_names(y, where, prefix, "", err));
    int n;
    const fv_field *all = fv_recipe_fields(&n);
    for (int k = 0; k < n; k++) {
        const fv_field *f = &all[k];
        if (!(f->where & where)) continue;
        const fv_yaml *given = fv_yaml_find(y, f->path);
        json_t *value = NULL;
        if (given && !(fv_yaml_is_null(given) && (f->kind != FV_FIELD_TEXT || !*f->fallback))) { /* null is the default, or no text where the default is one */
            fv_status s = fv_recipe_value(given, f, prefix, &value, err);
            if (s != FV_OK) {
                json_decref(value);
                return s;
            }
        } else if (f->kind == FV_FIELD_PART || f->kind == FV_FIELD_PARTS) {
            fv_yaml *d = NULL;
            FV_TRY(fv_yaml_parse(&d, f->fallback, strlen(f->fallback), "default", err));
            fv_status s = fv_recipe_value(d, f, prefix, &value, err);
            fv_yaml_free(d);
            FV_TRY(s);
        } else {
            value = fv_recipe_default(f->fallback);
            if (f->kind == FV_FIELD_NUM && json_is_integer(value)) { /* as a given one would be */
                json_t *real = json_real(json_number_value(value));
                json_decref(value);
                value = real;
            }
        }
        if (value) put_path(out, f->path, value);
    }
    return FV_OK;
}

static fv_status check_ask(const fv_recipe *r, const fv_yaml *y, fv_error *err) {
    const fv_yaml *ask = fv_yaml_get(y, "ask");
    const char *key, *text = fv_get_text(r->json, "ask.text");
    json_t *hint;
    if (ask && (!text || !strstr(text, "{question}"))) return fv_yaml_fail(ask, err, "ask.text must be a text with {question} in it");
    json_object_foreach((json_t *)fv_get(r->json, "ask.hints"), key, hint)
        if (!json_is_string(hint)) return fv_yaml_fail(ask, err, "ask.hints.%.40s must be a text", key);
    return FV_OK;
}

static int stage_kind(const char *word) {
    if (!word) return 0;
    return !strcmp(word, "sft") ? FV_STAGE_SFT : !strcmp(word, "grpo") ? FV_STAGE_GRPO : !strcmp(word, "filter") ? FV_STAGE_FILTER : 0;
}

static fv_status resolve_stage(fv_recipe *r, fv_yaml *y, size_t number, json_t *stages, fv_error *err) {
    if (y->kind != FV_YAML_MAPPING) return fv_yaml_fail(y, err, "stages[%zu] must be a mapping with `kind: sft`, `grpo` or `filter`", number);
    const fv_yaml *k = fv_yaml_get(y, "kind");
    int kind = stage_kind(k ? fv_yaml_word(k) : NULL);
    if (!kind) {
        char shown[80] = "nothing";
        if (k) fv_yaml_show(k, shown, sizeof shown);
        return fv_yaml_fail(k ? k : y, err, "stages[%zu].kind must be one of sft|grpo|filter, got %s", number, shown);
    }
    const fv_yaml *named = fv_yaml_get(y, "name");
    if (!fv_recipe_good_name(fv_yaml_word(named)) || strchr(fv_yaml_word(named), '.'))
        return fv_yaml_fail(named, err, "stages[%zu].name must be 1 to 64 letters, digits, '-' and '_', since files are called after it, and dots part the fields of overrides", number);
    char prefix[96];
    snprintf(prefix, sizeof prefix, "stages.%s.", fv_yaml_word(named));
    json_t *stage = json_object();
    json_array_append_new(stages, stage);
    FV_TRY(resolve(y, kind, prefix, stage, err));
    const char *name = fv_get_text(stage, "name");
    for (size_t i = 0; i + 1 < json_array_size(stages); i++)
        if (!strcmp(name, fv_get_text(json_array_get(stages, i), "name"))) return fv_yaml_fail(y, err, "two stages are called %s", name);
    int64_t turn = fv_get_int(stage, "rollout.max_new_tokens"), all = fv_get_int(stage, "rollout.max_response");
    if (turn > all) return fv_yaml_fail(y, err, "%srollout.max_new_tokens %lld is more than rollout.max_response %lld, which bounds all turns together", prefix, (long long)turn, (long long)all);
    r->stages[r->stage_count++] = (fv_stage){.name = name, .kind = (fv_stage_kind)kind, .json = stage};
    return FV_OK;
}

static fv_status check_judge(const fv_recipe *r, const fv_yaml *y, fv_error *err) {
    const fv_yaml *judge = fv_yaml_get(y, "judge");
    const char *address = fv_get_text(r->json, "judge.url");
    bool url = address != NULL, model = fv_get_text(r->json, "judge.model") != NULL;
    int count = url + (fv_get_text(r->json, "judge.path") != NULL) + fv_get_bool(r->json, "judge.policy") + fv_get_bool(r->json, "judge.reference");
    if (count > 1) return fv_yaml_fail(judge, err, "judge is one of path: FOLDER, url: ADDRESS, policy: true and reference: true, not %d of them", count);
    if (url && strncmp(address, "http://", 7) != 0 && strncmp(address, "https://", 8) != 0) return fv_yaml_fail(judge, err, "judge.url must begin with http:// or https://, got %.200s", address);
    if (url != model) return fv_yaml_fail(judge, err, "judge needs both url and model, what the server calls its model");
    return FV_OK;
}

/* A source {stage: NAME} is what a filter before stage `number` keeps. */
static fv_status check_source(const fv_recipe *r, int number, const json_t *spec, const fv_yaml *y, fv_error *err) {
    const json_t *name = json_object_get(spec, "stage");
    bool found = name == NULL;
    for (int i = 0; i < number && !found; i++) found = r->stages[i].kind == FV_STAGE_FILTER && json_is_string(name) && !strcmp(r->stages[i].name, json_string_value(name));
    if (!found)
        return fv_yaml_fail(y, err, "data: {stage: %.60s} must name a stage before, of kind filter%s%.64s%s", json_is_string(name) ? json_string_value(name) : "..",
                            number < r->stage_count ? " (of stage " : "", number < r->stage_count ? r->stages[number].name : "", number < r->stage_count ? ")" : "");
    for (size_t i = 0; i < json_array_size(spec); i++) FV_TRY(check_source(r, number, json_array_get(spec, i), y, err));
    return FV_OK;
}

/* A source's weight may be a schedule over the steps of the stages that read it; what evaluations read has no steps. place: "data", or "data[2]" in a list. */
static fv_status check_weight(const json_t *spec, const char *place, bool steps, const fv_yaml *y, fv_error *err) {
    const json_t *weight = json_object_get(spec, "weight");
    const char *rule = "must be a number here";
    fv_error why;
    if (!json_is_object(weight)) return FV_OK; /* numbers are looked at where the source is opened */
    bool good = steps && fv_schedule_valid(weight, &rule);
    double from = good ? fv_schedule_at(weight, 0, 1) : 0, to = good ? fv_schedule_at(weight, 1, 1) : 0;
    if (good && from >= 0 && to >= 0 && from + to > 0 && from <= 1e9 && to <= 1e9) return FV_OK;
    fv_json_wrong((fv_json_at){spec, place, FV_BAD_RECIPE}, "weight", good ? "must go from one number in 0..1e9 to another, not from 0 to 0" : rule, &why);
    return fv_yaml_fail(y, err, "%s", why.text);
}

static fv_status check_weights(const json_t *spec, const char *field, bool steps, const fv_yaml *y, fv_error *err) {
    double first = 0; /* all weights at the first step */
    for (size_t i = 0; i < json_array_size(spec); i++) {
        char place[48];
        const json_t *weight = json_object_get(json_array_get(spec, i), "weight");
        snprintf(place, sizeof place, "%s[%zu]", field, i);
        FV_TRY(check_weight(json_array_get(spec, i), place, steps, y, err));
        first += json_is_object(weight) ? fv_schedule_at(weight, 0, 1) : 1;
    }
    if (json_array_size(spec) > 1 && first == 0) return fv_yaml_fail(y, err, "%s: no source has a weight above 0 at the first step; let one of the schedules begin above 0", field);
    return check_weight(spec, field, steps, y, err);
}

/* What says something about arms is nothing without them. */
static fv_status check_arms(const fv_recipe *r, const fv_yaml *y, fv_error *err) {
    static const char *const beside[] = {"seeds", "shared", "compare"};
    for (size_t i = 0; i < FV_COUNT(beside) && !fv_get(r->json, "arms"); i++)
        if (fv_get(r->json, beside[i])) return fv_yaml_fail(fv_yaml_get(y, beside[i]), err, "%s is a field of comparisons, beside arms, and there are none", beside[i]);
    return FV_OK;
}

static fv_status check_evaluate(const fv_recipe *r, const fv_yaml *y, fv_error *err) {
    const fv_yaml *modes = fv_yaml_find(y, "evaluate.modes"), *protocol = fv_yaml_find(y, "evaluate.protocol");
    const fv_protocol *found;
    const json_t *mode;
    size_t k;
    json_array_foreach(fv_get(r->json, "evaluate.modes"), k, mode) {
        const char *m = json_string_value(mode);
        if (!m || (strcmp(m, "sampled") && strcmp(m, "greedy") && strcmp(m, "no_tool"))) return fv_yaml_fail(modes ? modes : y, err, "evaluate.modes: each must be one of sampled|greedy|no_tool");
    }
    fv_error why;
    if (fv_protocol_find(&found, fv_get_text(r->json, "evaluate.protocol"), &why) == FV_OK) return FV_OK;
    return fv_yaml_fail(protocol ? protocol : y, err, "evaluate.protocol: %s", why.text);
}

static fv_status check_whole(const fv_recipe *r, const fv_yaml *y, fv_error *err) {
    bool path = fv_get_text(r->json, "model.path") != NULL, init = fv_get_text(r->json, "model.init") != NULL;
    const fv_yaml *model = fv_yaml_get(y, "model"), *stages = fv_yaml_get(y, "stages");
    if (path == init) return fv_yaml_fail(model ? model : y, err, "model needs either path: FOLDER or init: PRESET%s", path ? ", not both" : "");
    FV_TRY(check_judge(r, y, err));
    FV_TRY(check_ask(r, y, err));
    FV_TRY(check_arms(r, y, err));
    const fv_yaml *lora = fv_yaml_get(y, "lora");
    bool adapts = fv_get_int(r->json, "lora.r") > 0, targets = fv_get(r->json, "lora.targets") != NULL;
    if (adapts && fv_get_text(r->json, "adapter")) return fv_yaml_fail(lora, err, "lora starts a new adapter and adapter goes on from one; there can only be one of them");
    if (adapts != targets) return fv_yaml_fail(lora, err, "lora needs both r (its rank) and targets (which layers: [q_proj, v_proj], or all-linear)");
    FV_TRY(check_source(r, 0, fv_get(r->json, "data"), y, err));
    FV_TRY(check_source(r, 0, fv_get(r->json, "eval_data"), y, err));
    FV_TRY(check_weights(fv_get(r->json, "data"), "data", true, y, err));
    FV_TRY(check_weights(fv_get(r->json, "eval_data"), "eval_data", false, y, err));
    for (int i = 0; i < r->stage_count; i++) {
        const fv_stage *s = &r->stages[i];
        if (!fv_get(s->json, "data") && !fv_get(r->json, "data")) return fv_yaml_fail(stages->items[i], err, "stages.%s.data is missing, and there is no data for the whole recipe", s->name);
        FV_TRY(check_source(r, i, fv_get(s->json, "data"), stages->items[i], err));
        FV_TRY(check_weights(fv_get(s->json, "data"), "data", true, stages->items[i], err));
        if (s->kind != FV_STAGE_SFT && fv_get_int(s->json, "steps") == 0) return fv_yaml_fail(stages->items[i], err, "stages.%s.steps must be at least 1", s->name);
    }
    return check_evaluate(r, y, err);
}

const json_t *fv_recipe_env(const fv_recipe *r, const fv_stage *stage) {
    if (!stage && r->stage_count) stage = &r->stages[r->stage_count - 1];
    const json_t *own = stage ? fv_get(stage->json, "env") : NULL;
    return own ? own : fv_get(r->json, "env");
}

bool fv_recipe_evaluates(const fv_recipe *r, const fv_stage *stage) {
    return fv_get(r->json, "eval_data") && (stage->kind != FV_STAGE_FILTER || stage == r->stages);
}

/* A stage without a name is called after its kind, also by overrides. */
static fv_status name_stages(fv_yaml *y, fv_error *err) {
    const fv_yaml *stages = fv_yaml_get(y, "stages");
    for (size_t i = 0; stages && stages->kind == FV_YAML_SEQUENCE && i < stages->count; i++) {
        const fv_yaml *name = fv_yaml_get(stages->items[i], "name"), *kind = fv_yaml_get(stages->items[i], "kind");
        if ((!name || fv_yaml_is_null(name)) && kind && fv_yaml_word(kind)) FV_TRY(fv_yaml_put(stages->items[i], "name", fv_yaml_new_text(fv_yaml_word(kind)), err));
    }
    return FV_OK;
}

/* "judge: policy", "judge: reference". */
static fv_status name_judge(fv_yaml *y, fv_error *err) {
    const fv_yaml *judge = fv_yaml_get(y, "judge");
    const char *word = judge ? fv_yaml_word(judge) : NULL;
    if (!word || (strcmp(word, "policy") && strcmp(word, "reference"))) return FV_OK;
    fv_yaml *m = fv_yaml_new(FV_YAML_MAPPING);
    FV_TRY(fv_yaml_put(m, word, fv_yaml_new_bool(true), err));
    return fv_yaml_put(y, "judge", m, err);
}

/* Where an assignment without "stages.NAME." belongs: FV_TOP, and the kinds of stages that have such a field. */
static int places_of(const char *assignment) {
    int n, places = !strncmp(assignment, "stages.", 7) ? FV_TOP : 0;
    const fv_field *all = fv_recipe_fields(&n);
    size_t length = strcspn(assignment, "=");
    for (int i = 0; i < n; i++) {
        size_t m = strlen(all[i].path), first = strcspn(all[i].path, ".");
        bool same = (m == length && !strncmp(assignment, all[i].path, m)) || (strcspn(assignment, ".=") == first && !strncmp(assignment, all[i].path, first));
        if (same) places |= all[i].where;
    }
    return places;
}

bool fv_recipe_of_stages(const char *assignment) {
    int places = places_of(assignment);
    return places && !(places & FV_TOP);
}

static fv_status set_in_stage(fv_yaml *root, size_t number, const char *before, const char *assignment, fv_error *err) {
    fv_text t = {0};
    char *longer;
    fv_text_printf(&t, "stages.%zu.%s%s", number, before, assignment);
    FV_TRY(fv_text_take(&t, &longer, NULL, err));
    fv_status s = fv_yaml_set(root, longer, err);
    free(longer);
    return s;
}

/* Whether a stage's kind has such a field. */
static bool has_field(const fv_yaml *stage, int places) {
    const fv_yaml *kind = fv_yaml_get(stage, "kind");
    return (stage_kind(kind ? fv_yaml_word(kind) : NULL) & places) != 0;
}

/* How many stages may have a field. */
static size_t count_kinds(const fv_yaml *stages, int places) {
    size_t count = 0;
    for (size_t i = 0; i < stages->count; i++) count += has_field(stages->items[i], places);
    return count;
}

/* How many stages have a field of their own (its first word). */
static size_t count_own(const fv_yaml *stages, const char *assignment) {
    char first[64];
    size_t count = 0;
    snprintf(first, sizeof first, "%.*s", (int)strcspn(assignment, ".="), assignment);
    for (size_t i = 0; i < stages->count; i++) {
        const fv_yaml *own = fv_yaml_get(stages->items[i], first);
        count += own && !fv_yaml_is_null(own);
    }
    return count;
}

/* temperature=, top_p= and max_new_tokens= are what every verb calls them: here, of all stages that sample. */
static fv_status override_sampling(fv_yaml *root, const fv_yaml *stages, const char *assignment, bool *done, fv_error *err) {
    static const char *const names[] = {"temperature=", "top_p=", "max_new_tokens="};
    bool is = false;
    for (size_t i = 0; i < FV_COUNT(names); i++) is |= !strncmp(assignment, names[i], strlen(names[i]));
    for (size_t i = 0; is && i < stages->count; i++) {
        const fv_yaml *kind = fv_yaml_get(stages->items[i], "kind");
        const char *word = kind ? fv_yaml_word(kind) : NULL;
        if (!word || (strcmp(word, "grpo") && strcmp(word, "filter"))) continue;
        FV_TRY(set_in_stage(root, i, "rollout.", assignment, err));
        *done = true;
    }
    return FV_OK;
}

/* The one stage whose kind has such a field; -1: none, or several. A stage that is the only one has it, or says why not. */
static int only_stage(const fv_yaml *stages, int places) {
    int found = 0;
    if (stages->count == 1) return 0;
    if (count_kinds(stages, places) != 1) return -1;
    while (!has_field(stages->items[found], places)) found++;
    return found;
}

int fv_recipe_stage_of(const fv_yaml *y, const char *path) {
    const fv_yaml *stages = fv_yaml_get(y, "stages");
    int places = places_of(path);
    return !stages || (places & FV_TOP) || !places ? -1 : only_stage(stages, places);
}

/* A stage's field may be overridden without "stages.NAME." where there is one stage that has it. What recipe and stages may both say (data, env) is meant where it counts: a stage's own wins. */
static fv_status override(fv_yaml *root, const char *assignment, fv_error *err) {
    const fv_yaml *stages = fv_yaml_get(root, "stages");
    int places = places_of(assignment);
    bool top = places & FV_TOP, stage = places & ~FV_TOP;
    bool listed = stages && stages->kind == FV_YAML_SEQUENCE && stages->count, done = false;
    if (!listed) return fv_yaml_set(root, assignment, err);
    FV_TRY(override_sampling(root, stages, assignment, &done, err));
    if (done) return FV_OK;
    bool other = !strncmp(assignment, "name=", 5) || !strcmp(assignment, "data=none"); /* evaluations say the latter: nothing is trained */
    bool hidden = top && stage && !other && count_own(stages, assignment) == count_kinds(stages, places);
    if (hidden && stages->count > 1) {
        size_t n = strcspn(assignment, ".=");
        return fv_fail(err, FV_BAD_USAGE, "%s: every stage has its own %.*s, which wins; say stages.NAME.%.*s", assignment, (int)n, assignment, (int)n, assignment);
    }
    int only = hidden ? 0 : top || !stage ? -1 : only_stage(stages, places);
    return only < 0 ? fv_yaml_set(root, assignment, err) : set_in_stage(root, (size_t)only, "", assignment, err);
}

static fv_status put_null(fv_yaml *mapping, const char *key, fv_error *err) { return fv_yaml_get(mapping, key) ? fv_yaml_put(mapping, key, fv_yaml_new(FV_YAML_SCALAR), err) : FV_OK; }

/* A model has one origin, and there is one judge: an override that names another takes the place of the recipe's. */
static fv_status replace_others(fv_yaml *root, const char *assignment, fv_error *err) {
    static const struct {
        const char *field, *kinds[5];
    } choices[] = {{"model", {"path", "init"}}, {"judge", {"path", "url", "policy", "reference"}}};
    for (size_t c = 0; c < FV_COUNT(choices); c++) {
        const char *const *kinds = choices[c].kinds, *field = choices[c].field;
        size_t n = strlen(field), length = strcspn(assignment, "="), chosen = 0;
        if (strncmp(assignment, field, n) || assignment[n] != '.') continue;
        while (kinds[chosen] && (strlen(kinds[chosen]) != length - n - 1 || strncmp(assignment + n + 1, kinds[chosen], length - n - 1))) chosen++;
        const fv_yaml *given = kinds[chosen] ? fv_yaml_get(fv_yaml_get(root, field), kinds[chosen]) : NULL;
        bool on = given && !fv_yaml_is_null(given);
        if (!on || (fv_yaml_bool(given, &on) && !on)) continue;
        for (size_t k = 0; kinds[k]; k++)
            if (k != chosen) FV_TRY(put_null(fv_yaml_get(root, field), kinds[k], err));
        if (strcmp(kinds[chosen], "url") != 0) FV_TRY(put_null(fv_yaml_get(root, field), "model", err)); /* what a judge's server calls its model */
    }
    return FV_OK;
}

/* Names that were left out. */
static fv_status name_run(fv_yaml *y, fv_error *err) {
    const fv_yaml *name = fv_yaml_get(y, "name"), *out = fv_yaml_get(y, "out");
    const char *word = name && !fv_yaml_is_null(name) ? fv_yaml_word(name) : NULL;
    if (name && !word && fv_yaml_is_null(name)) FV_TRY(fv_yaml_put(y, "name", fv_yaml_new_text("run"), err));
    if (out && !fv_yaml_is_null(out)) return FV_OK;
    fv_text t = {0};
    fv_text_printf(&t, "runs/%s", word ? word : "run");
    char *folder;
    FV_TRY(fv_text_take(&t, &folder, NULL, err));
    fv_status s = fv_yaml_put(y, "out", fv_yaml_new_text(folder), err);
    free(folder);
    return s;
}

/* "runs/mine/" is "runs/mine". */
static void trim_folder(json_t *root, const char *field) {
    const char *text = fv_get_text(root, field);
    size_t n = text ? strlen(text) : 0;
    while (n > 1 && text[n - 1] == '/') n--;
    if (text) json_object_set_new(root, field, json_stringn(text, n));
}

fv_status fv_recipe_change(fv_yaml *y, const char *const *overrides, int override_count, fv_error *err) {
    if (y->kind != FV_YAML_MAPPING) return fv_yaml_fail(y, err, "a recipe is a mapping of fields (name, model, data, stages ...)");
    FV_TRY(name_stages(y, err));
    FV_TRY(name_judge(y, err));
    for (int i = 0; i < override_count; i++) {
        FV_TRY(override(y, overrides[i], err));
        FV_TRY(name_judge(y, err));
        FV_TRY(replace_others(y, overrides[i], err));
    }
    return name_stages(y, err); /* of stages that an override brought */
}

static fv_status build(fv_recipe *r, fv_yaml *y, fv_error *err) {
    FV_TRY(name_run(y, err));
    r->json = json_object();
    FV_TRY(resolve(y, FV_TOP, "", r->json, err));
    trim_folder(r->json, "out");
    trim_folder(r->json, "export");
    json_t *stages = json_array();
    json_object_set_new(r->json, "stages", stages);
    const fv_yaml *list = fv_yaml_get(y, "stages");
    if (!list || list->kind != FV_YAML_SEQUENCE || !list->count) return fv_yaml_fail(list ? list : y, err, "stages must be a list of at least one stage");
    r->stages = calloc(list->count, sizeof *r->stages);
    if (!r->stages) return fv_fail(err, FV_NO_MEMORY, "%s: out of memory", r->file);
    for (size_t i = 0; i < list->count; i++) FV_TRY(resolve_stage(r, list->items[i], i, stages, err));
    return check_whole(r, y, err);
}

fv_status fv_recipe_resolve(fv_recipe **out, fv_yaml *y, const char *name, fv_error *err) {
    *out = NULL;
    fv_recipe *r = y ? calloc(1, sizeof *r) : NULL;
    if (r) r->file = strdup(name);
    fv_status s = r && r->file ? build(r, y, err) : fv_fail(err, FV_NO_MEMORY, "%s: out of memory", name);
    fv_yaml_free(y);
    if (s == FV_OK) *out = r;
    else fv_recipe_close(r);
    return s;
}

static fv_status finish(fv_recipe **out, fv_yaml *y, const char *name, const char *const *overrides, int override_count, fv_error *err) {
    fv_status s = fv_recipe_change(y, overrides, override_count, err);
    if (s == FV_OK) return fv_recipe_resolve(out, y, name, err);
    fv_yaml_free(y);
    return s;
}

fv_status fv_recipe_open(fv_recipe **out, const char *path, const char *const *overrides, int override_count, fv_error *err) {
    *out = NULL;
    fv_yaml *y;
    FV_TRY(fv_yaml_read(&y, path, err));
    return finish(out, y, path, overrides, override_count, err);
}

fv_status fv_recipe_parse(fv_recipe **out, const char *text, const char *name, const char *const *overrides, int override_count, fv_error *err) {
    *out = NULL;
    fv_yaml *y;
    FV_TRY(fv_yaml_parse(&y, text, strlen(text), name, err));
    return finish(out, y, name, overrides, override_count, err);
}

void fv_recipe_close(fv_recipe *r) {
    if (!r) return;
    free(r->file);
    free(r->stages);
    json_decref(r->json);
    free(r);
}

/* ---- Writing and getting ---- */

static fv_yaml *to_yaml(const json_t *j) {
    if (json_is_object(j)) {
        fv_yaml *m = fv_yaml_new(FV_YAML_MAPPING);
        const char *key;
        json_t *v;
        json_object_foreach((json_t *)j, key, v) fv_yaml_put(m, key, to_yaml(v), NULL);
        return m;
    }
    if (json_is_array(j)) {
        fv_yaml *s = fv_yaml_new(FV_YAML_SEQUENCE);
        for (size_t i = 0; i < json_array_size(j); i++) fv_yaml_append(s, to_yaml(json_array_get(j, i)), NULL);
        return s;
    }
    if (json_is_string(j)) return fv_yaml_new_text(json_string_value(j));
    if (json_is_integer(j)) return fv_yaml_new_int(json_integer_value(j));
    if (json_is_real(j)) return fv_yaml_new_num(json_real_value(j));
    if (json_is_boolean(j)) return fv_yaml_new_bool(json_is_true(j));
    return fv_yaml_new(FV_YAML_SCALAR);
}

void fv_recipe_write(const fv_recipe *r, fv_text *out) {
    fv_yaml *y = to_yaml(r->json);
    fv_yaml_write(out, y);
    fv_yaml_free(y);
}

const json_t *fv_get(const json_t *at, const char *path) { return fv_json_find(at, path); }
int64_t fv_get_int(const json_t *at, const char *path) { return json_integer_value(fv_get(at, path)); }
double fv_get_num(const json_t *at, const char *path) { return json_number_value(fv_get(at, path)); }
bool fv_get_bool(const json_t *at, const char *path) { return json_is_true(fv_get(at, path)); }
const char *fv_get_text(const json_t *at, const char *path) { return json_string_value(fv_get(at, path)); }

double fv_get_at(const json_t *at, const char *path, int64_t step, int64_t steps) {
    const json_t *v = fv_get(at, path);
    return v ? fv_schedule_at(v, step, steps) : 0;
}
