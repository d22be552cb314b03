/* Parts by hand-worked numbers: rewards, advantages, objectives, filters, and the order they are run in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "rl/pipeline.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const fv_moment now = {.step = 0, .steps = 10, .seed = 1};

/* A stage with some lines of its own, as JSON of a resolved recipe. */
static fv_recipe *stage_of(const char *lines) {
    char text[2048];
    fv_recipe *r;
    fv_error err = {0};
    snprintf(text, sizeof text, "model: {path: m}\ndata: d\nstages:\n  - kind: grpo\n    steps: 10\n%s", lines);
    if (fv_recipe_parse(&r, text, "recipe.yaml", NULL, 0, &err) != FV_OK) fail_msg("%s", err.text);
    return r;
}

static fv_pipeline *pipeline_of(const fv_recipe *r) {
    fv_pipeline *p;
    fv_error err = {0};
    if (fv_pipeline_open(&p, r->stages[0].json, &err) != FV_OK) fail_msg("%s", err.text);
    return p;
}

static void close_both(fv_pipeline *p, fv_recipe *r) {
    fv_pipeline_close(p);
    fv_recipe_close(r);
}

static bool near(double a, double b) { return fabs(a - b) <= 1e-9 * fmax(1, fabs(b)); }

/* ---- Rewards ---- */

/* The reward of one term for a response. NAN: it could not be scored. */
static double reward(const char *term, const char *text, const char *answer, double length, double images, double failures) {
    char line[256];
    double terms[1] = {NAN};
    fv_error err = {0};
    snprintf(line, sizeof line, "    reward: {terms: [%s]}\n", term);
    fv_recipe *r = stage_of(line);
    fv_pipeline *p = pipeline_of(r);
    fv_response one = {.id = "a", .text = text, .answer = answer, .length = length, .images = images, .failures = failures, .terms = terms};
    fv_group g = {.items = &one, .count = 1};
    assert_int_equal(fv_pipeline_reward(p, &g, &now, &err), FV_OK);
    assert_true(isnan(one.reward) == (one.error[0] != 0));
    double out = one.reward;
    close_both(p, r);
    return out;
}

static void exact_compares(void **state) {
    (void)state;
    assert_true(reward("{term: exact}", "<answer>7</answer>", "7", 1, 0, 0) == 1);
    assert_true(reward("{term: exact}", "7", "7", 1, 0, 0) == 1);
    assert_true(reward("{term: exact, tags: true}", "7", "7", 1, 0, 0) == 0);
    assert_true(reward("{term: exact}", "<answer>Red</answer>", "red", 1, 0, 0) == 0);
    assert_true(reward("{term: exact, ignore_case: true}", "<answer>Red</answer>", "red", 1, 0, 0) == 1);
    assert_true(reward("{term: exact, tolerance: 7}", "<answer>[10, 20]</answer>", "17 13", 1, 0, 0) == 1);
    assert_true(reward("{term: exact, tolerance: 6.9}", "<answer>[10, 20]</answer>", "17 13", 1, 0, 0) == 0);
    assert_true(reward("{term: exact, weight: 0.25}", "7", "7", 1, 0, 0) == 0.25);
    assert_true(isnan(reward("{term: exact}", "7", NULL, 1, 0, 0)));
    assert_true(isnan(reward("{term: exact}", NULL, "7", 1, 0, 0)));
}

static void a_row_has_its_own_tolerance(void **state) {
    (void)state;
    double terms[1] = {NAN};
    fv_error err = {0};
    fv_recipe *r = stage_of("");
    fv_pipeline *p = pipeline_of(r);
    json_t *row = json_pack("{si}", "tolerance", 3);
    fv_response one = {.id = "a", .text = "<answer>10</answer>", .answer = "12", .row = row, .terms = terms};
    fv_group g = {.items = &one, .count = 1};
    assert_int_equal(fv_pipeline_reward(p, &g, &now, &err), FV_OK);
    assert_true(one.reward == 1);
    json_decref(row);
    close_both(p, r);
}

static void format_asks_for_pairs(void **state) {
    (void)state;
    assert_true(reward("{term: format}", "<answer>7</answer>", "7", 1, 0, 0) == 1);
    assert_true(reward("{term: format}", "<answer>7", "7", 1, 0, 0) == 0);
    assert_true(reward("{term: format}", "7", "7", 1, 0, 0) == 0);
    assert_true(reward("{term: format}", "<tool_call>{}</tool_call> <answer>7</answer>", "7", 1, 0, 0) == 1);
    assert_true(reward("{term: format}", "<tool_call>{} <answer>7</answer>", "7", 1, 0, 0) == 0);
    assert_true(reward("{term: format}", "<answer>7</answer>", "7", 1, 0, 1) == 0); /* a call failed */
    assert_true(reward("{term: format, think: true}", "<answer>7</answer>", "7", 1, 0, 0) == 0);
    assert_true(reward("{term: format, think: true}", "<think>a</think><answer>7</answer>", "7", 1, 0, 0) == 1);
    assert_true(reward("{term: format}", "<think>a<answer>7</answer>", "7", 1, 0, 0) == 0);
}

static void tool_pays_for_pictures_that_helped(void **state) {
    (void)state;
    assert_true(reward("{term: tool}", "<answer>7</answer>", "7", 1, 1, 0) == 1);
    assert_true(reward("{term: tool}", "<answer>7</answer>", "7", 1, 0, 0) == 0);
    assert_true(reward("{term: tool}", "<answer>6</answer>", "7", 1, 2, 0) == 0);
    assert_true(isnan(reward("{term: tool}", "<answer>6</answer>", "7", 1, NAN, 0)));
}

/* max 100, buffer 20: 0 up to 80, -0.5 at 90, -1 from 100 on. */
static void overlong_answers_are_punished(void **state) {
    (void)state;
    static const char term[] = "{term: length, max: 100, buffer: 20}";
    assert_true(reward(term, "", "", 80, 0, 0) == 0);
    assert_true(near(reward(term, "", "", 85, 0, 0), -0.25));
    assert_true(near(reward(term, "", "", 90, 0, 0), -0.5));
    assert_true(reward(term, "", "", 100, 0, 0) == -1 && reward(term, "", "", 5000, 0, 0) == -1);
    assert_true(reward("{term: length, max: 100, buffer: 0}", "", "", 100, 0, 0) == 0 && reward("{term: length, max: 100, buffer: 0}", "", "", 101, 0, 0) == -1);
    assert_true(isnan(reward(term, "", "", NAN, 0, 0)));
}

/* Pairs of words: "a b", "b A", "a b" again; no case. Of 3 pairs 2 differ. */
static void what_is_said_again_is_punished(void **state) {
    (void)state;
    assert_true(near(reward("{term: repetition, n: 2}", "a b A\nB", "", 1, 0, 0), -1.0 / 3));
    assert_true(reward("{term: repetition, n: 2}", "a b c a", "", 1, 0, 0) == 0 && reward("{term: repetition, n: 3}", "a a", "", 1, 0, 0) == 0 && reward("{term: repetition, n: 1}", "", "", 1, 0, 0) == 0);
    assert_true(near(reward("{term: repetition, n: 1}", "a a a a", "", 1, 0, 0), -0.75));
    assert_true(isnan(reward("{term: repetition}", NULL, "", 1, 0, 0)));
}

/* An option's word is checked when the recipe is read, a term's name when its pipeline opens. */
static void named_terms_are_found(void **state) {
    (void)state;
    double terms[2] = {NAN, NAN};
    fv_error err = {0};
    fv_recipe *r = stage_of("    reward: {terms: [{term: exact, name: right}, {term: tool, accuracy: right, weight: 0.5}]}\n"), *wrong = stage_of("    reward: {terms: [{term: tool, accuracy: right}, {term: exact, name: right}]}\n");
    fv_pipeline *p = pipeline_of(r), *none;
    fv_response one = {.id = "a", .text = "<answer>7</answer>", .answer = "7", .images = NAN, .terms = terms};
    fv_group g = {.items = &one, .count = 1};
    assert_string_equal(p->terms.uses[0].label, "right");
    assert_int_equal(fv_pipeline_reward(p, &g, &now, &err), FV_OK);
    assert_true(terms[1] == 0 && one.reward == 1);
    one.text = "<|vision_start|><|image_pad|><|vision_end|><answer>7</answer>"; /* no count given: pictures are seen in the text */
    assert_int_equal(fv_pipeline_reward(p, &g, &now, &err), FV_OK);
    assert_true(terms[1] == 1 && one.reward == 1.5);
    assert_int_equal(fv_pipeline_open(&none, wrong->stages[0].json, &err), FV_BAD_RECIPE); /* a term reads those before it */
    assert_non_null(strstr(err.text, "no term \"right\" before it"));
    fv_recipe_close(wrong);
    close_both(p, r);
}

/* ---- Advantages ---- */

static void advantages_of(const char *line, const double *rewards, int n, double *out) {
    fv_response items[8] = {0};
    float advantage[8] = {0}, weight[8] = {0};
    fv_error err = {0};
    fv_recipe *r = stage_of(line);
    fv_pipeline *p = pipeline_of(r);
    for (int i = 0; i < n; i++) {
        items[i] = (fv_response){.reward = rewards[i], .tokens = 1, .token_advantage = &advantage[i], .token_weight = &weight[i]};
        if (isnan(rewards[i])) strcpy(items[i].error, "could not be scored");
    }
    fv_group g = {.items = items, .count = n};
    assert_int_equal(fv_pipeline_advantage(p, &g, &now, &err), FV_OK);
    for (int i = 0; i < n; i++) {
        out[i] = items[i].advantage;
        assert_true(advantage[i] == (float)out[i] && weight[i] == 1.0f);
    }
    close_both(p, r);
}

static void groups_are_their_own_baseline(void **state) {
    (void)state;
    double a[8];
    /* mean 0.5; std over n - 1 of 1 0 0 1: sqrt(1/3) = 0.5773502691896258 */
    advantages_of("    advantage: {eps: 0}\n", (double[]){1, 0, 0, 1}, 4, a);
    assert_true(near(a[0], 0.8660254037844386) && near(a[1], -0.8660254037844386) && near(a[3], 0.8660254037844386));
    advantages_of("", (double[]){1, 0, 0, 1}, 4, a); /* eps 1e-4 */
    assert_true(near(a[0], 0.5 / 0.5774502691896258));
    advantages_of("    advantage: {std: false}\n", (double[]){1, 0, 0, 0}, 4, a); /* Dr.GRPO */
    assert_true(a[0] == 0.75 && a[1] == -0.25);
    advantages_of("    advantage: {eps: 0.5}\n", (double[]){2, 4}, 2, a); /* mean 3, std sqrt(2) */
    assert_true(near(a[0], -1 / (1.4142135623730951 + 0.5)));
    /* 0.1 eight times sums to 0.7999999999999999: equal rewards are exactly 0 all the same */
    advantages_of("    advantage: {eps: 0}\n", (double[]){0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1}, 8, a);
    for (int i = 0; i < 8; i++) assert_true(a[i] == 0);
    advantages_of("", (double[]){3}, 1, a);
    assert_true(a[0] == 0);
    advantages_of("    advantage: {eps: 0.5, lone: reward}\n", (double[]){3}, 1, a); /* mean 0, deviation 1 */
    assert_true(a[0] == 2);
    advantages_of("    advantage: {eps: 0, lone: reward}\n", (double[]){1, 1}, 2, a);
    assert_true(a[0] == 0 && a[1] == 0);
    advantages_of("    advantage: {std: false}\n", (double[]){1, NAN, 0}, 3, a); /* not scored: no part of the baseline */
    assert_true(a[0] == 0.5 && a[1] == 0 && a[2] == -0.5);
    advantages_of("", (double[]){NAN, NAN}, 2, a);
    assert_true(a[0] == 0 && a[1] == 0);
}

static void pay(fv_response *items, int n, const double *rewards) {
    for (int i = 0; i < n; i++) items[i] = (fv_response){.reward = rewards[i]};
}

/* A moving baseline, as states of parts are: changed between steps alone, saved and read again. */
static void earlier_steps_are_a_baseline(void **state) {
    (void)state;
    fv_error err = {0};
    fv_response items[4];
    fv_group g = {.items = items, .count = 4};
    fv_recipe *r = stage_of("    advantage: {kind: moving, decay: 0.5, eps: 0}\n");
    fv_pipeline *p = pipeline_of(r), *again;
    pay(items, 4, (double[]){1, 0, 0, 0}); /* no step before: the group's mean, and no deviation */
    assert_int_equal(fv_pipeline_advantage(p, &g, &now, &err), FV_OK);
    assert_true(items[0].advantage == 0.75 && items[3].advantage == -0.25);
    fv_pipeline_update(p, &g, 1, &now); /* mean 1/4, mean of squares 1/4: deviation sqrt(3) / 4 */
    g.count = 2;
    pay(items, 2, (double[]){1, 1});
    assert_int_equal(fv_pipeline_advantage(p, &g, &now, &err), FV_OK);
    assert_true(near(items[0].advantage, 1.7320508075688772) && items[0].advantage == items[1].advantage);
    strcpy(items[1].error, "could not be scored");
    fv_pipeline_update(p, &g, 1, &now); /* (1/8 + 1) / 1.5 of rewards and of squares */
    json_t *saved = fv_pipeline_save(p);
    assert_int_equal(json_object_size(saved), 1);
    assert_int_equal(fv_pipeline_open(&again, r->stages[0].json, &err), FV_OK);
    assert_int_equal(fv_pipeline_load(again, saved, &err), FV_OK);
    g.count = 1;
    pay(items, 1, (double[]){0});
    assert_int_equal(fv_pipeline_advantage(again, &g, &now, &err), FV_OK);
    assert_true(near(items[0].advantage, -1.7320508075688772)); /* mean 3/4, deviation sqrt(3) / 4 */
    const char *key = json_object_iter_key(json_object_iter(saved));
    json_object_set_new(saved, key, json_string("00ff"));
    assert_int_equal(fv_pipeline_load(again, saved, &err), FV_BAD_DATA);
    assert_non_null(strstr(err.text, "moving has 2 bytes, expected 24"));
    json_decref(saved);
    fv_pipeline_close(again);
    close_both(p, r);
}

/* Three tokens by hand: 1 - 0.75, then 0.9 * 0.75 - 0.25 + 0.45 * 0.25, then 0.9 * 0.25 - 0.5 + 0.45 * 0.5375. */
static void values_make_advantages(void **state) {
    (void)state;
    static const float value[3] = {0.5f, 0.25f, 0.75f};
    static const double by_hand[3] = {-0.033125, 0.5375, 0.25};
    float got[4][3], returns[3];
    fv_error err = {0};
    static const char *const lines[] = {"{kind: gae, gamma: 0.9, lambda: 0.5, whiten: false}", "{kind: gae, gamma: 0.9, lambda: 0.5}", "{kind: gae, lambda: 1, whiten: false}"};
    for (size_t k = 0; k < 3; k++) {
        char line[128];
        snprintf(line, sizeof line, "    advantage: %s\n    auxiliary: [{kind: value}]\n", lines[k]);
        fv_recipe *r = stage_of(line);
        fv_pipeline *p = pipeline_of(r);
        fv_response one = {.id = "a", .reward = 1, .tokens = 3, .value = value, .token_advantage = got[k], .returns = returns};
        fv_group g = {.items = &one, .count = 1};
        assert_int_equal(fv_pipeline_advantage(p, &g, &now, &err), FV_OK);
        fv_pipeline_settle(p, &g, 1, &now);
        for (int t = 0; t < 3; t++) {
            if (k == 0) assert_true(fabs(got[0][t] - by_hand[t]) < 1e-7 && fabs(returns[t] - by_hand[t] - value[t]) < 1e-7);
            if (k == 2) assert_true(got[2][t] == 1 - value[t] && returns[t] == 1); /* lambda 1: what came of it, less what was expected */
        }
        if (k == 1) assert_true(fabs(returns[0] - by_hand[0] - value[0]) < 1e-7); /* whitening is the advantages' alone */
        close_both(p, r);
    }
    double mean = (by_hand[0] + by_hand[1] + by_hand[2]) / 3, var = 0;
    for (int t = 0; t < 3; t++) var += (by_hand[t] - mean) * (by_hand[t] - mean) / 2;
    for (int t = 0; t < 3; t++) assert_true(fabs(got[1][t] - (by_hand[t] - mean) / sqrt(var + 1e-8)) < 1e-6);
}

/* ---- Objectives ---- */

/* Two responses of 1 and 3 tokens; log(1.5) above, at, and below what was sampled. */
typedef struct {
    float dlogp[4], dentropy[4];
    double loss, low, high;
} outcome;

static outcome objective(const char *line, float advantage, bool reference) {
    static const float old[4] = {-1, -1, -1, -1};
    static const float logp[4] = {-0.5945349f, -1, -1, -1.4054651f}; /* ratios 1.5, 1, 1, 2/3 */
    static const float ref[4] = {-1, -0.5f, -1, -1}, entropy[4] = {1, 2, 3, 4}, weight[4] = {1, 1, 2, 1};
    static const int32_t response[4] = {0, 1, 1, 1}, tokens[2] = {1, 3};
    float a[4] = {advantage, advantage, advantage, advantage};
    outcome out = {0};
    fv_recipe *r = stage_of(line);
    fv_pipeline *p = pipeline_of(r);
    fv_streams s = {.count = 4, .total = 4, .logp = logp, .old_logp = old, .reference_logp = reference ? ref : NULL, .entropy = entropy, .advantage = a, .weight = weight,
                    .response = response, .responses = 2, .response_tokens = tokens, .dlogp = out.dlogp, .dentropy = out.dentropy};
    for (int k = 0; k < p->objectives.count; k++) p->objectives.uses[k].part->objective(&p->objectives.uses[k], &s, &now, &out.loss);
    out.low = s.clipped_low;
    out.high = s.clipped_high;
    close_both(p, r);
    return out;
}

/* The first has moved up and is still short of its return: the clipped error is the larger one, and has no slope. The second is beyond its return; the third has not moved. */
static void values_are_clipped(void **state) {
    (void)state;
    static const float value[3] = {0.5f, 0.5f, 0.2f}, old[3] = {0.2f, 0.2f, 0.2f}, returns[3] = {1, 0.25f, 1};
    for (int clip = 0; clip < 2; clip++) {
        float dvalue[3] = {0};
        double loss = 0;
        fv_recipe *r = stage_of(clip ? "    advantage: {kind: gae}\n    auxiliary: [{kind: value, coefficient: 0.6, clip: 0.2}]\n" : "    advantage: {kind: gae}\n    auxiliary: [{kind: value, coefficient: 0.6, clip: 0}]\n");
        fv_pipeline *p = pipeline_of(r);
        fv_streams s = {.count = 3, .total = 3, .value = value, .old_value = old, .returns = returns, .dvalue = dvalue};
        p->objectives.uses[1].part->objective(&p->objectives.uses[1], &s, &now, &loss);
        assert_true(p->needs == FV_NEED_VALUE);
        assert_true(fabs(loss - 0.1 * ((clip ? 0.36 : 0.25) + 0.0625 + 0.64)) < 1e-7);
        assert_true(fabs(dvalue[0] - (clip ? 0 : -0.1)) < 1e-7 && fabs(dvalue[1] - 0.05) < 1e-7 && fabs(dvalue[2] + 0.16) < 1e-7);
        close_both(p, r);
    }
}

static bool close_to(double a, double b) { return fabs(a - b) < 2e-7; } /* logp is f32 */

static void ratios_are_clipped(void **state) {
    (void)state;
    outcome o = objective("    objective: {clip_low: 0.2, clip_high: 0.2}\n", 1, false);
    /* A = 1: min(1.5, 1.2) + 1 + 2 * 1 + min(2/3, 0.8) = 4.8667, over 4 tokens */
    assert_true(close_to(o.loss, -(1.2 + 1 + 2 + 2.0 / 3) / 4));
    assert_true(o.dlogp[0] == 0 && close_to(o.dlogp[1], -0.25) && close_to(o.dlogp[2], -0.5) && close_to(o.dlogp[3], -2.0 / 3 / 4));
    assert_true(o.high == 1 && o.low == 0);
    o = objective("    objective: {clip_low: 0.2, clip_high: 0.2}\n", -1, false);
    /* A = -1: min(-1.5, -1.2) = -1.5 is not clipped; the last: min(-2/3, -0.8) = -0.8 is */
    assert_true(close_to(o.loss, (1.5 + 1 + 2 + 0.8) / 4));
    assert_true(close_to(o.dlogp[0], 1.5 / 4) && o.dlogp[3] == 0);
    assert_true(o.high == 0 && o.low == 1);
    o = objective("    objective: {clip_low: 0.2, clip_high: 0.6}\n", 1, false); /* clip-higher */
    assert_true(close_to(o.dlogp[0], -1.5 / 4) && o.high == 0);
    o = objective("    objective: {dual: 1.2}\n", -1, false); /* dual clip: not below 1.2 * A */
    assert_true(close_to(o.loss, (1.2 + 1 + 2 + 0.8) / 4));
    assert_true(o.dlogp[0] == 0);
}

static void sums_are_normalised(void **state) {
    (void)state;
    outcome o = objective("    objective: {clip_high: 1, clip_low: 1, normalise: responses}\n", 1, false);
    /* (1.5 / 1 + (1 + 2 + 2/3) / 3) / 2 */
    assert_true(close_to(o.loss, -(1.5 + (3 + 2.0 / 3) / 3) / 2));
    o = objective("    objective: {clip_high: 1, clip_low: 1, normalise: constant, length: 10}\n", 1, false);
    assert_true(close_to(o.loss, -(1.5 + 3 + 2.0 / 3) / 20));
    o = objective("    objective: {clip_high: 1, clip_low: 1, normalise: tokens}\n", 1, false);
    assert_true(close_to(o.loss, -(1.5 + 3 + 2.0 / 3) / 4));
}

static void the_reference_holds_back(void **state) {
    (void)state;
    outcome o = objective("    objective: {kl: 0.5}\n", 0, true);
    /* d = ref - logp: -0.4054651, 0.5, 0, 0.4054651; exp(d) - d - 1: 0.0721318, 0.1487213, 0, 0.0945349; * 0.5 / 4 (the third weighs 2) */
    assert_true(close_to(o.loss, (0.07213177 + 0.14872127 + 0.09453489) * 0.125));
    assert_true(close_to(o.dlogp[0], (1 - 2.0 / 3) * 0.125) && close_to(o.dlogp[1], (1 - 1.6487212707) * 0.125) && o.dlogp[2] == 0);
    o = objective("    objective: {kl: 0.5, kl_bound: 0.45}\n", 0, true); /* the second is clamped: exp(0.45) - 0.45 - 1 = 0.1183122, and no slope */
    assert_true(close_to(o.loss, (0.07213177 + 0.11831219 + 0.09453489) * 0.125));
    assert_true(close_to(o.dlogp[0], (1 - 2.0 / 3) * 0.125) && o.dlogp[1] == 0 && o.dlogp[2] == 0 && close_to(o.dlogp[3], (1 - 1.5) * 0.125));
    o = objective("    objective: {kl: 0.5, kl_bound: 0.4}\n", 0, true); /* below as well: exp(-0.4) + 0.4 - 1 = 0.0703200, exp(0.4) - 0.4 - 1 = 0.0918247 */
    assert_true(close_to(o.loss, (0.07032005 + 2 * 0.09182470) * 0.125));
    assert_true(o.dlogp[0] == 0 && o.dlogp[1] == 0 && o.dlogp[3] == 0);
    o = objective("    objective: {kl: 0}\n", 0, true);
    assert_true(o.loss == 0 && o.dlogp[0] == 0);
}

static void entropy_is_a_bonus(void **state) {
    (void)state;
    outcome o = objective("    auxiliary: [{kind: entropy, coefficient: {linear: [0.1, 0]}}]\n", 0, false);
    assert_true(near(o.loss, -0.1 * (1 + 2 + 3 + 4) / 4));
    assert_true(o.dentropy[2] == (float)(-0.1 / 4));
    o = objective("    auxiliary: [{kind: entropy, coefficient: 0}]\n", 0, false); /* with its coefficient at zero a part is not there */
    assert_true(o.loss == 0 && o.dentropy[0] == 0);
}

/* ---- Pipelines ---- */

static void needs_follow_from_options(void **state) {
    (void)state;
    static const struct {
        const char *line;
        unsigned needs;
    } cases[] = {{"", 0}, {"    objective: {kl: 0.0}\n", 0}, {"    objective: {kl: 0.1}\n", FV_NEED_REFERENCE}, {"    objective: {kl: {linear: [0, 0.1]}}\n", FV_NEED_REFERENCE}};
    for (size_t i = 0; i < FV_COUNT(cases); i++) {
        fv_recipe *r = stage_of(cases[i].line);
        fv_pipeline *p = pipeline_of(r);
        assert_int_equal(p->needs, cases[i].needs);
        close_both(p, r);
    }
}

static void terms_are_weighed(void **state) {
    (void)state;
    double terms[3] = {NAN, NAN, NAN};
    fv_error err = {0};
    fv_recipe *r = stage_of("    reward: {terms: [{term: exact, weight: 2}, {term: format, weight: 0.5}, {term: length, max: 10, buffer: 10}]}\n");
    fv_pipeline *p = pipeline_of(r);
    fv_response one = {.id = "a", .text = "<answer>7</answer>", .answer = "7", .length = 5, .terms = terms};
    fv_group g = {.items = &one, .count = 1};
    assert_int_equal(fv_pipeline_reward(p, &g, &now, &err), FV_OK);
    assert_true(terms[0] == 1 && terms[1] == 1 && terms[2] == -0.5 && one.reward == 2 + 0.5 - 0.5);
    close_both(p, r);
}

/* A weight may go with the step; a term that weighs nothing yet is there for others and for metrics. */
static void weights_may_be_schedules(void **state) {
    (void)state;
    fv_recipe *r = stage_of("    reward:\n      terms: [{term: exact}, {term: format, weight: {linear: [0, 0.3]}}, {term: tool, weight: 0}]\n"
                            "      shaping: [{rule: weigh, weights: {tool: {linear: [2, 0]}}}]\n");
    fv_pipeline *p = pipeline_of(r);
    for (int step = 0; step <= 10; step += 5) {
        double terms[3] = {NAN, NAN, NAN};
        fv_error err = {0};
        fv_moment when = {.step = step, .steps = 10};
        fv_response one = {.id = "a", .text = "<answer>7</answer>", .answer = "7", .images = 1, .terms = terms};
        fv_group g = {.items = &one, .count = 1};
        assert_int_equal(fv_pipeline_reward(p, &g, &when, &err), FV_OK);
        assert_true(terms[0] == 1 && terms[1] == 1 && terms[2] == 1 && near(one.reward, 1 + 0.03 * step));
        assert_int_equal(fv_pipeline_advantage(p, &g, &when, &err), FV_OK);
        assert_true(near(one.reward, 1 + 0.03 * step + 2 - 0.2 * step));
    }
    close_both(p, r);
}

/* A part that is used twice has two names in metrics and reports. */
static void second_uses_have_names_of_their_own(void **state) {
    (void)state;
    fv_recipe *r = stage_of("    reward: {terms: [{term: exact, weight: 2}, {term: format, weight: 0.5}, {term: exact, weight: 1, tags: true}]}\n");
    fv_pipeline *p = pipeline_of(r);
    assert_string_equal(p->terms.uses[0].label, "exact");
    assert_string_equal(p->terms.uses[1].label, "format");
    assert_string_equal(p->terms.uses[2].label, "exact.2");
    close_both(p, r);
}

static void filters_keep_what_is_good(void **state) {
    (void)state;
    fv_recipe *r;
    fv_pipeline *p;
    fv_error err = {0};
    assert_int_equal(fv_recipe_parse(&r, "model: {path: m}\ndata: d\nstages:\n  - {kind: filter, steps: 1, keep: [{filter: reward, at_least: 0.5}]}\n", "r", NULL, 0, &err), FV_OK);
    p = pipeline_of(r);
    assert_true(fv_pipeline_keeps(p, &(fv_response){.reward = 0.5}, &now));
    assert_false(fv_pipeline_keeps(p, &(fv_response){.reward = 0.49}, &now));
    assert_false(fv_pipeline_keeps(p, &(fv_response){.reward = NAN}, &now));
    assert_false(fv_pipeline_keeps(p, &(fv_response){.reward = 1, .error = "no"}, &now));
    close_both(p, r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exact_compares), cmocka_unit_test(a_row_has_its_own_tolerance), cmocka_unit_test(format_asks_for_pairs),
        cmocka_unit_test(tool_pays_for_pictures_that_helped), cmocka_unit_test(overlong_answers_are_punished), cmocka_unit_test(what_is_said_again_is_punished), cmocka_unit_test(named_terms_are_found), cmocka_unit_test(groups_are_their_own_baseline),
        cmocka_unit_test(earlier_steps_are_a_baseline), cmocka_unit_test(values_make_advantages), cmocka_unit_test(values_are_clipped),
        cmocka_unit_test(ratios_are_clipped), cmocka_unit_test(sums_are_normalised), cmocka_unit_test(the_reference_holds_back),
        cmocka_unit_test(entropy_is_a_bonus), cmocka_unit_test(needs_follow_from_options), cmocka_unit_test(terms_are_weighed),
        cmocka_unit_test(weights_may_be_schedules), cmocka_unit_test(second_uses_have_names_of_their_own),
        cmocka_unit_test(filters_keep_what_is_good),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
