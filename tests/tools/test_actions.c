/* Turns as ViLaSR writes them: what is read, drawn, shown and refused. Expected sentences are those of the release's rollout. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "core/random.h"
#include "tools/actions.h"
#include "tools/sketch.h"

#include <stdlib.h>
#include <string.h>

/* ---- a small stage: one white picture of 448 x 336, seen at 112 x 84, and those that are drawn ------------------------------- */

enum { ROOM = 64 };

typedef struct {
    fv_env *env;
    fv_episode *episode;
    fv_image *images[ROOM];
    fv_seen seen[ROOM];
    int count;
    json_t *content; /* of the last observation, NULL: none */
    fv_step step;
} stage;

static void add_picture(stage *s, fv_image *im) {
    s->images[s->count] = im;
    s->seen[s->count++] = (fv_seen){im, {448, 336, 112, 84}};
}

static void begin(stage *s, const char *config) {
    fv_error err = {.text = ""};
    fv_image *im;
    json_t *c = json_loads(config, 0, NULL);
    assert_non_null(c);
    *s = (stage){.env = NULL};
    if (fv_env_open(&s->env, c, 28, &err) != FV_OK) fail_msg("%s", err.text);
    json_decref(c);
    assert_int_equal(fv_env_reset(s->env, NULL, 1, &s->episode, &err), FV_OK);
    assert_int_equal(fv_image_new(&im, 448, 336, (uint8_t[]){255, 255, 255}, &err), FV_OK);
    add_picture(s, im);
}

static void turn(stage *s, const char *text) {
    fv_error err = {.text = ""};
    fv_observation o;
    json_decref(s->content);
    if (fv_env_step(s->episode, text, s->seen, s->count, &o, &s->step, &err) != FV_OK) fail_msg("%s", err.text);
    s->content = json_incref(o.content);
    for (int i = 0; i < o.image_count; i++) {
        add_picture(s, o.images[i]);
        o.images[i] = NULL;
    }
    fv_observation_clear(&o);
}

static void end(stage *s) {
    json_decref(s->content);
    for (int i = 0; i < s->count; i++) fv_image_free(s->images[i]);
    fv_episode_close(s->episode);
    fv_env_close(s->env);
}

/* The observation's text, with [k from n] for picture k. */
static const char *said(const stage *s) {
    static char text[4096];
    text[0] = '\0';
    for (size_t i = 0; i < json_array_size(s->content); i++) {
        const json_t *part = json_array_get(s->content, i);
        size_t at = strlen(text);
        if (json_object_get(part, "image"))
            snprintf(text + at, sizeof text - at, "[%s from %d]", json_string_value(json_object_get(part, "image")), (int)json_integer_value(json_object_get(part, "picture")));
        else snprintf(text + at, sizeof text - at, "%s", json_string_value(json_object_get(part, "text")));
    }
    return text;
}

static bool is_color(const stage *s, int picture, int x, int y, int r, int g, int b) {
    const uint8_t *p = s->images[picture - 1]->rgb + (y * 448 + x) * 3;
    return p[0] == r && p[1] == g && p[2] == b;
}

static const char plain[] = "{\"format\": \"actions\", \"prompt\": \"none\", \"max_turns\": 100}";
#define MAPPER(list) "<think>a</think> Action: Object Mapper\n```json\n" list "\n```"
#define GO_ON "Continue your reasoning. After each tool use, critically evaluate the visualization and adjust if needed:"
#define MUST_ANSWER                                                                                                                             \
    "Then, you can not invoke the Object Mapper or Path Tracer tool. Please answer the initial question and structure your response as required:"

static void a_drawing_is_a_new_picture(void **state) {
    (void)state;
    stage s;
    begin(&s, plain);
    turn(&s, MAPPER("[{\"index\": 1, \"bbox_2d\": [10, 20, 60, 70], \"label\": \"a\"}]"));
    assert_string_equal(said(&s), "[#0 from 1]\nThe index of the given image is 2 (width: 112, height: 84). " GO_ON "\n");
    assert_int_equal(s.count, 2);
    for (int at = 1; at < 16; at += 7) { /* 4 pixels of the view are 16 here, inside of the box */
        assert_true(is_color(&s, 2, 40 + at, 180, 255, 0, 0) && is_color(&s, 2, 239 - at, 180, 255, 0, 0));
        assert_true(is_color(&s, 2, 150, 80 + at, 255, 0, 0) && is_color(&s, 2, 150, 279 - at, 255, 0, 0));
    }
    assert_true(is_color(&s, 2, 38, 180, 255, 255, 255) && is_color(&s, 2, 150, 180, 255, 255, 255));
    assert_true(is_color(&s, 1, 45, 180, 255, 255, 255)); /* its source stays as it is */
    int ink = 0; /* the label, from (+8, +6) of the view on */
    for (int y = 80 + 24; y < 80 + 24 + 44; y++)
        for (int x = 40 + 32; x < 40 + 32 + 44; x++) ink += is_color(&s, 2, x, y, 255, 0, 0);
    assert_in_range(ink, 50, 1000);
    assert_true(s.step.calls == 1 && s.step.failures == 0 && s.step.picture == 1 && !s.step.terminated && !s.step.truncated);
    assert_string_equal(s.step.tool, "image_draw_boxes_tool");
    turn(&s, "<think>b</think> Action: Path Tracer\n```json\n[{\"index\": 2, \"start_point_2d\": [20, 10], \"end_point_2d\": [100, 10], \"label\": \"x\"}]\n```");
    assert_string_equal(said(&s), "[#0 from 2]\nThe index of the given image is 3 (width: 112, height: 84). " GO_ON "\n");
    assert_string_equal(s.step.tool, "image_draw_lines_tool");
    assert_true(is_color(&s, 3, 240, 40, 0, 0, 0) && is_color(&s, 3, 80, 40, 255, 0, 0) && is_color(&s, 3, 400, 40, 0, 0, 255));
    assert_true(is_color(&s, 3, 240, 34, 0, 0, 0) && !is_color(&s, 3, 240, 50, 0, 0, 0)); /* 16 wide */
    assert_true(is_color(&s, 3, 45, 180, 255, 0, 0)); /* the box of its source */
    end(&s);
}

/* Equal labels take each other's place (and colour), others stay; a branch from an earlier picture knows nothing of later ones. */
static void labels_are_replaced(void **state) {
    (void)state;
    stage s;
    begin(&s, plain);
    turn(&s, MAPPER("[{\"index\": 1, \"bbox_2d\": [10, 10, 30, 30], \"label\": \"a\"}, {\"index\": 1, \"bbox_2d\": [80, 10, 100, 30], \"label\": \"b\"}]"));
    assert_true(is_color(&s, 2, 45, 80, 255, 0, 0) && is_color(&s, 2, 325, 80, 0, 128, 0));
    turn(&s, MAPPER("[{\"index\": 2, \"bbox_2d\": [30, 70, 10, 50], \"label\": \"a\"}]")); /* swapped corners */
    assert_true(is_color(&s, 3, 45, 80, 255, 255, 255) && is_color(&s, 3, 45, 240, 255, 0, 0) && is_color(&s, 3, 325, 80, 0, 128, 0));
    turn(&s, MAPPER("[{\"index\": 1, \"bbox_2d\": [40, 40, 60, 60], \"label\": \"c\"}]"));
    assert_true(is_color(&s, 4, 165, 200, 255, 0, 0) && is_color(&s, 4, 45, 80, 255, 255, 255));
    end(&s);
}

static void each_index_makes_a_picture(void **state) {
    (void)state;
    stage s;
    begin(&s, "{\"format\": \"actions\", \"max_turns\": 3}");
    turn(&s, MAPPER("[{\"index\": 1, \"bbox_2d\": [10, 10, 30, 30], \"label\": \"a\"}]"));
    turn(&s, MAPPER("[{\"index\": 2, \"bbox_2d\": [50, 50, 70, 70], \"label\": \"b\"}, {\"index\": 1, \"bbox_2d\": [50, 50, 70, 70], \"label\": \"b\"}]"));
    assert_string_equal(said(&s), "[#0 from 2]The index of the given image is 3 (width: 112, height: 84).\n[#1 from 1]The index of the given image is 4 (width: 112, height: 84). " MUST_ANSWER
                                  "\n\n"); /* two of three turns are gone */
    assert_true(is_color(&s, 3, 45, 80, 255, 0, 0) && is_color(&s, 4, 45, 80, 255, 255, 255));
    turn(&s, MAPPER("[{\"index\": 2, \"bbox_2d\": [50, 50, 70, 70], \"label\": \"b\"}]"));
    assert_true(s.step.truncated && s.content == NULL);
    end(&s);
}

static void lists_are_read_as_python_reads_them(void **state) {
    (void)state;
    static const char *const good[] = {
        MAPPER("[{'index': 1, 'bbox_2d': (1, 2, 30, 40), 'label': 'a'},]"),
        MAPPER("[{\n  \"index\": 1, # Image index\n  \"bbox_2d\": [1, 2, 30.5, 40],\n  \"label\": \"a\"\n}]"),
        "<think>a</think> Action: Object Mapper\r\n  ```json  \r\n[{\"index\": 1, \"bbox_2d\": [1, 2, 30, 40], \"label\": \"a\"}]\r\n```",
        "<think>\n```json\n[{\"index\": 1, \"bbox_2d\": [1, 2, 30, 40], \"label\": \"a\"}]</think> Action: Object Mapper", /* no closing fence */
        MAPPER("[true]") "\n```json\n[{\"index\": 1, \"bbox_2d\": [1, 2, 30, 40], \"label\": \"a\"}, 7, {\"bbox_2d\": 1}]\n```",
        MAPPER("[{\"index\": 1, \"bbox_2d\": [1, 2, 3], \"label\": \"a\"}]"), /* a box without four numbers is a picture without a box */
    };
    stage s;
    begin(&s, plain);
    for (size_t i = 0; i < FV_COUNT(good); i++) {
        turn(&s, good[i]);
        if (s.step.failures) fail_msg("%zu: %s", i, s.step.error);
        assert_int_equal(s.count, i + 2);
        assert_true(is_color(&s, s.count, 10, 80, 255, i + 1 == FV_COUNT(good) ? 255 : 0, i + 1 == FV_COUNT(good) ? 255 : 0));
    }
    end(&s);
}

static const char *const bad[][2] = {
    {MAPPER("[]"), "there is nothing to draw"},
    {MAPPER("[{\"index\": 1, \"bbox_2d\": [1, 2, 3, 4]}]"), "there is nothing to draw"},
    {MAPPER("{\"index\": 1"), "there is nothing to draw"},
    {MAPPER("[{\"bbox_2d\": [1, 2, 3, 4], \"label\": \"a\"}]"), "item 1: \"index\" is missing: it must be the number of a picture, from 1 to 1"},
    {MAPPER("[{\"index\": 2, \"bbox_2d\": [1, 2, 3, 4], \"label\": \"a\"}]"), "\"index\" must be the number of a picture, from 1 to 1"},
    {MAPPER("[{\"index\": 0, \"bbox_2d\": [1, 2, 3, 4], \"label\": \"a\"}]"), "\"index\" must be"},
    {MAPPER("[{\"index\": \"1\", \"bbox_2d\": [1, 2, 3, 4], \"label\": \"a\"}]"), "\"index\" must be"},
    {MAPPER("[{\"index\": 1, \"start_point_2d\": [1, 2], \"end_point_2d\": [1], \"label\": \"a\"}]"), "\"end_point_2d\" must be a list of 2 numbers, got [1]"},
};

static void bad_calls_are_answered_or_end_the_episode(void **state) {
    (void)state;
    for (size_t i = 0; i < FV_COUNT(bad); i++) {
        stage s;
        begin(&s, plain);
        turn(&s, bad[i][0]);
        if (!strstr(s.step.error, bad[i][1])) fail_msg("%s", s.step.error);
        assert_true(s.count == 1 && s.step.calls == 1 && s.step.failures == 1 && !s.step.terminated && !s.step.truncated);
        assert_int_equal(strncmp(said(&s), "Error: ", 7), 0);
        assert_non_null(strstr(said(&s), ". Write a call like this:\nAction: Object Mapper\n```json\n[{\"index\": 1, \"bbox_2d\": [10, 20, 100, 200], \"label\": \"cup\"}]\n```\n"));
        turn(&s, strstr(said(&s), "Action:")); /* what it recommends works */
        assert_true(s.count == 2 && s.step.failures == 0);
        end(&s);
        begin(&s, "{\"format\": \"actions\", \"errors\": \"end\"}");
        turn(&s, bad[i][0]);
        assert_true(s.content == NULL && s.step.failures == 1 && !s.step.terminated && !s.step.truncated);
        end(&s);
    }
    stage s;
    begin(&s, "{\"format\": \"actions\", \"tools\": [\"image_draw_lines_tool\"]}");
    turn(&s, MAPPER("[{\"index\": 1, \"bbox_2d\": [1, 2, 3, 4], \"label\": \"a\"}]"));
    assert_non_null(strstr(s.step.error, "there is no tool for item 1, there is Path Tracer"));
    end(&s);
    begin(&s, "{\"errors\": \"end\"}"); /* of the other format, too */
    turn(&s, "<tool_call>{}</tool_call>");
    assert_true(s.content == NULL && s.step.failures == 1);
    end(&s);
}

static void how_episodes_end(void **state) {
    (void)state;
    stage s;
    begin(&s, plain);
    turn(&s, MAPPER("[{\"index\": 1, \"bbox_2d\": [1, 2, 30, 40], \"label\": \"a\"}]") "<answer>7</answer>");
    assert_true(s.step.terminated && s.content == NULL && s.count == 1);
    turn(&s, "<think>a</think> Action: Path Tracer");
    assert_true(s.step.terminated && s.step.calls == 0);
    for (int i = 2; i <= FV_SKETCH_PICTURES; i++) { /* the last picture says that it is */
        turn(&s, MAPPER("[{\"index\": 1, \"bbox_2d\": [1, 2, 30, 40], \"label\": \"a\"}]"));
        assert_int_equal(s.count, i);
        assert_int_equal(strstr(said(&s), MUST_ANSWER) != NULL, i == FV_SKETCH_PICTURES);
    }
    turn(&s, MAPPER("[{\"index\": 1, \"bbox_2d\": [1, 2, 30, 40], \"label\": \"a\"}]"));
    assert_true(s.step.truncated && s.content == NULL);
    end(&s);
    for (int maze = 0; maze < 2; maze++) { /* rows with a grid have ten turns more */
        json_t *row = json_pack(maze ? "{s:i}" : "{s:n}", "grid_size", 5);
        begin(&s, "{\"format\": \"actions\", \"max_turns\": 2}");
        fv_episode_close(s.episode);
        assert_int_equal(fv_env_reset(s.env, row, 1, &s.episode, NULL), FV_OK);
        int turns = 0;
        do turn(&s, MAPPER("[{\"index\": 1, \"bbox_2d\": [1, 2, 30, 40], \"label\": \"a\"}]"));
        while (++turns < 50 && !s.step.truncated);
        assert_int_equal(turns, maze ? 12 : 2);
        end(&s);
        json_decref(row);
    }
}

/* Coordinates are in the env's space, and so are the sizes that are told. */
static void spaces(void **state) {
    (void)state;
    static const char *const calls[][3] = {
        {"view", MAPPER("[{\"index\": 1, \"bbox_2d\": [56, 42, 84, 63], \"label\": \"\"}]"), "(width: 112, height: 84)"},
        {"picture", MAPPER("[{\"index\": 1, \"bbox_2d\": [224, 168, 336, 252], \"label\": \"\"}]"), "(width: 448, height: 336)"},
        {"thousand", MAPPER("[{\"index\": 1, \"bbox_2d\": [500, 500, 750, 750], \"label\": \"\"}]"), "(width: 1000, height: 1000)"},
    };
    stage s[3];
    for (int i = 0; i < 3; i++) {
        char config[128];
        snprintf(config, sizeof config, "{\"format\": \"actions\", \"coordinates\": \"%s\"}", calls[i][0]);
        begin(&s[i], config);
        turn(&s[i], calls[i][1]);
        assert_non_null(strstr(said(&s[i]), calls[i][2]));
        assert_true(is_color(&s[i], 2, 230, 200, 255, 0, 0));
        assert_memory_equal(s[i].images[1]->rgb, s[0].images[1]->rgb, 448 * 336 * 3);
    }
    for (int i = 0; i < 3; i++) end(&s[i]);
}

static json_t *told(const char *config, const char *messages, const char *row, const fv_frame_size *first) {
    fv_env *env;
    json_t *c = json_loads(config, 0, NULL), *m = json_loads(messages, 0, NULL), *fields = json_loads(row, 0, NULL), *before = json_deep_copy(m), *out;
    assert_int_equal(fv_env_open(&env, c, 28, NULL), FV_OK);
    assert_int_equal(fv_env_messages(env, m, fields, first, &out, NULL), FV_OK);
    assert_true(json_equal(m, before)); /* rows are not changed */
    fv_env_close(env);
    json_decref(c);
    json_decref(m);
    json_decref(fields);
    json_decref(before);
    return out;
}

/* A message's text, with [] for each picture. */
static const char *text_of(const json_t *messages, size_t message) {
    static char text[8192];
    const json_t *content = json_object_get(json_array_get(messages, message), "content");
    text[0] = '\0';
    if (json_is_string(content)) return json_string_value(content);
    for (size_t i = 0; i < json_array_size(content); i++) {
        const char *t = json_string_value(json_object_get(json_array_get(content, i), "text"));
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s", t ? t : "[]");
    }
    return text;
}

#define PICTURE "{\"type\": \"image\", \"image\": \"#0\"}"
#define TEXT(t) "{\"type\": \"text\", \"text\": \"" t "\"}"
#define USER(content) "[{\"role\": \"user\", \"content\": " content "}]"
#define BEGIN "\n\nBegin your reasoning. After each tool use, critically evaluate the visualization and adjust if needed:\n"

/* The release's texts: its system text is known by the length and FNV-1a of SYSTEM_PROMPT.format(width=112, height=84). */
static void messages_have_the_form_of_the_release(void **state) {
    (void)state;
    const fv_frame_size size = {448, 336, 112, 84};
    json_t *m = told("{\"format\": \"actions\"}", USER("[" PICTURE ", " TEXT("Where?\\nA\\nB") "]"), "{\"question_type\": \"multiple choice\"}", &size);
    assert_int_equal(strlen(text_of(m, 0)), 2132);
    assert_int_equal(fv_hash_bytes(text_of(m, 0), strlen(text_of(m, 0))), 0xe66d2967355f74f4u);
    assert_string_equal(text_of(m, 1), "[]\n### Question:\nWhere?\nA\nB\nThe index of the given image is 1.\nAnswer with the option's letter from the given choices directly." BEGIN);
    json_decref(m);
    m = told("{\"format\": \"actions\"}", USER("[" PICTURE ", " PICTURE ", " TEXT("How far?") "]"), "{\"problem_type\": \"regression\", \"data_type\": \"video\"}", &size);
    assert_string_equal(text_of(m, 1), "[]The index of the given image is 1 (width: 112, height: 84).\n[]The index of the given image is 2 (width: 112, height: 84).\n\n### Question:\n"
                                       "These are frames from a video, numbered from 1 to 2 in sequence. That is, the index of each image is 1, 2, 3, ..., 2.\n\nAnswer the quesntion with "
                                       "appropriate tools:\nHow far?\nPlease answer the question using a single word or phrase (e.g., 42 or 3.14)." BEGIN);
    json_decref(m);
    m = told("{\"format\": \"actions\"}", "[{\"role\": \"system\", \"content\": \"### Guidance\"}, {\"role\": \"user\", \"content\": \"?\"}]", "{}", NULL); /* complete already */
    assert_string_equal(text_of(m, 0), "### Guidance");
    assert_string_equal(text_of(m, 1), "?");
    json_decref(m);
    m = told("{\"format\": \"actions\", \"hint\": false}", USER("\"?\""), "{}", NULL);
    assert_non_null(strstr(text_of(m, 0), "absolute coordinates in JSON format\n"));
    assert_string_equal(text_of(m, 1), "\n### Question:\n?");
    json_decref(m);
}

static void short_messages_show_each_action(void **state) {
    (void)state;
    json_t *m = told("{\"format\": \"actions\", \"prompt\": \"actions\"}", USER("[" PICTURE ", " TEXT("Where?") "]"), "{\"problem_type\": \"numerical\"}", NULL);
    assert_non_null(strstr(text_of(m, 0), "You are a helpful assistant.\n\nMarks objects with labelled boxes. Write:\nAction: Object Mapper\n```json\n[{\"index\": 1, \"bbox_2d\""));
    assert_non_null(strstr(text_of(m, 0), "Write:\nAction: Path Tracer\n```json\n[{\"index\": 1, \"start_point_2d\""));
    assert_string_equal(text_of(m, 1), "[]Where?");
    json_decref(m);
}

static void configurations(void **state) {
    (void)state;
    static const char *const wrong[][2] = {
        {"{\"format\": \"action\"}", "env: format must be tool_call or actions"},
        {"{\"errors\": \"stop\"}", "env: errors must be answer or end"},
        {"{\"format\": \"actions\", \"prompt\": \"compact\"}", "env: prompt must be vilasr, actions or none, got \"compact\""},
        {"{\"prompt\": \"vilasr\"}", "env: prompt must be deepeyes, plain, compact or none"},
        {"{\"format\": \"actions\", \"tools\": [\"image_zoom_in_tool\"]}", "env: tools[0] must be one of image_draw_boxes_tool, image_draw_lines_tool, got image_zoom_in_tool"},
    };
    for (size_t i = 0; i < FV_COUNT(wrong); i++) {
        fv_env *env;
        fv_error err = {.text = ""};
        json_t *c = json_loads(wrong[i][0], 0, NULL);
        assert_int_equal(fv_env_open(&env, c, 28, &err), FV_BAD_RECIPE);
        if (!strstr(err.text, wrong[i][1])) fail_msg("%s", err.text);
        json_decref(c);
    }
}

/* Whatever is written, each turn ends the episode or is answered, and nothing crashes. */
static void garbage(void **state) {
    (void)state;
    static const char *const pieces[] = {"```json\n", "\n```", "[", "]", "{", "}", "'index': ", "\"index\": 1, ", "2", ", ", "\"bbox_2d\": [1, 2, 30, 40]", "\"label\": ", "\"a\"", "None", "1e308", "-9",
                                         "\"start_point_2d\": [1, 2]", "\"end_point_2d\": [50, 60]", "</think>", "<answer>", "\xff", "\\", "#", "\n", "[{\"index\": 1, \"bbox_2d\": [0, 0, 1e308, 9], \"label\": [1]}]"};
    stage s;
    begin(&s, plain);
    fv_random r = fv_random_stream(7);
    fv_text text = {0};
    int drawn = 0;
    for (int i = 0; i < 2000; i++) {
        fv_text_rewind(&text);
        fv_text_add(&text, "```json\n");
        for (int64_t n = fv_below(&r, 20); n > 0; n--) fv_text_add(&text, pieces[fv_below(&r, (int64_t)FV_COUNT(pieces))]);
        turn(&s, text.data);
        assert_true(s.step.terminated || s.step.truncated || json_array_size(s.content) > 0);
        drawn += s.count > 1;
        if (!s.step.truncated && s.count < 40) continue;
        end(&s);
        begin(&s, plain);
    }
    assert_true(drawn > 0);
    fv_text_clear(&text);
    end(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_drawing_is_a_new_picture),
        cmocka_unit_test(labels_are_replaced),
        cmocka_unit_test(each_index_makes_a_picture),
        cmocka_unit_test(lists_are_read_as_python_reads_them),
        cmocka_unit_test(bad_calls_are_answered_or_end_the_episode),
        cmocka_unit_test(how_episodes_end),
        cmocka_unit_test(spaces),
        cmocka_unit_test(messages_have_the_form_of_the_release),
        cmocka_unit_test(short_messages_show_each_action),
        cmocka_unit_test(configurations),
        cmocka_unit_test(garbage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
