/* Six published systems train: their recipes as they are, but for sizes and for who judges, on a model so small that a run takes less than a second. What each asks of the policy beside
 * answers costs no exactness, survives a kill, and with its own coefficient at zero is plain GRPO bit for bit. */
#include "drawing.h"

#include "rl/reward_rows.h"

#include "judge_fake.h"

#include <sys/wait.h>
#include <unistd.h>

enum { SETTINGS = 48, EXTRA = 16, STEPS = 2 };

/* What the model was taught by; as released: tests/rl/test_ask.c */
#define ASK "ask.text='{question}'"

static const struct system {
    const char *name;
    const char *model;        /* that knows the form */
    const char *data;
    const char *extra[EXTRA]; /* settings of all its runs */
    const char *off[EXTRA];   /* its own coefficients at zero */
    const char *plain[EXTRA]; /* its own parts taken out */
    const char *metric;       /* what it says of itself in every step, above zero */
    const char *paid;         /* what is above zero in some step */
    int before;               /* steps of stages before the one that reinforces */
    bool judged, fails;       /* asks a server; some of its calls come to nothing */
} systems[] = {
    {"vision-sr1", "taught/checkpoints/step-80", "see.jsonl", {"stages.cold-start=null", ASK, "dynamic_sampling=1", "rollout.top_p=1"}, {"reward.terms.2.weight=0"},
     {"reward.terms.2={term: exact}", "reward.terms.2.weight=0", "reward.terms.3={term: exact}", "reward.terms.3.weight=0"},
     "second_pass/asked", "rewards/description_accuracy/mean", 0, false, false},
    {"video-r1", "taught/checkpoints/step-80", "watch.jsonl", {"stages.sft=null", ASK, "reward.terms.3.low=10"}, {"reward.terms.2.weight=0", "reward.terms.3.weight=0"},
     {"reward.terms.2={term: exact}", "reward.terms.2.weight=0", "reward.terms.3={term: exact}", "reward.terms.3.weight=0"},
     "shuffled/format/mean", "rewards/temporal/mean", 0, false, false},
    {"tw-grpo", "taught/checkpoints/step-80", "watch.jsonl", {ASK, "freeze=[]", "verify=2"}, {"weights.0.alpha=1"}, {"weights=[]"},
     "token_weight/max", "rewards/accuracy/mean", 0, false, false},
    {"sophiavl-r1", "taught/checkpoints/step-80", "watch.jsonl", {ASK, "rollout.top_p=1", "judge.path=null", "judge.model=fake"}, {"reward.shaping.0.scale=0"},
     {"reward.shaping=[]", "reward.terms.1={term: exact}", "reward.terms.1.weight=0"}, "judge/questions", "rewards/thinking/mean", 0, true, false},
    {"deepeyes", "zooms/checkpoints/step-60", "zoom.jsonl", {"env.prompt=none", "env.hint=false", "judge.model=fake"}, {"reward.terms.2.weight=0"},
     {"reward.shaping=[]", "reward.terms.2={term: exact}", "reward.terms.2.weight=0"}, "judge/questions", "rewards/tool/mean", 0, true, true},
    {"vilasr", "draws/checkpoints/step-140", "asked.jsonl",
     {"env.prompt=none", "env.hint=false", "env.max_turns=4", "stages.cold-start.steps=1", "stages.cold-start.batch=2", "stages.reflect.steps=1", "stages.reflect.rollout.prompts=4",
      "stages.reflect.rollout.group_size=2", "stages.reflect.rollout.max_new_tokens=100", "stages.reflect.keep.0.at_least=1", "stages.reflection.steps=1", "stages.reflection.batch=2",
      "stages.rl.rollout.max_new_tokens=100"},
     {"stages.rl.reward.shaping.0.above=-1"}, {"stages.rl.reward.shaping=[]", "stages.rl.reward.terms.2={term: exact}", "stages.rl.reward.terms.2.weight=0"},
     "tools/call_frequency", "rewards/accuracy/mean", 3, false, false},
};

/* ---- Models that know the forms ---- */

static const char second_ask[] = "Text description: a digit\\nQuestion: Which digit?\\nYou are provided a text description of a problem and a question. Determine the answer to the question based on the "
                                 "text description. First provide an internal step-by-step reasoning within <think> </think> tags, then provide a single word or phrase answer in \\\\boxed{}.";

/* Rows to learn from and rows to be reinforced on: the same pictures and clips have two answers, so that what is sampled earns now something and now nothing. */
static void write_rows(void) {
    fv_text learn = {0}, see = {0}, watch = {0};
    static const char *const types[] = {"image", "video"}, *const paths[] = {"a.png", "clip"};
    MUST(fv_folder_make(small_path("clip"), err));
    for (unsigned i = 0; i < 4; i++) {
        char name[16];
        snprintf(name, sizeof name, "clip/%u.png", i);
        lesson_picture(name, 10 + i);
    }
    for (int i = 0; i < 4; i++) {
        const char *digit = i % 2 ? "3" : "8", *letter = i % 2 ? "A" : "B", *type = types[i / 2], *path = paths[i / 2];
        fv_text_printf(&see, "{\"problem\": \"<image>Which digit?\", \"images\": [\"%s\"], \"answer\": \"%s\"}\n", i / 2 ? "a.png" : "b.png", digit);
        fv_text_printf(&learn,
                       "{\"problem\": \"<image>Which digit?\", \"images\": [\"%s\"], \"messages\": [{\"role\": \"user\", \"content\": \"<image>Which digit?\"}, {\"role\": \"assistant\", \"content\": "
                       "\"<description>a digit</description><think>t</think>\\\\boxed{%s}\"}]}\n",
                       i / 2 ? "a.png" : "b.png", digit);
        fv_text_printf(&learn, "{\"messages\": [{\"role\": \"user\", \"content\": \"%s\"}, {\"role\": \"assistant\", \"content\": \"<think>t</think>\\\\boxed{%s}\"}]}\n", second_ask, digit);
        fv_text_printf(&watch, "{\"problem\": \"Which one?\", \"data_type\": \"%s\", \"path\": \"%s\", \"solution\": \"<answer>%s</answer>\", \"problem_type\": \"multiple choice\"}\n", type, path, letter);
        fv_text_printf(&learn, "{\"messages\": [{\"role\": \"user\", \"content\": [{\"type\": \"%s\", \"%s\": \"%s\"}, {\"type\": \"text\", \"text\": \"Which one?\"}]}, {\"role\": \"assistant\", \"content\": \"<think>t</think><answer>%s</answer>\"}]}\n",
                       type, type, path, letter);
    }
    small_write("learn.jsonl", learn.data);
    small_write("see.jsonl", see.data);
    small_write("watch.jsonl", watch.data);
    fv_text_clear(&learn);
    fv_text_clear(&see);
    fv_text_clear(&watch);
}

static void learn(const char *out, const char *stages) { MUST(lesson_run(lesson_recipe(SMALL_QWEN25, out, NULL, NULL, stages), false, err)); }

static int teach(void **state) {
    if (lesson_begin(state) || fake_begin()) return -1;
    fake_set(FAKE_GOOD);
    write_rows();
    char stages[256];
    snprintf(stages, sizeof stages, "  - {kind: sft, steps: 80, batch: 6, data: %s/learn.jsonl, optim: {lr: 1.0e-2, warmup: 5, schedule: linear, final: 0.1, beta2: 0.95}}\n", small_root);
    learn("taught", stages);
    return 0;
}

/* The zooms of lesson.h, those on one picture too narrow: such a call is refused. */
static int teach_zooming(void **state) {
    (void)state;
    static const char box[] = "[0, 0, 56, 56]";
    char *lesson, stages[256];
    fv_text rows = {0};
    for (int i = 0; i < 4; i++)
        fv_text_printf(&rows, "{\"prompt\": [{\"role\": \"user\", \"content\": \"<image>Which digit?\"}], \"images\": [\"%s\"], \"reward_model\": {\"ground_truth\": \"%d\"}, "
                              "\"data_source\": \"vstar\", \"extra_info\": {\"question\": \"Which digit?\"}}\n",
                       i / 2 ? "a.png" : "b.png", i % 2 ? 3 : 8);
    small_write("zoom.jsonl", rows.data);
    fv_text_clear(&rows);
    MUST(fv_file_read(&lesson, NULL, small_path("lesson.jsonl"), err));
    assert_non_null(strstr(lesson, box));
    for (char *at = lesson; (at = strstr(at, box)); at++) at[strlen("[0, 0, ")] = '1';
    small_write("narrow.jsonl", lesson);
    free(lesson);
    snprintf(stages, sizeof stages, "  - {kind: sft, steps: 60, batch: 4, data: %s/narrow.jsonl, optim: {lr: 1.0e-2, warmup: 5, schedule: linear, final: 0.1, beta2: 0.95}}\n", small_root);
    learn("zooms", stages);
    return 0;
}

static int teach_drawing(void **state) {
    (void)state;
    char *stage = drawing_sft();
    drawing_rows(false);
    learn("draws", stage);
    free(stage);
    return 0;
}

static int end(void **state) {
    fake_end();
    return small_end(state);
}

/* ---- Runs of the recipes ---- */

static int add(const char **all, int n, const char *const *more) {
    for (int i = 0; i < EXTRA && more && more[i]; i++) all[n++] = more[i];
    return n;
}

static fv_recipe *recipe_of(const struct system *s, const char *out, int threads, const char *const *more) {
    static char set[6][400];
    const char *all[SETTINGS] = {"stages.rl.steps=2", "stages.rl.rollout.prompts=4", "stages.rl.rollout.group_size=4", "stages.rl.rollout.max_new_tokens=60", "stages.rl.rollout.every=1",
                                 "stages.rl.rollout.show=16", "stages.rl.updates=1", "stages.rl.optim.lr=2.0e-3", "checkpoint.every=1", "image=null", "video=null"};
    char path[256];
    int n = 11, own = 0;
    snprintf(path, sizeof path, "%s/recipes/%s.yaml", FOVEA_SOURCE, s->name);
    snprintf(set[own++], sizeof set[0], "out=%s", small_path(out));
    snprintf(set[own++], sizeof set[0], "model.path=%s", small_path(s->model));
    snprintf(set[own++], sizeof set[0], "data=%s", small_path(s->data));
    snprintf(set[own++], sizeof set[0], "threads=%d", threads);
    if (s->before) snprintf(set[own++], sizeof set[0], "stages.cold-start.data=%s", small_path("drawn.jsonl"));
    if (s->judged) snprintf(set[own++], sizeof set[0], "judge.url=http://127.0.0.1:%d/v1", fake.port);
    for (int i = 0; i < own; i++) all[n++] = set[i];
    n = add(all, add(all, n, s->extra), more);
    fv_recipe *r;
    MUST(fv_recipe_open(&r, path, all, n, err));
    return r;
}

static void run(const struct system *s, const char *out, int threads, const char *const *more) { MUST(lesson_run(recipe_of(s, out, threads, more), false, err)); }

static bool same_weights(const char *a, const char *b) {
    char paths[2][400], *data[2];
    size_t sizes[2];
    for (int i = 0; i < 2; i++) {
        snprintf(paths[i], sizeof paths[i], "%s/model.safetensors", lesson_checkpoint(i ? b : a));
        MUST(fv_file_read(&data[i], &sizes[i], paths[i], err));
    }
    bool same = sizes[0] == sizes[1] && !memcmp(data[0], data[1], sizes[0]);
    free(data[0]);
    free(data[1]);
    return same;
}

/* The two steps of reinforcement learn something, say what they did, and compared equal log-probs. */
static void check_steps(const struct system *s, const char *out) {
    char *metrics = lesson_metrics(out);
    int lines = 0, compared = 0, paid = 0;
    for (char *line = strtok(metrics, "\n"); line; line = strtok(NULL, "\n")) {
        if (!strstr(line, "\"stage\": \"rl\"")) continue;
        lines++;
        double difference = lesson_value(line, "sampling/sampling_logp_difference/max"), own = lesson_value(line, s->metric);
        compared += difference == 0;
        paid += lesson_value(line, s->paid) > 0;
        if (!(isnan(difference) || difference == 0)) fail_msg("%s: log-probs differ by %g", s->name, difference);
        if (!(own > 0)) fail_msg("%s: %s is %g", s->name, s->metric, own);
        if (!(lesson_value(line, "grad_norm") > 0)) fail_msg("%s: nothing was learned in step %d", s->name, lines);
    }
    if (!paid) fail_msg("%s: %s was never above 0", s->name, s->paid);
    assert_true(lines == STEPS && compared >= 1);
    free(metrics);
}

/* The metrics' share of calls that failed is that of the trajectories, and no more than a share. */
static void check_failures(const struct system *s, const char *out) {
    char *metrics = lesson_metrics(out), *line = metrics;
    for (int step = 1; step <= STEPS; step++, line = strchr(line, '\n') + 1) {
        char path[256], *rows;
        double calls = 0, failures = 0, share = lesson_value(line, "tools/failure_frequency");
        snprintf(path, sizeof path, "%s/%s/trajectories/step-%d.jsonl", small_root, out, step);
        MUST(fv_file_read(&rows, NULL, path, err));
        for (char *row = strtok(rows, "\n"); row; row = strtok(NULL, "\n")) {
            calls += lesson_value(row, "calls");
            failures += lesson_value(row, "failures");
        }
        free(rows);
        if (!(share > 0 && share < 1 && fabs(share - failures / calls) < 1e-9))
            fail_msg("%s: step %d: a share of %g of the calls failed, %g of %g in the trajectories", s->name, step, share, failures, calls);
    }
    free(metrics);
}

/* Dies at write `at`, in a process of its own, and goes on. */
static void kill_and_resume(const struct system *s, const char *out, int64_t at) {
    int status;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        fv_error err = {0};
        fv_file_inject(at, FV_INJECT_KILL);
        lesson_run(recipe_of(s, out, 1, NULL), false, &err);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_non_null(lesson_checkpoint(out));
    MUST(lesson_run(recipe_of(s, out, 1, NULL), true, err));
}

/* `fovea reward` gives the rewards and advantages of the first step once more, from what was written of it alone. */
static void check_rewards(const struct system *s, const char *out) {
    char rows[256], again[256], *written, *paid, *save[2];
    fv_reward_counts counts;
    snprintf(rows, sizeof rows, "%s/%s/trajectories/step-%d.jsonl", small_root, out, s->before + 1);
    snprintf(again, sizeof again, "%s/%s/again.jsonl", small_root, out);
    fv_recipe *r = recipe_of(s, out, 1, NULL);
    MUST(fv_reward_rows(&counts, r, rows, again, err));
    fv_recipe_close(r);
    MUST(fv_file_read(&written, NULL, rows, err));
    MUST(fv_file_read(&paid, NULL, again, err));
    int64_t n = 0;
    char *a = strtok_r(written, "\n", &save[0]), *b = strtok_r(paid, "\n", &save[1]);
    for (; a && b; a = strtok_r(NULL, "\n", &save[0]), b = strtok_r(NULL, "\n", &save[1]), n++) {
        double reward = lesson_value(b, "reward"), advantage = lesson_value(b, "advantage");
        if (reward != lesson_value(a, "reward") || (!isnan(advantage) && advantage != lesson_value(a, "advantage"))) fail_msg("%s: \"%s\" and \"%s\"", s->name, a, b);
    }
    assert_true(!a && !b && n == counts.rows && n >= 8 && counts.bad == 0);
    free(written);
    free(paid);
}

static void trains(void **state) {
    const struct system *s = *state;
    char out[5][48];
    static const char *const kinds[] = {"whole", "threads", "killed", "off", "plain"};
    for (int i = 0; i < 5; i++) snprintf(out[i], sizeof out[i], "%s-%s", s->name, kinds[i]);
    int64_t before = fv_file_operations();
    run(s, out[0], 1, NULL);
    int64_t writes = fv_file_operations() - before;
    check_steps(s, out[0]);
    check_rewards(s, out[0]);
    run(s, out[1], 2, NULL);
    lesson_same_run(out[0], out[1]);
    kill_and_resume(s, out[2], writes * 2 / 3);
    lesson_same_run(out[0], out[2]);
    if (s->fails) check_failures(s, out[0]), check_failures(s, out[2]);
    run(s, out[3], 1, s->off);
    run(s, out[4], 2, s->plain);
    if (!same_weights(out[3], out[4])) fail_msg("%s with its coefficients at zero is not plain GRPO", s->name);
    if (same_weights(out[0], out[3])) fail_msg("%s: its own coefficients change nothing", s->name);
}

/* A recipe that pays for a second pass has to say what it asks. */
static void a_second_pass_needs_a_question(void **state) {
    (void)state;
    fv_error why = {0};
    assert_int_equal(lesson_run(recipe_of(&systems[0], "asks-nothing", 1, (const char *const[EXTRA]){"second_pass=Describe it."}), false, &why), FV_BAD_RECIPE);
    assert_non_null(strstr(why.text, "stages.rl.second_pass must be"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        {"vision_sr1_trains", trains, NULL, NULL, (void *)&systems[0]},
        {"video_r1_trains", trains, NULL, NULL, (void *)&systems[1]},
        {"tw_grpo_trains", trains, NULL, NULL, (void *)&systems[2]},
        {"sophiavl_r1_trains", trains, NULL, NULL, (void *)&systems[3]},
        {"deepeyes_trains", trains, teach_zooming, NULL, (void *)&systems[4]},
        {"vilasr_trains", trains, teach_drawing, NULL, (void *)&systems[5]},
        cmocka_unit_test(a_second_pass_needs_a_question),
    };
    return cmocka_run_group_tests(tests, teach, end);
}
