#include "cli/cli.h"

#include "rl/reward_rows.h"

#include <stdio.h>
#include <stdlib.h>

static const fv_option options[] = {
    {"--recipe", FV_OPTION_VALUE, "FILE", "whose rewards; fields can be given as path.to.field=value"},
    {"--data", FV_OPTION_VALUE, "FILE", "responses, a row each: id, group, response, answer, and what else the terms need"},
    {"--out", FV_OPTION_VALUE, "FILE", "JSON lines: id, group, reward, terms, advantage, token_weights; or id, error"},
    FV_COMMON_OPTIONS,
};

/* A recipe for any rows names none, and none are needed here. */
static const char *const no_data[] = {"data=none"};

/* Opens the recipe with the settings; of several stages, fields of stages are meant of the one whose rewards these are. */
static fv_status open_recipe(fv_recipe **out, const char *path, const fv_args *a, fv_error *err) {
    const char *settings[FV_COUNT(a->settings) + 1] = {no_data[0]};
    char *longer[FV_COUNT(a->settings)] = {NULL}, *text = NULL;
    fv_recipe *plain;
    *out = NULL;
    fv_error unknown; /* a setting may be what it needs: it is opened with them in any case */
    if (fv_recipe_open(&plain, path, no_data, 1, &unknown) != FV_OK) plain = NULL;
    const fv_stage *stage = plain ? fv_reward_stage(plain) : NULL;
    fv_status s = FV_OK;
    for (int i = 0; i < a->setting_count && s == FV_OK; i++) {
        bool of_stage = stage && plain->stage_count > 1 && fv_recipe_of_stages(a->settings[i]);
        fv_text t = {0};
        if (of_stage) fv_text_printf(&t, "stages.%s.%s", stage->name, a->settings[i]);
        if (of_stage) s = fv_text_take(&t, &text, NULL, err);
        longer[i] = of_stage && s == FV_OK ? text : NULL;
        settings[i + 1] = longer[i] ? longer[i] : a->settings[i];
    }
    if (s == FV_OK) s = fv_recipe_open(out, path, settings, a->setting_count + 1, err);
    for (int i = 0; i < a->setting_count; i++) free(longer[i]);
    if (plain) fv_recipe_close(plain);
    return s;
}

static fv_status run(const fv_args *a, fv_error *err) {
    const fv_verb *v = &fv_verb_reward;
    const char *path, *data, *out;
    fv_recipe *recipe;
    fv_reward_counts counts;
    FV_TRY(fv_args_need(a, v, "--recipe", &path, err));
    FV_TRY(fv_args_need(a, v, "--data", &data, err));
    FV_TRY(fv_args_need(a, v, "--out", &out, err));
    FV_TRY(open_recipe(&recipe, path, a, err));
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
