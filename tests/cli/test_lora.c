/* Adapters from the outside: a recipe trains one, every verb takes its folder for a model's, and it is merged. */
#include "tests/cli/program.h"

#include "core/weights.h"

#include <math.h>

/* A run of one step, whose checkpoint is an adapter of "m". Its B is hardly more than 0, so the rate is high. */
static const char recipe[] = "name: adapter\nseed: 5\nout: run\nthreads: 1\nmodel: {path: m}\ndata: rows/visual-search.jsonl\nlora: {r: 4, alpha: 32, targets: [q_proj, v_proj, up_proj], "
                             "modules_to_save: [merger.ln_q]}\nexport: adapter\nstages:\n  - {name: rl, kind: grpo, steps: 1, rollout: {prompts: 1, group_size: 2, max_new_tokens: 4}, reward: "
                             "{terms: [{term: length, max: 12, buffer: 11}]}, objective: {kl: 0.1}, auxiliary: [{kind: entropy, coefficient: 0.5}], optim: {lr: 3.0e-2}}\n";

static int begin(void **state) {
    if (enter_folder(state)) return -1;
    make_model();
    make_rows();
    write_file("adapter.yaml", recipe);
    run_well("train adapter.yaml --quiet");
    write_file("text.jsonl", "{\"id\": \"t\", \"messages\": [{\"role\": \"user\", \"content\": \"Which number?\"}, {\"role\": \"assistant\", \"content\": \"It is 7.\"}]}\n");
    return 0;
}

static json_t *logprobs(const char *model, const char *out) {
    char arguments[256];
    snprintf(arguments, sizeof arguments, "score --model %s --data text.jsonl --out %s threads=1", model, out);
    run_well(arguments);
    json_t *lines = read_lines(out), *list = json_incref(json_object_get(json_array_get(lines, 0), "logprobs"));
    json_decref(lines);
    return list;
}

static double difference(const json_t *a, const json_t *b) {
    double worst = 0;
    assert_int_equal(json_array_size(a), json_array_size(b));
    for (size_t i = 1; i < json_array_size(a); i++) worst = fmax(worst, fabs(json_number_value(json_array_get(a, i)) - json_number_value(json_array_get(b, i))));
    return worst;
}

static void it_is_shown(void **state) {
    (void)state;
    run_well("model adapter --json");
    json_t *f = read_json("stdout"), *a = json_object_get(f, "adapter");
    assert_int_equal(json_integer_value(json_object_get(a, "r")), 4);
    assert_int_equal(json_integer_value(json_object_get(a, "saved")), 1);
    assert_int_equal(json_integer_value(json_object_get(f, "trained_bytes")), 16 * json_integer_value(json_object_get(a, "parameters")));
    json_decref(f);
    run_well("model run/checkpoints/step-1");
    assert_says("stdout", "adapter");
    assert_says("stdout", "r 4, alpha 32");
    run_well("model m --json");
    f = read_json("stdout");
    assert_true(json_is_null(json_object_get(f, "adapter")));
    json_decref(f);
}

/* Merged, it says what it said as two folders, but for roundings; and that is not what the model says alone. */
static void it_is_merged(void **state) {
    (void)state;
    run_well("model merge m adapter merged");
    assert_false(fv_file_exists("merged/adapter_config.json"));
    json_t *apart = logprobs("adapter", "apart.jsonl"), *merged = logprobs("merged", "merged.jsonl"), *alone = logprobs("m", "alone.jsonl");
    print_message("merged: %.1e, the model alone: %.1e\n", difference(apart, merged), difference(apart, alone));
    assert_true(difference(apart, merged) < 1e-4 && difference(apart, alone) > 1e-3);
    json_decref(apart);
    json_decref(merged);
    json_decref(alone);
    run_badly("model merge m adapter merged", 2, "must be a new or empty folder");
    run_badly("model merge adapter adapter again", 2, "is itself an adapter");
    run_badly("model merge m m again", 1, "adapter_config.json");
    assert_int_equal(run("model merge m adapter half dtype=bf16"), 0);
    run_well("model half");
    assert_says("stdout", "BF16");
}

static void save_as(const char *from, const char *to, fv_dtype dtype) {
    fv_weights *w;
    fv_error err = {0};
    assert_int_equal(fv_weights_open(&w, from, &err), FV_OK);
    if (fv_weights_save(to, fv_weights_at(w, 0), fv_weights_count(w), dtype, &err) != FV_OK) fail_msg("%s", err.text);
    fv_weights_close(w);
}

/* A model in f16, which is widened where it is read, is f16 again in the merged folder: untouched weights with their bits, the others rounded once. */
static void f16_stays_f16(void **state) {
    (void)state;
    fv_weights *half, *merged, *wide;
    assert_int_equal(system("cp -r m halves"), 0);
    save_as("m/model.safetensors", "halves/model.safetensors", FV_F16);
    run_well("model merge halves adapter merged16");
    run_well("model merge halves adapter merged32 dtype=f32");
    save_as("merged32/model.safetensors", "rounded.safetensors", FV_F16);
    assert_int_equal(fv_weights_open(&half, "halves/model.safetensors", NULL), FV_OK);
    assert_int_equal(fv_weights_open(&merged, "merged16", NULL), FV_OK);
    assert_int_equal(fv_weights_open(&wide, "rounded.safetensors", NULL), FV_OK);
    assert_int_equal(fv_weights_count(merged), fv_weights_count(half));
    int changed = 0;
    for (size_t i = 0; i < fv_weights_count(merged); i++) {
        fv_view a = fv_weights_at(half, i)->view, b = fv_weights_at(merged, i)->view, c = fv_weights_at(wide, i)->view;
        assert_true(b.dtype == FV_F16 && c.dtype == FV_F16 && fv_bytes(a) == fv_bytes(b) && !memcmp(b.data, c.data, fv_bytes(b)));
        changed += memcmp(a.data, b.data, fv_bytes(b)) != 0;
    }
    assert_true(changed > 0 && changed < (int)fv_weights_count(merged));
    fv_weights_close(half);
    fv_weights_close(merged);
    fv_weights_close(wide);
}

/* A wider file than the model's has sums that were rounded to no bf16. */
static void wide_merges_are_rounded_once(void **state) {
    (void)state;
    fv_weights *wide, *exact, *base;
    assert_int_equal(system("cp -r m narrow"), 0);
    save_as("m/model.safetensors", "narrow/model.safetensors", FV_BF16);
    assert_int_equal(system("cp -r narrow widened"), 0);
    save_as("narrow/model.safetensors", "widened/model.safetensors", FV_F32);
    run_well("model merge narrow adapter narrow32 dtype=f32");
    run_well("model merge widened adapter widened32");
    assert_int_equal(fv_weights_open(&base, "widened", NULL), FV_OK);
    assert_int_equal(fv_weights_open(&wide, "narrow32", NULL), FV_OK);
    assert_int_equal(fv_weights_open(&exact, "widened32", NULL), FV_OK);
    int changed = 0;
    for (size_t i = 0; i < fv_weights_count(exact); i++) {
        fv_view a = fv_weights_at(wide, i)->view, b = fv_weights_at(exact, i)->view;
        assert_true(a.dtype == FV_F32 && b.dtype == FV_F32 && fv_bytes(a) == fv_bytes(b) && !memcmp(a.data, b.data, fv_bytes(a)));
        changed += memcmp(fv_weights_at(base, i)->view.data, b.data, fv_bytes(b)) != 0;
    }
    assert_true(changed > 0);
    fv_weights_close(base);
    fv_weights_close(wide);
    fv_weights_close(exact);
}

/* A rollout with an adapter is scored with the same bits, on another instruction set. */
static void verbs_take_it_for_a_model(void **state) {
    (void)state;
    run_well("rollout --model adapter --data rows/visual-search.jsonl -n 2 --out tries max_new_tokens=6");
    assert_int_equal(run_with("FOVEA_ISA=scalar", "score --model adapter --data tries/trajectories.jsonl --out again.jsonl --grad grad.safetensors threads=1"), 0);
    json_t *sampled = read_lines("tries/trajectories.jsonl"), *scored = read_lines("again.jsonl");
    assert_true(json_array_size(scored) == json_array_size(sampled) && json_array_size(scored) == 12);
    for (size_t i = 0; i < json_array_size(scored); i++) {
        const json_t *a = json_array_get(sampled, i), *b = json_array_get(scored, i), *mask = json_object_get(a, "loss_mask");
        for (size_t k = 0; k < json_array_size(mask); k++)
            if (json_integer_value(json_array_get(mask, k)))
                assert_true(json_number_value(json_array_get(json_object_get(a, "logprobs"), k)) == json_number_value(json_array_get(json_object_get(b, "logprobs"), k)));
    }
    json_decref(sampled);
    json_decref(scored);
    fv_weights *w;
    assert_int_equal(fv_weights_open(&w, "grad.safetensors", NULL), FV_OK);
    assert_non_null(fv_weights_find(w, "base_model.model.model.language_model.layers.0.self_attn.q_proj.lora_A.weight"));
    assert_null(fv_weights_find(w, "model.language_model.layers.0.self_attn.q_proj.weight"));
    fv_weights_close(w);
}

static void a_lost_model_is_named(void **state) {
    (void)state;
    assert_int_equal(fv_folder_make("lost", NULL), FV_OK);
    assert_int_equal(fv_file_copy("adapter/adapter_model.safetensors", "lost/adapter_model.safetensors", NULL), FV_OK);
    json_t *config = read_json("adapter/adapter_config.json");
    json_object_set_new(config, "base_model_name_or_path", json_string("Qwen/Qwen2.5-VL-3B-Instruct"));
    assert_int_equal(json_dump_file(config, "lost/adapter_config.json", 0), 0);
    run_badly("model lost", 1, "base_model_name_or_path must be the folder of the adapter's model, got Qwen/Qwen2.5-VL-3B-Instruct");
    json_object_set_new(config, "base_model_name_or_path", json_string("../m")); /* from the adapter's folder */
    assert_int_equal(json_dump_file(config, "lost/adapter_config.json", 0), 0);
    run_well("model lost");
    json_decref(config);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_shown),
        cmocka_unit_test(it_is_merged),
        cmocka_unit_test(f16_stays_f16),
        cmocka_unit_test(wide_merges_are_rounded_once),
        cmocka_unit_test(verbs_take_it_for_a_model),
        cmocka_unit_test(a_lost_model_is_named),
    };
    return cmocka_run_group_tests(tests, begin, leave_folder);
}
