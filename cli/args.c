#include "cli/cli.h"

#include "core/text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int option_number(const fv_verb *v, const char *name, size_t length) {
    for (int i = 0; i < v->option_count; i++)
        if (strlen(v->options[i].name) == length && !strncmp(v->options[i].name, name, length)) return i;
    return -1;
}

static fv_status unknown(const fv_verb *v, const char *word, fv_error *err) {
    const char *names[64];
    size_t n = 0;
    char bare[128];
    snprintf(bare, sizeof bare, "%.*s", (int)strcspn(word, "="), word);
    for (int i = 0; i < v->option_count && n < FV_COUNT(names); i++) names[n++] = v->options[i].name;
    const char *near = fv_suggest(bare, names, n);
    if (near) return fv_fail(err, FV_BAD_USAGE, "fovea %s: unknown option %s; did you mean %s?", v->name, word, near);
    return fv_fail(err, FV_BAD_USAGE, "fovea %s: unknown option %s; `fovea help %s` lists them", v->name, word, v->name);
}

static bool is_setting(const char *word) {
    size_t n = strcspn(word, "=");
    return word[n] == '=' && n > 0 && strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") == n;
}

static fv_status read_option(fv_args *a, const fv_verb *v, const char *word, const char *next, int *used, fv_error *err) {
    size_t n = strcspn(word, "=");
    int i = option_number(v, word, n);
    if (i < 0 || v->options[i].kind == FV_OPTION_SETTING) return unknown(v, word, err);
    *used = 1;
    if (v->options[i].kind == FV_OPTION_FLAG) {
        if (word[n]) return fv_fail(err, FV_BAD_USAGE, "fovea %s: %s takes no value", v->name, v->options[i].name);
        a->values[i] = "1";
        return FV_OK;
    }
    if (word[n]) a->values[i] = word + n + 1;
    else if (!next) return fv_fail(err, FV_BAD_USAGE, "fovea %s: %s needs %s", v->name, v->options[i].name, v->options[i].meta);
    else a->values[i] = next, *used = 2;
    return FV_OK;
}

fv_status fv_args_read(fv_args *a, const fv_verb *v, int argc, char **argv, fv_error *err) {
    memset(a, 0, sizeof *a);
    for (int i = 0; i < argc;) {
        int used = 1;
        const char *word = argv[i];
        if (word[0] == '-' && word[1]) {
            FV_TRY(read_option(a, v, word, i + 1 < argc ? argv[i + 1] : NULL, &used, err));
        } else if (is_setting(word)) {
            int known = option_number(v, word, strcspn(word, "="));
            if (!v->free_settings && (known < 0 || v->options[known].kind != FV_OPTION_SETTING)) return unknown(v, word, err);
            if (a->setting_count == (int)FV_COUNT(a->settings)) return fv_fail(err, FV_BAD_USAGE, "fovea %s: more than %zu settings", v->name, FV_COUNT(a->settings));
            a->settings[a->setting_count++] = word;
        } else {
            if (a->word_count == v->max_words) return fv_fail(err, FV_BAD_USAGE, "fovea %s: unexpected argument %s\nusage: fovea %s", v->name, word, v->synopsis);
            a->words[a->word_count++] = word;
        }
        i += used;
    }
    if (a->word_count < v->min_words) return fv_fail(err, FV_BAD_USAGE, "fovea %s: something is missing\nusage: fovea %s", v->name, v->synopsis);
    return FV_OK;
}

const char *fv_args_value(const fv_args *a, const fv_verb *v, const char *option) {
    int i = option_number(v, option, strlen(option));
    return i < 0 ? NULL : a->values[i];
}

bool fv_args_flag(const fv_args *a, const fv_verb *v, const char *option) { return fv_args_value(a, v, option) != NULL; }

const char *fv_args_setting(const fv_args *a, const char *key) {
    size_t n = strlen(key);
    for (int i = a->setting_count; i-- > 0;)
        if (!strncmp(a->settings[i], key, n) && a->settings[i][n] == '=') return a->settings[i] + n + 1;
    return NULL;
}

fv_status fv_args_num(const fv_args *a, const char *key, double low, double high, double fallback, double *out, fv_error *err) {
    const char *text = fv_args_setting(a, key);
    *out = fallback;
    if (!text) return FV_OK;
    char *end;
    errno = 0;
    double v = strtod(text, &end);
    if (*end || end == text || errno || !(v >= low && v <= high)) return fv_fail(err, FV_BAD_USAGE, "%s must be a number %g..%g, got %s", key, low, high, text);
    *out = v;
    return FV_OK;
}

fv_status fv_args_number(const char *text, const char *name, int64_t low, int64_t high, int64_t fallback, int64_t *out, fv_error *err) {
    *out = fallback;
    if (!text) return FV_OK;
    char *end;
    errno = 0;
    long long v = strtoll(text, &end, 10);
    if (*end || end == text || errno || v < low || v > high)
        return fv_fail(err, FV_BAD_USAGE, "%s must be a whole number %lld..%lld, got %s", name, (long long)low, (long long)high, text);
    *out = v;
    return FV_OK;
}

fv_status fv_args_int(const fv_args *a, const char *key, int64_t low, int64_t high, int64_t fallback, int64_t *out, fv_error *err) {
    return fv_args_number(fv_args_setting(a, key), key, low, high, fallback, out, err);
}
