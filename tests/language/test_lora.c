/* LoRA adapters against PEFT (tests/peers/lora_peft.py) and against themselves: what PEFT wrote is read, computed, written and merged; options that are not
 * known are refused by name; bits don't depend on threads, instruction sets or blocks that run again. Tolerances: as in test_decoder.c; what PEFT adds to a
 * product is summed in another order here, which is 1e-6 in logits. */
#include "tests/language/tiny_model.h"

#include "core/file.h"
#include "language/lora.h"

#include <unistd.h>

#define ROOT FOVEA_SOURCE "/tests/language/data/lora/"

static const struct {
    const char *name, *model;
} cases[] = {{"plain", "tiny_qwen2_5_vl"}, {"rslora", "tiny_qwen2_5_vl"}, {"dora", "tiny_qwen3_vl"}, {"text", "tiny_qwen3"}, {"qwen2_vl", "tiny_qwen2_vl"}};
static const double tolerance = 1e-5;

static fv_lora_base base_of(const tiny *t) { return (fv_lora_base){t->weights, t->count, t->config.has_vision}; }

static const char *case_path(int number, const char *file) {
    static char path[2][256];
    static int next;
    char *out = path[next++ % 2];
    snprintf(out, sizeof path[0], ROOT "%s%s%s", cases[number].name, *file ? "/" : "", file);
    return out;
}

/* The case's model with its adapter, and a slot over both. */
static fv_lora *open_case(tiny *t, int number, bool half, const char *isa, int threads, bool train) {
    fv_lora *l;
    fv_error err = {0};
    tiny_open(t, cases[number].model, isa, threads, false);
    if (half) tiny_round(t, true);
    fv_lora_base base = base_of(t);
    if (fv_lora_open(&l, case_path(number, ""), &base, &err) != FV_OK) fail_msg("%s", err.text);
    tiny_reopen(t, &(fv_slot_options){.name = "policy", .train = train, .adapter = &l->adapter});
    return l;
}

/* ---- PEFT's numbers ---- */

static void gradients_match(const tiny *t, const fv_weights *want, const char *name) {
    double worst = 0;
    size_t compared = 0;
    const char *where = "";
    for (int i = 0; i < t->slot->count; i++) {
        const fv_param *p = &t->slot->params[i];
        char key[320];
        if (!p->grad.data) continue;
        /* a weight that is brought whole keeps the model's name in the slot; lm_head.weight, visual.merger.* are the same in both here */
        snprintf(key, sizeof key, "grad.%s%s", strncmp(p->name, "base_model.", 11) ? "base_model.model." : "", p->name);
        const fv_tensor *expected = fv_weights_find(want, key);
        if (!expected) fail_msg("%s: PEFT has no %s", name, key);
        double e = tiny_error(p->grad, expected->view);
        if (e > worst) worst = e, where = p->name;
        compared++;
    }
    print_message("%s: %zu gradients %.1e, worst %s\n", name, compared, worst, where);
    assert_int_equal(compared + 1, fv_weights_count(want)); /* and the logits */
    assert_true(worst < tolerance);
}

static void as_peft(void **state) {
    (void)state;
    for (int c = 0; c < (int)FV_COUNT(cases); c++) {
        tiny t;
        fv_weights *want;
        fv_error err = {0};
        fv_lora *l = open_case(&t, c, false, NULL, 2, true);
        if (fv_weights_open(&want, case_path(c, "expected.safetensors"), &err) != FV_OK) fail_msg("%s", err.text);
        double e = tiny_error(tiny_logits(&t, t.slot), fv_weights_find(want, "logits")->view);
        print_message("%s: logits %.1e\n", cases[c].name, e);
        assert_true(e < tolerance);
        fv_pass p = fv_pass_begin(t.slot, t.arena, true);
        fv_tower_out visual;
        tiny_run_back(&t, &p, &visual);
        gradients_match(&t, want, cases[c].name);
        fv_weights_close(want);
        tiny_close(&t);
        fv_lora_close(l);
    }
}

/* Base weights stay where they are mapped, and a slot without the adapter has the model's own numbers, from the same packed copies. */
static void the_model_stays_what_it_is(void **state) {
    (void)state;
    for (int c = 0; c < (int)FV_COUNT(cases); c++) {
        tiny t;
        fv_slot *bare;
        fv_error err = {0};
        fv_lora *l = open_case(&t, c, false, NULL, 1, true);
        fv_slot_options options = {.name = "reference", .lender = t.slot};
        assert_int_equal(fv_slot_open(&bare, t.slot->ops, t.slot->exec, t.weights, t.count, &options, &err), FV_OK);
        assert_true(tiny_error(tiny_logits(&t, bare), tiny_view(&t, "logits")) < tolerance);
        assert_true(tiny_error(tiny_logits(&t, t.slot), tiny_view(&t, "logits")) > 0.01);
        int shared = 0, whole = 0;
        for (int i = 0; i < t.count; i++) {
            bool own = t.slot->params[i].grad.data;
            whole += own;
            assert_true(own == (t.slot->params[i].w.data != t.weights[i].view.data));
            if (t.slot->params[i].packed) assert_true(own == (t.slot->params[i].packed != bare->params[i].packed));
            shared += t.slot->params[i].packed && !own;
        }
        assert_int_equal(whole, l->adapter.whole_count);
        assert_true(shared > 0);
        fv_slot_close(bare);
        tiny_close(&t);
        fv_lora_close(l);
    }
}

/* ---- writing ---- */

static void files_are_equal(const char *left, const char *right) {
    char *a, *b;
    size_t m, n;
    assert_int_equal(fv_file_read(&a, &m, left, NULL), FV_OK);
    assert_int_equal(fv_file_read(&b, &n, right, NULL), FV_OK);
    if (m != n || memcmp(a, b, m)) fail_msg("%s and %s differ", left, right);
    free(a);
    free(b);
}

/* Byte for byte what PEFT's save is; the config keeps every key. */
static void goes_out_as_it_came_in(void **state) {
    (void)state;
    char root[] = "/tmp/fovea-lora-XXXXXX", path[300];
    assert_non_null(mkdtemp(root));
    for (int c = 0; c < (int)FV_COUNT(cases); c++) {
        tiny t;
        fv_error err = {0};
        json_t *was, *is;
        fv_lora *l = open_case(&t, c, false, NULL, 1, true);
        snprintf(path, sizeof path, "%s/%s", root, cases[c].name);
        if (fv_lora_save(l, t.slot, "/models/base", path, FV_DTYPES, &err) != FV_OK) fail_msg("%s", err.text);
        snprintf(path, sizeof path, "%s/%s/adapter_model.safetensors", root, cases[c].name);
        files_are_equal(path, case_path(c, "adapter_model.safetensors"));
        snprintf(path, sizeof path, "%s/%s/adapter_config.json", root, cases[c].name);
        assert_int_equal(fv_json_read(&is, path, FV_BAD_MODEL, &err), FV_OK);
        assert_int_equal(fv_json_read(&was, case_path(c, "adapter_config.json"), FV_BAD_MODEL, &err), FV_OK);
        json_object_set_new(was, "base_model_name_or_path", json_string("/models/base"));
        assert_true(json_equal(is, was));
        json_decref(is);
        json_decref(was);
        tiny_close(&t);
        fv_lora_close(l);
    }
    assert_int_equal(fv_path_remove(root, NULL), FV_OK);
}

/* Multiplied into the weights (in f32), the adapter gives the same numbers but for rounding (2^-24 of each weight), whatever type the model's own have. */
static void merged_is_unmerged(void **state) {
    (void)state;
    for (int n = 0; n < 2 * (int)FV_COUNT(cases); n++) {
        int c = n / 2;
        tiny t;
        fv_slot *merged;
        fv_error err = {0};
        fv_lora *l = open_case(&t, c, n % 2, NULL, 2, false);
        fv_view want = tiny_logits(&t, t.slot);
        fv_weight whole[MAX_WEIGHTS];
        for (int i = 0; i < t.count; i++) {
            whole[i] = t.weights[i];
            whole[i].view = t.slot->params[i].w;
            if (!t.slot->params[i].adapted) continue;
            whole[i].view.dtype = FV_F32;
            whole[i].view.data = FV_TAKE(t.arena, float, fv_elements(whole[i].view));
            fv_adapter_rows(t.slot, i, 0, fv_weight_matrix(whole[i].view));
        }
        assert_int_equal(fv_slot_open(&merged, t.slot->ops, t.slot->exec, whole, t.count, &(fv_slot_options){.name = "merged"}, &err), FV_OK);
        double e = tiny_error(tiny_logits(&t, merged), want);
        print_message("%s, %s: merged and unmerged logits differ by %.1e\n", cases[c].name, n % 2 ? "bf16" : "f32", e);
        assert_true(e < tolerance);
        fv_slot_close(merged);
        tiny_close(&t);
        fv_lora_close(l);
    }
}

/* ---- exactness ---- */

/* Logits, then the adapter's gradients with dropout. */
static float *leavings(int number, const char *isa, int threads, bool checkpoint, size_t *bytes) {
    tiny t;
    fv_lora *l = open_case(&t, number, number > 0, isa, threads, true); /* all but the first over weights in bf16 */
    fv_view logits = tiny_logits(&t, t.slot);
    fv_pass p = fv_pass_begin(t.slot, t.arena, true);
    p.checkpoint = checkpoint;
    if (!l->config.dora) p.dropout = 0.3f, p.dropout_key = 5;
    fv_tower_out visual;
    tiny_run_back(&t, &p, &visual);
    *bytes = fv_bytes(logits) + sizeof(float) * (size_t)fv_slot_trained(t.slot);
    char *all = malloc(*bytes), *to = memcpy(all, logits.data, fv_bytes(logits));
    to += fv_bytes(logits);
    for (int i = 0; i < t.slot->count; i++) {
        fv_view grad = t.slot->params[i].grad;
        if (!grad.data) continue;
        memcpy(to, grad.data, fv_bytes(grad));
        to += fv_bytes(grad);
    }
    tiny_close(&t);
    fv_lora_close(l);
    return (float *)(void *)all;
}

static void same_bits_everywhere(void **state) {
    (void)state;
    const fv_ops *tables[4];
    int count = fv_ops_cpu_all(tables, 4);
    for (int c = 0; c < (int)FV_COUNT(cases); c++) {
        size_t bytes, other;
        float *want = leavings(c, tables[0]->name, 1, false, &bytes);
        for (int i = 0; i < count; i++) {
            float *got = leavings(c, tables[i]->name, i + 1, i % 2 == 0, &other);
            assert_int_equal(other, bytes);
            assert_memory_equal(got, want, bytes);
            free(got);
        }
        free(want);
    }
}

/* ---- new adapters ---- */

/* B is 0, so a new adapter changes nothing (of DoRA: nothing but roundings); A is as wide as PEFT's; the seed decides. Layers have the names of transformers'
 * classes, which for text models are the checkpoint's. */
static void new_ones_change_nothing(void **state) {
    (void)state;
    static const char *const models[][2] = {{"tiny_qwen2_5_vl", "base_model.model.model.language_model.layers.0.mlp.down_proj.lora_A.weight"},
                                            {"tiny_qwen3", "base_model.model.model.layers.0.mlp.down_proj.lora_A.weight"}};
    for (int n = 0; n < 4; n++) {
        bool dora = n % 2;
        tiny t;
        fv_lora *l, *other;
        fv_slot *slot;
        fv_error err = {0};
        tiny_open(&t, models[n / 2][0], NULL, 1, false);
        fv_lora_base base = base_of(&t);
        json_t *config = json_pack("{s: s, s: i, s: s, s: b}", "peft_type", "LORA", "r", 4, "target_modules", "all-linear", "use_dora", dora);
        if (fv_lora_new(&l, config, 3, &base, &err) != FV_OK || fv_lora_new(&other, config, 4, &base, &err) != FV_OK) fail_msg("%s", err.text);
        fv_slot_options options = {.name = "policy", .adapter = &l->adapter};
        assert_int_equal(fv_slot_open(&slot, t.slot->ops, t.slot->exec, t.weights, t.count, &options, &err), FV_OK);
        fv_view plain = tiny_logits(&t, t.slot), adapted = tiny_logits(&t, slot);
        if (dora) assert_true(tiny_error(adapted, plain) < 1e-5);
        else assert_memory_equal(adapted.data, plain.data, fv_bytes(plain));
        assert_string_equal(l->adapter.parts[0].a.name, models[n / 2][1]);
        double largest = 0, width = 0;
        const fv_view a = l->adapter.parts[0].a.view;
        for (int64_t i = 0; i < fv_elements(a); i++) largest = fmax(largest, fabs(fv_f32(a)[i]));
        width = 1 / sqrt((double)fv_cols(a));
        assert_true(largest <= width && largest > 0.9 * width);
        assert_memory_not_equal(a.data, other->adapter.parts[0].a.view.data, fv_bytes(a));
        fv_slot_close(slot);
        fv_lora_close(l);
        fv_lora_close(other);
        json_decref(config);
        tiny_close(&t);
    }
}

/* ---- what is refused ---- */

static void wrong_ones_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *config, *complaint;
    } wrong[] = {
        {"{}", "peft_type"},
        {"{\"peft_type\": \"IA3\", \"target_modules\": [\"q_proj\"]}", "peft_type must be LORA, got \"IA3\""},
        {"{\"peft_type\": \"LORA\"}", "target_modules"},
        {"{\"peft_type\": \"LORA\", \"target_modules\": [\"q_projj\"]}", "target_modules takes no layer of the model"},
        {"{\"peft_type\": \"LORA\", \"target_modules\": [\"q_proj\", \"v_porj\"]}", "target_modules: v_porj takes no layer of the model; they go by the ends of names like model.language_model.layers.0"},
        {"{\"peft_type\": \"LORA\", \"target_modules\": \"(q_proj\"}", "no regular expression"},
        {"{\"peft_type\": \"LORA\", \"target_modules\": [\"lm_head\"]}", "lm_head can't have low-rank matrices"},
        {"{\"peft_type\": \"LORA\", \"target_modules\": [\"embed_tokens\"]}", "embed_tokens can't have low-rank matrices"},
        {"{\"peft_type\": \"LORA\", \"target_modules\": [\"input_layernorm\"]}", "not a linear layer"},
        {"{\"peft_type\": \"LORA\", \"target_modules\": [\"patch_embed.proj\"], \"use_dora\": true}", "is a convolution"},
        {"{\"peft_type\": \"LORA\", \"target_modules\": [\"q_proj\"], \"modules_to_save\": [\"lm_haed\"]}", "modules_to_save: the model has no lm_haed"},
        {"{\"peft_type\": \"LORA\", \"target_modules\": [\"q_proj\"], \"r\": 0}", "r must be"},
        {"{\"peft_type\": \"LORA\", \"target_modules\": [\"q_proj\"], \"bias\": \"all\"}", "bias must be none, got \"all\""},
        {"{\"peft_type\": \"LORA\", \"target_modules\": [\"q_proj\"], \"alora_invocation_tokens\": [7]}", "alora_invocation_tokens is not supported, got [7]"},
        {"{\"peft_type\": \"LORA\", \"target_modules\": [\"q_proj\"], \"use_qalora\": true}", "use_qalora is not supported"},
        {"{\"peft_type\": \"LORA\", \"target_modules\": [\"q_proj\"], \"layers_to_transform\": [0]}", "layers_to_transform is not supported"},
        {"{\"peft_type\": \"LORA\", \"target_modules\": [\"q_proj\"], \"something_new\": {\"a\": 1}}", "something_new is not supported"},
        {"{\"peft_type\": \"LORA\", \"target_modules\": [\"q_proj\"], \"init_lora_weights\": \"pissa\"}", "init_lora_weights changes the model's own weights"},
    };
    tiny t;
    tiny_open(&t, "tiny_qwen2_5_vl", NULL, 1, false);
    fv_lora_base base = base_of(&t);
    for (size_t i = 0; i < FV_COUNT(wrong); i++) {
        fv_lora *l;
        fv_error err = {0};
        json_t *config = json_loads(wrong[i].config, 0, NULL);
        assert_int_not_equal(fv_lora_new(&l, config, 1, &base, &err), FV_OK);
        assert_null(l);
        if (!strstr(err.text, wrong[i].complaint)) fail_msg("\"%s\" says nothing of \"%s\"", err.text, wrong[i].complaint);
        json_decref(config);
    }
    tiny_close(&t);
}

/* Adapters that were made when transformers' classes nested otherwise: their tensors' names, and patterns for them. Others' patterns are tried on today's names alone. */
static void older_adapters_keep_their_names(void **state) {
    (void)state;
    static const char pattern[] = "model\\.layers\\.\\d\\.(self_attn\\.[qv]_proj|mlp\\.down_proj)|visual\\..*down_proj";
    char root[] = "/tmp/fovea-lora-XXXXXX", path[300], names[40][160];
    tiny t;
    fv_error err = {0};
    json_t *config;
    fv_lora *l, *older;
    assert_non_null(mkdtemp(root));
    l = open_case(&t, 0, false, NULL, 1, false);
    fv_tensor tensors[40];
    size_t n = fv_weights_count(l->file);
    assert_true(n <= FV_COUNT(tensors));
    for (size_t i = 0; i < n; i++) {
        static const char *const replaced[][2] = {{"base_model.model.model.language_model.", "base_model.model.model."}, {"base_model.model.model.visual.", "base_model.model.visual."}};
        tensors[i] = *fv_weights_at(l->file, i);
        snprintf(names[i], sizeof names[i], "%s", tensors[i].name);
        for (size_t k = 0; k < FV_COUNT(replaced); k++)
            if (!strncmp(tensors[i].name, replaced[k][0], strlen(replaced[k][0]))) snprintf(names[i], sizeof names[i], "%s%s", replaced[k][1], tensors[i].name + strlen(replaced[k][0]));
        tensors[i].name = names[i];
    }
    snprintf(path, sizeof path, "%s/adapter_model.safetensors", root);
    assert_int_equal(fv_weights_save(path, tensors, n, FV_DTYPES, &err), FV_OK);
    assert_int_equal(fv_json_read(&config, case_path(0, "adapter_config.json"), FV_BAD_MODEL, &err), FV_OK);
    json_object_set_new(config, "target_modules", json_string(pattern));
    json_object_set_new(config, "alpha_pattern", json_pack("{s: i}", "model.layers.0.self_attn.q_proj", 1000));
    snprintf(path, sizeof path, "%s/adapter_config.json", root);
    assert_int_equal(json_dump_file(config, path, 0), 0);
    fv_lora_base base = base_of(&t);
    if (fv_lora_open(&older, root, &base, &err) != FV_OK) fail_msg("%s", err.text);
    assert_int_equal(older->adapter.part_count, l->adapter.part_count);
    for (int i = 0; i < l->adapter.part_count; i++) {
        const fv_adapter_part *a = &older->adapter.parts[i], *b = &l->adapter.parts[i];
        assert_int_equal(a->weight, b->weight);
        assert_non_null(fv_weights_find(older->file, a->a.name)); /* written by the names that it came with */
        assert_true((a->scale > 50) == !strcmp(a->a.name, "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"));
        assert_memory_equal(a->b.view.data, b->b.view.data, fv_bytes(b->b.view));
    }
    fv_lora_close(older);
    snprintf(path, sizeof path, "%s/adapter_model.safetensors", root); /* today's names: the patterns are not theirs */
    assert_int_equal(fv_file_copy(case_path(0, "adapter_model.safetensors"), path, NULL), FV_OK);
    assert_int_equal(fv_lora_open(&older, root, &base, &err), FV_BAD_MODEL);
    assert_non_null(strstr(err.text, "target_modules takes no layer"));
    json_object_set(config, "target_modules", json_object_get(l->json, "target_modules"));
    snprintf(path, sizeof path, "%s/adapter_config.json", root);
    assert_int_equal(json_dump_file(config, path, 0), 0);
    if (fv_lora_open(&older, root, &base, &err) != FV_OK) fail_msg("%s", err.text);
    for (int i = 0; i < older->adapter.part_count; i++) assert_true(older->adapter.parts[i].scale < 50);
    json_decref(config);
    fv_lora_close(older);
    tiny_close(&t);
    fv_lora_close(l);
    assert_int_equal(fv_path_remove(root, NULL), FV_OK);
}

/* Tensors and config must be of each other: more layers or fewer, or another rank, are named. */
static void files_must_fit(void **state) {
    (void)state;
    static const struct {
        const char *key, *value, *complaint;
    } changes[] = {
        {"target_modules", "[\"q_proj\", \"v_proj\", \"down_proj\", \"o_proj\"]", "no tensor base_model.model.model.language_model.layers.0.self_attn.o_proj.lora_A.weight"},
        {"target_modules", "[\"q_proj\", \"down_proj\"]", "v_proj.lora_A.weight belongs to nothing"},
        {"target_modules", "\"(?!model.visual).*(q_proj|v_proj|down_proj)\"", "visual.blocks.1.mlp.down_proj.lora_A.weight belongs to nothing"},
        {"r", "7", "must be floats [7, "},
        {"rank_pattern", "{}", "must be floats [3, 48], got F32 [5, 48]"},
    };
    char root[] = "/tmp/fovea-lora-XXXXXX", path[300];
    tiny t;
    assert_non_null(mkdtemp(root));
    tiny_open(&t, cases[0].model, NULL, 1, false);
    fv_lora_base base = base_of(&t);
    snprintf(path, sizeof path, "%s/adapter_model.safetensors", root);
    assert_int_equal(fv_file_copy(case_path(0, "adapter_model.safetensors"), path, NULL), FV_OK);
    for (size_t i = 0; i < FV_COUNT(changes); i++) {
        json_t *config;
        fv_lora *l;
        fv_error err = {0};
        assert_int_equal(fv_json_read(&config, case_path(0, "adapter_config.json"), FV_BAD_MODEL, &err), FV_OK);
        json_object_set_new(config, changes[i].key, json_loads(changes[i].value, JSON_DECODE_ANY, NULL));
        snprintf(path, sizeof path, "%s/adapter_config.json", root);
        assert_int_equal(json_dump_file(config, path, 0), 0);
        assert_int_equal(fv_lora_open(&l, root, &base, &err), FV_BAD_MODEL);
        if (!strstr(err.text, changes[i].complaint)) fail_msg("\"%s\" says nothing of \"%s\"", err.text, changes[i].complaint);
        json_decref(config);
    }
    tiny_close(&t);
    assert_int_equal(fv_path_remove(root, NULL), FV_OK);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_peft),
        cmocka_unit_test(the_model_stays_what_it_is),
        cmocka_unit_test(goes_out_as_it_came_in),
        cmocka_unit_test(merged_is_unmerged),
        cmocka_unit_test(same_bits_everywhere),
        cmocka_unit_test(new_ones_change_nothing),
        cmocka_unit_test(wrong_ones_are_refused),
        cmocka_unit_test(older_adapters_keep_their_names),
        cmocka_unit_test(files_must_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
