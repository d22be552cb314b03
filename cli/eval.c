#include "cli/cli.h"

#include "rl/evaluate/evaluate_file.h"

#include <stdio.h>
#include <string.h>

static const fv_option options[] = {
    {"--model", FV_OPTION_VALUE, "DIR", "a Hugging Face folder, or a PEFT adapter's (with --data, instead of a recipe)"},
    {"--data", FV_OPTION_VALUE, "FILE", "rows with an answer"},
    {"--responses", FV_OPTION_VALUE, "FILE", "rows with `response` and answer: no model is run"},
    {"--protocol", FV_OPTION_VALUE, "P", "how an answer is found and compared, and what is averaged; the recipe's evaluate.protocol, exact by default"},
    {"--out", FV_OPTION_VALUE, "DIR", "gets samples.jsonl (a line a row), results.json, and report/report.html"},
    {"--json", FV_OPTION_FLAG, "", "the result as JSON on stdout"},
    FV_SAMPLING_OPTIONS,
    FV_COMMON_OPTIONS,
};

static double number(const json_t *at, const char *path) { return json_number_value(fv_json_find(at, path)); }

static void print_row(const char *name, const json_t *r) {
    const json_t *ci = json_object_get(r, "ci95");
    if (json_is_null(json_object_get(r, "accuracy"))) printf("%-24s %6s\n", name, "no rows");
    else if (!ci) printf("%-24s %6.1f %%%21s n %lld\n", name, 100 * number(r, "accuracy"), "", (long long)number(r, "n"));
    else
        printf("%-24s %6.1f %%  [%5.1f, %5.1f]     n %lld   se %.4f   clustered %.4f\n", name, 100 * number(r, "accuracy"), 100 * json_number_value(json_array_get(ci, 0)),
               100 * json_number_value(json_array_get(ci, 1)), (long long)number(r, "n"), number(r, "se"), number(r, "se_clustered"));
}

static void print_result(const char *name, const json_t *r) {
    const char *category;
    json_t *value;
    print_row(name, r);
    json_object_foreach(json_object_get(r, "by"), category, value) {
        char indented[160];
        snprintf(indented, sizeof indented, "  %.150s", category);
        print_row(indented, value);
    }
}

/* What a protocol says beside its accuracy. */
static void print_more(const json_t *r) {
    const char *name;
    json_t *value;
    json_object_foreach(json_object_get(r, "metrics"), name, value) {
        if (json_is_number(value)) printf("  %-22s %6.1f %%\n", name, 100 * json_number_value(value));
        else printf("  %-22s %6s\n", name, "no rows");
    }
    if (number(r, "left_out") > 0) printf("  %.0f rows are left out of the mean, as %s does\n", number(r, "left_out"), json_string_value(json_object_get(r, "source")));
}

static fv_status show(const fv_args *a, json_t *result, fv_error *err) {
    const json_t *modes = json_object_get(result, "modes");
    const char *mode;
    json_t *value;
    double errors = number(result, "errors");
    if (fv_args_flag(a, &fv_verb_eval, "--json")) {
        fv_print_json(result);
    } else if (modes) {
        json_object_foreach((json_t *)modes, mode, value) print_result(mode, value), print_more(value);
    } else {
        print_result(json_string_value(json_object_get(result, "protocol")), result);
        print_more(result);
    }
    const char *folder = fv_args_value(a, &fv_verb_eval, "--out");
    if (folder) fprintf(stderr, "report: %s/report/report.html\n", folder);
    json_decref(result);
    return errors > 0 ? fv_fail(err, FV_BAD_DATA, "%.0f rows could not be used and are left out (see above)", errors) : FV_OK;
}

/* Settings as overrides of a recipe; those of sampling and --protocol mean their fields. */
typedef struct {
    const char *list[FV_COUNT(((fv_args *)0)->settings) + 4];
    char max_new[64], protocol[96];
    int count;
} overrides;

static void collect(overrides *o, const fv_args *a, const fv_sampling_args *s) {
    static const char *const sampling[] = {"temperature=", "top_p=", "max_new_tokens="};
    o->list[o->count++] = "data=none"; /* nothing is trained */
    if (fv_args_setting(a, "temperature")) o->list[o->count++] = s->temperature > 0 ? "evaluate.modes=[sampled]" : "evaluate.modes=[greedy]"; /* modes that are named win */
    for (int i = 0; i < a->setting_count; i++) {
        bool own = false;
        for (size_t k = 0; k < FV_COUNT(sampling); k++) own |= !strncmp(a->settings[i], sampling[k], strlen(sampling[k]));
        if (!own) o->list[o->count++] = a->settings[i];
    }
    if (fv_args_setting(a, "max_new_tokens")) {
        snprintf(o->max_new, sizeof o->max_new, "evaluate.max_new_tokens=%d", s->max_new_tokens);
        o->list[o->count++] = o->max_new;
    }
    const char *protocol = fv_args_value(a, &fv_verb_eval, "--protocol");
    if (!protocol) return;
    snprintf(o->protocol, sizeof o->protocol, "evaluate.protocol=%s", protocol);
    o->list[o->count++] = o->protocol;
}

static fv_status open_recipe(fv_recipe **out, const fv_args *a, const overrides *o, fv_error *err) {
    const fv_verb *v = &fv_verb_eval;
    const char *model, *data;
    if (a->word_count) {
        if (fv_args_value(a, v, "--model") || fv_args_value(a, v, "--data"))
            return fv_fail(err, FV_BAD_USAGE, "fovea eval: a recipe names its model and data; change them with model.path=DIR eval_data=FILE");
        return fv_recipe_open(out, a->words[0], o->list, o->count, err);
    }
    FV_TRY(fv_args_need(a, v, "--model", &model, err));
    FV_TRY(fv_args_need(a, v, "--data", &data, err));
    return fv_evaluate_recipe_for(out, model, data, o->list, o->count, err);
}

static fv_status run(const fv_args *a, fv_error *err) {
    const fv_verb *v = &fv_verb_eval;
    const char *responses = fv_args_value(a, v, "--responses"), *protocol = fv_args_value(a, v, "--protocol");
    const fv_protocol *rule;
    fv_error why;
    fv_sampling_args sampling;
    overrides o = {.count = 0};
    fv_recipe *recipe;
    json_t *result;
    FV_TRY(fv_sampling_read(&sampling, a, 0, err));
    fv_evaluate_file_options how = {.folder = fv_args_value(a, v, "--out"), .temperature = sampling.temperature, .top_p = sampling.top_p, .bad = fv_say_bad_row, .note = fv_say_note};
    if (responses && (a->word_count || fv_args_value(a, v, "--model") || fv_args_value(a, v, "--data")))
        return fv_fail(err, FV_BAD_USAGE, "fovea eval: --responses takes neither a recipe nor a model, and its rows are all the data");
    if (protocol && fv_protocol_find(&rule, protocol, &why) != FV_OK) return fv_fail(err, FV_BAD_USAGE, "fovea eval: --protocol: %s", why.text);
    collect(&o, a, &sampling);
    if (responses) FV_TRY(fv_evaluate_recipe_for(&recipe, "none", "none", o.list, o.count, err)); /* settings are checked, and say what is counted and how */
    else FV_TRY(open_recipe(&recipe, a, &o, err));
    fv_status s = responses ? fv_evaluate_responses(&result, recipe, responses, &how, err) : fv_evaluate_recipe(&result, recipe, &how, err);
    fv_recipe_close(recipe);
    return s == FV_OK ? show(a, result, err) : s;
}

static void list_protocols(FILE *to) {
    int n;
    const fv_protocol *const *all = fv_protocols(&n);
    fprintf(to, "\nprotocols (NAME@lmms: as lmms-eval computes it, NAME@kit: as VLMEvalKit does; a system's name: as its released code evaluates):\n");
    for (int i = 0; i < n; i++) fprintf(to, "  %-18s %s\n  %-18s rows: %s; source: %s\n", all[i]->name, all[i]->doc, "", all[i]->fields, all[i]->source);
}

const fv_verb fv_verb_eval = {
    .name = "eval",
    .synopsis = "eval RECIPE | eval --model DIR --data FILE | eval --responses FILE  [--protocol P] [--out DIR] [--json] [key=value ...]",
    .summary = "accuracy with a confidence interval, by category",
    .help = "Lets a model answer every row once (greedy; temperature=T samples), compares with the row's answer, and says the accuracy with its 95 % interval, by\n"
            "problem_type. se_clustered allows for rows that share a picture, video or group. Any field of a recipe can be given (evaluate.n=100, evaluate.by=category,\n"
            "env='{tools: [image_zoom_in_tool]}').\n\n"
            "  fovea model init --preset tiny m\n"
            "  fovea data make visual-search n=20 split=test --out rows\n"
            "  fovea eval --model m --data rows/visual-search.jsonl --out results max_new_tokens=32\n"
            "  fovea eval --responses results/samples.jsonl --json\n"
            "  fovea eval --responses published.jsonl --protocol videomme@lmms\n\n"
            "A protocol that leaves some answers to a judge asks a server where one is named: judge.url=http://127.0.0.1:8000/v1 judge.model=NAME\n"
            "evaluate.judge_prompt=recipes/judges/mmvu.txt.\n\n"
            "--responses also reads lmms-eval's sample logs (`doc`, `resps`) and VLMEvalKit's rows (`prediction`). Rows that can't be used are reported and left out, and the\n"
            "exit code is 1.",
    .more = list_protocols,
    .options = options,
    .option_count = FV_COUNT(options),
    .free_settings = true,
    .max_words = 1,
    .run = run};
