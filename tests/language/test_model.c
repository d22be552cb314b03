/* Folders of models: made, opened, written back, and refused. */
#include "core/file.h"
#include "language/init.h"
#include "language/model.h"

#include <stdarg.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static char root[] = "/tmp/fovea-model-XXXXXX";

static const char *in_root(const char *name) {
    static char paths[4][128];
    static int next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", root, name);
    return path;
}

static int make_root(void **state) {
    (void)state;
    fv_error err = {0};
    if (mkdtemp(root) == NULL) return -1;
    if (fv_model_init("tiny", 7, in_root("tiny"), FV_F32, &err) == FV_OK) return 0;
    print_error("%s\n", err.text);
    return -1;
}

static int drop_root(void **state) {
    (void)state;
    return fv_path_remove(root, NULL) != FV_OK;
}

static fv_model *open_model(const char *name) {
    fv_model *m;
    fv_error err = {0};
    if (fv_model_open(&m, in_root(name), &err) != FV_OK) fail_msg("%s", err.text);
    return m;
}

static void check_same_file(const char *a, const char *b) {
    char *x, *y;
    size_t nx, ny;
    assert_int_equal(fv_file_read(&x, &nx, a, NULL), FV_OK);
    assert_int_equal(fv_file_read(&y, &ny, b, NULL), FV_OK);
    assert_int_equal(nx, ny);
    assert_memory_equal(x, y, nx);
    free(x);
    free(y);
}

static void a_new_model_has_all_it_needs(void **state) {
    (void)state;
    fv_model *m = open_model("tiny");
    int64_t parameters = 0;
    for (int i = 0; i < m->count; i++) {
        parameters += fv_elements(m->weights[i].view);
        if (i > 0) assert_true(strcmp(m->weights[i - 1].name, m->weights[i].name) < 0);
    }
    assert_int_equal(parameters, 2588928);
    assert_int_equal(m->config.text.vocabulary, fv_tokenizer_size(m->tokenizer));
    assert_int_equal(m->config.eos[0], fv_tokenizer_id(m->tokenizer, "<|im_end|>"));
    assert_int_equal(m->config.eos[1], fv_tokenizer_id(m->tokenizer, "<|endoftext|>"));
    assert_string_equal(m->note, "");
    assert_int_equal(m->image.min_pixels, 3136);
    fv_model_close(m);
}

/* A config that leaves weights over is opened, as transformers does, and that is said. */
static void idle_weights_are_noted(void **state) {
    (void)state;
    fv_error err = {0};
    fv_model *m = open_model("tiny");
    assert_int_equal(fv_model_save(m, NULL, in_root("shallow"), FV_DTYPES, &err), FV_OK);
    fv_model_close(m);
    json_t *config, *text;
    assert_int_equal(fv_json_read(&config, in_root("shallow/config.json"), FV_BAD_MODEL, &err), FV_OK);
    text = json_object_get(config, "text_config") ? json_object_get(config, "text_config") : config;
    int layers = (int)json_integer_value(json_object_get(text, "num_hidden_layers"));
    json_object_set_new(text, "num_hidden_layers", json_integer(layers - 1));
    assert_int_equal(json_dump_file(config, in_root("shallow/config.json"), 0), 0);
    m = open_model("shallow");
    assert_non_null(strstr(m->note, "config.json has no use for 12 of the folder's weights, such as model."));
    fv_model_close(m);
    json_decref(config);
}

/* As transformers initialises: matrices normal with std 0.02, norms 1, biases 0. */
static void new_weights_have_the_right_spread(void **state) {
    (void)state;
    fv_model *m = open_model("tiny");
    double square = 0, mean = 0;
    int64_t n = 0;
    for (int i = 0; i < m->count; i++) {
        const float *w = fv_f32(m->weights[i].view);
        if (m->weights[i].view.rank > 1) {
            for (int64_t k = 0; k < fv_elements(m->weights[i].view); k++) square += (double)w[k] * w[k], mean += w[k], n++;
        } else {
            float want = strstr(m->weights[i].name, ".bias") != NULL ? 0.0f : 1.0f;
            for (int64_t k = 0; k < fv_elements(m->weights[i].view); k++) assert_true(w[k] == want);
        }
    }
    /* n = 2.6 million: the standard deviation of the variance's estimate is var * sqrt(2 / n) = 0.1 %, of the mean's std / sqrt(n) */
    assert_true(square / (double)n > 0.0004 * 0.995 && square / (double)n < 0.0004 * 1.005);
    assert_true(mean / (double)n < 6e-5 && mean / (double)n > -6e-5);
    fv_model_close(m);
}

/* A new model of every family opens, with its own chat format, and with towers and processors where it sees. */
static void every_family_can_be_new(void **state) {
    (void)state;
    static const char text[] = "\"hidden_size\": 64, \"num_hidden_layers\": 2, \"num_attention_heads\": 4, \"num_key_value_heads\": 2, \"intermediate_size\": 96, \"tie_word_embeddings\": false";
    static const struct {
        const char *type, *vision;
        int vocabulary; /* 0: the tokenizer's */
    } families[] = {{"qwen2", NULL, 800}, {"qwen3", NULL, 0},
                    {"qwen2_vl", "\"embed_dim\": 32, \"hidden_size\": 64, \"depth\": 2, \"num_heads\": 2, \"mlp_ratio\": 2", 0},
                    {"qwen2_5_vl", "\"hidden_size\": 32, \"out_hidden_size\": 64, \"depth\": 2, \"num_heads\": 2, \"intermediate_size\": 48", 0},
                    {"qwen3_vl", "\"hidden_size\": 32, \"out_hidden_size\": 64, \"depth\": 2, \"num_heads\": 2, \"intermediate_size\": 48, \"num_position_embeddings\": 16, \"deepstack_visual_indexes\": [0]", 800}};
    for (size_t i = 0; i < FV_COUNT(families); i++) {
        char json[1024], vocabulary[48] = "", path[32];
        fv_error err = {0};
        if (families[i].vocabulary) snprintf(vocabulary, sizeof vocabulary, ", \"vocab_size\": %d", families[i].vocabulary);
        if (families[i].vision)
            snprintf(json, sizeof json, "{\"model_type\": \"%s\", \"text_config\": {%s%s, \"rope_scaling\": {\"mrope_section\": [2, 3, 3]%s}%s}, \"vision_config\": {%s}}", families[i].type, text, i == 4 ? ", \"head_dim\": 16" : "",
                     i == 4 ? ", \"mrope_interleaved\": true, \"rope_type\": \"default\"" : ", \"type\": \"mrope\"", vocabulary, families[i].vision);
        else snprintf(json, sizeof json, "{\"model_type\": \"%s\", \"head_dim\": 16, %s%s}", families[i].type, text, vocabulary);
        snprintf(path, sizeof path, "new%zu", i);
        assert_int_equal(fv_file_write(in_root("shape.json"), json, strlen(json), &err), FV_OK);
        if (fv_model_init(in_root("shape.json"), 3, in_root(path), FV_BF16, &err) != FV_OK) fail_msg("%s: %s", families[i].type, err.text);
        fv_model *m = open_model(path);
        assert_string_equal(m->config.model_type, families[i].type);
        assert_string_equal(fv_chat_note(m->chat), "");
        assert_int_equal(m->config.has_vision, families[i].vision != NULL);
        assert_int_equal(m->config.text.vocabulary, families[i].vocabulary ? families[i].vocabulary : fv_tokenizer_size(m->tokenizer));
        fv_model *outlined; /* the same names and shapes without values */
        fv_new_weights shapes;
        assert_int_equal(fv_model_outline(&outlined, &shapes, in_root("shape.json"), &err), FV_OK);
        assert_int_equal(outlined->count, m->count);
        for (int k = 0; k < m->count; k++) {
            int same = 0;
            while (same < m->count && strcmp(outlined->weights[same].name, m->weights[k].name)) same++;
            assert_true(same < m->count && fv_elements(outlined->weights[same].view) == fv_elements(m->weights[k].view));
        }
        fv_model_close(outlined);
        fv_new_weights_clear(&shapes);
        fv_model_close(m);
    }
}

static void the_seed_decides(void **state) {
    (void)state;
    fv_error err = {0};
    assert_int_equal(fv_model_init("tiny", 7, in_root("again"), FV_F32, &err), FV_OK);
    assert_int_equal(fv_model_init("tiny", 8, in_root("other"), FV_F32, &err), FV_OK);
    check_same_file(in_root("tiny/model.safetensors"), in_root("again/model.safetensors"));
    fv_model *a = open_model("tiny"), *b = open_model("other");
    assert_memory_not_equal(a->weights[a->count - 1].view.data, b->weights[0].view.data, 64);
    fv_model_close(a);
    fv_model_close(b);
}

static void saving_keeps_files_names_and_keys(void **state) {
    (void)state;
    static const char *const copied[] = {"generation_config.json", "tokenizer.json",         "tokenizer_config.json",
                                         "chat_template.jinja",    "processor_config.json", "preprocessor_config.json"};
    fv_model *m = open_model("tiny");
    fv_error err = {0};
    json_object_set_new(m->config.raw, "unknown_to_us", json_true());
    assert_int_equal(fv_model_save(m, NULL, in_root("bf16"), FV_BF16, &err), FV_OK);
    for (size_t i = 0; i < FV_COUNT(copied); i++) {
        char a[160], b[160];
        snprintf(a, sizeof a, "%s/tiny/%s", root, copied[i]);
        snprintf(b, sizeof b, "%s/bf16/%s", root, copied[i]);
        check_same_file(a, b);
    }
    fv_model *half = open_model("bf16");
    assert_int_equal(half->count, m->count);
    for (int i = 0; i < m->count; i++) {
        int64_t n = fv_elements(m->weights[i].view);
        assert_string_equal(half->weights[i].name, m->weights[i].name);
        assert_int_equal(half->weights[i].view.dtype, FV_BF16);
        uint16_t *want = malloc((size_t)n * sizeof *want);
        fv_from_f32(want, FV_BF16, fv_f32(m->weights[i].view), n);
        assert_memory_equal(half->weights[i].view.data, want, (size_t)n * sizeof *want);
        free(want);
    }
    assert_true(json_is_true(json_object_get(half->config.raw, "unknown_to_us")));
    assert_string_equal(json_string_value(json_object_get(half->config.raw, "dtype")), "bfloat16");
    assert_int_equal(fv_model_save(m, NULL, in_root("bf16"), FV_BF16, &err), FV_BAD_USAGE);
    assert_non_null(strstr(err.text, "must be a new or empty folder"));
    fv_model_close(half);
    fv_model_close(m);
}

/* Names of transformers before 4.52, as in published Qwen2.5-VL checkpoints: "visual.", "model.layers.". */
static void the_old_layout_is_read_and_kept(void **state) {
    (void)state;
    fv_model *m = open_model("tiny");
    fv_error err = {0};
    fv_tensor *tensors = calloc((size_t)m->count, sizeof *tensors);
    assert_int_equal(fv_model_save(m, NULL, in_root("old"), FV_F32, &err), FV_OK);
    for (int i = 0; i < m->count; i++) {
        const char *name = m->weights[i].name;
        char old[200];
        if (strncmp(name, "model.visual.", 13) == 0) snprintf(old, sizeof old, "%s", name + 6);
        else snprintf(old, sizeof old, "model.%s", name + strlen("model.language_model."));
        tensors[i] = (fv_tensor){.name = strdup(old), .view = m->weights[i].view};
    }
    assert_int_equal(fv_weights_save(in_root("old/model.safetensors"), tensors, (size_t)m->count, FV_F32, &err), FV_OK);
    fv_model *old = open_model("old");
    assert_int_equal(fv_model_save(old, NULL, in_root("old-again"), FV_DTYPES, &err), FV_OK);
    check_same_file(in_root("old/model.safetensors"), in_root("old-again/model.safetensors"));
    for (int i = 0; i < m->count; i++) free((char *)tensors[i].name);
    free(tensors);
    fv_model_close(old);
    fv_model_close(m);
}

/* What is trained is saved under both names, so that the folder is the same model again. */
static void check_spare_head(fv_model *m) {
    fv_error err = {0};
    fv_slot *slot;
    const fv_ops *ops;
    assert_int_equal(fv_ops_find(&ops, "cpu", NULL, &err), FV_OK);
    assert_int_equal(fv_slot_open(&slot, ops, (fv_exec){0}, m->weights, m->count, &(fv_slot_options){.name = "policy", .train = true}, &err), FV_OK);
    ((float *)slot->params[fv_decoder_head(m->decoder)].w.data)[3] += 1;
    assert_int_equal(fv_model_save(m, slot, in_root("spare"), FV_F32, &err), FV_OK);
    fv_model *again = open_model("spare");
    assert_string_equal(again->weights[fv_decoder_head(again->decoder)].name, m->weights[fv_decoder_head(m->decoder)].name);
    fv_model_close(again);
    fv_slot_close(slot);
}

/* A tied model whose file has a head: one that is the embedding is tied, another is used, and one alone is both (as transformers 5). */
static void heads_are_those_of_the_file(void **state) {
    (void)state;
    fv_model *m = open_model("tiny");
    fv_error err = {0};
    int embed = fv_decoder_head(m->decoder);
    assert_true(m->config.text.tied && strstr(m->weights[embed].name, "embed_tokens"));
    fv_tensor *tensors = calloc((size_t)m->count + 1, sizeof *tensors);
    size_t bytes = fv_bytes(m->weights[embed].view);
    float *other = malloc(bytes);
    memcpy(other, m->weights[embed].view.data, bytes);
    assert_int_equal(fv_model_save(m, NULL, in_root("heads"), FV_F32, &err), FV_OK);
    for (int how = 0; how < 3; how++) {
        if (how == 1) other[5] += 1;
        for (int i = 0; i < m->count; i++) tensors[i] = (fv_tensor){.name = m->weights[i].name, .view = m->weights[i].view};
        tensors[m->count] = (fv_tensor){.name = "lm_head.weight", .view = m->weights[embed].view};
        tensors[m->count].view.data = other;
        if (how == 2) tensors[embed] = tensors[m->count];
        assert_int_equal(fv_weights_save(in_root("heads/model.safetensors"), tensors, (size_t)m->count + (how < 2), FV_F32, &err), FV_OK);
        fv_model *again = open_model("heads");
        assert_true(!strcmp(again->weights[fv_decoder_head(again->decoder)].name, "lm_head.weight") == (how > 0));
        if (how == 0) check_spare_head(again);
        fv_model_close(again);
    }
    free(other);
    free(tensors);
    fv_model_close(m);
}

/* F16 on disk is f32 in memory, number for number, and F16 again where a folder is written as it was read. */
static void half_floats_are_read_and_kept(void **state) {
    (void)state;
    fv_model *m = open_model("tiny");
    fv_error err = {0};
    assert_int_equal(fv_model_save(m, NULL, in_root("f16"), FV_F16, &err), FV_OK);
    fv_model *half = open_model("f16");
    assert_string_equal(json_string_value(json_object_get(half->config.raw, "dtype")), "float16");
    for (int i = 0; i < m->count; i++) {
        int64_t n = fv_elements(m->weights[i].view);
        uint16_t *stored = malloc((size_t)n * sizeof *stored);
        float *want = malloc((size_t)n * sizeof *want);
        fv_from_f32(stored, FV_F16, fv_f32(m->weights[i].view), n);
        fv_to_f32(want, stored, FV_F16, n);
        assert_int_equal(half->weights[i].view.dtype, FV_F32);
        assert_memory_equal(half->weights[i].view.data, want, (size_t)n * sizeof *want);
        assert_int_equal(fv_weights_stored(half->file, (size_t)i).dtype, FV_F16);
        free(stored);
        free(want);
    }
    assert_int_equal(fv_model_save(half, NULL, in_root("f16-again"), FV_DTYPES, &err), FV_OK);
    check_same_file(in_root("f16/model.safetensors"), in_root("f16-again/model.safetensors"));
    fv_model_close(half);
    fv_model_close(m);
}

static void policies_write_text_and_ends_of_turns(void **state) {
    (void)state;
    fv_model *m = open_model("tiny");
    uint8_t *banned = malloc((size_t)m->config.text.vocabulary);
    fv_model_banned(m, banned);
    static const char *const no[] = {"<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>", "<|im_start|>", "<|box_start|>"};
    static const char *const yes[] = {"<|im_end|>", "<|endoftext|>", "<tool_call>", "</tool_call>", "<think>"};
    for (size_t i = 0; i < FV_COUNT(no); i++) assert_int_equal(banned[fv_tokenizer_id(m->tokenizer, no[i])], 1);
    for (size_t i = 0; i < FV_COUNT(yes); i++) assert_int_equal(banned[fv_tokenizer_id(m->tokenizer, yes[i])], 0);
    int text = 0;
    for (int id = 0; id < 256; id++) text += !banned[id];
    assert_int_equal(text, 256);
    free(banned);
    fv_model_close(m);
}

/* A copy of the tiny model with one field of one of its JSON files changed. */
static void refuses(const char *file, const char *key, json_t *value, fv_status want, const char *says) {
    fv_model *m = open_model("tiny"), *none;
    fv_error err = {0};
    json_t *json;
    char path[160];
    assert_int_equal(fv_model_save(m, NULL, in_root("bad"), FV_DTYPES, &err), FV_OK);
    fv_model_close(m);
    snprintf(path, sizeof path, "%s/bad/%s", root, file);
    assert_int_equal(fv_json_read(&json, path, FV_BAD_MODEL, &err), FV_OK);
    json_t *text = json_object_get(json, "text_config");
    json_object_set_new(text != NULL && json_object_get(text, key) != NULL ? text : json, key, value);
    assert_int_equal(json_dump_file(json, path, 0), 0);
    json_decref(json);
    fv_status status = fv_model_open(&none, in_root("bad"), &err);
    if (status != want || strstr(err.text, says) == NULL || strstr(err.text, root) == NULL) fail_msg("%d %s", status, err.text);
    assert_null(none);
    assert_int_equal(fv_path_remove(in_root("bad"), &err), FV_OK);
}

static void bad_folders_are_refused_with_their_place(void **state) {
    (void)state;
    fv_model *m;
    fv_error err = {0};
    refuses("config.json", "intermediate_size", json_integer(400), FV_BAD_MODEL, "mlp.");
    refuses("config.json", "intermediate_size", json_integer(400), FV_BAD_MODEL, "[384, 192]"); /* what it has */
    refuses("config.json", "intermediate_size", json_integer(400), FV_BAD_MODEL, "[400, 192]"); /* what it should have */
    refuses("config.json", "num_hidden_layers", json_integer(5), FV_BAD_MODEL, "layers.4.");
    refuses("config.json", "vocab_size", json_integer(700), FV_BAD_MODEL, "tokenizer.json has 704 ids, but vocab_size in config.json is 700");
    refuses("config.json", "image_token_id", json_integer(3), FV_BAD_MODEL, "image_token_id is 3, but <|image_pad|> has id 690");
    refuses("generation_config.json", "eos_token_id", json_integer(9999), FV_BAD_MODEL, "eos_token_id must be below vocab_size 704, got 9999");
    assert_int_equal(fv_model_open(&m, in_root("nowhere"), &err), FV_BAD_MODEL);
    assert_non_null(strstr(err.text, "no such folder"));
    assert_int_equal(fv_model_init("huge", 1, in_root("x"), FV_F32, &err), FV_BAD_USAGE);
    assert_non_null(strstr(err.text, "preset must be tiny, mid or the path of a config.json, got huge"));
    assert_int_equal(fv_model_init("tiny", 1, in_root("tiny"), FV_F32, &err), FV_BAD_USAGE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_model_has_all_it_needs), cmocka_unit_test(idle_weights_are_noted),          cmocka_unit_test(new_weights_have_the_right_spread),
        cmocka_unit_test(every_family_can_be_new),               cmocka_unit_test(the_seed_decides),                      cmocka_unit_test(saving_keeps_files_names_and_keys),
        cmocka_unit_test(the_old_layout_is_read_and_kept),       cmocka_unit_test(heads_are_those_of_the_file), cmocka_unit_test(half_floats_are_read_and_kept),
            cmocka_unit_test(policies_write_text_and_ends_of_turns),
        cmocka_unit_test(bad_folders_are_refused_with_their_place),
    };
    return cmocka_run_group_tests(tests, make_root, drop_root);
}
