#include "rl/recipe/recipe_value.h"

#include "rl/part.h"
#include "rl/recipe/schedule.h"
#include "tools/env.h"

#include <stdio.h>
#include <string.h>

/* ---- From YAML to JSON values ---- */

json_t *fv_recipe_json(const fv_yaml *y) {
    int64_t i;
    double d;
    bool b;
    if (y->kind == FV_YAML_MAPPING) {
        json_t *o = json_object();
        for (size_t k = 0; k < y->count; k++) json_object_set_new(o, y->items[k]->key, fv_recipe_json(y->items[k]));
        return o;
    }
    if (y->kind == FV_YAML_SEQUENCE) {
        json_t *a = json_array();
        for (size_t k = 0; k < y->count; k++) json_array_append_new(a, fv_recipe_json(y->items[k]));
        return a;
    }
    if (fv_yaml_is_null(y)) return json_null();
    if (fv_yaml_bool(y, &b)) return json_boolean(b);
    if (fv_yaml_int(y, &i)) return json_integer(i);
    if (fv_yaml_num(y, &d)) return json_real(d);
    return json_string(fv_yaml_word(y));
}

json_t *fv_recipe_default(const char *yaml) {
    fv_yaml *y = NULL;
    if (!*yaml || fv_yaml_parse(&y, yaml, strlen(yaml), "default", NULL) != FV_OK) return NULL;
    json_t *j = fv_recipe_json(y);
    fv_yaml_free(y);
    return j;
}

/* ---- Checking one value ---- */

static bool is_choice(const char *choices, const char *word) {
    size_t n = strlen(word);
    for (const char *c = choices; *c;) {
        size_t m = strcspn(c, "|");
        if (m == n && !strncmp(c, word, n)) return true;
        c += m + (c[m] == '|');
    }
    return false;
}

static fv_status wrong(const fv_yaml *y, const char *prefix, const fv_field *f, const char *rule, fv_error *err) {
    char shown[160];
    fv_yaml_show(y, shown, sizeof shown);
    return fv_yaml_fail(y, err, "%s%s %s, got %s", prefix, f->path, rule, shown);
}

static fv_status check_part(const fv_yaml *y, const fv_field *f, const char *prefix, json_t **out, fv_error *err);

/* An environment is checked by opening it: a mistake in it would spoil every row. Its pictures' patches don't matter here. */
static fv_status check_env(const fv_yaml *y, const fv_field *f, const char *prefix, json_t **out, fv_error *err) {
    fv_env *env;
    fv_error why;
    if (y->kind != FV_YAML_MAPPING) return wrong(y, prefix, f, "must be a mapping", err);
    *out = fv_recipe_json(y);
    if (fv_env_open(&env, *out, 28, &why) != FV_OK) return fv_yaml_fail(y, err, "%s%s", prefix, why.text); /* "env: unknown field ..." */
    fv_env_close(env);
    return FV_OK;
}

bool fv_recipe_good_name(const char *name) {
    size_t n = name ? strlen(name) : 0;
    return n > 0 && n <= 64 && name[0] != '.' && strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.") == n;
}

/* All values that a scalar takes over the steps are within low..high (they lie between its ends; an exponential goes to 0). */
static bool within(const json_t *scalar, double low, double high) {
    if (json_is_number(scalar)) return json_number_value(scalar) >= low && json_number_value(scalar) <= high;
    double from = fv_schedule_at(scalar, 0, 1), to = json_object_get(scalar, "exponential") ? 0 : fv_schedule_at(scalar, 1, 1);
    return from >= low && from <= high && to >= low && to <= high;
}

static fv_status check_schedule(const fv_yaml *y, const fv_field *f, const char *prefix, json_t **out, fv_error *err) {
    const char *why;
    char rule[96];
    *out = fv_recipe_json(y);
    if (!fv_schedule_valid(*out, &why)) return wrong(y, prefix, f, why, err);
    snprintf(rule, sizeof rule, "must be a number %.10g..%.10g, or go from one to another", f->low, f->high);
    return within(*out, f->low, f->high) ? FV_OK : wrong(y, prefix, f, rule, err);
}

static fv_status check_number(const fv_yaml *y, const fv_field *f, const char *prefix, json_t **out, fv_error *err) {
    char rule[96];
    int64_t i = 0;
    double d = 0;
    bool whole = f->kind == FV_FIELD_INT, ok = whole ? fv_yaml_int(y, &i) : fv_yaml_num(y, &d);
    if (whole) d = (double)i;
    snprintf(rule, sizeof rule, "must be %s%.10g..%.10g", whole ? "" : "a number ", f->low, f->high);
    if (!ok || !(d >= f->low && d <= f->high)) return wrong(y, prefix, f, rule, err);
    *out = whole ? json_integer(i) : json_real(d);
    return FV_OK;
}

fv_status fv_recipe_value(const fv_yaml *y, const fv_field *f, const char *prefix, json_t **out, fv_error *err) {
    switch (f->kind) {
    case FV_FIELD_INT:
    case FV_FIELD_NUM: return check_number(y, f, prefix, out, err);
    case FV_FIELD_TEXT:
        if (!fv_yaml_word(y)) return wrong(y, prefix, f, "must be text", err);
        *out = fv_yaml_is_null(y) ? json_null() : json_string(fv_yaml_word(y));
        return FV_OK;
    case FV_FIELD_CHOICE: {
        char rule[160];
        snprintf(rule, sizeof rule, "must be one of %s", f->choices);
        if (!fv_yaml_word(y) || !is_choice(f->choices, fv_yaml_word(y))) return wrong(y, prefix, f, rule, err);
        *out = json_string(fv_yaml_word(y));
        return FV_OK;
    }
    case FV_FIELD_BOOL: {
        bool b;
        if (!fv_yaml_bool(y, &b)) return wrong(y, prefix, f, "must be true or false", err);
        *out = json_boolean(b);
        return FV_OK;
    }
    case FV_FIELD_SCHEDULE: return check_schedule(y, f, prefix, out, err);
    case FV_FIELD_LIST:
        if (y->kind != FV_YAML_SEQUENCE) return wrong(y, prefix, f, "must be a list", err);
        *out = fv_recipe_json(y);
        return FV_OK;
    case FV_FIELD_NAMES:
        if (y->kind != FV_YAML_SEQUENCE && !fv_yaml_word(y)) return wrong(y, prefix, f, "must be a list of names, or one pattern", err);
        *out = fv_recipe_json(y);
        return FV_OK;
    case FV_FIELD_ENV: return check_env(y, f, prefix, out, err);
    case FV_FIELD_MAP:
        if (y->kind != FV_YAML_MAPPING) return wrong(y, prefix, f, "must be a mapping", err);
        *out = fv_recipe_json(y);
        return FV_OK;
    case FV_FIELD_SOURCE: *out = fv_recipe_json(y); return FV_OK;
    case FV_FIELD_PART:
    case FV_FIELD_PARTS: return check_part(y, f, prefix, out, err);
    }
    return FV_OK;
}

/* ---- Parts: {term: exact, weight: 1.0, option: ...} ---- */

static const char *const part_key[FV_HOOKS] = {"term", "rule", "kind", "rule", "kind", "filter"};

static fv_hook hook_of(const fv_field *f) {
    for (int h = 0; h < FV_HOOKS; h++)
        if (!strcmp(fv_hook_name((fv_hook)h), f->choices)) return (fv_hook)h;
    return FV_HOOKS;
}

static fv_status unknown_part(const fv_yaml *at, const fv_field *f, const char *prefix, fv_hook hook, const char *name, fv_error *err) {
    int n;
    const fv_part *const *all = fv_parts(&n);
    const char *names[256];
    size_t have = 0;
    for (int i = 0; i < n && have < FV_COUNT(names); i++)
        if (all[i]->hook == hook) names[have++] = all[i]->name;
    const char *near = fv_suggest(name, names, have);
    if (near) return fv_yaml_fail(at, err, "%s%s: there is no %s \"%s\"; did you mean \"%s\"?", prefix, f->path, f->choices, name, near);
    return fv_yaml_fail(at, err, "%s%s: there is no %s \"%s\"; `fovea help recipe` lists them", prefix, f->path, f->choices, name);
}

static fv_status unknown_option(const fv_yaml *y, const char *part, const json_t *options, fv_error *err) {
    const char *names[64], *key;
    size_t n = 0;
    json_t *v;
    json_object_foreach((json_t *)options, key, v) if (n < FV_COUNT(names)) names[n++] = key;
    const char *near = fv_suggest(y->key, names, n);
    if (near) return fv_yaml_fail(y, err, "%s has no option \"%s\"; did you mean \"%s\"?", part, y->key, near);
    return fv_yaml_fail(y, err, "%s has no option \"%s\"", part, y->key);
}

/* What a part's `limits` say of an option: a range of numbers, or a choice of words. */
static fv_status check_limit(const fv_yaml *y, const fv_part *part, const json_t *value, fv_error *err) {
    json_t *limits = part->limits ? fv_recipe_default(part->limits) : NULL, *own = json_object_get(limits, y->key);
    char shown[160];
    fv_status s = FV_OK;
    fv_yaml_show(y, shown, sizeof shown);
    if (json_is_number(json_array_get(own, 0))) {
        double low = json_number_value(json_array_get(own, 0)), high = json_number_value(json_array_get(own, 1));
        if (!within(value, low, high)) s = fv_yaml_fail(y, err, "%s: option %s must be %.10g..%.10g, got %s", part->name, y->key, low, high, shown);
    } else if (json_is_array(own)) {
        bool found = false;
        char words[160] = "";
        for (size_t i = 0; i < json_array_size(own); i++) {
            const char *word = json_string_value(json_array_get(own, i));
            found |= json_is_string(value) && !strcmp(word, json_string_value(value));
            size_t at = strlen(words);
            snprintf(words + at, sizeof words - at, "%s%s", i ? "|" : "", word);
        }
        if (!found) s = fv_yaml_fail(y, err, "%s: option %s must be one of %s, got %s", part->name, y->key, words, shown);
    }
    json_decref(limits);
    return s;
}

/* A part's options have the types of their defaults; a default of null takes anything. */
static fv_status check_option(const fv_yaml *y, const fv_part *part, json_t *options, fv_error *err) {
    const json_t *d = json_object_get(options, y->key);
    if (!d) return unknown_option(y, part->name, options, err);
    json_t *value = fv_recipe_json(y);
    bool numeric = json_is_number(d);
    const char *why;
    bool fits = json_is_null(d) || json_typeof(d) == json_typeof(value) || (json_is_boolean(d) && json_is_boolean(value)) ||
                (numeric && fv_schedule_valid(value, &why));
    fv_status s = FV_OK;
    if (!fits) {
        char shown[160];
        fv_yaml_show(y, shown, sizeof shown);
        s = fv_yaml_fail(y, err, "%s: option %s must be %s, got %s", part->name, y->key,
                         json_is_boolean(d) ? "true or false" : numeric ? "a number" : json_is_array(d) ? "a list" : "text", shown);
    }
    if (s == FV_OK) s = check_limit(y, part, value, err);
    if (s == FV_OK) json_object_set_new(options, y->key, value);
    else json_decref(value);
    return s;
}

/* *out: what a term weighs in the sum, a number or a schedule. */
static fv_status check_weight(const fv_yaml *y, const fv_field *f, const char *prefix, const char *name, json_t **out, fv_error *err) {
    const char *why;
    double number;
    json_decref(*out);
    *out = fv_yaml_num(y, &number) ? json_real(number) : fv_recipe_json(y);
    return fv_schedule_valid(*out, &why) ? FV_OK : fv_yaml_fail(y, err, "%s%s: weight of %s %s", prefix, f->path, name, why);
}

static fv_status resolve_part(const fv_yaml *y, const fv_field *f, const char *prefix, json_t **out, fv_error *err) {
    fv_hook hook = hook_of(f);
    const char *key = part_key[hook];
    const fv_yaml *named = fv_yaml_get(y, key);
    const char *name = y->kind == FV_YAML_SCALAR ? fv_yaml_word(y) : fv_yaml_word(named ? named : y);
    char fallback[64] = "";
    if (!name && f->kind == FV_FIELD_PART) { /* "objective: {clip_low: 0.2}": the field's default part */
        const char *at = strstr(f->fallback, ": ");
        if (at) snprintf(fallback, sizeof fallback, "%.*s", (int)strcspn(at + 2, "},"), at + 2);
        name = fallback;
    }
    if (!name || !*name) return fv_yaml_fail(y, err, "%s%s: each entry needs `%s: NAME`", prefix, f->path, key);
    const fv_part *part = fv_part_find(hook, name);
    if (!part) return unknown_part(y, f, prefix, hook, name, err);
    json_t *o = fv_recipe_default(*part->fields ? part->fields : "{}");
    fv_status status = FV_OK;
    json_t *weight = NULL;
    const char *own = NULL;
    for (size_t i = 0; i < y->count && status == FV_OK && y->kind == FV_YAML_MAPPING; i++) {
        const fv_yaml *item = y->items[i];
        if (!strcmp(item->key, key)) continue;
        if (hook == FV_HOOK_REWARD && !strcmp(item->key, "weight")) {
            status = check_weight(item, f, prefix, name, &weight, err);
            continue;
        }
        if (hook == FV_HOOK_REWARD && !strcmp(item->key, "name")) {
            own = fv_yaml_word(item);
            if (!fv_recipe_good_name(own) || strlen(own) > 36 || strchr(own, '.')) status = fv_yaml_fail(item, err, "%s%s: name of %s must be 1 to 36 letters, digits, '-' and '_'", prefix, f->path, name);
            continue;
        }
        status = check_option(item, part, o, err);
    }
    json_t *all = json_object();
    json_object_set_new(all, key, json_string(name));
    if (own) json_object_set_new(all, "name", json_string(own));
    if (hook == FV_HOOK_REWARD) json_object_set_new(all, "weight", weight ? weight : json_real(1.0));
    json_object_update(all, o);
    json_decref(o);
    *out = all;
    return status;
}

static fv_status check_part(const fv_yaml *y, const fv_field *f, const char *prefix, json_t **out, fv_error *err) {
    if (f->kind == FV_FIELD_PART) return resolve_part(y, f, prefix, out, err);
    if (y->kind != FV_YAML_SEQUENCE) return wrong(y, prefix, f, "must be a list", err);
    *out = json_array();
    for (size_t i = 0; i < y->count; i++) {
        json_t *one = NULL;
        fv_status s = resolve_part(y->items[i], f, prefix, &one, err);
        if (one) json_array_append_new(*out, one);
        FV_TRY(s);
    }
    return FV_OK;
}
