#include "cli/cli.h"

#include "bench/bench.h"
#include "core/memory.h"

#include <stdio.h>

static const fv_option options[] = {
    {"--model", FV_OPTION_VALUE, "DIR", "a Hugging Face folder; a small random model where left out"},
    {"--video", FV_OPTION_VALUE, "FILE", "a video, for the bench of that name"},
    {"--json", FV_OPTION_FLAG, "", "one JSON object instead of lines; of all benches: by name"},
    {"steps", FV_OPTION_SETTING, "N", "measurements that the median is of; 0: each bench's own number"},
    FV_COMMON_OPTIONS,
};

/* As a line of CSV at once, or kept for --json. */
static void print_line(void *context, const char *what, double ours, double bar) {
    json_t *kept = context;
    double ratio = ours / bar;
    if (kept) json_array_append_new(kept, json_pack("{s: s, s: f, s: f, s: f}", "what", what, "ours", ours, "bar", bar, "ratio", ratio));
    else printf("%s,%.4g,%.4g,%.3f\n", what, ours, bar, ratio);
    fflush(stdout);
}

/* all NULL: lines are printed as they come; else *all gets what the bench has to say. */
static fv_status run_one(const fv_bench *b, const fv_bench_options *o, json_t *all, fv_error *err) {
    json_t *facts = json_object(), *kept = all ? json_array() : NULL;
    fv_bench_out out = {print_line, kept, facts};
    fv_status s = facts ? b->run(o, &out, err) : fv_fail(err, FV_NO_MEMORY, "bench: out of memory");
    if (s == FV_OK && all) {
        json_object_set(facts, "lines", kept);
        json_object_set_new(facts, "peak_gib", json_real((double)fv_memory_peak() / (double)(1 << 30))); /* of the process: one bench a process for its own */
        json_object_set(all, b->name, facts);
    }
    json_decref(kept);
    json_decref(facts);
    return s;
}

static fv_status unknown(const char *name, fv_error *err) {
    fv_text names = {0};
    int count;
    const fv_bench *all = fv_benches(&count);
    for (int i = 0; i < count; i++) fv_text_printf(&names, "%s%s", i ? ", " : "", all[i].name);
    fv_fail(err, FV_BAD_USAGE, "fovea bench: there is no bench %s; there are %s", name, names.data ? names.data : "");
    fv_text_clear(&names);
    return FV_BAD_USAGE;
}

static fv_status run(const fv_args *a, fv_error *err) {
    const fv_verb *v = &fv_verb_bench;
    fv_common common;
    int64_t steps;
    FV_TRY(fv_common_read(&common, a, err));
    FV_TRY(fv_args_int(a, "steps", 0, 1000, 0, &steps, err));
    bool as_json = fv_args_flag(a, v, "--json");
    fv_bench_options o = {.model = fv_args_value(a, v, "--model"), .video = fv_args_value(a, v, "--video"), .device = common.device, .precision = common.precision, .threads = common.threads, .steps = (int)steps, .seed = common.seed};
    const fv_bench *one = a->word_count ? fv_bench_find(a->words[0]) : NULL;
    if (a->word_count && !one) return unknown(a->words[0], err);
    if (one && one->of_video && !o.video) return fv_fail(err, FV_BAD_USAGE, "fovea bench: %s needs --video FILE", one->name);
    int count = 1;
    const fv_bench *list = one ? one : fv_benches(&count);
    json_t *all = as_json ? json_object() : NULL;
    if (!as_json) printf("what,ours,bar,ratio\n");
    fv_status s = FV_OK;
    for (int i = 0; i < count && s == FV_OK; i++)
        if (!list[i].of_video || o.video) s = run_one(&list[i], &o, all, err);
    if (s == FV_OK && as_json) fv_print_json(one ? json_object_get(all, one->name) : all);
    json_decref(all);
    return s;
}

const fv_verb fv_verb_bench = {
    .name = "bench",
    .synopsis = "bench [NAME] [--model DIR] [--json] [steps=N]",
    .summary = "how fast it is, beside limits that are measured in the same run",
    .help = "Prints lines of what,ours,bar,ratio: reading a prompt against the peak rate of multiply-adds, decoding against the memory's bandwidth (decode), a whole GRPO step (grpo)\n"
            "and a supervised one (sft) against the peak rate, training over a tree against the same conversations one by one (tree), a video's way to patches against its decoding\n"
            "alone (video). bench/README.md says what the bars are.\n\n"
            "  fovea model init --preset tiny m\n"
            "  fovea bench grpo --model m --json threads=2\n\n"
            "`grpo --json` gives the median seconds of a step and of its parts: 4 prompts with a picture of 224 x 224, 8 answers of exactly 64 tokens each.\n"
            "--json also gives peak_gib, the most memory that the process had.",
    .options = options,
    .option_count = FV_COUNT(options),
    .max_words = 1,
    .run = run};
