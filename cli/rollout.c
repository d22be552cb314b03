#include "cli/cli.h"

#include "core/file.h"
#include "rl/recipe/recipe.h"
#include "rl/rollout/rollout_file.h"
#include "tools/env.h"

#include <stdio.h>
#include <string.h>

static const fv_option options[] = {
    {"--model", FV_OPTION_VALUE, "DIR", "a Hugging Face folder, or a PEFT adapter's"},
    {"--data", FV_OPTION_VALUE, "FILE", "rows; what stands before the last assistant's turns is the prompt"},
    {"--env", FV_OPTION_VALUE, "E", "environment of rows without their own: YAML or JSON, or a file with it"},
    {"-n", FV_OPTION_VALUE, "G", "answers a row; ids are ROW#K then"},
    {"--out", FV_OPTION_VALUE, "DIR", "gets trajectories.jsonl and pictures/"},
    FV_SAMPLING_OPTIONS,
    FV_COMMON_OPTIONS,
};

fv_status fv_env_read(json_t **out, const char *text, fv_error *err) {
    fv_yaml *y;
    *out = NULL;
    if (!text) return FV_OK;
    if (fv_file_exists(text)) FV_TRY(fv_yaml_read(&y, text, err));
    else FV_TRY(fv_yaml_parse(&y, text, strlen(text), "--env", err));
    fv_status s = y->kind == FV_YAML_MAPPING ? FV_OK : fv_yaml_fail(y, err, "an environment is a mapping, {tools: [image_zoom_in_tool], max_turns: 3}, or a file that holds one");
    if (s == FV_OK && !(*out = fv_recipe_json(y))) s = fv_fail(err, FV_NO_MEMORY, "--env: out of memory");
    fv_yaml_free(y);
    fv_env *env;
    if (s == FV_OK) s = fv_env_open(&env, *out, 28, err); /* a mistake is told once, not for every row */
    if (s == FV_OK) fv_env_close(env);
    else json_decref(*out), *out = NULL;
    return s;
}

static fv_status rollout(fv_rollout_file_options *o, const fv_session_options *how, const fv_dataset *data, fv_error *err) {
    fv_session session;
    fv_rollout_file_counts c;
    FV_TRY(fv_session_open(&session, how, err));
    fv_status s = fv_rollout_file(&c, &session, data, o, err);
    fv_session_close(&session);
    FV_TRY(s);
    fprintf(stderr, "%s/trajectories.jsonl: %lld answers to %lld rows, %lld tokens, %lld tool calls (%lld failed)\n", o->folder, (long long)c.trajectories, (long long)c.rows,
            (long long)c.tokens, (long long)c.calls, (long long)c.failures);
    if (c.bad) return fv_fail(err, FV_BAD_DATA, "%lld of %lld rows could not be used and have no trajectories (see above)", (long long)c.bad, (long long)(c.bad + c.rows));
    return FV_OK;
}

static fv_status run(const fv_args *a, fv_error *err) {
    const fv_verb *v = &fv_verb_rollout;
    const char *model, *file, *out;
    fv_common common;
    fv_sampling_args sampling;
    int64_t group;
    fv_dataset *data;
    json_t *env;
    FV_TRY(fv_args_need(a, v, "--model", &model, err));
    FV_TRY(fv_args_need(a, v, "--data", &file, err));
    FV_TRY(fv_args_need(a, v, "--out", &out, err));
    FV_TRY(fv_args_number(fv_args_value(a, v, "-n"), "-n", 1, 1024, 0, &group, err));
    FV_TRY(fv_common_read(&common, a, err));
    FV_TRY(fv_sampling_read(&sampling, a, 1, err));
    FV_TRY(fv_env_read(&env, fv_args_value(a, v, "--env"), err));
    fv_status s = fv_open_rows(&data, file, common.seed, err);
    if (s == FV_OK) {
        fv_rollout_file_options o = {.folder = out, .env = env, .group_size = (int)group, .temperature = sampling.temperature, .top_p = sampling.top_p,
                                     .max_new_tokens = sampling.max_new_tokens, .seed = common.seed, .bad = fv_say_bad_row, .stop = &fv_stop_requested};
        s = rollout(&o, &(fv_session_options){.model = model, .device = common.device, .precision = common.precision, .threads = common.threads, .note = fv_say_note}, data,
                    err);
        fv_dataset_close(data);
    }
    json_decref(env);
    return s;
}

const fv_verb fv_verb_rollout = {
    .name = "rollout",
    .synopsis = "rollout --model DIR --data FILE --out DIR [--env E] [-n G] [temperature=T] [top_p=P] [max_new_tokens=N]",
    .summary = "lets a model answer rows, with tools if they have an environment",
    .help = "Writes trajectories and trains nothing: DIR/trajectories.jsonl, a line an answer (token ids, log-probs, loss mask, pictures in order, the text, why it\n"
            "stopped, what the tools did), and the pictures beside it. `fovea score --data DIR/trajectories.jsonl` takes the file as it is.\n\n"
            "  fovea model init --preset tiny m\n"
            "  fovea data make visual-search n=4 --out rows\n"
            "  fovea rollout --model m --data rows/visual-search.jsonl --env '{tools: [image_zoom_in_tool], max_turns: 3}' -n 2 --out r max_new_tokens=32\n\n"
            "temperature=0 is greedy (log-probs are at temperature 1 then). A row that can't be used is reported and left out, and the exit code is 1.",
    .options = options,
    .option_count = FV_COUNT(options),
    .stops = true,
    .run = run};
