/* What `out` may be: nothing that is there is moved for a new run but an earlier run, that nobody trains in, and that the new one doesn't read. */
#include "program.h"

#include <fcntl.h>
#include <sys/file.h>

static const char recipe[] = "name: t\nmodel: {init: tiny}\ndata: {make: words, n: 8}\nstages:\n  - {name: learn, kind: sft, steps: 1, batch: 2, optim: {lr: 1.0e-3}}\n";

static int begin(void **state) {
    if (enter_folder(state)) return -1;
    write_file("t.yaml", recipe);
    char text[512];
    snprintf(text, sizeof text, "%sarms: {a: {}, b: {stages.learn.optim.lr: 0.1}}\n", recipe);
    write_file("arms.yaml", text);
    return 0;
}

static void other_folders_stay(void **state) {
    (void)state;
    assert_int_equal(mkdir("mine", 0700), 0);
    write_file("mine/d.jsonl", "{}\n");
    run_badly("train t.yaml out=mine", 2, "mine is there and holds something else than a run; give another out=");
    run_badly("train arms.yaml out=mine", 2, "holds something else than a run");
    assert_true(fv_file_exists("mine/d.jsonl") && !fv_folder_exists("mine.1"));
}

static void runs_are_moved_aside_unless_they_are_needed(void **state) {
    (void)state;
    run_well("train t.yaml out=run --quiet");
    run_badly("train t.yaml out=run model.init=null model.path=run/checkpoints/step-1", 1, "lies in the folder run, which is moved aside for a new run");
    assert_true(fv_folder_exists("run/checkpoints/step-1") && !fv_folder_exists("run.1"));
    int other = open("run", O_RDONLY | O_DIRECTORY | O_CLOEXEC); /* as another process would hold it */
    assert_true(other >= 0 && !flock(other, LOCK_EX | LOCK_NB));
    run_badly("train t.yaml out=run", 2, "run: another process trains in this folder; give another out=");
    run_badly("train t.yaml out=run --resume", 2, "another process trains in this folder");
    assert_false(fv_folder_exists("run.1"));
    close(other);
    run_well("train t.yaml out=run --quiet");
    assert_true(fv_folder_exists("run.1/checkpoints/step-1"));
}

/* A comparison takes the place of an earlier one as a run does. */
static void comparisons_are_moved_aside_too(void **state) {
    (void)state;
    run_well("train arms.yaml out=both --quiet");
    run_badly("train arms.yaml out=both data=both/a-1/log.txt", 1, "lies in the folder both");
    assert_false(fv_folder_exists("both.1"));
    run_well("train arms.yaml out=both --quiet");
    assert_true(fv_file_exists("both.1/comparison.json") && fv_folder_exists("both.1/b-1/checkpoints") && fv_file_exists("both/comparison.json"));
}

/* What stages behind it have read may be gone; what those before it need may not. */
static void a_resumed_run_needs_what_it_still_reads(void **state) {
    (void)state;
    static const char row[] = "{\"messages\": [{\"role\": \"user\", \"content\": \"Which number?\"}, {\"role\": \"assistant\", \"content\": \"It is 7.\"}]}\n";
    static const char first[] = "name: t\nmodel: {init: tiny}\nout: staged\nstages:\n  - {name: one, kind: sft, data: one.jsonl, steps: 1, batch: 1, optim: {lr: 1.0e-3}}\n";
    char both[1024];
    write_file("one.jsonl", row);
    write_file("staged.yaml", first);
    run_well("train staged.yaml --quiet");
    assert_int_equal(unlink("one.jsonl"), 0);
    snprintf(both, sizeof both, "%s  - {name: two, kind: sft, data: two.jsonl, steps: 1, batch: 1, optim: {lr: 1.0e-3}}\n", first);
    write_file("staged.yaml", both);
    run_badly("train staged.yaml --resume", 1, "two.jsonl");
    write_file("two.jsonl", row);
    run_badly("train staged.yaml out=fresh", 1, "one.jsonl");
    run_well("train staged.yaml --resume --quiet");
    assert_true(fv_folder_exists("staged/checkpoints/step-2"));
}

/* A name that is wrong costs a message. */
static void what_cannot_begin_moves_nothing(void **state) {
    (void)state;
    static const char *const wrong[][2] = {
        {"model.init=null model.path=nowhere", "nowhere"}, {"model.init=tinny", "tinny"}, {"data=no.jsonl", "no.jsonl"}, {"'eval_data=[{make: words, n: 2}, no.jsonl]'", "no.jsonl"},
        {"data=[kept/log.txt]", "lies in the folder kept"},
        {"'stages=[{kind: grpo, steps: 1, reward: {terms: [{term: judged, prompt: no.txt}]}}]' judge.policy=true", "no.txt"},
    };
    run_well("train t.yaml out=kept --quiet");
    for (size_t i = 0; i < FV_COUNT(wrong); i++) {
        char arguments[512];
        snprintf(arguments, sizeof arguments, "train t.yaml out=kept %s", wrong[i][0]);
        run_badly(arguments, 1, wrong[i][1]);
        assert_false(fv_folder_exists("kept.1"));
    }
    run_badly("train arms.yaml out=kept model.init=null model.path=nowhere", 1, "nowhere");
    assert_true(fv_folder_exists("kept/checkpoints/step-1") && !fv_folder_exists("kept.1"));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(other_folders_stay), cmocka_unit_test(runs_are_moved_aside_unless_they_are_needed),
                                       cmocka_unit_test(comparisons_are_moved_aside_too), cmocka_unit_test(a_resumed_run_needs_what_it_still_reads),
                                       cmocka_unit_test(what_cannot_begin_moves_nothing)};
    return cmocka_run_group_tests(tests, begin, leave_folder);
}
