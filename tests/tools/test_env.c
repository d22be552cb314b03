#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "core/random.h"
#include "tools/calls.h"
#include "tools/registry.h"

#include <stdlib.h>
#include <string.h>

/* ---- a small stage: one picture of 448 x 336, seen at 112 x 84 ------------------------------------------------------------ */

typedef struct {
    fv_env *env;
    fv_episode *episode;
    fv_image *image;
    fv_seen seen[2];
    fv_observation observation;
    fv_step step;
} stage;

static void begin(stage *s, const char *config) {
    fv_error err = {.text = ""};
    json_t *c = json_loads(config, 0, NULL);
    assert_non_null(c);
    *s = (stage){.env = NULL};
    if (fv_env_open(&s->env, c, 28, &err) != FV_OK) fail_msg("%s", err.text);
    json_decref(c);
    assert_int_equal(fv_env_reset(s->env, NULL, 1, &s->episode, &err), FV_OK);
    assert_int_equal(fv_image_new(&s->image, 448, 336, (uint8_t[]){9, 9, 9}, &err), FV_OK);
    for (int i = 0; i < 448 * 336 * 3; i++) s->image->rgb[i] = (uint8_t)(i * 31 >> 4);
    s->seen[0] = s->seen[1] = (fv_seen){s->image, {448, 336, 112, 84}};
}

static void turn(stage *s, const char *text) {
    fv_error err = {.text = ""};
    fv_observation_clear(&s->observation);
    if (fv_env_step(s->episode, text, s->seen, 2, &s->observation, &s->step, &err) != FV_OK) fail_msg("%s", err.text);
}

static void end(stage *s) {
    fv_observation_clear(&s->observation);
    fv_episode_close(s->episode);
    fv_env_close(s->env);
    fv_image_free(s->image);
}

/* All text of the observation, with [k] for picture k. */
static const char *said(const stage *s) {
    static char text[8192];
    text[0] = '\0';
    for (size_t i = 0; i < json_array_size(s->observation.content); i++) {
        const json_t *part = json_array_get(s->observation.content, i);
        const char *type = json_string_value(json_object_get(part, "type"));
        size_t at = strlen(text);
        if (strcmp(type, "image") == 0) snprintf(text + at, sizeof text - at, "[%s]", json_string_value(json_object_get(part, "image")));
        else snprintf(text + at, sizeof text - at, "%s", json_string_value(json_object_get(part, "text")));
    }
    return text;
}

static const char plain[] = "{\"prompt\": \"compact\", \"min_side\": 28, \"max_turns\": 50}";
#define ZOOM(arguments) "<think>x</think><tool_call>{\"name\": \"image_zoom_in_tool\", \"arguments\": " arguments "}</tool_call>"

static void a_zoom_cuts_the_original(void **state) {
    (void)state;
    stage s;
    begin(&s, plain);
    turn(&s, ZOOM("{\"bbox_2d\": [10, 20, 30, 50], \"label\": \"plate\"}"));
    assert_string_equal(said(&s), "<tool_response>[#0]</tool_response>");
    assert_int_equal(s.observation.image_count, 1);
    const fv_image *cut = s.observation.images[0];
    assert_int_equal(cut->width, 80); /* view to picture: four times */
    assert_int_equal(cut->height, 120);
    assert_memory_equal(cut->rgb, s.image->rgb + (80 * 448 + 40) * 3, 80 * 3);
    assert_true(s.step.has_box && s.step.box.x1 == 40 && s.step.box.y2 == 200);
    assert_int_equal(s.step.calls, 1);
    assert_int_equal(s.step.failures, 0);
    assert_int_equal(s.step.picture, 1);
    assert_string_equal(s.step.tool, "image_zoom_in_tool");
    assert_false(s.step.terminated || s.step.truncated);
    end(&s);
}

static void bad_calls_are_observations(void **state) {
    (void)state;
    const char *const cases[][2] = {
        {ZOOM("{\"bbox_2d\": [30, 20, 10, 50]}"), "(the picture spans [0, 0, 112, 84]): the box must have x1 < x2"},
        {ZOOM("{\"bbox_2d\": [0, 0, 6, 6]}"), "longer than 28 pixels of the picture, it is 24"},
        {ZOOM("{\"bbox_2d\": [200, 0, 300, 60]}"), "the box must have x1 < x2"},
        {ZOOM("{\"bbox_2d\": [1, 2, 3]}"), "\"bbox_2d\" must be a list of 4 numbers, got [1, 2, 3]"},
        {ZOOM("{\"bbox_2d\": [1, 2, \"3\", 4]}"), "must be a list of 4 numbers"},
        {ZOOM("{\"bbox\": [1, 2, 3, 4]}"), "\"bbox_2d\" is missing: it must be a list of 4 numbers"},
        {ZOOM("{\"bbox_2d\": [1e308, -1e308, 1e308, 1e308]}"), "the box must have"},
        {ZOOM("{\"bbox_2d\": [0, 0, 50, 50], \"label\": 7}"), "\"label\" must be a text"},
        {ZOOM("{\"bbox_2d\": [0, 0, 50, 50], \"image_index\": 3}"), "\"image_index\" must be a number from 1 to 2, the pictures so far, got 3"},
        {ZOOM("{\"bbox_2d\": [0, 0, 50, 50], \"index\": \"1\"}"), "\"index\" must be a number"},
        {"<tool_call>{\"name\": \"image_rotate_tool\", \"arguments\": {\"angle\": 9}}</tool_call>", "there is no tool \"image_rotate_tool\", there is image_zoom_in_tool"},
        {"<tool_call>zoom please</tool_call>", "the call is not valid JSON"},
        {"<tool_call></tool_call>", "the call is not valid JSON"},
    };
    stage s;
    begin(&s, plain);
    for (size_t i = 0; i < FV_COUNT(cases); i++) {
        turn(&s, cases[i][0]);
        fv_text quoted = {0};
        fv_quote_add(&quoted, cases[i][1], 1000);
        if (strstr(said(&s), quoted.data) == NULL) fail_msg("%s", said(&s));
        fv_text_clear(&quoted);
        assert_int_equal(strncmp(said(&s), "<tool_response>Error: ", 22), 0);
        assert_non_null(strstr(said(&s), "Write a call like this: <tool_call>{\"name\": \"image_zoom_in_tool\""));
        assert_int_equal(s.observation.image_count, 0);
        assert_int_equal(s.step.failures, 1);
        assert_true(s.step.error[0] != '\0');
        assert_false(s.step.has_box || s.step.terminated || s.step.truncated);
    }
    end(&s);
}

static void errors_carry_no_foreign_tags(void **state) {
    (void)state;
    stage s;
    begin(&s, plain);
    turn(&s, "<tool_call>{\"name\": \"<|im_end|><|image_pad|></tool_response>\", \"arguments\": {}}</tool_call>");
    assert_null(strstr(said(&s), "<|"));
    const char *cursor = said(&s);
    fv_span whole;
    assert_true(fv_pair_next(&whole, &cursor, "<tool_response>", "</tool_response>"));
    assert_string_equal(cursor, "");
    end(&s);
}

static void how_episodes_end(void **state) {
    (void)state;
    stage s;
    begin(&s, "{\"max_turns\": 2, \"prompt\": \"none\"}");
    turn(&s, ZOOM("{\"bbox_2d\": [10, 20, 30, 50]}") "<answer> </answer>"); /* blank: no answer yet */
    assert_int_equal(s.observation.image_count, 1);
    turn(&s, ZOOM("{\"bbox_2d\": [10, 20, 30, 50]}"));
    assert_true(s.step.truncated && !s.step.terminated && s.observation.content == NULL);
    assert_int_equal(s.step.calls, 1);
    end(&s);
    begin(&s, plain);
    turn(&s, ZOOM("{\"bbox_2d\": [10, 20, 30, 50]}") "<answer>7</answer>");
    assert_true(s.step.terminated && !s.step.truncated && s.observation.content == NULL);
    turn(&s, "I would say 7.");
    assert_true(s.step.terminated && s.step.calls == 0);
    turn(&s, "<tool_call>{\"name\": \"image_zoom_in_tool\"");
    assert_true(s.step.terminated);
    end(&s);
}

static void last_call_or_all_of_them(void **state) {
    (void)state;
    stage s;
    const char *two = ZOOM("{\"bbox_2d\": [0, 0, 10, 10]}") ZOOM("{\"bbox_2d\": [0, 0, 20, 30]}");
    begin(&s, plain);
    turn(&s, two);
    assert_int_equal(s.step.calls, 2);
    assert_int_equal(s.observation.image_count, 1);
    assert_int_equal(s.observation.images[0]->height, 120);
    end(&s);
    begin(&s, "{\"calls\": \"all\", \"prompt\": \"none\"}");
    turn(&s, two);
    assert_string_equal(said(&s), "<tool_response>[#0]</tool_response><tool_response>[#1]</tool_response>");
    turn(&s, ZOOM("{\"bbox_2d\": [0, 0, 20, 30]}") ZOOM("{\"bbox_2d\": [9, 9, 9, 9]}")); /* what was seen is told, beside what was wrong */
    assert_true(s.step.failures == 1 && s.step.error[0] && s.step.has_box && s.step.box.y2 == 120 && s.step.picture == 1);
    fv_text many = {0};
    for (int i = 0; i < 12; i++) fv_text_add(&many, ZOOM("{\"bbox_2d\": [0, 0, 20, 30]}"));
    turn(&s, many.data);
    assert_int_equal(s.observation.image_count, 8);
    assert_int_equal(s.step.failures, 4);
    fv_text_clear(&many);
    end(&s);
}

static void drawing_tools(void **state) {
    (void)state;
    const char *const calls[] = {
        "{\"name\": \"image_draw_boxes_tool\", \"arguments\": {\"boxes\": [{\"bbox_2d\": [100, 100, 300, 250], \"label\": \"cup\"}, {\"bbox_2d\": [-9, 5, 50, 60]}]}}",
        "{\"name\": \"image_draw_lines_tool\", \"arguments\": {\"lines\": [{\"start_point_2d\": [0, 0], \"end_point_2d\": [448, 336], \"label\": \"a\"}]}}",
        "{\"name\": \"image_draw_points_tool\", \"arguments\": {\"points\": [{\"point_2d\": [100.5, 60]}], \"image_index\": 2}}",
        "{\"name\": \"image_rotate_tool\", \"arguments\": {\"angle\": 90}}",
    };
    const char *const bad[] = {
        "{\"name\": \"image_draw_boxes_tool\", \"arguments\": {\"boxes\": []}}",
        "{\"name\": \"image_draw_boxes_tool\", \"arguments\": {\"boxes\": [[1, 2, 3, 4]]}}",
        "{\"name\": \"image_draw_boxes_tool\", \"arguments\": {\"boxes\": [{\"bbox_2d\": [5, 5, 5, 9]}]}}",
        "{\"name\": \"image_draw_lines_tool\", \"arguments\": {\"lines\": [{\"start_point_2d\": [0, 0], \"end_point_2d\": [449, 3]}]}}",
        "{\"name\": \"image_draw_points_tool\", \"arguments\": {\"points\": {\"point_2d\": [1, 1]}}}",
        "{\"name\": \"image_rotate_tool\", \"arguments\": {\"angle\": \"left\"}}",
    };
    stage s;
    begin(&s, "{\"tools\": [\"image_draw_boxes_tool\", \"image_draw_lines_tool\", \"image_draw_points_tool\", \"image_rotate_tool\"], \"coordinates\": \"picture\","
              " \"prompt\": \"plain\", \"max_turns\": 50}");
    char text[512];
    for (size_t i = 0; i < FV_COUNT(calls); i++) {
        snprintf(text, sizeof text, "<tool_call>%s</tool_call>", calls[i]);
        turn(&s, text);
        if (s.step.failures) fail_msg("%s", s.step.error);
        assert_int_equal(s.observation.images[0]->width, i < 3 ? 448 : 336);
        if (i < 3) assert_memory_not_equal(s.observation.images[0]->rgb, s.image->rgb, 448 * 336 * 3); /* a copy is drawn on */
        assert_int_equal(s.step.picture, i == 2 ? 2 : 1);
        assert_false(s.step.has_box); /* nothing was cut out to be looked at */
    }
    for (size_t i = 0; i < FV_COUNT(bad); i++) {
        snprintf(text, sizeof text, "<tool_call>%s</tool_call>", bad[i]);
        turn(&s, text);
        assert_int_equal(s.step.failures, 1);
        assert_int_equal(s.observation.image_count, 0);
    }
    end(&s);
}

/* ---- what the model is told -------------------------------------------------------------------------------------------- */

static json_t *told_beside(const char *config, const char *messages, const char *row) {
    fv_env *env;
    json_t *c = json_loads(config, 0, NULL), *m = json_loads(messages, 0, NULL), *r = json_loads(row, 0, NULL), *before = json_deep_copy(m), *out;
    assert_int_equal(fv_env_open(&env, c, 28, NULL), FV_OK);
    assert_int_equal(fv_env_messages(env, m, r, NULL, &out, NULL), FV_OK);
    json_decref(r);
    assert_true(json_equal(m, before)); /* rows are not changed */
    fv_env_close(env);
    json_decref(c);
    json_decref(m);
    json_decref(before);
    return out;
}

static json_t *told(const char *config, const char *messages) { return told_beside(config, messages, "{}"); }

static const char *content(const json_t *messages, size_t i) {
    return json_string_value(json_object_get(json_array_get(messages, i), "content"));
}

static void messages_tell_of_the_tools(void **state) {
    (void)state;
    json_t *m = told("{}", "[{\"role\": \"user\", \"content\": \"Which digit?\"}]");
    assert_int_equal(json_array_size(m), 2);
    assert_int_equal(strncmp(content(m, 0), "You are a helpful assistant.\n\n# Tools\n", 38), 0);
    assert_non_null(strstr(content(m, 0), "{\"type\": \"function\", \"function\": {\"name\": \"image_zoom_in_tool\""));
    assert_int_equal(strncmp(content(m, 1), "Which digit?\nThink first", 24), 0);
    json_decref(m);
    /* A system text that names the tools says all that there is to say. */
    m = told("{\"prompt\": \"deepeyes\"}", "[{\"role\": \"system\", \"content\": \"Call image_zoom_in_tool.\"}, {\"role\": \"user\", \"content\": \"What?\"}]");
    assert_int_equal(json_array_size(m), 2);
    assert_string_equal(content(m, 0), "Call image_zoom_in_tool.");
    assert_string_equal(content(m, 1), "What?");
    json_decref(m);
    m = told("{\"prompt\": \"deepeyes\", \"tools\": [\"image_zoom_in_tool\", \"image_rotate_tool\"]}", "[{\"role\": \"system\", \"content\": \"Call image_zoom_in_tool.\"}, {\"role\": \"user\", \"content\": \"What?\"}]");
    assert_non_null(strstr(content(m, 0), "image_rotate_tool")); /* not of all */
    json_decref(m);
    /* So does a row that brings the tool in its own `tools`, which the chat's format describes. */
    m = told_beside("{}", "[{\"role\": \"user\", \"content\": \"What?\"}]", "{\"tools\": [{\"type\": \"function\", \"function\": {\"name\": \"image_zoom_in_tool\"}}]}");
    assert_true(json_array_size(m) == 1 && !strcmp(content(m, 0), "What?"));
    json_decref(m);
    /* In actions the tools have other names; an empty system text says nothing. */
    m = told("{\"format\": \"actions\", \"prompt\": \"actions\"}", "[{\"role\": \"system\", \"content\": \"Use the Object Mapper and the Path Tracer.\"}, {\"role\": \"user\", \"content\": \"What?\"}]");
    assert_string_equal(content(m, 0), "Use the Object Mapper and the Path Tracer.");
    json_decref(m);
    m = told("{\"format\": \"actions\", \"prompt\": \"vilasr\"}", "[{\"role\": \"system\", \"content\": \"\"}, {\"role\": \"user\", \"content\": [{\"type\": \"text\", \"text\": \"What?\"}]}]");
    assert_true(strlen(content(m, 0)) > 100);
    json_decref(m);
    /* A system text of its own, parts, and a trajectory behind the question. */
    m = told("{\"prompt\": \"compact\", \"hint\": true}", "[{\"role\": \"system\", \"content\": \"Be brief.\"}, {\"role\": \"user\", \"content\": [{\"type\": \"image\", "
             "\"image\": \"#0\"}]}, {\"role\": \"assistant\", \"content\": \"x\"}, {\"role\": \"user\", \"content\": \"y\"}]");
    assert_int_equal(strncmp(content(m, 0), "Be brief.\n\nCuts a region", 24), 0);
    assert_int_equal(json_array_size(json_object_get(json_array_get(m, 1), "content")), 2);
    assert_string_equal(content(m, 3), "y");
    json_decref(m);
    m = told("{\"prompt\": \"none\"}", "[{\"role\": \"user\", \"content\": \"Which digit?\"}]");
    assert_int_equal(json_array_size(m), 1);
    assert_string_equal(content(m, 0), "Which digit?");
    json_decref(m);
}

static void compact_is_short(void **state) {
    (void)state;
    json_t *m = told("{\"prompt\": \"compact\"}", "[{\"role\": \"user\", \"content\": \"?\"}]");
    int words = 0;
    for (const char *c = content(m, 0); *c; c++) words += (*c == ' ' || *c == '\n') && c[1] != ' ';
    assert_in_range(words, 10, 59);
    assert_non_null(strstr(content(m, 0), "<tool_call>\n{\"name\": \"image_zoom_in_tool\", \"arguments\": {\"bbox_2d\": [10, 20, 100, 200]}}\n</tool_call>"));
    json_decref(m);
}

static void schemas_and_examples_are_json(void **state) {
    (void)state;
    int count;
    const fv_tool *const *tools = fv_tools(&count);
    fv_image *im;
    assert_int_equal(fv_image_new(&im, 300, 300, (uint8_t[]){0, 0, 0}, NULL), FV_OK);
    fv_seen seen = {im, {300, 300, 300, 300}};
    fv_tool_context context = {&seen, 1, FV_SPACE_VIEW, {FV_MIN_SIDE_REFUSE, 30}};
    for (int i = 0; i < count; i++) {
        json_t *schema = fv_tool_schema(tools[i]), *example = json_loads(tools[i]->example, 0, NULL);
        assert_non_null(fv_json_find(schema, "function.parameters.properties.image_index"));
        assert_ptr_equal(fv_tool_find(tools[i]->name), tools[i]);
        fv_tool_result r = {.image = NULL};
        assert_int_equal(tools[i]->run(&context, example, &r, NULL), FV_OK); /* what errors recommend works */
        fv_image_free(r.image);
        json_decref(schema);
        json_decref(example);
    }
    assert_null(fv_tool_find("hammer"));
    fv_image_free(im);
}

static void configurations(void **state) {
    (void)state;
    const char *const bad[][2] = {
        {"[]", "env must be a map"},
        {"{\"tool\": []}", "env: unknown field tool; did you mean tools?"},
        {"{\"tools\": []}", "env: tools must name 1 to 16 tools, got 0"},
        {"{\"tools\": [\"hammer\"]}", "env: tools[0] must be one of image_zoom_in_tool, image_rotate_tool"},
        {"{\"tools\": \"image_zoom_in_tool\"}", "tools must be a list"},
        {"{\"max_turns\": 0}", "max_turns must be"},
        {"{\"coordinates\": \"pixels\"}", "env: coordinates must be view, picture or thousand, got \"pixels\""},
        {"{\"prompt\": \"long\"}", "env: prompt must be deepeyes, plain, compact or none, got \"long\""},
        {"{\"hint\": 1}", "hint must be"},
        {"{\"calls\": \"first\"}", "env: calls must be last or all"},
        {"{\"min_side_rule\": \"shrink\"}", "env: min_side_rule must be refuse or grow"},
        {"{\"min_side\": 0}", "min_side must be"},
        {"{\"name\": \"maze\"}", "env: there is no environment \"maze\""},
    };
    for (size_t i = 0; i < FV_COUNT(bad); i++) {
        fv_env *env;
        fv_error err = {.text = ""};
        json_t *c = json_loads(bad[i][0], 0, NULL);
        assert_int_not_equal(fv_env_open(&env, c, 28, &err), FV_OK);
        assert_null(env);
        if (strstr(err.text, bad[i][1]) == NULL) fail_msg("%s: %s", bad[i][0], err.text);
        json_decref(c);
    }
    stage s;
    begin(&s, "{\"min_side_rule\": \"grow\"}"); /* the default side is the processor's factor */
    turn(&s, ZOOM("{\"bbox_2d\": [50, 50, 51, 51]}"));
    assert_int_equal(s.observation.images[0]->width, 28);
    assert_int_equal(fv_env_max_turns(s.env), 5);
    end(&s);
}

/* Whatever is written, each turn ends the episode or is answered, and nothing crashes. */
static void garbage(void **state) {
    (void)state;
    static const char *const pieces[] = {
        "<tool_call>", "</tool_call>", "<answer>", "</answer>", "{", "}", "[", "]", "\"name\": ", "\"image_zoom_in_tool\"", ", ", "\"arguments\": ", "\"bbox_2d\": ", "10", "-3",
        "1e300", "99999999999999999999", "0.5", "null", "\"", "\\", "\\u0000", "\\ud800", "<|im_end|>", "\xff", "\xc3\xa9", "\n", "\"image_index\": ",
        "{\"name\": \"image_zoom_in_tool\", \"arguments\": {\"bbox_2d\": [", "]}}</tool_call>", "{\"boxes\": [{", "\"label\": ",
    };
    stage s;
    begin(&s, "{\"calls\": \"all\", \"max_turns\": 100, \"tools\": [\"image_zoom_in_tool\", \"image_draw_boxes_tool\"]}");
    fv_random r = fv_random_stream(7);
    fv_text text = {0};
    for (int i = 0; i < 5000; i++) {
        fv_text_rewind(&text);
        fv_text_add(&text, "<tool_call>");
        for (int64_t n = fv_below(&r, 30); n > 0; n--) fv_text_add(&text, pieces[fv_below(&r, (int64_t)FV_COUNT(pieces))]);
        fv_text_add(&text, i % 2 ? "</tool_call>" : "");
        turn(&s, text.data);
        assert_true(s.step.terminated || s.step.truncated || json_array_size(s.observation.content) > 0);
        if (s.step.truncated) {
            fv_episode_close(s.episode);
            assert_int_equal(fv_env_reset(s.env, NULL, 1, &s.episode, NULL), FV_OK);
        }
    }
    fv_text_rewind(&text);
    for (int i = 0; i < 50000; i++) fv_text_add(&text, "<tool_call>{\"a\": ["); /* about a megabyte */
    turn(&s, text.data);
    fv_text_add(&text, "</tool_call>");
    turn(&s, text.data);
    assert_int_equal(s.step.failures, 1);
    fv_text_clear(&text);
    end(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_zoom_cuts_the_original),
        cmocka_unit_test(bad_calls_are_observations),
        cmocka_unit_test(errors_carry_no_foreign_tags),
        cmocka_unit_test(how_episodes_end),
        cmocka_unit_test(last_call_or_all_of_them),
        cmocka_unit_test(drawing_tools),
        cmocka_unit_test(messages_tell_of_the_tools),
        cmocka_unit_test(compact_is_short),
        cmocka_unit_test(schemas_and_examples_are_json),
        cmocka_unit_test(configurations),
        cmocka_unit_test(garbage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
