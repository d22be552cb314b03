/* Judges: a model in the process, the policy, a server; what they say is paid, recorded, and not asked twice; what fails is left out. */
#include "lesson.h"

#include "rl/evaluate/evaluate_file.h"
#include "rl/judge/http.h"
#include "rl/judge/judge_prompt.h"
#include "rl/part.h"
#include "rl/reward_rows.h"

#include "judge_fake.h"

enum { QUESTIONS = 8 }; /* a step of the recipes below */

/* A model that rates whatever it is shown, now 0.3 and now 0.9. */
static int teach(void **state) {
    fv_error err = {0};
    if (lesson_begin(state) || fake_begin()) return -1;
    fv_text rows = {0}, stage = {0};
    static const char *const shown[] = {"#", "#z%K", "<answer>0.", "<answer>0.3</", "0.9</answer>", "~9[ q"};
    for (int i = 0; i < 12; i++)
        fv_text_printf(&rows, "{\"id\": \"r%d\", \"messages\": [{\"role\": \"user\", \"content\": [{\"type\": \"text\", \"text\": \"Rate '%s' \"}, {\"type\": \"image\", \"image\": \"%s\"}]}, "
                              "{\"role\": \"assistant\", \"content\": \"<answer>0.%d</answer>\"}]}\n",
                       i, shown[i / 2], i / 2 % 2 ? "a.png" : "b.png", i % 2 ? 3 : 9);
    small_write("ratings.jsonl", rows.data);
    small_write("rate.txt", "# Made for this test.\n[user]\nRate '{given}' {images}\n");
    fv_text_printf(&stage, "  - {name: rate, kind: sft, steps: 60, batch: 12, data: %s/ratings.jsonl, optim: {lr: 1.0e-2, warmup: 5, schedule: linear, final: 0.1, beta2: 0.95}}\n", small_root);
    if (lesson_run(lesson_recipe(SMALL_QWEN25, "rater", NULL, NULL, stage.data), false, &err) != FV_OK) fail_msg("%s", err.text);
    fv_text_clear(&rows);
    fv_text_clear(&stage);
    return 0;
}

static int end(void **state) {
    fake_end();
    return small_end(state);
}

static const char rater[] = "rater/checkpoints/step-60";

static int resamples;         /* dynamic_sampling of the recipes below */
static double patience = 20; /* seconds of a request */

/* `steps` steps in which everything that is written is rated. */
static fv_recipe *rated(const char *out, const char *model, const char *judge, int threads, int steps) {
    char head[1024], stage[1024];
    snprintf(head, sizeof head, "threads: %d\ncheckpoint: {every: 1, keep: 2}\njudge: %s", threads, judge);
    snprintf(stage, sizeof stage,
             "  - {name: rl, kind: grpo, steps: %d, dynamic_sampling: %d, rollout: {prompts: 2, group_size: 4, max_new_tokens: 6, show: 8, every: 1}, reward: {variant: paper, terms: [{term: length, name: accuracy, "
             "max: 6, buffer: 5}, {term: thinking, weight: 1.0, prompt: %s/rate.txt}], shaping: [{rule: trust, tau: 2}]}, optim: {lr: 1.0e-2}}\n",
             steps, resamples, small_root);
    return lesson_recipe(SMALL_QWEN25, out, model, head, stage);
}

static fv_recipe *rated_by_server(const char *out, const char *more, int steps) {
    char judge[512];
    snprintf(judge, sizeof judge, "{url: \"http://127.0.0.1:%d/v1/\", model: fake, tries: 4, pause: 0.001, timeout: %g%s}", fake.port, patience, more);
    return rated(out, NULL, judge, 1, steps);
}

static void must_run(fv_recipe *r, bool resume) {
    fv_error err = {0};
    if (lesson_run(r, resume, &err) != FV_OK) fail_msg("%s", err.text);
}

/* A figure of the run's step (1, 2, ...). */
static double figure(const char *run, int step, const char *name) {
    char *metrics = lesson_metrics(run), *line = metrics;
    for (int i = 1; i < step && line; i++)
        if ((line = strchr(line, '\n'))) line++;
    assert_true(line && *line);
    double v = lesson_value(line, name);
    free(metrics);
    return v;
}

static char *trajectories(const char *run, int step) {
    char path[128], *text;
    snprintf(path, sizeof path, "%s/trajectories/step-%d.jsonl", run, step);
    MUST(fv_file_read(&text, NULL, small_path(path), err));
    return text;
}

/* Two clips instead of pictures, whose answers are rated, too, where the frames were shuffled. */
static fv_recipe *rated_clips(const char *out, const char *judge) {
    char head[1024], stage[1024];
    fv_text rows = {0};
    for (int i = 0; i < 2; i++) {
        char names[4][16];
        for (unsigned k = 0; k < 4; k++) {
            snprintf(names[k], sizeof names[k], "c%d%u.png", i, k);
            lesson_picture(names[k], (unsigned)i * 4 + k);
        }
        fv_text_printf(&rows, "{\"id\": \"c%d\", \"data_type\": \"video\", \"messages\": [{\"role\": \"user\", \"content\": [{\"type\": \"video\", \"video\": [\"%s\", \"%s\", \"%s\", \"%s\"]}, {\"type\": \"text\", \"text\": \"Which one?\"}]}], \"answer\": \"A\"}\n",
                       i, names[0], names[1], names[2], names[3]);
    }
    small_write("clips.jsonl", rows.data);
    fv_text_clear(&rows);
    snprintf(head, sizeof head, "threads: 2\ncheckpoint: {every: 1, keep: 2}\njudge: %s", judge);
    snprintf(stage, sizeof stage,
             "  - {name: rl, kind: grpo, steps: 1, data: %s/clips.jsonl, rollout: {prompts: 2, group_size: 4, max_new_tokens: 6}, reward: {terms: [{term: length, name: accuracy, max: 6, buffer: 5}, "
             "{term: thinking, prompt: %s/rate.txt, judge: all}, {term: temporal}]}, optim: {lr: 1.0e-2}}\n",
             small_root, small_root);
    return lesson_recipe(SMALL_QWEN25, out, NULL, head, stage);
}

/* ---- Models ---- */

/* Rewards of trajectories that a run has written, computed again from what they say. */
static void check_rewards_again(const char *run) {
    char path[512], *was = trajectories(run, 1), *now;
    fv_reward_counts counts;
    fv_recipe *r = rated(run, NULL, "policy", 1, 1);
    snprintf(path, sizeof path, "%s/%s/trajectories/step-1.jsonl", small_root, run);
    MUST(fv_reward_rows(&counts, r, path, small_path("again.jsonl"), err));
    MUST(fv_file_read(&now, NULL, small_path("again.jsonl"), err));
    assert_true(counts.rows == QUESTIONS && (double)counts.bad == QUESTIONS * figure(run, 1, "judge/failure_frequency"));
    for (char *a = was, *b = now; *a && *b; a = strchr(a, '\n') + 1, b = strchr(b, '\n') + 1) {
        json_t *then = json_loads(a, JSON_DISABLE_EOF_CHECK, NULL), *again = json_loads(b, JSON_DISABLE_EOF_CHECK, NULL);
        bool failed = json_object_get(then, "error") != NULL;
        assert_true(failed == (json_object_get(again, "error") != NULL));
        assert_true(failed || json_equal(json_object_get(then, "terms"), json_object_get(again, "terms")));
        json_decref(then);
        json_decref(again);
    }
    fv_recipe_close(r);
    free(was);
    free(now);
}

static void a_model_judges(void **state) {
    (void)state;
    char judge[256];
    snprintf(judge, sizeof judge, "{path: %s/%s, temperature: 1.0, max_new_tokens: 24}", small_root, rater);
    must_run(rated("judged1", NULL, judge, 1, 2), false);
    must_run(rated("judged2", NULL, judge, 2, 2), false);
    lesson_same_run("judged1", "judged2");
    assert_true(figure("judged1", 1, "judge/questions") == QUESTIONS && figure("judged1", 1, "judge/requests") == QUESTIONS);
    double failed = figure("judged1", 1, "judge/failure_frequency");
    assert_true(failed < 0.5 && figure("judged1", 1, "response/aborted_ratio") == failed);
    double mean = figure("judged1", 1, "rewards/thinking/mean");
    assert_true(mean > 0.3 && mean < 0.9 && figure("judged1", 1, "rewards/thinking/std") > 0);
    char *text = trajectories("judged1", 1);
    assert_true(strstr(text, "\"judge_text\": \"<answer>0.3</answer>\"") && strstr(text, "\"judge_text\": \"<answer>0.9</answer>\""));
    free(text);
    check_rewards_again("judged1");
}

/* Judging in between leaves the rollout's tree, and so its log-probs, as they were. */
/* Answers to shuffled frames only set a bar, and are judged like those for which they set it. */
static void shuffled_answers_are_judged(void **state) {
    (void)state;
    char judge[256];
    snprintf(judge, sizeof judge, "{path: %s/%s, temperature: 1.0, max_new_tokens: 24}", small_root, rater);
    must_run(rated_clips("clips", judge), false);
    assert_true(figure("clips", 1, "judge/questions") == QUESTIONS + QUESTIONS / 2);
    double mean = figure("clips", 1, "shuffled/thinking/mean");
    assert_true(mean > 0.2 && mean < 1);
}

static void the_policy_judges(void **state) {
    (void)state;
    must_run(rated("self", rater, "policy", 2, 2), false);
    assert_true(figure("self", 1, "judge/questions") == QUESTIONS && figure("self", 1, "judge/failure_frequency") < 0.5);
    for (int step = 1; step <= 2; step++) assert_true(figure("self", step, "sampling/sampling_logp_difference/max") == 0);
}

/* The policy as the stage found it: at the first step the policy itself, later what it was; nothing is paid for staying near it. */
static void the_reference_judges(void **state) {
    (void)state;
    must_run(rated("frozen", rater, "reference", 2, 2), false);
    for (int step = 1; step <= 2; step++) {
        assert_true(figure("frozen", step, "judge/questions") == QUESTIONS && figure("frozen", step, "judge/failure_frequency") < 0.5);
        assert_true(figure("frozen", step, "sampling/sampling_logp_difference/max") == 0);
    }
    assert_true(figure("frozen", 1, "rewards/thinking/mean") == figure("self", 1, "rewards/thinking/mean"));
    assert_true(figure("frozen", 2, "rewards/thinking/mean") != figure("self", 2, "rewards/thinking/mean"));
}

/* ---- Servers ---- */

static void a_server_judges(void **state) {
    (void)state;
    fv_image *sent, *shown;
    fake_set(FAKE_LEARNS);
    setenv("FAKE_KEY", "secret", 1);
    must_run(rated_by_server("served", ", key_env: FAKE_KEY", 1), false);
    assert_true(figure("served", 1, "judge/failure_frequency") == 0 && figure("served", 1, "judge/requests") == 4 * QUESTIONS);
    assert_true(fake.requests == 4 * QUESTIONS && fake.keyed == fake.requests && fake.strays == 0);
    const char *model = strstr(fake.body, "\"model\": \"fake\""), *url = strstr(fake.body, "data:image/png;base64,");
    assert_true(model && url);
    char *name = strndup(url, strcspn(url, "\"")); /* what it saw is the row's picture */
    MUST(fv_image_load_url(&sent, NULL, name, err));
    bool same = false;
    for (int k = 0; k < 2; k++) {
        MUST(fv_image_load(&shown, small_path(k ? "a.png" : "b.png"), err));
        same |= sent->width == shown->width && sent->height == shown->height && !memcmp(sent->rgb, shown->rgb, (size_t)(3 * sent->width * sent->height));
        fv_image_free(shown);
    }
    assert_true(same);
    fv_image_free(sent);
    free(name);
}

/* A response that has no judgement is no zero: it has no reward, and the others' advantages are those of a group without it. */
static void failures_are_left_out(void **state) {
    (void)state;
    fake_set(FAKE_SPLIT);
    must_run(rated_by_server("split", "", 1), false);
    double share = figure("split", 1, "judge/failure_frequency");
    assert_true(share > 0 && share < 1 && figure("split", 1, "response/aborted_ratio") == share);
    assert_true(figure("split", 1, "judge/requests") == QUESTIONS * (1 + 3 * share)); /* four tries, where all were in vain */
    char *text = trajectories("split", 1);
    double sum = 0, advantages = 0;
    int sound = 0, failed = 0;
    for (char *line = text; *line; line = strchr(line, '\n') + 1) {
        json_t *t = json_loads(line, JSON_DISABLE_EOF_CHECK, NULL);
        const char *why = fv_get_text(t, "error");
        if (why) {
            failed++;
            assert_true(strstr(why, "judge: http://127.0.0.1") && strstr(why, "status 500"));
            assert_true(json_is_null(json_object_get(t, "reward")) && fv_get_num(t, "advantage") == 0 && !fv_get_text(t, "judge_text"));
            assert_true(json_is_null(json_object_get(json_object_get(t, "terms"), "thinking")));
        } else {
            sound++;
            sum += fv_get_num(t, "reward");
            advantages += fv_get_num(t, "advantage");
        }
        json_decref(t);
    }
    free(text);
    assert_int_equal(failed, (int)(QUESTIONS * share + 0.5));
    assert_true(fabs(sum / sound - figure("split", 1, "reward")) < 1e-9 && fabs(advantages) < 1e-5);
}

/* Where a flat group is replaced, only its successor is asked about. */
static void groups_that_stay_are_not_asked_again(void **state) {
    (void)state;
    fake_set(FAKE_LEVEL);
    fake.last = QUESTIONS / 2; /* one at a time: the first group */
    resamples = 1;
    must_run(rated_by_server("replaced", ", parallel: 1, key_env: null", 1), false);
    resamples = 0;
    assert_int_equal(fake.requests, QUESTIONS + QUESTIONS / 2);
    assert_true(figure("replaced", 1, "judge/questions") == QUESTIONS && figure("replaced", 1, "frac_reward_zero_std") == 0);
}

/* A run goes on from a checkpoint without its judge: what was said after it is recorded, failures too. */
static void nothing_is_asked_twice(void **state) {
    (void)state;
    fake_set(FAKE_SPLIT);
    must_run(rated_by_server("asked", "", 3), false);
    must_run(rated_by_server("again", "", 3), false);
    int before = fake.requests;
    MUST(fv_path_remove(small_path("again/checkpoints/step-3"), err));
    must_run(rated_by_server("again", "", 3), true);
    assert_int_equal(fake.requests, before);
    lesson_same_run("asked", "again");
    lesson_same_file(small_path("asked/judgements.jsonl"), small_path("again/judgements.jsonl"));
}

/* A judge that never answers ends a run at once; one that stops answering does only where the recipe says so. */
static void a_judge_that_is_down(void **state) {
    (void)state;
    fv_error why = {0};
    fake_set(FAKE_REFUSES);
    assert_int_equal(lesson_run(rated_by_server("refused", "", 2), false, &why), FV_IO);
    if (!strstr(why.text, "did not answer") || !strstr(why.text, "status 401: {\"error\": \"no\"}")) fail_msg("%s", why.text);
    assert_int_equal(fake.requests, QUESTIONS); /* no second tries: they would not help */
    fake_set(FAKE_GOOD);
    must_run(rated_by_server("budget", ", budget: 10", 3), false);
    assert_int_equal(fake.requests, 10);
    assert_true(figure("budget", 1, "judge/failure_frequency") == 0 && figure("budget", 2, "judge/failure_frequency") == 0.75 && figure("budget", 3, "judge/failure_frequency") == 1);
    fake_set(FAKE_DIES);
    fake.last = QUESTIONS;
    must_run(rated_by_server("died", "", 2), false);
    assert_true(figure("died", 1, "judge/failure_frequency") == 0 && figure("died", 2, "response/aborted_ratio") == 1 && figure("died", 2, "judge/requests") == 4 * QUESTIONS);
    assert_true(figure("died", 2, "grad_norm") == 0);
    fake_set(FAKE_GOOD);
    assert_int_equal(lesson_run(rated_by_server("strict", ", budget: 10, failures: stop", 3), false, &why), FV_LIMIT);
    assert_non_null(strstr(why.text, "budget of requests is used up"));
}

/* A run of two steps whose judge answers in the first and then gets into `mood`; how its second step ends. */
static fv_status judged_once(const char *out, const char *more, fake_mood mood, int last, fv_error *why) {
    static volatile int stop = 1;
    fv_recipe *r = rated_by_server(out, more, 2);
    fake_set(FAKE_GOOD);
    assert_int_equal(fv_train(r, &(fv_train_options){.quiet = true, .stop = &stop}, why), FV_CANCELLED);
    fv_recipe_close(r);
    fake_set(mood);
    fake.last = last;
    patience = mood == FAKE_SLOW ? 0.05 : 20;
    fv_status s = lesson_run(rated_by_server(out, more, 2), true, why);
    patience = 20;
    return s;
}

/* Those of a step's responses that have an error, each with these words in it. */
static int errors_of(const char *run, int step, const char *words) {
    char *text = trajectories(run, step);
    int n = 0;
    for (char *line = text; *line; line = strchr(line, '\n') + 1) {
        json_t *t = json_loads(line, JSON_DISABLE_EOF_CHECK, NULL);
        const char *why = fv_get_text(t, "error");
        if (why && !strstr(why, words)) fail_msg("%s: %s", run, why);
        n += why != NULL;
        json_decref(t);
    }
    free(text);
    return n;
}

/* A judge that once answered and now talks nonsense, or takes too long: its failures are left out, or end the run; either goes on as if nothing had been. */
static void a_judge_that_gets_worse(void **state) {
    (void)state;
    static const struct {
        fake_mood mood;
        int last; /* questions of the second step that are answered */
        const char *name, *words;
    } cases[] = {{FAKE_NONSENSE, 3, "nonsense", "can't read \"It is hard to say.\""}, {FAKE_SLOW, 0, "slow", "timed out"}};
    fake_set(FAKE_GOOD);
    must_run(rated_by_server("sound", "", 2), false);
    for (size_t i = 0; i < FV_COUNT(cases); i++) {
        char skips[32], stops[32], path[64];
        fv_error why = {0};
        int failed = QUESTIONS - cases[i].last;
        snprintf(skips, sizeof skips, "%s-skips", cases[i].name);
        snprintf(stops, sizeof stops, "%s-stops", cases[i].name);
        if (judged_once(skips, ", failures: skip", cases[i].mood, cases[i].last, &why) != FV_OK) fail_msg("%s", why.text);
        assert_true(figure(skips, 1, "judge/failure_frequency") == 0 && figure(skips, 2, "judge/failure_frequency") == (double)failed / QUESTIONS);
        assert_true(figure(skips, 2, "response/aborted_ratio") == (double)failed / QUESTIONS && figure(skips, 2, "judge/requests") == cases[i].last + 4 * failed);
        assert_int_equal(errors_of(skips, 1, cases[i].words), 0);
        assert_int_equal(errors_of(skips, 2, cases[i].words), failed);
        char *before = lesson_metrics(skips), *after;
        fake_set(FAKE_GOOD);
        snprintf(path, sizeof path, "%s/checkpoints/step-2", skips);
        MUST(fv_path_remove(small_path(path), err));
        must_run(rated_by_server(skips, ", failures: skip", 2), true);
        assert_int_equal(fake.requests, 0); /* what failed is recorded, too */
        assert_string_equal(before, after = lesson_metrics(skips));
        free(before);
        free(after);
        assert_int_not_equal(judged_once(stops, ", failures: stop", cases[i].mood, cases[i].last, &why), FV_OK);
        if (!strstr(why.text, "step 2: the judge did not answer") || !strstr(why.text, cases[i].words)) fail_msg("%s", why.text);
        fake_set(FAKE_GOOD);
        must_run(rated_by_server(stops, ", failures: stop", 2), true);
        assert_int_equal(fake.requests, failed); /* what had been answered is not asked again */
        lesson_same_run("sound", stops);
    }
}

/* ---- Requests ---- */

static fv_status say_item(void *context, int item, int attempt, fv_text *out, fv_error *err) {
    (void)context, (void)err;
    fv_text_printf(out, "{\"seed\": %d}", item << 10 | attempt);
    return FV_OK;
}

static fv_status count_item(void *context, int item, const char *reply, size_t size, fv_error *err) {
    (void)item, (void)size, (void)err;
    if (strstr(reply, "0.")) ++*(int *)context;
    return FV_OK;
}

static int post(int count, int parallel, double timeout, fv_http_result *results) {
    char url[64];
    int taken = 0;
    snprintf(url, sizeof url, "http://127.0.0.1:%d/v1", fake.port);
    fv_http_options o = {.url = url, .parallel = parallel, .tries = 2, .timeout = timeout, .pause = 0.001, .budget = 1000};
    MUST(fv_http_post_all(&o, &(fv_http_work){say_item, count_item, &taken}, count, results, err));
    return taken;
}

static void requests_go_together_and_time_out(void **state) {
    (void)state;
    fv_http_result results[16];
    fake_set(FAKE_GATHERS);
    fake.gather = 6;
    assert_int_equal(post(12, 6, 20, results), 12); /* nothing would come back if they went one by one */
    fake_set(FAKE_SLOW);
    assert_int_equal(post(3, 3, 0.05, results), 0);
    for (int i = 0; i < 3; i++)
        if (results[i].requests != 2 || !strstr(results[i].error.text, "timed out")) fail_msg("%d requests: %s", results[i].requests, results[i].error.text);
}

/* ---- Recipes ---- */

static void the_published_recipes_train(void **state) {
    (void)state;
    static const char *const rows[] = {
        "{\"problem\": \"<image>Which digit?\", \"images\": [\"a.png\"], \"solution\": \"<answer>8</answer>\", \"problem_type\": \"numerical\"}\n",
        "{\"prompt\": [{\"role\": \"user\", \"content\": \"<image>Which digit? Think first.\"}], \"images\": [\"a.png\"], \"reward_model\": {\"ground_truth\": \"8\"}, \"data_source\": \"vstar\", "
        "\"extra_info\": {\"question\": \"Which digit is it?\"}}\n"};
    fake_set(FAKE_GOOD);
    for (int k = 0; k < 2; k++) {
        char data[128], model[128], out[128], url[64], path[256];
        const char *name = k ? "deepeyes" : "sophiavl-r1";
        fv_recipe *r;
        small_write("systems.jsonl", rows[k]);
        snprintf(data, sizeof data, "data=%s/systems.jsonl", small_root);
        snprintf(model, sizeof model, "model.path=%s/model0", small_root);
        snprintf(out, sizeof out, "out=%s/%s", small_root, name);
        snprintf(url, sizeof url, "judge.url=http://127.0.0.1:%d/v1", fake.port);
        snprintf(path, sizeof path, "%s/recipes/%s.yaml", FOVEA_SOURCE, name);
        const char *const set[] = {data, model, out, url, "judge.path=null", "judge.model=fake", "reward.variant=paper", "steps=1", "rollout.prompts=2", "rollout.group_size=4", "rollout.max_new_tokens=6"};
        MUST(fv_recipe_open(&r, path, set, FV_COUNT(set), err));
        must_run(r, false);
        assert_true(figure(name, 1, "judge/questions") == QUESTIONS && figure(name, 1, "judge/failure_frequency") == 0);
        if (!strstr(fake.body, k ? "[Question]: Which digit is it?\\n[Standard Answer]: 8\\n[Model_answer] : " : "Question: Which digit?\\n")) fail_msg("%.200s", strstr(fake.body, "uestion: ") ? strstr(fake.body, "uestion: ") : fake.body);
        assert_true(figure(name, 1, k ? "rewards/accuracy/mean" : "rewards/thinking/mean") > 0);
        snprintf(path, sizeof path, "%s/judges/%s.txt", name, k ? "deepeyes-math" : name);
        assert_true(fv_file_exists(small_path(path))); /* so that the run's recipe.yaml finds it */
    }
}

/* ---- Prompts and fields ---- */

static void prompts_are_filled(void **state) {
    (void)state;
    fv_judge_prompt p;
    fv_error why = {0};
    small_write("prompt.txt", "# Where it is from.\n[system]\nBe fair.\n[user]\n# {question}{images}\n{0, 1}: {given} or {answer}?\n");
    MUST(fv_judge_prompt_read(&p, small_path("prompt.txt"), err));
    json_t *m = fv_judge_prompt_fill(&p, &(fv_judge_values){"Q", "A<|im_<|im_end|>end|>", "{answer}<|im_start|>", 1});
    fv_text t = {0};
    fv_json_dump(&t, m, 0);
    assert_string_equal(t.data, "[{\"role\": \"system\", \"content\": \"Be fair.\"}, {\"role\": \"user\", \"content\": [{\"type\": \"text\", \"text\": \"# Q\"}, {\"type\": \"image\", \"image\": \"#0\"}, "
                                "{\"type\": \"text\", \"text\": \"\\n{0, 1}: {answer} or A?\"}]}]");
    fv_text_clear(&t);
    json_decref(m);
    m = fv_judge_prompt_fill(&p, &(fv_judge_values){.question = "Q"});
    assert_true(json_is_string(json_object_get(json_array_get(m, 1), "content")));
    json_decref(m);
    fv_judge_prompt_clear(&p);
    small_write("prompt.txt", "Is it right?\n");
    assert_int_equal(fv_judge_prompt_read(&p, small_path("prompt.txt"), &why), FV_BAD_RECIPE);
}

/* What is no answer is a failure in training, where the releases take it for 0. */
static void answers_can_be_read_or_not(void **state) {
    (void)state;
    static const struct {
        const char *term, *source, *text;
        bool heard;
    } cases[] = {{"thinking", NULL, "0.7", true},           {"thinking", NULL, "I can't say.", false},   {"judged", "vstar", " 0 ", true},         {"judged", "vstar", "Judgement: 1", true},
                 {"judged", "vstar", "Judgement: ?", false}, {"judged", "vstar", "TRUE", false},          {"judged", "geoguessr", "True.", true},   {"judged", "xince", "## Equivalence Judgement\nFALSE", true},
                 {"judged", "xince", "1", false},            {"judged", "xince", "TRUE or FALSE", false}};
    for (size_t i = 0; i < FV_COUNT(cases); i++) {
        json_t *row = json_pack("{s: s*}", "data_source", cases[i].source);
        fv_response r = {.id = "", .row = row, .text = "<answer>8</answer>"};
        fv_use u = {.part = fv_part_find(FV_HOOK_REWARD, cases[i].term)};
        if (u.part->hears(&u, &r, cases[i].text) != cases[i].heard) fail_msg("%s: %s", cases[i].term, cases[i].text);
        json_decref(row);
    }
}

/* Each kind of data has a question of its own, about what its rule looks at. */
static void kinds_are_asked_differently(void **state) {
    (void)state;
    static const struct {
        const char *source, *prompt, *given;
    } cases[] = {{"vstar", "perception", "8 left"}, {"geoguessr", "place", "7"}, {"xince", "math", "9"}};
    for (size_t i = 0; i < FV_COUNT(cases); i++) {
        json_t *row = json_pack("{s: s}", "data_source", cases[i].source);
        fv_response r = {.id = "", .row = row, .text = "<think></think> <answer>7</answer> \\boxed{9} <answer> 8 left </answer>"};
        fv_use u = {.part = fv_part_find(FV_HOOK_REWARD, "judged")};
        fv_text given = {0};
        const char *prompt;
        u.part->ask(&u, &r, &prompt, &given);
        assert_string_equal(prompt, cases[i].prompt);
        assert_string_equal(given.data, cases[i].given);
        fv_text_clear(&given);
        json_decref(row);
    }
}

/* A term's temperature for one kind of data; what it says nothing about is asked at the judge's. */
static void kinds_have_their_own_temperatures(void **state) {
    (void)state;
    static const struct {
        const char *source, *sent;
    } cases[] = {{"vstar", "\"temperature\": 0.3,"}, {"geoguessr", "\"temperature\": 0.5,"}};
    small_write("judgement.txt", "# Made for this test.\n[user]\nIs '{given}' right? Judgement:\n");
    for (size_t i = 0; i < FV_COUNT(cases); i++) {
        char head[512], stage[1024];
        fv_text row = {0};
        fv_text_printf(&row, "{\"id\": \"r\", \"messages\": [{\"role\": \"user\", \"content\": [{\"type\": \"text\", \"text\": \"Rate '#' \"}, {\"type\": \"image\", \"image\": \"b.png\"}]}], \"answer\": \"0.3\", \"data_source\": \"%s\"}\n", cases[i].source);
        small_write("sourced.jsonl", row.data);
        fv_text_clear(&row);
        snprintf(head, sizeof head, "judge: {url: \"http://127.0.0.1:%d/v1/\", model: fake, tries: 1, temperature: 0.3}", fake.port);
        snprintf(stage, sizeof stage,
                 "  - {name: rl, kind: grpo, steps: 1, data: %s/sourced.jsonl, rollout: {prompts: 1, group_size: 4, max_new_tokens: 24}, reward: {terms: [{term: judged, temperature: {place: 0.5}, "
                 "prompt: {perception: %s/judgement.txt, place: %s/judgement.txt}}]}, optim: {lr: 1.0e-2}}\n",
                 small_root, small_root, small_root);
        fv_error why = {0}; /* of the fake's replies those about places can't be read, which ends that run */
        fake_set(FAKE_GOOD);
        assert_int_equal(lesson_run(lesson_recipe(SMALL_QWEN25, "kinds", rater, head, stage), false, &why), i ? FV_BAD_DATA : FV_OK);
        if (!strstr(fake.body, cases[i].sent)) fail_msg("%s: %s", cases[i].source, fake.body);
    }
}

/* An evaluation of responses whose protocol leaves some to a judge: who asks, who is not asked, and what comes of no answer. */
static fv_status evaluated(json_t **result, const char *more, fake_mood mood, fv_error *why) {
    char url[96];
    const char *overrides[] = {"evaluate.protocol=deepeyes", url, "judge.model=fake", "judge.tries=1", more};
    fv_recipe *r;
    fv_evaluate_file_options how = {.quiet = true, .folder = small_path("evaluated")};
    snprintf(url, sizeof url, "judge.url=http://127.0.0.1:%d/v1", fake.port);
    MUST(fv_evaluate_recipe_for(&r, "none", "none", overrides, FV_COUNT(overrides), err));
    fake_set(mood);
    fv_status s = fv_evaluate_responses(result, r, small_path("open.jsonl"), &how, why);
    fv_recipe_close(r);
    return s;
}

static void evaluations_ask_a_server(void **state) {
    (void)state;
    static const char prompt[] = "evaluate.judge_prompt=" FOVEA_SOURCE "/recipes/judges/deepeyes-vstar.txt";
    json_t *result;
    fv_error why = {0};
    small_write("open.jsonl", "{\"id\": \"letter\", \"question\": \"Q1?\", \"response\": \"<answer>A</answer>\", \"answer\": \"tan\"}\n"
                              "{\"id\": \"said\", \"question\": \"Q2?\", \"response\": \"<answer>it is tan</answer>\", \"answer\": \"tan\", \"judge_text\": \"1\"}\n"
                              "{\"id\": \"one\", \"question\": \"Q3?\", \"response\": \"<answer>it is tan</answer>\", \"answer\": \"tan\"}\n"
                              "{\"id\": \"two\", \"problem\": \"Q4?\", \"response\": \"<answer>blue, perhaps</answer>\", \"answer\": \"tan\"}\n");
    if (evaluated(&result, prompt, FAKE_GOOD, &why) != FV_OK) fail_msg("%s", why.text);
    assert_int_equal(fake.requests, 2);
    assert_true(fv_get_int(result, "n") == 4 && fv_get_int(result, "errors") == 0 && fv_get_num(result, "accuracy") >= 0.5);
    assert_true(strstr(fake.body, "[Standard Answer]: A. tan\\n[Model_answer] : ") && (strstr(fake.body, "[Question]: Q4?\\n") || strstr(fake.body, "[Question]: Q3?\\n")));
    double accuracy = fv_get_num(result, "accuracy");
    json_decref(result);

    char *samples; /* what was said stands in samples.jsonl: nothing has to be asked again */
    MUST(fv_file_read(&samples, NULL, small_path("evaluated/samples.jsonl"), err));
    small_write("open.jsonl", samples);
    free(samples);
    MUST(evaluated(&result, prompt, FAKE_REFUSES, err));
    assert_true(fake.requests == 0 && fv_get_num(result, "accuracy") == accuracy);
    json_decref(result);

    small_write("open.jsonl", "{\"id\": \"one\", \"question\": \"Q?\", \"response\": \"<answer>it is tan</answer>\", \"answer\": \"tan\"}\n");
    MUST(evaluated(&result, prompt, FAKE_REFUSES, err)); /* no answer: reported, and left out */
    assert_true(fv_get_int(result, "errors") == 1 && fv_get_int(result, "n") == 0);
    json_decref(result);
    assert_int_equal(evaluated(&result, "evaluate.n=1", FAKE_GOOD, &why), FV_BAD_RECIPE);
    assert_non_null(strstr(why.text, "evaluate.judge_prompt must be the file"));
}

static void what_is_missing_is_told(void **state) {
    (void)state;
    static const struct {
        const char *judge, *why;
    } cases[] = {{"{}", "`judge: policy`"}, {"{path: nowhere}", "nowhere"}};
    static const struct {
        const char *judge, *why;
    } wrong[] = {{"{url: http://x}", "judge needs both url and model"}, {"{url: \"localhost:8000\", model: m}", "must begin with http://"}, {"{path: a, policy: true}", "not 2 of them"}};
    for (size_t i = 0; i < FV_COUNT(cases); i++) {
        fv_error why = {0};
        assert_true(lesson_run(rated("lacks", NULL, cases[i].judge, 1, 1), false, &why) != FV_OK);
        if (!strstr(why.text, cases[i].why)) fail_msg("%s", why.text);
    }
    for (size_t i = 0; i < FV_COUNT(wrong); i++) {
        char text[512];
        fv_recipe *r;
        fv_error why = {0};
        snprintf(text, sizeof text, "model: {init: tiny}\ndata: x.jsonl\njudge: %s\nstages: [{kind: grpo, steps: 1}]\n", wrong[i].judge);
        assert_int_equal(fv_recipe_parse(&r, text, "judge.yaml", NULL, 0, &why), FV_BAD_RECIPE);
        if (!strstr(why.text, wrong[i].why)) fail_msg("%s", why.text);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_model_judges), cmocka_unit_test(shuffled_answers_are_judged), cmocka_unit_test(the_policy_judges), cmocka_unit_test(the_reference_judges), cmocka_unit_test(a_server_judges), cmocka_unit_test(failures_are_left_out), cmocka_unit_test(groups_that_stay_are_not_asked_again), cmocka_unit_test(nothing_is_asked_twice),
        cmocka_unit_test(a_judge_that_is_down), cmocka_unit_test(a_judge_that_gets_worse), cmocka_unit_test(requests_go_together_and_time_out),
        cmocka_unit_test(the_published_recipes_train), cmocka_unit_test(prompts_are_filled),
        cmocka_unit_test(answers_can_be_read_or_not), cmocka_unit_test(kinds_are_asked_differently), cmocka_unit_test(kinds_have_their_own_temperatures), cmocka_unit_test(evaluations_ask_a_server), cmocka_unit_test(what_is_missing_is_told),
    };
    return cmocka_run_group_tests(tests, teach, end);
}
