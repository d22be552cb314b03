/* The worked examples of docs/adding.md, run: an operation, a tool, a reward and a recipe that are not part of the program. Their lines in the registries
 * are put into copies of those files by cmake/example.cmake; so are those in the table of operations, over which tests/examples/examples.cmake compiles what fills it. */
#include "tests/cpu/op_loop.h"
#include "tests/examples/unit.h"

#include "core/file.h"
#include "core/pass.h"
#include "language/model.h"
#include "rl/part.h"
#include "rl/pipeline.h"
#include "rl/train/train.h"
#include "tools/registry.h"

#include <unistd.h>

#define MUST(call)                                                                                                     \
    do {                                                                                                               \
        fv_error must_err_ = {0}, *err = &must_err_;                                                                   \
        if ((call) != FV_OK) fail_msg("%s", err->text);                                                                \
    } while (0)

/* ---- an operation --------------------------------------------------------------------------------------------------------------- */

const example_ops *example_ops_of(const fv_ops *ops) {
    static const example_ops tables[] = {{fv_cpu_scalar_unit, fv_cpu_scalar_unit_back}, {fv_cpu_avx2_unit, fv_cpu_avx2_unit_back}, {fv_cpu_avx512_unit, fv_cpu_avx512_unit_back}};
    static const char *const names[] = {"cpu-scalar", "cpu-avx2", "cpu-avx512"};
    for (size_t i = 0; i < FV_COUNT(tables); i++)
        if (strcmp(names[i], ops->name) == 0) return &tables[i];
    fail_msg("no such table: %s", ops->name);
    return NULL;
}

#include "tests/examples/unit_case.h"

static void the_operation_is_exact(void **state) {
    (void)state;
    check_differences(&unit_case);
    check_bits(&unit_case);
}

/* As models call it: y and dx are those of the kernels. */
static void the_operation_is_on_the_tape(void **state) {
    (void)state;
    enum { N = 5, K = 21 };
    bag b = new_bag(&unit_case, N);
    fill_random(&b);
    unit_forward(&b);
    unit_backward(&b);
    fv_slot *slot;
    fv_slot_options options = {.name = "example", .train = true};
    MUST(fv_slot_open(&slot, b.ops, b.exec, NULL, 0, &options, err));
    fv_arena *arena = fv_arena_new(0);
    fv_pass p = fv_pass_begin(slot, arena, true);
    fv_var *x = fv_value(&p, N, K, true);
    memcpy(x->v.data, b.data[0], sizeof(float) * N * K);
    fv_var *y = fv_unit(&p, x);
    memcpy(fv_grad(&p, y).data, b.grad[1], sizeof(float) * N * K);
    fv_pass_back(&p);
    assert_int_equal(p.error.status, FV_OK);
    assert_memory_equal(y->v.data, b.data[1], sizeof(float) * N * K);
    assert_memory_equal(fv_grad(&p, x).data, b.grad[0], sizeof(float) * N * K);
    fv_arena_free(arena);
    fv_slot_close(slot);
    free_bag(&b);
}

/* ---- a tool ------------------------------------------------------------------------------------------------------------------- */

static fv_step use(const char *turn, const fv_image *image, fv_observation *o) {
    json_t *config = json_loads("{\"tools\": [\"image_flip_tool\"]}", 0, NULL);
    fv_seen seen = {image, {image->width, image->height, 0, 0}};
    fv_step step;
    fv_env *env;
    fv_episode *episode;
    MUST(fv_env_open(&env, config, 28, err));
    MUST(fv_env_reset(env, NULL, 1, &episode, err));
    MUST(fv_env_step(episode, turn, &seen, 1, o, &step, err));
    fv_episode_close(episode);
    fv_env_close(env);
    json_decref(config);
    return step;
}

static void the_tool_is_offered_and_runs(void **state) {
    (void)state;
    fv_image *image;
    fv_observation o;
    MUST(fv_image_new(&image, 3, 2, (const uint8_t[]){9, 9, 9}, err));
    image->rgb[0] = 200; /* red, top left */
    fv_step step = use("<tool_call>{\"name\": \"image_flip_tool\", \"arguments\": {}}</tool_call>", image, &o);
    assert_int_equal(step.failures, 0);
    assert_int_equal(o.image_count, 1);
    assert_int_equal(o.images[0]->rgb[3 * 2], 200);
    fv_observation_clear(&o);
    step = use("<tool_call>{\"name\": \"image_flip_tool\", \"arguments\": {\"axis\": \"vertical\"}}</tool_call>", image, &o);
    assert_int_equal(o.images[0]->rgb[3 * 3], 200);
    fv_observation_clear(&o);
    step = use("<tool_call>{\"name\": \"image_flip_tool\", \"arguments\": {\"axis\": \"diagonal\"}}</tool_call>", image, &o);
    assert_int_equal(step.failures, 1);
    assert_string_equal(step.error, "\"axis\" must be horizontal or vertical, got diagonal");
    fv_observation_clear(&o);
    fv_image_free(image);
    json_t *schema = fv_tool_schema(fv_tool_find("image_flip_tool"));
    assert_true(json_is_object(fv_json_find(schema, "function.parameters.properties")));
    json_decref(schema);
}

/* ---- a reward ----------------------------------------------------------------------------------------------------------------- */

static void the_reward_pays(void **state) {
    (void)state;
    fv_pipeline *p;
    json_t *stage = json_loads("{\"reward\": {\"variant\": \"released\", \"terms\": [{\"term\": \"brief\", \"weight\": 0.5, \"words\": 4}]}}", 0, NULL);
    MUST(fv_pipeline_open(&p, stage, err));
    double terms[3];
    fv_response items[] = {{.id = "a", .text = "It is seven.<|im_end|>", .terms = terms},
                           {.id = "b", .text = "<|im_start|>assistant\none two three four five six seven eight<|im_end|>", .terms = terms + 1},
                           {.id = "c", .place = "rows.jsonl:3", .terms = terms + 2}};
    fv_group group = {.items = items, .count = 3};
    MUST(fv_pipeline_reward(p, &group, &(fv_moment){.steps = 1}, err));
    assert_true(terms[0] == 1 && items[0].reward == 0.5);
    assert_true(terms[1] == 0.5 && items[1].reward == 0.25);
    assert_string_equal(items[2].error, "rows.jsonl:3: brief needs a response");
    fv_pipeline_close(p);
    json_decref(stage);
}

/* ---- a recipe ----------------------------------------------------------------------------------------------------------------- */

static void the_recipe_trains(void **state) {
    (void)state;
    char folder[] = "/tmp/fovea-docs-XXXXXX", out[64];
    assert_non_null(mkdtemp(folder));
    snprintf(out, sizeof out, "out=%s/run", folder);
    fv_recipe *r;
    MUST(fv_recipe_open(&r, FOVEA_SOURCE "/tests/examples/brief.yaml", (const char *const[]){out}, 1, err));
    fv_train_options options = {.quiet = true};
    MUST(fv_train(r, &options, err));
    char *metrics, *path = fv_path_join(out + 4, "metrics.jsonl");
    MUST(fv_file_read(&metrics, NULL, path, err));
    int steps = 0;
    for (char *rest = metrics, *line; (line = strsep(&rest, "\n")) && *line; steps++) {
        json_t *m = json_loads(line, 0, NULL);
        assert_true(json_number_value(json_object_get(m, "sampling/sampling_logp_difference/max")) == 0);
        assert_true(json_number_value(json_object_get(m, "rewards/brief/mean")) > 0);
        json_decref(m);
    }
    assert_int_equal(steps, 2);
    free(metrics);
    free(path);
    fv_recipe_close(r);
    assert_int_equal(fv_path_remove(folder, NULL), FV_OK);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_operation_is_exact), cmocka_unit_test(the_operation_is_on_the_tape), cmocka_unit_test(the_tool_is_offered_and_runs),
        cmocka_unit_test(the_reward_pays), cmocka_unit_test(the_recipe_trains),
    };
    return cmocka_run_group_tests(tests, open_fixture, close_fixture);
}
