#include "cli/cli.h"

#include "core/progress.h"
#include "rl/model_facts.h"
#include "rl/session.h"

#include <stdio.h>
#include <string.h>

static const fv_option options[] = {
    {"--preset", FV_OPTION_VALUE, "NAME", "init: tiny (2.6 M parameters), mid (60 M), or a config.json of any family to follow"},
    {"--json", FV_OPTION_FLAG, "", "the facts as JSON on stdout"},
    {"dtype", FV_OPTION_SETTING, "f32|bf16", "how weights are stored; by default f32 (init), as they are (merge)"},
    FV_COMMON_OPTIONS,
};

/* 1234567 -> "1.23 M" */
static const char *amount(double x, const char *unit, char out[32]) {
    static const struct {
        double at;
        const char *letter;
    } steps[] = {{1e9, "G"}, {1e6, "M"}, {1e3, "k"}};
    for (size_t i = 0; i < FV_COUNT(steps); i++)
        if (x >= steps[i].at) {
            snprintf(out, 32, "%.3g %s%s", x / steps[i].at, steps[i].letter, unit);
            return out;
        }
    snprintf(out, 32, "%.0f %s", x, unit + (*unit == ' '));
    return out;
}

static void print_sizes(const char *name, const json_t *sizes) {
    const char *key;
    json_t *value;
    printf("%-12s", name);
    json_object_foreach((json_t *)sizes, key, value) printf(" %s %lld", key, (long long)json_integer_value(value));
    printf("\n");
}

static void print_adapter(const json_t *f) {
    char a[32];
    printf("%-12s %s: r %lld, alpha %g%s%s, %lld layers, %lld weights brought whole,", "adapter", json_string_value(json_object_get(f, "folder")), (long long)json_integer_value(json_object_get(f, "r")),
           json_number_value(json_object_get(f, "alpha")), json_is_true(json_object_get(f, "rslora")) ? ", rsLoRA" : "", json_is_true(json_object_get(f, "dora")) ? ", DoRA" : "",
           (long long)json_integer_value(json_object_get(f, "layers")), (long long)json_integer_value(json_object_get(f, "saved")));
    printf(" %s\n", amount(json_number_value(json_object_get(f, "parameters")), " parameters", a));
}

static void print_facts(const json_t *f) {
    char a[32];
    const char *key;
    json_t *value;
    printf("%s: %s, %s, %s%s\n", json_string_value(json_object_get(f, "folder")), json_string_value(json_object_get(f, "model_type")),
           amount(json_number_value(fv_json_find(f, "parameters.total")), " parameters", a), json_string_value(json_object_get(f, "dtype")),
           json_is_true(json_object_get(f, "tied")) ? ", output tied to the embedding" : "");
    printf("parameters  ");
    json_object_foreach(json_object_get(f, "parameters"), key, value)
        if (strcmp(key, "total")) printf(" %s %s", key, amount(json_number_value(value), "", a));
    printf("\n");
    print_sizes("text", json_object_get(f, "text"));
    if (json_is_object(json_object_get(f, "vision"))) print_sizes("vision", json_object_get(f, "vision"));
    double lying = json_number_value(json_object_get(f, "unpacked_bytes")), widened = json_number_value(json_object_get(f, "widened_bytes"));
    printf("%-12s %s of weights on disk, mapped;", "memory", amount(json_number_value(json_object_get(f, "file_bytes")), "B", a));
    if (widened > 0) printf(" %s of F16 widened at opening;", amount(widened, "B", a));
    printf(" %s more in packed form, on first use;", amount(json_number_value(json_object_get(f, "packed_bytes")), "B", a));
    if (lying > 0) printf(" %s read as they lie for want of room, slower where rows are few;", amount(lying, "B", a));
    printf(" %s more to train\n", amount(json_number_value(json_object_get(f, "trained_bytes")), "B", a));
    printf("%-12s %.3f s\n", "opening", json_number_value(json_object_get(f, "open_seconds")));
    printf("%-12s %lld tokens, rows for %lld\n", "tokenizer", (long long)json_integer_value(fv_json_find(f, "tokenizer.size")), (long long)json_integer_value(fv_json_find(f, "tokenizer.vocabulary")));
    print_sizes("limits", json_object_get(f, "limits"));
    if (json_is_object(json_object_get(f, "adapter"))) print_adapter(json_object_get(f, "adapter"));
    if (*json_string_value(json_object_get(f, "note"))) printf("%-12s %s\n", "note", json_string_value(json_object_get(f, "note")));
}

static fv_status show(const fv_args *a, fv_error *err) {
    fv_common common;
    const fv_ops *ops;
    fv_model *m;
    json_t *facts = NULL;
    FV_TRY(fv_common_read(&common, a, err));
    FV_TRY(fv_ops_find(&ops, common.device, common.precision, err));
    double start = fv_now();
    FV_TRY(fv_model_open(&m, a->words[0], err));
    double seconds = fv_now() - start;
    fv_status s = fv_model_facts(&facts, m, ops, err);
    if (s == FV_OK) json_object_set_new(facts, "open_seconds", json_real(seconds));
    if (s == FV_OK && fv_args_flag(a, &fv_verb_model, "--json")) fv_print_json(facts);
    else if (s == FV_OK) print_facts(facts);
    json_decref(facts);
    fv_model_close(m);
    return s;
}

/* dtype=f32|bf16; *out stays what it is where nothing is said. */
static fv_status read_dtype(const fv_args *a, fv_dtype *out, fv_error *err) {
    const char *dtype = fv_args_setting(a, "dtype");
    if (!dtype) return FV_OK;
    if (strcmp(dtype, "f32") && strcmp(dtype, "bf16")) return fv_fail(err, FV_BAD_USAGE, "dtype must be f32 or bf16, got %s", dtype);
    *out = !strcmp(dtype, "bf16") ? FV_BF16 : FV_F32;
    return FV_OK;
}

static fv_status merge(const fv_args *a, fv_error *err) {
    fv_common common;
    fv_session s = {0};
    fv_dtype dtype = FV_DTYPES;
    if (a->word_count != 4) return fv_fail(err, FV_BAD_USAGE, "fovea model merge: name the model, the adapter and the new folder\nusage: fovea model merge MODEL ADAPTER DIR");
    FV_TRY(fv_common_read(&common, a, err));
    FV_TRY(read_dtype(a, &dtype, err));
    fv_status status = fv_session_open(&s, &(fv_session_options){.model = a->words[1], .adapter = a->words[2], .threads = common.threads}, err);
    if (status == FV_OK) status = fv_model_save_merged(s.model, s.slot, a->words[3], dtype, err);
    fv_session_close(&s);
    return status;
}

static fv_status init(const fv_args *a, fv_error *err) {
    fv_common common;
    fv_dtype dtype = FV_F32;
    const char *preset;
    if (a->word_count != 2) return fv_fail(err, FV_BAD_USAGE, "fovea model init: name the new folder\nusage: fovea model init --preset tiny DIR");
    FV_TRY(fv_args_need(a, &fv_verb_model, "--preset", &preset, err));
    FV_TRY(fv_common_read(&common, a, err));
    FV_TRY(read_dtype(a, &dtype, err));
    return fv_model_init(preset, common.seed, a->words[1], dtype, err);
}

static fv_status run(const fv_args *a, fv_error *err) {
    if (!strcmp(a->words[0], "init")) return init(a, err);
    if (!strcmp(a->words[0], "merge")) return merge(a, err);
    if (a->word_count != 1) return fv_fail(err, FV_BAD_USAGE, "fovea model: unexpected argument %s\nusage: fovea %s", a->words[1], fv_verb_model.synopsis);
    return show(a, err);
}

const fv_verb fv_verb_model = {
    .name = "model",
    .synopsis = "model DIR [--json]  |  model init --preset tiny DIR [seed=N] [dtype=bf16]  |  model merge MODEL ADAPTER DIR",
    .summary = "shows a checkpoint; makes a small random one; merges an adapter",
    .help = "Shows what is in a Hugging Face folder, or a PEFT adapter's: family, sizes, parameters by part, memory, limits. `model init` makes a new one with random\n"
            "weights, a byte-level tokenizer that reads any text, and everything that transformers needs to open it; `model merge` writes a whole model from one and its\n"
            "LoRA adapter. The new folder must be new or empty.\n\n"
            "  fovea model init --preset tiny m seed=7\n"
            "  fovea model m\n"
            "  fovea model init --preset m/config.json m2\n\n"
            "and, with an adapter of m in the folder a:\n\n"
            "  fovea model merge m a merged",
    .options = options,
    .option_count = FV_COUNT(options),
    .min_words = 1,
    .max_words = 4,
    .run = run};
