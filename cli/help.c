#include "cli/cli.h"

#include "rl/part.h"
#include "rl/recipe/recipe.h"
#include "tools/env.h"

#include <stdio.h>
#include <string.h>

static void overview(FILE *to) {
    int n;
    const fv_verb *const *all = fv_verbs(&n);
    fprintf(to, "Fovea trains and evaluates vision-language agents that think with images.\n\nusage: fovea VERB [arguments] [key=value ...]\n\n");
    for (int i = 0; i < n; i++) fprintf(to, "  %-9s %s\n", all[i]->name, all[i]->summary);
    fprintf(to, "\n`fovea help VERB` teaches a verb, `fovea help recipe` the fields of a recipe.\n");
}

void fv_help(FILE *to, const fv_verb *v) {
    if (!v) {
        overview(to);
        return;
    }
    fprintf(to, "usage: fovea %s\n\n%s\n", v->synopsis, v->help);
    if (v->option_count) fprintf(to, "\noptions:\n");
    for (int i = 0; i < v->option_count; i++) {
        char left[96];
        const fv_option *o = &v->options[i];
        snprintf(left, sizeof left, "%s%s%s", o->name, o->kind == FV_OPTION_SETTING ? "=" : o->kind == FV_OPTION_VALUE ? " " : "", o->kind == FV_OPTION_FLAG ? "" : o->meta);
        fprintf(to, "  %-24s %s\n", left, o->help);
    }
    if (v->more) v->more(to);
}

static void help_fields(const char *title, int where) {
    int n;
    const fv_field *all = fv_recipe_fields(&n);
    printf("\n%s\n", title);
    for (int i = 0; i < n; i++)
        if (all[i].where & where) {
            char limits[64] = "";
            bool number = all[i].kind == FV_FIELD_INT || all[i].kind == FV_FIELD_NUM || all[i].kind == FV_FIELD_SCHEDULE;
            if (number) snprintf(limits, sizeof limits, " | %.10g..%.10g", all[i].low, all[i].high);
            printf("  %-26s %-28s %s%s%s%s\n", all[i].path, *all[i].fallback ? all[i].fallback : "-", all[i].help, limits, *all[i].choices ? " | " : "", all[i].choices);
        }
}

static void help_env(void) {
    int n;
    const fv_env_field *all = fv_env_fields(&n);
    printf("\nof env\n");
    for (int i = 0; i < n; i++) printf("  %-26s %-28s %s\n", all[i].name, all[i].fallback, all[i].help);
}

static void help_recipe(void) {
    printf("A recipe is a YAML file. Fields, their defaults, and what they mean:\n");
    help_fields("of the recipe", FV_TOP);
    help_fields("of a stage with kind: sft", FV_STAGE_SFT);
    help_fields("of a stage with kind: grpo", FV_STAGE_GRPO);
    help_fields("of a stage with kind: filter", FV_STAGE_FILTER);
    help_env();
    int n;
    const fv_part *const *parts = fv_parts(&n);
    printf("\nparts\n");
    for (int i = 0; i < n; i++) printf("  %-10s %-14s %-60s %s%s%s\n", fv_hook_name(parts[i]->hook), parts[i]->name, parts[i]->fields, parts[i]->doc, parts[i]->limits ? " | " : "", parts[i]->limits ? parts[i]->limits : "");
    printf("\n`fovea data` lists generators and their options. Any field can be given on the command line: fovea train R.yaml stages.rl.steps=20\n");
}

static fv_status run(const fv_args *a, fv_error *err) {
    int n;
    const fv_verb *const *all = fv_verbs(&n);
    if (!a->word_count) {
        overview(stdout);
        return FV_OK;
    }
    if (!strcmp(a->words[0], "recipe")) {
        help_recipe();
        return FV_OK;
    }
    for (int i = 0; i < n; i++)
        if (!strcmp(all[i]->name, a->words[0])) {
            fv_help(stdout, all[i]);
            return FV_OK;
        }
    return fv_fail(err, FV_BAD_USAGE, "there is no verb %s; `fovea help` lists them", a->words[0]);
}

const fv_verb fv_verb_help = {.name = "help",
                              .synopsis = "help [VERB | recipe]",
                              .summary = "teaches a verb",
                              .help = "Shows what a verb is for, with an example: fovea help train",
                              .max_words = 1,
                              .run = run};
