/* config.json: families, layouts, defaults, refusals. The texts are cut-down forms of Qwen's published files. */
#include "language/config.h"

#include <stdarg.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define VISION_2_5 "\"vision_config\": {\"depth\": 32, \"hidden_act\": \"silu\", \"hidden_size\": 1280, \"intermediate_size\": 3420, \"num_heads\": 16, \"in_chans\": 3," \
                   " \"out_hidden_size\": 2048, \"patch_size\": 14, \"spatial_merge_size\": 2, \"window_size\": 112, \"fullatt_block_indexes\": [7, 15, 23, 31]," \
                   " \"tokens_per_second\": 2}"
#define TEXT_2_5 "\"hidden_size\": 2048, \"num_hidden_layers\": 36, \"num_attention_heads\": 16, \"num_key_value_heads\": 2, \"intermediate_size\": 11008," \
                 " \"vocab_size\": 151936, \"rms_norm_eps\": 1e-06, \"hidden_act\": \"silu\", \"use_sliding_window\": false, \"sliding_window\": 32768"

static json_t *parse(const char *text) {
    json_t *json;
    fv_error err = {0};
    if (fv_json_parse(&json, text, strlen(text), "here", 1, FV_BAD_DATA, &err) != FV_OK) fail_msg("%s in %s", err.text, text);
    return json;
}

static fv_config read(const char *text) {
    json_t *json = parse(text);
    fv_config c;
    fv_error err = {0};
    if (fv_config_of(&c, json, "config.json", &err) != FV_OK) fail_msg("%s", err.text);
    json_decref(json);
    return c;
}

static void check_3b(const fv_config *c) {
    assert_int_equal(c->family, FV_QWEN2_5_VL);
    assert_true(c->has_vision && c->text.tied && c->text.qkv_bias && !c->text.qk_norm && !c->text.mrope_interleaved);
    assert_int_equal(c->text.head_dim, 128);
    assert_true(c->text.rope_theta == 1e6);
    assert_int_equal(c->text.mrope_section[0], 16);
    assert_int_equal(c->text.mrope_section[1], 24);
    assert_true(c->vision.rms_norm && c->vision.gated && c->vision.act == FV_SILU && !c->vision.patch_bias);
    assert_true(c->vision.full_blocks == 0x80808080u);
    assert_int_equal(c->vision.window, 112);
    assert_int_equal(c->tokens_per_second, 2);
    assert_int_equal(c->image_token, 151655);
}

static void flat_and_nested_layouts_say_the_same(void **state) {
    (void)state;
    fv_config c = read("{\"model_type\": \"qwen2_5_vl\", \"image_token_id\": 151655, \"tie_word_embeddings\": true, \"rope_theta\": 1000000.0,"
                       " \"rope_scaling\": {\"type\": \"mrope\", \"mrope_section\": [16, 24, 24]}, " TEXT_2_5 ", " VISION_2_5 "}");
    check_3b(&c);
    fv_config_clear(&c);
    c = read("{\"model_type\": \"qwen2_5_vl\", \"image_token_id\": 151655, \"text_config\": {\"tie_word_embeddings\": true, \"rope_parameters\": {\"rope_type\": \"default\","
             " \"rope_theta\": 1000000.0, \"mrope_section\": [16, 24, 24]}, " TEXT_2_5 "}, " VISION_2_5 "}");
    check_3b(&c);
    fv_config_clear(&c);
}

static void absent_keys_have_transformers_values(void **state) {
    (void)state;
    fv_config c = read("{\"model_type\": \"qwen3_vl\", \"vision_config\": {\"out_hidden_size\": 4096}}");
    assert_int_equal(c.text.hidden, 4096);
    assert_int_equal(c.text.head_dim, 128);
    assert_true(c.text.rope_theta == 5e5 && c.text.mrope_interleaved && c.text.qk_norm && !c.text.qkv_bias && !c.text.tied);
    assert_true(c.text.rms_eps == 1e-6f);
    assert_int_equal(c.text.mrope_section[0], 24);
    assert_int_equal(c.vision.positions, 2304);
    assert_int_equal(c.vision.deepstack_count, 3);
    assert_int_equal(c.vision.deepstack[2], 24);
    assert_int_equal(c.vision.patch, 16);
    assert_true(c.vision.act == FV_GELU_TANH && c.vision.patch_bias && !c.vision.gated);
    assert_int_equal(c.image_token, 151655);
    fv_config_clear(&c);
    c = read("{\"model_type\": \"qwen2_vl\", \"vision_config\": {\"embed_dim\": 1280, \"hidden_size\": 8192}}");
    assert_int_equal(c.vision.hidden, 1280);
    assert_int_equal(c.vision.out_hidden, 8192);
    assert_int_equal(c.vision.intermediate, 5120);
    assert_true(c.vision.act == FV_GELU_QUICK && c.text.rms_eps == 1e-5f);
    fv_config_clear(&c);
    c = read("{\"model_type\": \"qwen2\", \"num_key_value_heads\": null}");
    assert_true(!c.has_vision && c.image_token == -1 && c.text.rope_theta == 1e4 && c.text.mrope_section[0] == 0);
    assert_int_equal(c.text.kv_heads, 32);
    fv_config_clear(&c);
    c = read("{\"model_type\": \"qwen3\", \"head_dim\": 64, \"eos_token_id\": [5, 6], \"pad_token_id\": 7}");
    assert_int_equal(c.text.head_dim, 64);
    assert_int_equal(c.eos_count, 2);
    assert_int_equal(c.eos[1], 6);
    assert_int_equal(c.pad, 7);
    fv_config_clear(&c);
}

/* What transformers takes though it says less, or more, than it has to. */
static void legal_variations_are_read(void **state) {
    (void)state;
    static const char text[] = "\"hidden_size\": 64, \"num_attention_heads\": 2, \"num_key_value_heads\": 2, \"num_hidden_layers\": 4", vision[] = "\"hidden_size\": 32, \"out_hidden_size\": 64, \"num_heads\": 2, \"depth\": 4";
    char json[1024];
    snprintf(json, sizeof json, "{\"model_type\": \"qwen2_5_vl\", \"text_config\": {%s, \"use_sliding_window\": true, \"sliding_window\": 4096, \"rope_scaling\": {}, \"rope_parameters\": {\"rope_theta\": 5, \"mrope_section\": [8, 8]}}, "
             "\"vision_config\": {%s, \"fullatt_block_indexes\": [15, 3, 1, 99]}}", text, vision);
    fv_config c = read(json);
    assert_true(c.text.rope_theta == 5 && c.text.mrope_count == 2 && c.text.mrope_section[1] == 8 && (c.vision.full_blocks & 15) == 10);
    fv_config_clear(&c);
    snprintf(json, sizeof json, "{\"model_type\": \"qwen3_vl\", \"text_config\": {%s, \"head_dim\": 32, \"use_sliding_window\": true, \"max_window_layers\": 0}, \"vision_config\": {%s, \"deepstack_visual_indexes\": [2, 0, 24]}}", text, vision);
    c = read(json);
    assert_true(c.text.mrope_section[0] == 24 && c.vision.deepstack_count == 3 && c.vision.deepstack[0] == 2 && c.vision.deepstack[2] == 24);
    fv_config_clear(&c);
    snprintf(json, sizeof json, "{\"model_type\": \"qwen3\", %s, \"use_sliding_window\": true, \"sliding_window\": null, \"max_window_layers\": 0}", text);
    c = read(json);
    fv_config_clear(&c);
}

/* Older nested files have it in text_config, newer ones at the top, flat ones where everything is. */
static void ties_are_found_where_they_are(void **state) {
    (void)state;
    static const struct {
        const char *text;
        bool tied;
    } cases[] = {
        {"{\"model_type\": \"qwen3_vl\", \"text_config\": {\"tie_word_embeddings\": true}, \"vision_config\": {\"out_hidden_size\": 4096}}", true},
        {"{\"model_type\": \"qwen3_vl\", \"tie_word_embeddings\": true, \"text_config\": {}, \"vision_config\": {\"out_hidden_size\": 4096}}", true},
        {"{\"model_type\": \"qwen3_vl\", \"tie_word_embeddings\": false, \"text_config\": {}, \"vision_config\": {\"out_hidden_size\": 4096}}", false},
        {"{\"model_type\": \"qwen2_5_vl\", \"tie_word_embeddings\": true, \"hidden_size\": 3584, \"num_attention_heads\": 28, \"num_key_value_heads\": 4, \"vision_config\": {}}", true},
        {"{\"model_type\": \"qwen2\", \"tie_word_embeddings\": true}", true},
        {"{\"model_type\": \"qwen2\"}", false},
    };
    for (size_t i = 0; i < FV_COUNT(cases); i++) {
        fv_config c = read(cases[i].text);
        if (c.text.tied != cases[i].tied) fail_msg("%s", cases[i].text);
        fv_config_clear(&c);
    }
}

static void refuses_what_changes_the_mathematics(void **state) {
    (void)state;
    static const struct {
        const char *text, *says;
        fv_status status;
    } bad[] = {
        {"{}", "config.json: model_type", FV_BAD_MODEL},
        {"[]", "config.json: must be an object", FV_BAD_MODEL},
        {"{\"model_type\": \"llama\"}", "config.json: model_type must be qwen2, qwen3, qwen2_vl, qwen2_5_vl or qwen3_vl, got \"llama\"", FV_UNSUPPORTED},
        {"{\"model_type\": \"qwen2\", \"rope_scaling\": {\"type\": \"yarn\", \"factor\": 4.0}}", "rope_scaling.type must be default or mrope, got \"yarn\"", FV_UNSUPPORTED},
        {"{\"model_type\": \"qwen2\", \"rope_parameters\": {\"rope_type\": \"linear\"}}", "rope_parameters.rope_type", FV_UNSUPPORTED},
        {"{\"model_type\": \"qwen2\", \"rope_scaling\": \"yarn\"}", "rope_scaling must be an object, got \"yarn\"", FV_BAD_MODEL},
        {"{\"model_type\": \"qwen2\", \"rope_scaling\": {\"type\": \"default\"}, \"rope_parameters\": []}", "rope_parameters must be an object, got []", FV_BAD_MODEL},
        {"{\"model_type\": \"qwen2\", \"rope_parameters\": {\"rope_theta\": 0}}", "rope_parameters.rope_theta must be positive, got 0", FV_BAD_MODEL},
        {"{\"model_type\": \"qwen2\", \"rms_norm_eps\": -1}", "rms_norm_eps must not be negative, got -1", FV_BAD_MODEL},
        {"{\"model_type\": \"qwen2\", \"partial_rotary_factor\": 0.5}", "partial_rotary_factor must be 1, got 0.5", FV_UNSUPPORTED},
        {"{\"model_type\": \"qwen2\", \"use_sliding_window\": true, \"sliding_window\": 4096}", "use_sliding_window", FV_UNSUPPORTED},
        {"{\"model_type\": \"qwen2\", \"layer_types\": [\"full_attention\", \"sliding_attention\"]}", "layer_types must be full_attention", FV_UNSUPPORTED},
        {"{\"model_type\": \"qwen3\", \"attention_bias\": true}", "attention_bias must be absent, false or 0 here, got true", FV_UNSUPPORTED},
        {"{\"model_type\": \"qwen3\", \"num_experts\": 128}", "num_experts", FV_UNSUPPORTED},
        {"{\"model_type\": \"qwen3\", \"hidden_act\": \"gelu\"}", "hidden_act must be silu, got \"gelu\"", FV_UNSUPPORTED},
        {"{\"model_type\": \"qwen3\", \"quantization_config\": {\"bits\": 4}}", "quantization_config must be absent", FV_UNSUPPORTED},
        {"{\"model_type\": \"qwen2\", \"num_key_value_heads\": 5}", "num_key_value_heads must divide num_attention_heads, got 5", FV_BAD_MODEL},
        {"{\"model_type\": \"qwen2\", \"hidden_size\": \"big\"}", "hidden_size", FV_BAD_MODEL},
        {"{\"model_type\": \"qwen2\", \"num_hidden_layers\": 0}", "num_hidden_layers must be an integer in 1..1048576, got 0", FV_BAD_MODEL},
        {"{\"model_type\": \"qwen3_vl\"}", "vision_config", FV_BAD_MODEL},
        {"{\"model_type\": \"qwen3_vl\", \"vision_config\": {}}", "the tower's output is 3584 wide, the text model 4096", FV_BAD_MODEL},
        {"{\"model_type\": \"qwen3_vl\", \"vision_config\": {\"num_position_embeddings\": 5}}", "num_position_embeddings must be a square, got 5", FV_BAD_MODEL},
        {"{\"model_type\": \"qwen3_vl\", \"vision_config\": {\"deepstack_visual_indexes\": [3, -1]}}", "must be numbers of blocks, from 0", FV_BAD_MODEL},
        {"{\"model_type\": \"qwen2\", \"use_sliding_window\": true, \"max_window_layers\": 0}", "use_sliding_window must be false, got true", FV_UNSUPPORTED},
        {"{\"model_type\": \"qwen3_vl\", \"vision_config\": {\"hidden_act\": \"relu\"}}", "vision_config: hidden_act must be", FV_UNSUPPORTED},
        {"{\"model_type\": \"qwen3_vl\", \"text_config\": {\"rope_parameters\": {\"mrope_section\": [1, 2]}}, \"vision_config\": {}}", "mrope_section must have three numbers", FV_BAD_MODEL},
        {"{\"model_type\": \"qwen2_5_vl\", \"text_config\": {\"rope_parameters\": {\"mrope_section\": [1, 2, 3]}}, \"vision_config\": {}}", "mrope_section must add up to half of head_dim, ", FV_BAD_MODEL},
        {"{\"model_type\": \"qwen3_vl\", \"text_config\": {\"vocab_size\": 100}, \"vision_config\": {\"out_hidden_size\": 4096}}", "image_token_id must be below vocab_size 100, got 151655",
         FV_BAD_MODEL},
    };
    for (size_t i = 0; i < FV_COUNT(bad); i++) {
        json_t *json = parse(bad[i].text);
        fv_config c;
        fv_error err = {0};
        fv_status status = fv_config_of(&c, json, "config.json", &err);
        if (status != bad[i].status || strstr(err.text, bad[i].says) == NULL) fail_msg("%s\n%d: %s", bad[i].text, status, err.text);
        assert_null(c.raw);
        json_decref(json);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flat_and_nested_layouts_say_the_same),
        cmocka_unit_test(absent_keys_have_transformers_values),
        cmocka_unit_test(legal_variations_are_read), cmocka_unit_test(ties_are_found_where_they_are),
        cmocka_unit_test(refuses_what_changes_the_mathematics),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
