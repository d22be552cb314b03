#include "cli/cli.h"

#include "rl/score.h"

#include <stdio.h>

static const fv_option options[] = {
    {"--model", FV_OPTION_VALUE, "DIR", "a Hugging Face folder, or a PEFT adapter's"},
    {"--data", FV_OPTION_VALUE, "FILE", "conversations: rows of any format, or of tokens as rollout writes them"},
    {"--out", FV_OPTION_VALUE, "FILE", "JSON lines: id, input_ids, logprobs, loss_mask, grids"},
    {"--dump", FV_OPTION_VALUE, "DIR", "tensors on the way, DIR/ID.safetensors (a / in an id becomes _)"},
    {"--grad", FV_OPTION_VALUE, "FILE", "safetensors: gradient of the mean negative log-prob over all tokens with loss_mask 1"},
    {"temperature", FV_OPTION_SETTING, "T", "of the log-probs; a row's own, else 1, where left out"},
    FV_COMMON_OPTIONS,
};

static fv_status score(const fv_args *a, fv_session *s, fv_dataset *data, fv_score_counts *counts, fv_error *err) {
    const fv_verb *v = &fv_verb_score;
    double temperature;
    FV_TRY(fv_args_num(a, "temperature", 0, 1000, 0, &temperature, err));
    fv_score_options o = {.out = fv_args_value(a, v, "--out"), .dump = fv_args_value(a, v, "--dump"), .grad = fv_args_value(a, v, "--grad"),
                          .temperature = (float)temperature, .bad = fv_say_bad_row, .stop = &fv_stop_requested};
    return fv_score(counts, s, data, &o, err);
}

static fv_status run(const fv_args *a, fv_error *err) {
    const fv_verb *v = &fv_verb_score;
    const char *model, *file, *out;
    fv_common common;
    fv_session session = {0};
    fv_dataset *data = NULL;
    fv_score_counts counts = {0};
    FV_TRY(fv_args_need(a, v, "--model", &model, err));
    FV_TRY(fv_args_need(a, v, "--data", &file, err));
    FV_TRY(fv_args_need(a, v, "--out", &out, err));
    FV_TRY(fv_common_read(&common, a, err));
    FV_TRY(fv_open_rows(&data, file, common.seed, err));
    fv_session_options how = {.model = model, .device = common.device, .precision = common.precision, .threads = common.threads, .gradients = fv_args_value(a, v, "--grad") != NULL,
                              .note = fv_say_note};
    fv_status s = fv_session_open(&session, &how, err);
    if (s == FV_OK) s = score(a, &session, data, &counts, err);
    fv_session_close(&session);
    fv_dataset_close(data);
    FV_TRY(s);
    fprintf(stderr, "%s: %lld rows", out, (long long)counts.rows);
    if (counts.targets) fprintf(stderr, ", mean negative log-prob %.4f over %lld tokens with loss_mask 1", counts.loss, (long long)counts.targets);
    fprintf(stderr, "\n");
    if (counts.bad) return fv_fail(err, FV_BAD_DATA, "%lld of %lld rows could not be used and are not in %s (see above)", (long long)counts.bad,
                                   (long long)(counts.bad + counts.rows), out);
    return FV_OK;
}

const fv_verb fv_verb_score = {
    .name = "score",
    .synopsis = "score --model DIR --data FILE --out FILE [--dump DIR] [--grad FILE] [temperature=T]",
    .summary = "the log-prob of every token of given conversations",
    .help = "Runs given conversations through a model and writes, a line each, the natural log-prob of every token after those before it, over the whole\n"
            "vocabulary. Rows with input_ids are taken as those tokens, so what a rollout sampled gets the same bits again:\n\n"
            "  fovea model init --preset tiny m\n"
            "  fovea data make visual-search n=8 --out rows\n"
            "  fovea rollout --model m --data rows/visual-search.jsonl -n 2 --out r max_new_tokens=16\n"
            "  fovea score --model m --data r/trajectories.jsonl --out scores.jsonl --dump tensors --grad gradient.safetensors\n\n"
            "A row that can't be used is reported, with its place, and left out; the others are written, and the exit code is 1.",
    .options = options,
    .option_count = FV_COUNT(options),
    .stops = true,
    .run = run};
