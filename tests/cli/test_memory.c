/* A run that can't fit into memory is refused before anything is loaded, or made. */
#include "program.h"

/* Qwen2.5-VL-72B's decoder, with a small tower. Training it takes 24 bytes a parameter of a new model in f32: 1.7 TB. */
static const char config[] =
    "{\"architectures\": [\"Qwen2_5_VLForConditionalGeneration\"], \"model_type\": \"qwen2_5_vl\", \"tie_word_embeddings\": false, \"text_config\": {\"model_type\": "
    "\"qwen2_5_vl_text\", \"hidden_size\": 8192, \"num_hidden_layers\": 80, \"num_attention_heads\": 64, \"num_key_value_heads\": 8, \"intermediate_size\": 29568, "
    "\"hidden_act\": \"silu\", \"max_position_embeddings\": 128000, \"rms_norm_eps\": 1e-06, \"rope_parameters\": {\"rope_type\": \"default\", \"rope_theta\": 1000000.0, "
    "\"mrope_section\": [16, 24, 24]}, \"tie_word_embeddings\": false}, \"vision_config\": {\"model_type\": \"qwen2_5_vl_vision\", \"depth\": 2, \"hidden_size\": 64, \"num_heads\": 2, "
    "\"intermediate_size\": 64, \"fullatt_block_indexes\": [1], \"hidden_act\": \"silu\", \"out_hidden_size\": 8192, \"in_channels\": 3, \"patch_size\": 14, \"temporal_patch_size\": 2, "
    "\"spatial_merge_size\": 2, \"window_size\": 112, \"tokens_per_second\": 2}}";

static const char recipe[] = "name: large\nout: run\nmodel: {init: large.json}\nstages:\n  - {name: learn, kind: sft, data: rows.jsonl, steps: 1, optim: {micro_tokens: 512}}\n";

static void large_runs_are_refused(void **state) {
    (void)state;
    write_file("large.json", config);
    write_file("large.yaml", recipe);
    write_file("rows.jsonl", "{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}, {\"role\": \"assistant\", \"content\": \"b\"}]}\n");
    assert_int_equal(run("train large.yaml"), 1);
    assert_says("stderr", "  memory  needs at least 1");
    assert_says("stderr", "large.yaml: stage learn does not fit into memory, it needs at least 1");
    assert_says("stderr", "lora.r (an adapter alone is trained), freeze");
    assert_false(fv_folder_exists("run"));
    assert_int_equal(run("train large.yaml --quiet"), 1); /* not said, refused nevertheless */
    assert_says("stderr", "does not fit into memory");
    assert_false(fv_folder_exists("run"));
}

/* Runs of a comparison are runs. */
static void large_comparisons_are_refused(void **state) {
    (void)state;
    char text[1024];
    write_file("large.json", config);
    snprintf(text, sizeof text, "%sarms: {plain: {}, fast: {stages.learn.optim.lr: 0.1}}\n", recipe);
    write_file("compare.yaml", text);
    assert_int_equal(run("train compare.yaml --quiet"), 1);
    assert_says("stderr", "does not fit into memory");
}

/* What was not foreseen ends with a message, whichever allocation it is that fails. */
static void memory_that_runs_out_is_told(void **state) {
    (void)state;
#ifdef __SANITIZE_ADDRESS__
    skip(); /* a sanitizer's shadow has no room below such a limit */
#endif
    write_file("wide.jsonl", "{\"messages\": [{\"role\": \"user\", \"content\": [{\"type\": \"image\", \"image\": \"" FOVEA_SOURCE "/datasets/photographs/cat.jpg\", \"min_pixels\": 12000000, "
                             "\"max_pixels\": 20000000}]}, {\"role\": \"assistant\", \"content\": \"b\"}]}\n");
    assert_int_equal(run_with("ulimit -v 900000;", "score --model " FOVEA_SOURCE "/models/tiny-vl --data wide.jsonl --out scores.jsonl threads=1"), 1);
    assert_says("stderr", "out of memory");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(large_runs_are_refused), cmocka_unit_test(large_comparisons_are_refused), cmocka_unit_test(memory_that_runs_out_is_told)};
    return cmocka_run_group_tests(tests, enter_folder, leave_folder);
}
