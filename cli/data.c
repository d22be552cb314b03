#include "cli/cli.h"

#include "core/text.h"
#include "datasets/export.h"
#include "datasets/generator.h"
#include "datasets/survey.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const fv_option options[] = {
    {"--out", FV_OPTION_VALUE, "DIR", "make: gets GENERATOR.jsonl, pictures/, and GENERATOR.png with the first rows"},
    {"--json", FV_OPTION_FLAG, "", "what is in FILE, as JSON on stdout"},
    {"n", FV_OPTION_SETTING, "N", "make: rows, 1000 by default"},
    {"split", FV_OPTION_SETTING, "S", "make: train, or test (photographs that train never sees)"},
    FV_COMMON_OPTIONS,
};

/* ---- data: the list of generators ---- */

static void list_generators(void) {
    int n;
    const fv_generator *const *all = fv_generators(&n);
    printf("generators: fovea data make NAME [n=1000] [split=train] [option=...] --out DIR\n");
    for (int i = 0; i < n; i++) printf("\n  %-14s %s\n  %-14s options: %s\n", all[i]->name, all[i]->help, "", all[i]->options);
}

/* Settings that every verb takes; they are no generator's. */
static bool is_common(const char *setting) {
    static const char *const common[] = {"seed=", "threads=", "device=", "precision="};
    for (size_t k = 0; k < FV_COUNT(common); k++)
        if (!strncmp(setting, common[k], strlen(common[k]))) return true;
    return false;
}

/* ---- data FILE ---- */

static void print_counts(const char *title, const json_t *table) {
    const char *key;
    json_t *value;
    if (!json_object_size(table)) return;
    printf("%-11s", title);
    int n = 0;
    json_object_foreach((json_t *)table, key, value) printf("%s%s %lld", n++ ? ", " : " ", key, (long long)json_integer_value(value));
    printf("\n");
}

static void print_rows(const json_t *rows) {
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *r = json_array_get(rows, i);
        const char *question = json_string_value(json_object_get(r, "question")), *answer = json_string_value(json_object_get(r, "answer"));
        printf("%-11s %s: %s\n", i ? "" : "rows", json_string_value(json_object_get(r, "id")), question ? question : "(tokens)");
        if (answer) printf("%-11s   answer: %s\n", "", answer);
        fv_text t = {0};
        fv_json_dump(&t, json_object_get(r, "pictures"), 0);
        if (json_array_size(json_object_get(r, "pictures"))) printf("%-11s   pictures: %.300s\n", "", t.data ? t.data : "");
        fv_text_clear(&t);
    }
}

static void print_survey(const json_t *f) {
    printf("%s: %lld rows, %lld with an answer, %lld with an assistant's turn to learn from\n", json_string_value(json_object_get(f, "file")), (long long)json_integer_value(json_object_get(f, "n")),
           (long long)json_integer_value(json_object_get(f, "answers")), (long long)json_integer_value(json_object_get(f, "learn")));
    print_counts("formats", json_object_get(f, "formats"));
    print_counts("fields", json_object_get(f, "fields"));
    print_counts("categories", json_object_get(f, "categories"));
    const json_t *p = json_object_get(f, "pictures"), *small = json_object_get(p, "smallest"), *large = json_object_get(p, "largest");
    printf("%-11s %lld named, %lld opened", "pictures", (long long)json_integer_value(json_object_get(p, "named")), (long long)json_integer_value(json_object_get(p, "opened")));
    if (json_is_array(small))
        printf(", %lldx%lld to %lldx%lld", (long long)json_integer_value(json_array_get(small, 0)), (long long)json_integer_value(json_array_get(small, 1)),
               (long long)json_integer_value(json_array_get(large, 0)), (long long)json_integer_value(json_array_get(large, 1)));
    printf("; %lld videos\n", (long long)json_integer_value(json_object_get(f, "videos")));
    print_rows(json_object_get(f, "rows"));
    printf("%-11s %lld\n", "problems", (long long)json_integer_value(json_object_get(f, "problem_count")));
}

static fv_status look(const fv_args *a, fv_error *err) {
    json_t *facts;
    fv_common unused; /* reading depends on none of them */
    FV_TRY(fv_common_read(&unused, a, err));
    for (int i = 0; i < a->setting_count; i++)
        if (!is_common(a->settings[i])) return fv_fail(err, FV_BAD_USAGE, "fovea data FILE: unknown setting %s", a->settings[i]);
    FV_TRY(fv_survey(&facts, a->words[0], &(fv_survey_options){0}, err));
    if (fv_args_flag(a, &fv_verb_data, "--json")) fv_print_json(facts);
    else print_survey(facts);
    const json_t *problems = json_object_get(facts, "problems");
    long long count = json_integer_value(json_object_get(facts, "problem_count"));
    fflush(stdout);
    for (size_t i = 0; i < json_array_size(problems); i++) fprintf(stderr, "%s\n", json_string_value(json_array_get(problems, i)));
    fv_status s = count ? fv_fail(err, FV_BAD_DATA, "%s: %lld problems (%zu are shown)", a->words[0], count, json_array_size(problems)) : FV_OK;
    json_decref(facts);
    return s;
}

/* ---- data make GENERATOR ---- */

/* A setting's text as JSON: a number if it reads as one. */
static json_t *value_of(const char *text) {
    char *end;
    long long whole = strtoll(text, &end, 10);
    if (*text && !*end) return json_integer(whole);
    double number = strtod(text, &end);
    return *text && !*end && isfinite(number) ? json_real(number) : json_string(text);
}

static fv_status make_spec(json_t **out, const fv_args *a, fv_error *err) {
    json_t *spec = json_pack("{s: s, s: i}", "make", a->words[1], "n", 1000);
    if (!spec) return fv_fail(err, FV_BAD_USAGE, "a generator's name is plain text; `fovea data` lists them");
    for (int i = 0; i < a->setting_count; i++) {
        char key[64];
        snprintf(key, sizeof key, "%.*s", (int)strcspn(a->settings[i], "="), a->settings[i]);
        if (is_common(a->settings[i]) || !json_object_set_new(spec, key, value_of(strchr(a->settings[i], '=') + 1))) continue;
        json_decref(spec);
        return fv_fail(err, FV_BAD_USAGE, "fovea data make: %.80s: names and values are plain text (UTF-8)", a->settings[i]);
    }
    *out = spec;
    return FV_OK;
}

static fv_status make(const fv_args *a, fv_error *err) {
    const char *out;
    fv_common common;
    json_t *spec;
    fv_dataset *data = NULL;
    fv_pool *pool = NULL;
    if (a->word_count != 2) return fv_fail(err, FV_BAD_USAGE, "fovea data make: name one generator; `fovea data` lists them");
    FV_TRY(fv_args_need(a, &fv_verb_data, "--out", &out, err));
    FV_TRY(fv_common_read(&common, a, err));
    FV_TRY(make_spec(&spec, a, err));
    fv_status s = fv_dataset_open(&data, spec, common.seed, err);
    if (s == FV_OK) s = fv_pool_open(&pool, common.threads, err);
    if (s == FV_OK) {
        fv_progress *progress = fv_progress_open(&(fv_progress_options){.label = a->words[1], .unit = "row", .total = fv_dataset_count(data)});
        s = fv_export_rows(data, out, a->words[1], pool, progress, err);
        fv_progress_close(progress);
    }
    if (s == FV_OK) fprintf(stderr, "%s/%s.jsonl: %lld rows; %s/%s.png shows the first\n", out, a->words[1], (long long)fv_dataset_count(data), out, a->words[1]);
    fv_pool_close(pool);
    fv_dataset_close(data);
    json_decref(spec);
    return s;
}

static fv_status run(const fv_args *a, fv_error *err) {
    if (!a->word_count) {
        if (a->setting_count || fv_args_value(a, &fv_verb_data, "--out") || fv_args_flag(a, &fv_verb_data, "--json"))
            return fv_fail(err, FV_BAD_USAGE, "fovea data: of what? name a FILE, or make GENERATOR\nusage: fovea %s", fv_verb_data.synopsis);
        list_generators();
        return FV_OK;
    }
    if (!strcmp(a->words[0], "make")) return make(a, err);
    if (a->word_count > 1) return fv_fail(err, FV_BAD_USAGE, "fovea data: unexpected argument %s\nusage: fovea %s", a->words[1], fv_verb_data.synopsis);
    return look(a, err);
}

const fv_verb fv_verb_data = {
    .name = "data",
    .synopsis = "data FILE [--json]  |  data make GENERATOR [n=N] [split=test] [option=VALUE ...] --out DIR  |  data",
    .summary = "looks at a data set and checks it; makes one",
    .help = "`data FILE` counts rows, formats, fields, categories and pictures, reads every row as training would, opens the first pictures and videos, shows some rows, and\n"
            "lists what is wrong with its place; the exit code is 1 if anything is. `data make` writes a generator's rows as a file with pictures, and a sheet of\n"
            "the first rows to look at. `data` alone lists the generators with their options.\n\n"
            "  fovea data make visual-search n=100 split=test --out rows\n"
            "  fovea data rows/visual-search.jsonl",
    .options = options,
    .option_count = FV_COUNT(options),
    .free_settings = true,
    .max_words = 2,
    .run = run};
