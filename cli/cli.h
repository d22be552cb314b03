/* The command line: verbs in one table, arguments read one way. Results go to stdout or files, everything else to stderr.
 * Exit codes: 0 done, 1 failed (what, where, how to fix), 2 wrong usage. */
#ifndef FV_CLI_CLI_H
#define FV_CLI_CLI_H

#include "datasets/dataset.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* An option of a verb: "--out" (takes a value), "--json" (a flag), or a setting "seed=". */
typedef struct {
    const char *name;      /* "--out", "-n", "seed" */
    enum { FV_OPTION_VALUE, FV_OPTION_FLAG, FV_OPTION_SETTING } kind;
    const char *meta;      /* "DIR" */
    const char *help;
} fv_option;

/* The words after the verb, read. */
typedef struct {
    const char *words[64];     /* positional */
    int word_count;
    const char *settings[256]; /* "key=value", as given */
    int setting_count;
    const char *values[64];    /* by option number; flags: "1"; NULL: not given */
} fv_args;

typedef struct {
    const char *name, *synopsis, *summary;
    const char *help;          /* what it is for, with an example */
    void (*more)(FILE *to);    /* what its help ends with, where that is a table's; or NULL */
    const fv_option *options;
    int option_count;
    bool free_settings;        /* takes any key=value (recipe overrides) */
    bool stops;                /* ends by itself when fv_stop_requested is set */
    int min_words, max_words;
    fv_status (*run)(const fv_args *a, fv_error *err);
} fv_verb;

/* FV_BAD_USAGE with a suggestion for what was not understood. */
fv_status fv_args_read(fv_args *out, const fv_verb *verb, int argc, char **argv, fv_error *err);
const char *fv_args_value(const fv_args *a, const fv_verb *verb, const char *option);   /* NULL: not given */
bool fv_args_flag(const fv_args *a, const fv_verb *verb, const char *option);
const char *fv_args_setting(const fv_args *a, const char *key);                         /* of "key=value"; the last one wins */
fv_status fv_args_int(const fv_args *a, const char *key, int64_t low, int64_t high, int64_t fallback, int64_t *out, fv_error *err);
fv_status fv_args_num(const fv_args *a, const char *key, double low, double high, double fallback, double *out, fv_error *err);

/* The value of an option that must be there, else FV_BAD_USAGE. */
fv_status fv_args_need(const fv_args *a, const fv_verb *verb, const char *option, const char **out, fv_error *err);

/* What FV_COMMON_OPTIONS say. */
typedef struct {
    uint64_t seed;           /* 1 by default */
    int threads;
    const char *device, *precision;
} fv_common;
fv_status fv_common_read(fv_common *out, const fv_args *a, fv_error *err);

/* Settings of verbs that sample. */
#define FV_SAMPLING_OPTIONS                                                                                            \
    {"temperature", FV_OPTION_SETTING, "T", "0: greedy"}, {"top_p", FV_OPTION_SETTING, "P", "nucleus; 1: off"},        \
    {"max_new_tokens", FV_OPTION_SETTING, "N", "tokens a turn, 256 by default"}
typedef struct {
    float temperature, top_p;
    int max_new_tokens;
} fv_sampling_args;
fv_status fv_sampling_read(fv_sampling_args *out, const fv_args *a, double temperature, fv_error *err); /* temperature: by default */

/* A whole number given as an option ("-n 8"); text NULL: fallback. */
fv_status fv_args_number(const char *text, const char *name, int64_t low, int64_t high, int64_t fallback, int64_t *out, fv_error *err);

/* An environment given as YAML or JSON, or as a file; *out is the caller's, NULL for text NULL. */
fv_status fv_env_read(json_t **out, const char *text, fv_error *err);

/* A fv_bad_row: says it on stderr, of the first fifty. */
void fv_say_bad_row(void *context, const fv_error *why);

/* What is worth knowing of a model (fv_session_options.note): says it on stderr. */
void fv_say_note(const char *model, const char *note);

/* One value on stdout, indented, and a newline. */
void fv_print_json(const json_t *value);

/* Opens a file of rows. */
fv_status fv_open_rows(fv_dataset **out, const char *path, uint64_t seed, fv_error *err);

const fv_verb *const *fv_verbs(int *count);
void fv_help(FILE *to, const fv_verb *verb);                                            /* NULL: the overview */

/* Set to SIGINT or SIGTERM by the first of them, for verbs that heed it: they finish their step, keep what they have and return FV_CANCELLED. */
extern volatile int fv_stop_requested;

/* Settings that every verb takes. */
#define FV_COMMON_OPTIONS                                                                                              \
    {"seed", FV_OPTION_SETTING, "N", "randomness: same seed, same result"},                                            \
    {"threads", FV_OPTION_SETTING, "N", "0: all cores; results don't depend on it"},                                   \
    {"device", FV_OPTION_SETTING, "cpu|cuda", "where the model runs"},                                                 \
    {"precision", FV_OPTION_SETTING, "f32|bf16", "what matrix products are made in; bf16: faster where the processor or card has it"}

extern const fv_verb fv_verb_train, fv_verb_eval, fv_verb_rollout, fv_verb_score, fv_verb_reward, fv_verb_chat, fv_verb_data, fv_verb_model, fv_verb_bench,
    fv_verb_help;

#endif
