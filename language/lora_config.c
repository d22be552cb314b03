#include "language/lora_config.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

/* ---- options ---- */

/* READ: below. SILENT: changes nothing of what an adapter computes (where it came from, how it was started, what belongs to a switched-off option).
 * What is not in the table has to be off. */
typedef enum { READ, SILENT } handling;
static const struct {
    const char *name;
    handling how;
} options[] = {
    {"peft_type", READ},        {"r", READ},           {"lora_alpha", READ},    {"lora_dropout", READ},  {"target_modules", READ},
    {"exclude_modules", READ},  {"modules_to_save", READ}, {"use_rslora", READ}, {"use_dora", READ},     {"rank_pattern", READ},
    {"alpha_pattern", READ},    {"bias", READ},        {"init_lora_weights", READ},
    {"task_type", SILENT},      {"auto_mapping", SILENT}, {"peft_version", SILENT}, {"base_model_name_or_path", SILENT}, {"revision", SILENT},
    {"inference_mode", SILENT}, {"layers_pattern", SILENT}, {"megatron_core", SILENT}, {"qalora_group_size", SILENT}, {"runtime_config", SILENT},
    {"loftq_config", SILENT},   {"eva_config", SILENT}, {"corda_config", SILENT}, {"lora_ga_config", SILENT},
};

static bool is_off(const json_t *v) {
    if (json_is_null(v) || json_is_false(v)) return true;
    if (json_is_string(v)) return json_string_length(v) == 0;
    return (json_is_array(v) && json_array_size(v) == 0) || (json_is_object(v) && json_object_size(v) == 0);
}

static fv_status refuse(const fv_lora_config *c, const char *field, const char *rule, fv_error *err) {
    return fv_json_wrong((fv_json_at){c->root, c->place, FV_UNSUPPORTED}, field, rule, err);
}

static fv_status check_known(const fv_lora_config *c, fv_error *err) {
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)c->root, name, value) {
        bool known = is_off(value);
        for (size_t i = 0; i < FV_COUNT(options) && !known; i++) known = !strcmp(options[i].name, name);
        if (!known) return refuse(c, name, "is not supported", err);
    }
    return FV_OK;
}

static bool one_of(const char *word, const char *const *words, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (!strcmp(word, words[i])) return true;
    return false;
}

/* How B and A started does not matter afterwards, unless the model's own weights were changed for it (PiSSA, OLoRA, CorDA, LoftQ, LoRA-GA). */
static fv_status check_start(const fv_lora_config *c, fv_error *err) {
    static const char *const harmless[] = {"gaussian", "orthogonal", "eva", "mica"};
    const json_t *start = json_object_get(c->root, "init_lora_weights");
    if (!json_is_string(start) || one_of(json_string_value(start), harmless, FV_COUNT(harmless))) return FV_OK;
    return refuse(c, "init_lora_weights", "changes the model's own weights, which is not supported", err);
}

/* A list of texts, a text where `text` allows one, or nothing. */
static fv_status check_names(const fv_lora_config *c, const char *field, bool text, fv_error *err) {
    const json_t *names = fv_json_find(c->root, field), *name;
    size_t i;
    bool fine = !names || json_is_array(names) || (text && json_is_string(names));
    json_array_foreach((json_t *)names, i, name) fine = fine && json_string_length(name) > 0;
    return fine ? FV_OK : refuse(c, field, text ? "must be a list of names or one regular expression" : "must be a list of names", err);
}

fv_status fv_lora_config_read(fv_lora_config *out, const json_t *root, const char *place, fv_error *err) {
    fv_lora_config c = {.root = root, .place = place};
    fv_json_at at = {root, place, FV_BAD_MODEL};
    const char *type, *bias;
    if (!json_is_object(root)) return fv_fail(err, FV_BAD_MODEL, "%s: must be an object", place);
    FV_TRY(fv_json_text(at, "peft_type", &type, err));
    if (strcmp(type, "LORA")) return refuse(&c, "peft_type", "must be LORA", err);
    FV_TRY(check_known(&c, err));
    FV_TRY(check_start(&c, err));
    FV_TRY(fv_json_text_or(at, "bias", "none", &bias, err));
    if (strcmp(bias, "none")) return refuse(&c, "bias", "must be none", err);
    FV_TRY(fv_json_int_or(at, "r", 1, 1 << 20, 8, &c.r, err));
    FV_TRY(fv_json_num_or(at, "lora_alpha", 8, &c.alpha, err));
    FV_TRY(fv_json_num_or(at, "lora_dropout", 0, &c.dropout, err));
    if (!(c.dropout >= 0 && c.dropout < 1)) return fv_json_wrong(at, "lora_dropout", "must be 0 or more, and below 1", err);
    FV_TRY(fv_json_bool_or(at, "use_rslora", false, &c.rslora, err));
    FV_TRY(fv_json_bool_or(at, "use_dora", false, &c.dora, err));
    FV_TRY(check_names(&c, "target_modules", true, err));
    FV_TRY(check_names(&c, "exclude_modules", true, err));
    FV_TRY(check_names(&c, "modules_to_save", false, err));
    if (!fv_json_find(root, "target_modules")) return fv_json_wrong(at, "target_modules", "must say which layers are adapted", err);
    *out = c;
    return FV_OK;
}

/* ---- names ---- */

/* The whole of `text` is `pattern`; Python's regular expressions are PCRE's for what stands in adapters. */
static fv_status matches(const fv_lora_config *c, const char *field, const char *pattern, const char *text, bool *out, fv_error *err) {
    int code;
    PCRE2_SIZE at;
    pcre2_code *re = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED, PCRE2_ANCHORED | PCRE2_ENDANCHORED | PCRE2_UTF | PCRE2_NEVER_BACKSLASH_C, &code, &at, NULL);
    if (!re) {
        char why[120];
        pcre2_get_error_message(code, (PCRE2_UCHAR *)why, sizeof why);
        return fv_fail(err, FV_BAD_MODEL, "%s: %s: %s is no regular expression: %s at character %zu", c->place, field, pattern, why, (size_t)at + 1);
    }
    pcre2_match_data *data = pcre2_match_data_create_from_pattern(re, NULL);
    int found = data ? pcre2_match(re, (PCRE2_SPTR)text, strlen(text), 0, 0, data, NULL) : PCRE2_ERROR_NOMEMORY;
    pcre2_match_data_free(data);
    pcre2_code_free(re);
    if (found < 0 && found != PCRE2_ERROR_NOMATCH) return fv_fail(err, FV_BAD_MODEL, "%s: %s: %s takes too long on %s", c->place, field, pattern, text);
    *out = found >= 0;
    return FV_OK;
}

static bool ends_with(const char *text, const char *end) {
    size_t n = strlen(text), m = strlen(end);
    return n >= m && !strcmp(text + n - m, end);
}

/* The path itself, or its end after a dot. */
static bool named(const char *path, const char *name) {
    size_t n = strlen(path), m = strlen(name);
    return !strcmp(path, name) || (n > m && path[n - m - 1] == '.' && ends_with(path, name));
}

/* `field` takes the layer; used (NULL: nobody asks): as in fv_lora_config_targets. */
static fv_status takes(const fv_lora_config *c, const char *field, const char *path, bool *used, bool *out, fv_error *err) {
    const json_t *names = fv_json_find(c->root, field), *name;
    size_t i;
    *out = false;
    if (json_is_string(names)) return matches(c, field, json_string_value(names), path, out, err);
    json_array_foreach((json_t *)names, i, name) {
        if (!named(path, json_string_value(name))) continue;
        *out = true;
        if (used) used[i] = true;
    }
    return FV_OK;
}

static bool is_all_linear(const json_t *targets) {
    static const char word[] = "all-linear"; /* in any case, as in PEFT */
    const char *given = json_string_value(targets);
    if (!given || strlen(given) != strlen(word)) return false;
    for (size_t i = 0; word[i]; i++)
        if ((given[i] | 0x20) != (word[i] | 0x20)) return false;
    return true;
}

fv_status fv_lora_config_targets(const fv_lora_config *c, const char *path, bool linear, bool *used, bool *out, fv_error *err) {
    bool excluded;
    FV_TRY(takes(c, "exclude_modules", path, NULL, &excluded, err));
    *out = false;
    if (excluded) return FV_OK;
    if (is_all_linear(fv_json_find(c->root, "target_modules"))) {
        *out = linear;
        return FV_OK;
    }
    return takes(c, "target_modules", path, used, out, err);
}

bool fv_lora_config_saves(const fv_lora_config *c, const char *path, bool *used) {
    const json_t *names = fv_json_find(c->root, "modules_to_save"), *name;
    size_t i, length = strlen(path);
    bool saves = false;
    json_array_foreach((json_t *)names, i, name)
        for (size_t n = 1, m = json_string_length(name); n <= length; n++) { /* every module that the layer is in, and itself */
            if (path[n] != '.' && path[n] != '\0') continue;
            if (n >= m && !strncmp(path + n - m, json_string_value(name), m)) saves = used[i] = true;
        }
    return saves;
}

/* The value of the first key that, as a regular expression, is the layer's path or its end after a dot. */
static fv_status from_pattern(const fv_lora_config *c, const char *field, const char *path, double *value, fv_error *err) {
    const char *key;
    json_t *given;
    json_object_foreach((json_t *)fv_json_find(c->root, field), key, given) {
        char pattern[512];
        bool found;
        if (snprintf(pattern, sizeof pattern, "(.*\\.)?(%s)", key) >= (int)sizeof pattern || !json_is_number(given))
            return refuse(c, field, "must map short names or regular expressions to numbers", err);
        FV_TRY(matches(c, field, pattern, path, &found, err));
        if (!found) continue;
        *value = json_number_value(given);
        return FV_OK;
    }
    return FV_OK;
}

fv_status fv_lora_config_rank(const fv_lora_config *c, const char *path, int64_t *rank, float *scale, fv_error *err) {
    double r = (double)c->r, alpha = c->alpha;
    FV_TRY(from_pattern(c, "rank_pattern", path, &r, err));
    FV_TRY(from_pattern(c, "alpha_pattern", path, &alpha, err));
    if (!(r >= 1 && r <= 1 << 20)) return refuse(c, "rank_pattern", "must hold ranks of at least 1", err);
    *rank = (int64_t)r;
    *scale = (float)(alpha / (c->rslora ? sqrt(r) : r));
    return FV_OK;
}
