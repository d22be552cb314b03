/* Recipes: what is refused and how it is said, what is filled in, overrides, and that what is written reads back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "core/file.h"
#include "rl/part.h"
#include "rl/recipe/recipe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char plain[] = "name: test\n"
                            "model: {path: somewhere}\n"
                            "data: rows.jsonl\n"
                            "stages:\n"
                            "  - name: rl\n"
                            "    kind: grpo\n"
                            "    steps: 7\n";

static fv_recipe *must(const char *text, const char *const *overrides, int n) {
    fv_recipe *r;
    fv_error err = {0};
    if (fv_recipe_parse(&r, text, "recipe.yaml", overrides, n, &err) != FV_OK) fail_msg("%s", err.text);
    return r;
}

static void refused(const char *text, const char *const *overrides, int n, const char *want) {
    fv_recipe *r;
    fv_error err = {0};
    fv_status s = fv_recipe_parse(&r, text, "recipe.yaml", overrides, n, &err);
    if (s == FV_OK) fail_msg("was taken, but should say: %s", want);
    assert_null(r);
    if (!strstr(err.text, want)) fail_msg("says \"%s\" and not \"%s\"", err.text, want);
}

/* `line` is put at the end of the stage of `plain`, which makes it line 8. */
static void stage_refused(const char *line, const char *want) {
    char text[1024];
    snprintf(text, sizeof text, "%s    %s\n", plain, line);
    refused(text, NULL, 0, want);
}

static void top_refused(const char *line, const char *want) {
    char text[1024];
    snprintf(text, sizeof text, "%s%s\n", plain, line);
    refused(text, NULL, 0, want);
}

static void unknown_fields_have_suggestions(void **state) {
    (void)state;
    stage_refused("rolout: {prompts: 4}", "recipe.yaml:8: unknown field stages.rl.rolout; did you mean rollout?");
    stage_refused("rollout: {promts: 4}", "recipe.yaml:8: unknown field stages.rl.rollout.promts; did you mean rollout.prompts?");
    stage_refused("batch: 3", "recipe.yaml:8: unknown field stages.rl.batch here; it is a field of a stage of kind sft");
    stage_refused("checkpoint: {every: 3}", "recipe.yaml:8: unknown field stages.rl.checkpoint here; it is a field of the recipe itself");
    top_refused("sead: 3", "recipe.yaml:8: unknown field sead; did you mean seed?");
    top_refused("stpes: 3", "recipe.yaml:8: unknown field stpes; did you mean steps?");
    top_refused("lr: 3", "recipe.yaml:8: unknown field lr; did you mean optim.lr?");
    top_refused("steps: 3", "recipe.yaml:8: unknown field steps here; it is a field of a stage of kind");
    top_refused("evaluate: {each: 3}", "recipe.yaml:8: unknown field evaluate.each; ");
    top_refused("evaluate: 3", "recipe.yaml:8: evaluate must be a mapping");
    top_refused("modle: {path: m}", "recipe.yaml:8: unknown field modle; did you mean model?");
    refused("name: test\nmodel: {path: somewhere, lora: {r: 16}}\n", NULL, 0, "recipe.yaml:2: unknown field model.lora; did you mean lora?");
    top_refused("env: {max_turn: 3}", "recipe.yaml:8: env: unknown field max_turn; did you mean max_turns?");
    stage_refused("env: {tools: [image_zoom]}", "recipe.yaml:8: stages.rl.env: tools[0] must be one of image_zoom_in_tool");
    top_refused("zzzzzz: {a: 1}", "recipe.yaml:8: unknown field zzzzzz; `fovea help recipe`");
}

static void values_out_of_range_are_named(void **state) {
    (void)state;
    stage_refused("rollout: {group_size: 0}", "recipe.yaml:8: stages.rl.rollout.group_size must be 2..1024, got 0");
    stage_refused("rollout: {group_size: 1025}", "must be 2..1024, got 1025");
    stage_refused("rollout: {group_size: many}", "must be 2..1024, got many");
    stage_refused("rollout: {group_size: 4.5}", "must be 2..1024, got 4.5");
    stage_refused("rollout: {top_p: 0}", "stages.rl.rollout.top_p must be a number 0.0001..1, or go from one to another, got 0");
    stage_refused("rollout: {top_p: {linear: [1, 0]}}", "stages.rl.rollout.top_p must be a number 0.0001..1");
    stage_refused("rollout: {temperature: -1}", "stages.rl.rollout.temperature must be a number 0..100, or go from one to another, got -1");
    stage_refused("rollout: {temperature: {linear: [1, -1]}}", "temperature must be a number 0..100");
    stage_refused("rollout: {temperature: {linear: [1]}}", "temperature must be a number, {linear: [from, to]}");
    stage_refused("optim: {lr: .nan}", "stages.rl.optim.lr must be a number 0..10, got .nan");
    stage_refused("optim: {beta1: 1}", "stages.rl.optim.beta1 must be a number 0..0.999999, got 1");
    stage_refused("optim: {schedule: cosin}", "stages.rl.optim.schedule must be one of constant|linear|cosine, got cosin");
    stage_refused("reward: {variant: [1]}", "stages.rl.reward.variant must be one of released|paper");
    top_refused("freeze: visual", "recipe.yaml:8: freeze must be a list, got visual");
    top_refused("env: 3", "recipe.yaml:8: env must be a mapping, got 3");
    top_refused("evaluate: {modes: [sampled, loud]}", "recipe.yaml:8: evaluate.modes: each must be one of sampled|greedy|no_tool");
    top_refused("checkpoint: {keep: 0}", "checkpoint.keep must be 1..1000, got 0");
}

static void parts_are_checked(void **state) {
    (void)state;
    stage_refused("reward: {terms: [{term: exakt}]}", "recipe.yaml:8: stages.rl.reward.terms: there is no reward \"exakt\"; did you mean \"exact\"?");
    stage_refused("reward: {terms: [{weight: 1}]}", "each entry needs `term: NAME`");
    stage_refused("reward: {terms: {term: exact}}", "stages.rl.reward.terms must be a list");
    stage_refused("reward: {terms: [{term: exact, ignore: true}]}", "exact has no option \"ignore\"");
    stage_refused("reward: {terms: [{term: exact, ignore_cas: true}]}", "exact has no option \"ignore_cas\"; did you mean \"ignore_case\"?");
    stage_refused("reward: {terms: [{term: exact, ignore_case: 3}]}", "exact: option ignore_case must be true or false, got 3");
    stage_refused("reward: {terms: [{term: exact, weight: much}]}", "weight of exact must be a number");
    stage_refused("reward: {terms: [{term: exact, weight: {linear: [0]}}]}", "recipe.yaml:8: stages.rl.reward.terms: weight of exact must be a number, {linear: [from, to]}");
    stage_refused("reward: {terms: [{term: exact, weight: .nan}]}", "weight of exact must be a number");
    stage_refused("reward: {terms: [{term: length, max: big}]}", "length: option max must be a number, got big");
    stage_refused("reward: {terms: [{term: length, max: 0}]}", "length: option max must be 1..1000000000, got 0");
    stage_refused("objective: {clip_low: -0.1}", "grpo: option clip_low must be 0..1, got -0.1");
    stage_refused("objective: {kl: {linear: [0.1, -0.1]}}", "grpo: option kl must be 0..1000000000");
    stage_refused("objective: {normalise: token}", "grpo: option normalise must be one of tokens|responses|constant, got token");
    stage_refused("objective: {length: {exponential: [100, 5]}}", "option length must be 1..");
    stage_refused("advantage: {kind: grup}", "there is no advantage \"grup\"; did you mean \"group\"?");
}

static void stages_are_checked(void **state) {
    (void)state;
    refused("- 1\n", NULL, 0, "recipe.yaml:1: a recipe is a mapping of fields");
    refused("model: {path: m}\n", NULL, 0, "stages must be a list of at least one stage");
    refused("model: {path: m}\nstages: []\n", NULL, 0, "recipe.yaml:2: stages must be a list of at least one stage");
    refused("model: {path: m}\nstages: [1]\n", NULL, 0, "stages[0] must be a mapping");
    refused("model: {path: m}\nstages:\n  - {kind: ppo}\n", NULL, 0, "recipe.yaml:3: stages[0].kind must be one of sft|grpo|filter, got ppo");
    refused("model: {path: m}\nstages:\n  - {steps: 3}\n", NULL, 0, "stages[0].kind must be one of sft|grpo|filter, got nothing");
    refused("data: d\nstages: [{kind: sft}]\n", NULL, 0, "model needs either path: FOLDER or init: PRESET");
    refused("data: d\nmodel: {path: a,\n  init: tiny}\nstages: [{kind: sft}]\n", NULL, 0, "recipe.yaml:2: model needs either path: FOLDER or init: PRESET, not both");
    refused("model: {path: m}\nstages:\n  - {kind: sft}\n", NULL, 0, "recipe.yaml:3: stages.sft.data is missing, and there is no data for the whole recipe");
    refused("model: {path: m}\ndata: d\nstages:\n  - {kind: grpo}\n", NULL, 0, "recipe.yaml:4: stages.grpo.steps must be at least 1");
    refused("model: {path: m}\ndata: d\nstages:\n  - {kind: sft}\n  - {kind: sft}\n", NULL, 0, "recipe.yaml:5: two stages are called sft");
    refused("model: {path: m}\ndata: d\nstages:\n  - {kind: sft}\n  - {kind: grpo, steps: 1, data: {stage: sft}}\n", NULL, 0, "recipe.yaml:5: data: {stage: sft} must name a stage before, of kind filter (of stage grpo)");
    refused("model: {path: m}\ndata: d\nstages:\n  - {kind: sft, data: [{stage: filter}]}\n  - {kind: filter, steps: 1}\n", NULL, 0, "recipe.yaml:4: data: {stage: filter} must name");
    refused("model: {path: m}\ndata: {stage: filter}\nstages:\n  - {kind: filter, steps: 1}\n", NULL, 0, "data: {stage: filter} must name");
    refused("model: {path: m}\ndata: d\nstages:\n  - {kind: sft, name: ../up}\n", NULL, 0, "recipe.yaml:4: stages[0].name must be 1 to 64 letters");
    refused("model: {path: m}\ndata: d\nstages:\n  - {kind: sft, name: [1]}\n", NULL, 0, "stages[0].name must be 1 to 64 letters");
    refused("model: {path: m}\ndata: d\nstages:\n  - {kind: sft, name: v1.5}\n", NULL, 0, "stages[0].name must be 1 to 64 letters, digits, '-' and '_'");
}

/* Weights of sources may be schedules where there are steps. */
static void weights_of_sources_are_checked(void **state) {
    (void)state;
#define SOURCES(weight) "model: {path: m}\nstages:\n  - {kind: sft, data: [{path: a, weight: 1}, {path: b, weight: " weight "}]}\n"
    static const char *const good[] = {"0.5", "{linear: [0, 1]}", "{cosine: [3, 0]}", "{exponential: [2, 10]}", "{constant: 2}"};
    for (size_t i = 0; i < FV_COUNT(good); i++) {
        char text[256];
        snprintf(text, sizeof text, SOURCES("%s"), good[i]);
        fv_recipe_close(must(text, NULL, 0));
    }
    refused(SOURCES("{lineal: [0, 1]}"), NULL, 0, "recipe.yaml:3: data[1]: weight must be a number, {linear: [from, to]}");
    refused(SOURCES("{exponential: [1, 0]}"), NULL, 0, "data[1]: weight exponential needs [from, tau] with tau > 0, got {\"exponential\": [1, 0]}");
    refused(SOURCES("{linear: [1, -1]}"), NULL, 0, "data[1]: weight must go from one number in 0..1e9 to another, not from 0 to 0, got {\"linear\": [1, -1]}");
    refused(SOURCES("{constant: 0}"), NULL, 0, "data[1]: weight must go from one number in 0..1e9 to another");
    refused("model: {path: m}\ndata: [{path: a, weight: {linear: [0, 1]}}, {path: b, weight: {cosine: [0, 2]}}]\nstages: [{kind: sft}]\n", NULL, 0,
            "data: no source has a weight above 0 at the first step");
    top_refused("eval_data: [{path: a, weight: {linear: [0, 1]}}]", ": eval_data[0]: weight must be a number here, got {\"linear\": [0, 1]}");
#undef SOURCES
}

/* A null is a value that was left out. */
static void nulls_are_defaults(void **state) {
    (void)state;
    fv_recipe *r = must("name: null\nout: ~\nseed: null\nmodel: {path: null, init: tiny}\ndata: d\nevaluate: {by: null}\nstages:\n  - {kind: sft, name: null, batch: null, optim: null}\n",
                        NULL, 0);
    assert_string_equal(fv_get_text(r->json, "name"), "run");
    assert_string_equal(fv_get_text(r->json, "out"), "runs/run");
    assert_int_equal(fv_get_int(r->json, "seed"), 1);
    assert_null(fv_get_text(r->json, "model.path"));
    assert_null(fv_get_text(r->json, "evaluate.by"));
    assert_string_equal(r->stages[0].name, "sft");
    assert_int_equal(fv_get_int(r->stages[0].json, "batch"), 32);
    fv_recipe_close(r);
}

static void defaults_are_filled_in(void **state) {
    (void)state;
    fv_recipe *r = must(plain, NULL, 0);
    const json_t *s = r->stages[0].json;
    assert_int_equal(r->stage_count, 1);
    assert_int_equal(r->stages[0].kind, FV_STAGE_GRPO);
    assert_int_equal(fv_get_int(s, "steps"), 7);
    assert_int_equal(fv_get_int(s, "rollout.group_size"), 8);
    assert_true(fv_get_at(s, "rollout.top_p", 3, 7) == 1.0);
    assert_true(fv_get_at(s, "rollout.temperature", 3, 7) == 1.0);
    assert_string_equal(fv_get_text(s, "optim.schedule"), "constant");
    assert_string_equal(fv_get_text(s, "objective.kind"), "grpo");
    assert_string_equal(fv_get_text(s, "objective.normalise"), "tokens");
    assert_true(fv_get_bool(s, "advantage.std"));
    const json_t *terms = fv_get(s, "reward.terms");
    assert_int_equal(json_array_size(terms), 1);
    assert_string_equal(fv_get_text(json_array_get(terms, 0), "term"), "exact");
    assert_null(fv_get(s, "batch"));
    assert_int_equal(fv_get_int(r->json, "checkpoint.keep"), 2);
    fv_recipe_close(r);
}

/* The last one that is named judges. */
static void overrides_replace_the_judge(void **state) {
    (void)state;
    static const struct {
        const char *recipe, *overrides[3], *now; /* the field that is set in the end */
    } cases[] = {{"judge: {path: a}", {"judge.url=http://127.0.0.1:1/v1", "judge.model=m"}, "judge.url"},
                 {"judge: {url: 'http://127.0.0.1:1/v1', model: m, timeout: 3}", {"judge.path=b"}, "judge.path"},
                 {"judge: policy", {"judge.reference=true", "judge.max_new_tokens=5"}, "judge.reference"},
                 {"judge: {path: a}", {"judge=policy"}, "judge.policy"},
                 {"judge: {path: a}", {"judge.policy=false"}, "judge.path"}};
    static const char *const kinds[] = {"judge.path", "judge.url", "judge.policy", "judge.reference"};
    for (size_t i = 0; i < FV_COUNT(cases); i++) {
        char text[1024];
        int n = 0;
        while (n < 3 && cases[i].overrides[n]) n++;
        snprintf(text, sizeof text, "%s%s\n", plain, cases[i].recipe);
        fv_recipe *r = must(text, cases[i].overrides, n);
        for (size_t k = 0; k < FV_COUNT(kinds); k++) assert_int_equal(fv_get_text(r->json, kinds[k]) || fv_get_bool(r->json, kinds[k]), !strcmp(kinds[k], cases[i].now));
        fv_recipe_close(r);
    }
}

static void overrides_reach_their_fields(void **state) {
    (void)state;
    static const char *const words[] = {"steps=9",           "seed=4", "stages.rl.rollout.prompts=3", "objective.kl={cosine: [0.1, 0]}", "data={make: count, n: 5}",
                                        "checkpoint.every=2", "name=other"};
    fv_recipe *r = must(plain, words, 7);
    const json_t *s = r->stages[0].json;
    assert_int_equal(fv_get_int(s, "steps"), 9);
    assert_int_equal(fv_get_int(r->json, "seed"), 4);
    assert_int_equal(fv_get_int(s, "rollout.prompts"), 3);
    assert_true(fv_get_at(s, "objective.kl", 0, 10) == 0.1);
    assert_string_equal(fv_get_text(r->json, "data.make"), "count");
    assert_string_equal(fv_get_text(r->json, "name"), "other");
    assert_string_equal(r->stages[0].name, "rl");
    fv_recipe_close(r);
    r = must("model: {path: m}\ndata: d\nstages:\n  - {kind: sft}\n  - {kind: grpo, steps: 1}\n", (const char *const[]){"stages.sft.batch=3", "stages.grpo.steps=2"}, 2); /* called after their kinds */
    assert_int_equal(fv_get_int(r->stages[0].json, "batch"), 3);
    assert_int_equal(fv_get_int(r->stages[1].json, "steps"), 2);
    fv_recipe_close(r);
    /* where a stage's own would win, an override is the stage's; of several stages it is none's */
    r = must("model: {path: m}\nstages:\n  - {kind: sft, data: a, env: {max_turns: 2}}\n", (const char *const[]){"data=b", "env.max_turns=3"}, 2);
    assert_string_equal(fv_get_text(r->stages[0].json, "data"), "b");
    assert_int_equal(fv_get_int(fv_recipe_env(r, NULL), "max_turns"), 3);
    fv_recipe_close(r);
    refused("model: {path: m}\nstages:\n  - {name: a, kind: sft, data: x}\n  - {name: b, kind: sft, data: y}\n", (const char *const[]){"data=z"}, 1, "every stage has its own data, which wins");
    r = must("model: {path: m}\ndata: d\nstages:\n  - {kind: sft}\n  - {kind: grpo, steps: 1}\n", (const char *const[]){"temperature=0.5", "max_new_tokens=7", "model.init=tiny", "data=e"}, 4);
    assert_true(fv_get_at(r->stages[1].json, "rollout.temperature", 0, 1) == 0.5);
    assert_int_equal(fv_get_int(r->stages[1].json, "rollout.max_new_tokens"), 7);
    assert_string_equal(fv_get_text(r->json, "model.init"), "tiny");
    assert_null(fv_get_text(r->json, "model.path"));
    fv_recipe_close(r);
    refused(plain, (const char *const[]){"rollout.group_size=1"}, 1, "override");
    refused(plain, (const char *const[]){"rollout.group_size=1"}, 1, "stages.rl.rollout.group_size must be 2..1024, got 1");
    refused(plain, (const char *const[]){"sted=1"}, 1, "unknown field sted; did you mean seed?");
    refused(plain, (const char *const[]){"stages.other.steps=1"}, 1, "other");
    refused(plain, (const char *const[]){"steps"}, 1, "steps");
    refused(plain, (const char *const[]){"seed=[1"}, 1, "seed");
}

static void check_round_trip(const char *text) {
    fv_recipe *first = must(text, NULL, 0);
    fv_text once = {0}, twice = {0};
    fv_recipe_write(first, &once);
    fv_recipe *second = must(once.data, NULL, 0);
    fv_recipe_write(second, &twice);
    size_t same = 0;
    while (once.data[same] && once.data[same] == twice.data[same]) same++;
    if (once.data[same] != twice.data[same]) fail_msg("written again it goes on with \"%.40s\" and not with \"%.40s\"", twice.data + same, once.data + same);
    if (!json_equal(first->json, second->json)) fail_msg("reads back as another recipe:\n%s", once.data);
    fv_text_clear(&once);
    fv_text_clear(&twice);
    fv_recipe_close(first);
    fv_recipe_close(second);
}

static void what_is_written_reads_back(void **state) {
    (void)state;
    check_round_trip(plain);
    check_round_trip("name: \"007\"\nseed: 9000000000000000\nmodel: {init: 'true'}\nfreeze: [visual.*, \"# not a comment\", '1.5']\n"
                     "data: [{path: 'a: b.jsonl', weight: 0.1}, {make: count, n: 3, plates: 2..4, weight: {linear: [0, 1.5]}}]\n"
                     "env: {tools: [image_zoom_in_tool], max_turns: 3}\nevaluate: {by: null}\n"
                     "stages:\n  - {kind: sft, optim: {lr: 1.0e-3, eps: 1.0e-12}, epochs: 0.3333333333333333}\n"
                     "  - kind: grpo\n    name: rl\n    steps: 3\n    rollout: {temperature: {cosine: [1, 0.5]}, top_p: {linear: [1, 0.9]}}\n    objective: {kl: {exponential: [0.1, 7]}}\n"
                     "    reward: {terms: [{term: exact, weight: 0.3, tolerance: 2}, {term: length, weight: {exponential: [1, 20]}, max: 9.5}]}\n    auxiliary: [{kind: entropy, coefficient: 0.01}]\n"
                     "  - {kind: filter, steps: 1, keep: [{filter: reward, at_least: 0.5}]}\n");
}

static void the_table_is_sound(void **state) {
    (void)state;
    int n, parts;
    const fv_field *f = fv_recipe_fields(&n);
    for (int i = 0; i < n; i++) {
        assert_true(f[i].where && *f[i].help);
        for (int k = 0; k < i; k++)
            if (!strcmp(f[i].path, f[k].path) && (f[i].where & f[k].where)) fail_msg("%s stands twice in the table", f[i].path);
    }
    const fv_part *const *p = fv_parts(&parts);
    for (int i = 0; i < parts; i++) { /* limits name options that there are, and defaults keep to them */
        fv_yaml *fields, *limits;
        if (!p[i]->limits) continue;
        assert_int_equal(fv_yaml_parse(&fields, p[i]->fields, strlen(p[i]->fields), p[i]->name, NULL), FV_OK);
        assert_int_equal(fv_yaml_parse(&limits, p[i]->limits, strlen(p[i]->limits), p[i]->name, NULL), FV_OK);
        for (size_t k = 0; k < limits->count; k++) {
            const fv_yaml *option = fv_yaml_get(fields, limits->items[k]->key), *l = limits->items[k];
            double low, high, value;
            if (!option) fail_msg("%s has limits for %s, which is no option", p[i]->name, l->key);
            if (fv_yaml_num(l->items[0], &low) && fv_yaml_num(l->items[1], &high)) assert_true(fv_yaml_num(option, &value) && value >= low && value <= high);
        }
        fv_yaml_free(fields);
        fv_yaml_free(limits);
    }
}

/* Every recipe that is shipped can be read; those that leave the data to their users, with some. */
static void shipped_recipes_are_good(void **state) {
    (void)state;
    fv_recipe *r;
    fv_error err = {0};
    fv_names files;
    int read = 0;
    assert_int_equal(fv_folder_list(&files, FOVEA_SOURCE "/recipes", &err), FV_OK);
    for (size_t i = 0; i < files.count; i++) {
        char path[512];
        const char *data = "data=rows.jsonl", *ending = strrchr(files.names[i], '.');
        if (!ending || strcmp(ending, ".yaml") != 0) continue;
        snprintf(path, sizeof path, "%s/recipes/%s", FOVEA_SOURCE, files.names[i]);
        fv_status s = fv_recipe_open(&r, path, NULL, 0, &err);
        if (s != FV_OK && strstr(err.text, "data is missing")) s = fv_recipe_open(&r, path, &data, 1, &err);
        if (s != FV_OK) fail_msg("%s", err.text);
        fv_recipe_close(r);
        read++;
    }
    fv_names_free(&files);
    assert_true(read >= 13);
    assert_int_equal(fv_recipe_open(&r, "/nowhere/recipe.yaml", NULL, 0, &err), FV_IO);
    assert_non_null(strstr(err.text, "/nowhere/recipe.yaml"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unknown_fields_have_suggestions), cmocka_unit_test(values_out_of_range_are_named), cmocka_unit_test(parts_are_checked),
        cmocka_unit_test(stages_are_checked),              cmocka_unit_test(nulls_are_defaults),            cmocka_unit_test(defaults_are_filled_in),
        cmocka_unit_test(weights_of_sources_are_checked),
        cmocka_unit_test(overrides_reach_their_fields), cmocka_unit_test(overrides_replace_the_judge),
        cmocka_unit_test(what_is_written_reads_back),    cmocka_unit_test(the_table_is_sound),
        cmocka_unit_test(shipped_recipes_are_good),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
