#include "cli/cli.h"

#include "rl/train.h"

static const fv_option options[] = {
    {"--resume", FV_OPTION_FLAG, "", "go on from the last checkpoint of the run folder, bit for bit"},
    {"--quiet", FV_OPTION_FLAG, "", "no progress lines"},
    FV_COMMON_OPTIONS,
};

static fv_status run(const fv_args *a, fv_error *err) {
    fv_recipe *recipe;
    FV_TRY(fv_recipe_open(&recipe, a->words[0], a->settings, a->setting_count, err));
    fv_train_options o = {.resume = fv_args_flag(a, &fv_verb_train, "--resume"), .quiet = fv_args_flag(a, &fv_verb_train, "--quiet"), .stop = &fv_stop_requested};
    fv_status s = fv_train(recipe, &o, err);
    fv_recipe_close(recipe);
    return s;
}

const fv_verb fv_verb_train = {
    .name = "train",
    .synopsis = "train RECIPE [key=value ...] [--resume]",
    .summary = "trains a model: supervised, by reinforcement, or stages of both",
    .help = "Runs the stages of a recipe and leaves a run folder: checkpoints (Hugging Face folders), metrics.jsonl, trajectories, report.html.\n"
            "Any field of the recipe can be given as path.to.field=value. Ctrl-C writes a checkpoint first; --resume goes on from it.\n\n"
            "  fovea train recipes/visual-search.yaml\n"
            "  fovea train recipes/sft.yaml model.path=DIR data=rows.jsonl epochs=2 out=runs/mine",
    .options = options,
    .option_count = FV_COUNT(options),
    .free_settings = true,
    .min_words = 1,
    .max_words = 1,
    .run = run};
