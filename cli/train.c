#include "cli/cli.h"

#include "rl/compare/compare.h"
#include "rl/train/plan.h"
#include "rl/train/summary_table.h"
#include "rl/train/train.h"

#include <stdio.h>

static const fv_option options[] = {
    {"--resume", FV_OPTION_FLAG, "", "go on from the last checkpoint of the run folder, bit for bit"},
    {"--quiet", FV_OPTION_FLAG, "", "no progress lines"},
    FV_COMMON_OPTIONS,
};

/* Says it, whole lines, at once. */
static void say(FILE *stream, fv_text *text) {
    if (text->size) fwrite(text->data, 1, text->size, stream);
    fflush(stream);
    fv_text_clear(text);
}

static fv_status plan(const fv_recipe *recipe, fv_needs *needs, fv_error *err) {
    fv_text text = {0};
    fv_needs_find(needs, recipe, NULL); /* where it can't be told, the run says why */
    fv_status s = fv_plan_text(&text, recipe, needs, err);
    say(stderr, &text);
    return s;
}

static fv_status train(const fv_recipe *recipe, fv_train_options *o, fv_error *err) {
    fv_text text = {0};
    fv_needs needs;
    if (!o->quiet) {
        FV_TRY(plan(recipe, &needs, err));
        if (needs.stage) o->needs = &needs;
    }
    fv_status s = fv_train(recipe, o, err);
    if (s == FV_OK) s = fv_summary_text(&text, fv_get_text(recipe->json, "out"), err);
    say(stdout, &text);
    return s;
}

static fv_status compare(const fv_args *a, const fv_train_options *o, fv_error *err) {
    fv_arms *arms;
    fv_text text = {0};
    FV_TRY(fv_arms_open(&arms, a->words[0], a->settings, a->setting_count, err));
    fv_status s = o->quiet ? FV_OK : fv_plan_arms(&text, arms, err);
    say(stderr, &text);
    if (s == FV_OK) s = fv_compare(arms, o, &text, err);
    if (s == FV_OK) fv_text_printf(&text, "\nreport: %s/comparison.html\n", fv_arms_folder(arms->recipe));
    say(stdout, &text);
    fv_arms_close(arms);
    return s;
}

static fv_status run(const fv_args *a, fv_error *err) {
    fv_recipe *recipe;
    FV_TRY(fv_recipe_open(&recipe, a->words[0], a->settings, a->setting_count, err));
    fv_train_options o = {.resume = fv_args_flag(a, &fv_verb_train, "--resume"), .quiet = fv_args_flag(a, &fv_verb_train, "--quiet"), .stop = &fv_stop_requested};
    fv_status s = fv_arms_wanted(recipe) ? compare(a, &o, err) : train(recipe, &o, err);
    fv_recipe_close(recipe);
    return s;
}

const fv_verb fv_verb_train = {
    .name = "train",
    .synopsis = "train RECIPE [key=value ...] [--resume]",
    .summary = "trains a model: supervised, by reinforcement, or stages of both",
    .help = "Runs the stages of a recipe and leaves a run folder: checkpoints (Hugging Face folders, or PEFT adapters), metrics.jsonl, trajectories, report.html.\n"
            "Any field of the recipe can be given as path.to.field=value. Ctrl-C writes a checkpoint first; --resume goes on from it.\n"
            "A recipe with `arms` trains each of them with several seeds and ends with a table that compares them (comparison.json, comparison.html).\n"
            "What it needs of memory is said first; a run that can't fit is refused.\n\n"
            "  fovea train recipes/visual-search.yaml\n"
            "  fovea train recipes/sft.yaml model.path=DIR data=rows.jsonl epochs=2 out=runs/mine",
    .options = options,
    .option_count = FV_COUNT(options),
    .free_settings = true,
    .min_words = 1,
    .max_words = 1,
    .stops = true,
    .run = run};
