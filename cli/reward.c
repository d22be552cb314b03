#include "cli/cli.h"

#include "rl/reward_rows.h"

#include <stdio.h>
#include <string.h>

static const fv_option options[] = {
    {"--recipe", FV_OPTION_VALUE, "FILE", "whose rewards; fields can be given as path.to.field=value"},
    {"--data", FV_OPTION_VALUE, "FILE", "responses, a row each: id, group, response, answer, and what else the terms need"},
    {"--out", FV_OPTION_VALUE, "FILE", "JSON lines: id, group, reward, terms, advantage, token_weights; or id, error"},
    FV_COMMON_OPTIONS,
};

static fv_status run(const fv_args *a, fv_error *err) {
    const fv_verb *v = &fv_verb_reward;
    const char *path, *data, *out, *settings[FV_COUNT(a->settings) + 1];
    fv_recipe *recipe;
    fv_reward_counts counts;
    FV_TRY(fv_args_need(a, v, "--recipe", &path, err));
    FV_TRY(fv_args_need(a, v, "--data", &data, err));
    FV_TRY(fv_args_need(a, v, "--out", &out, err));
    settings[0] = "data=responses"; /* a recipe for any rows names none, and none are needed here */
    memcpy(settings + 1, a->settings, (size_t)a->setting_count * sizeof *settings);
    FV_TRY(fv_recipe_open(&recipe, path, settings, a->setting_count + 1, err));
    fv_status s = fv_reward_rows(&counts, recipe, data, out, err);
    fv_recipe_close(recipe);
    if (s == FV_OK) fprintf(stderr, "%s: %lld rows in %lld groups, %lld of them with an error\n", out, (long long)counts.rows, (long long)counts.groups, (long long)counts.bad);
    return s;
}

const fv_verb fv_verb_reward = {
    .name = "reward",
    .synopsis = "reward --recipe FILE --data FILE --out FILE [key=value ...]",
    .summary = "a recipe's rewards for given responses, term by term",
    .help = "Computes what a recipe would have paid for responses that exist already, with the advantages of each group (rows with the same `group`). No policy is\n"
            "loaded. Terms are unweighted; reward is what the objective sees. A row that lacks what a term needs gets {\"id\", \"error\"}; the others are written.\n\n"
            "  echo '{\"id\": \"1\", \"group\": \"g\", \"response\": \"<answer>8</answer>\", \"answer\": \"8\"}' > responses.jsonl\n"
            "  echo '{\"id\": \"2\", \"group\": \"g\", \"response\": \"<answer>3</answer>\", \"answer\": \"8\"}' >> responses.jsonl\n"
            "  fovea reward --recipe recipes/grpo.yaml --data responses.jsonl --out rewards.jsonl",
    .options = options,
    .option_count = FV_COUNT(options),
    .free_settings = true,
    .run = run};
