/* The targets of fuzz.h; tests/fuzz/test_fuzz.c replays their corpora and mutates them. Pictures have a target of their own, tests/fuzz/fuzz_image.c. */
#include "tests/fuzz/fuzz.h"

#include "core/weights.h"
#include "datasets/dataset.h"
#include "language/chat.h"
#include "language/tokenizer.h"
#include "language/tokenizer_parts.h"
#include "rl/recipe/recipe.h"
#include "rl/rewards/compare.h"
#include "rl/rewards/drawn.h"
#include "rl/rewards/thinking.h"
#include "rl/text/mathruler.h"
#include "rl/text/mathverify.h"
#include "rl/text/python.h"
#include "tools/calls.h"
#include "tools/env.h"
#include "tools/literal.h"
#include "vision/video.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* What must hold, in every build. */
static void must(bool holds) {
    if (!holds) abort();
}

/* A failure has its status and says something. */
static void must_say(fv_status status, const fv_error *err) { must(err->status == status && err->text[0] != '\0'); }

static json_t *parsed(const uint8_t *data, size_t size, fv_status status, fv_error *err) {
    json_t *json = NULL;
    fv_status s = fv_json_parse(&json, (const char *)data, size, "fuzz.json", 1, status, err);
    if (s == FV_OK) return json;
    must(json == NULL);
    must_say(s, err);
    return NULL;
}

/* As a text, which ends at the first NUL. The caller's. */
static char *text_of(const uint8_t *data, size_t size) {
    char *text = malloc(size + 1);
    must(text != NULL);
    memcpy(text, data, size);
    text[size] = '\0';
    return text;
}

/* ---- tokenizer.json: and a text there and back ----------------------------------------------------------------------------- */

static void there_and_back(const fv_tokenizer *t) {
    static const char text[] = "It's 12 plates, \xc3\xa9 e\xcc\x81 \xf0\x9f\x94\x8d\n\n  <|im_end|><tool_call>\xff";
    fv_error err = {0};
    fv_ids ids = {0};
    char *back = NULL;
    fv_status s = fv_tokenizer_encode(t, text, sizeof text - 1, &ids, NULL, &err);
    if (s == FV_OK) s = fv_tokenizer_decode(t, ids.ids, ids.count, false, &back, &err);
    if (s != FV_OK) must_say(s, &err);
    free(back);
    fv_ids_clear(&ids);
}

bool fuzz_tokenizer(const uint8_t *data, size_t size) {
    fv_error err = {0};
    json_t *json = parsed(data, size, FV_BAD_MODEL, &err);
    if (json == NULL) return false;
    fv_tokenizer *t = calloc(1, sizeof *t);
    must(t != NULL);
    fv_status s = fv_tokenizer_of(t, (fv_json_at){.root = json, .place = "fuzz.json", .status = FV_BAD_MODEL}, &err);
    json_decref(json);
    if (s == FV_OK) there_and_back(t);
    else must_say(s, &err);
    fv_tokenizer_close(t);
    return s == FV_OK;
}

/* ---- safetensors ----------------------------------------------------------------------------------------------------------- */

bool fuzz_safetensors(const uint8_t *data, size_t size) {
    fv_error err = {0};
    fv_status s = fv_weights_check(data, size, "fuzz.safetensors", &err);
    if (s != FV_OK) must_say(s, &err);
    return s == FV_OK;
}

/* ---- recipes: lines "#= path=value" are overrides as on the command line ------------------------------------------------------ */

bool fuzz_recipe(const uint8_t *data, size_t size) {
    enum { MOST = 4 };
    char *text = text_of(data, size), *lines = text_of(data, size), *rest = lines;
    const char *overrides[MOST];
    int count = 0;
    for (char *line; (line = strsep(&rest, "\n")) && count < MOST;)
        if (!strncmp(line, "#= ", 3)) overrides[count++] = line + 3;
    fv_error err = {0};
    fv_recipe *r, *again = NULL;
    fv_status s = fv_recipe_parse(&r, text, "fuzz.yaml", overrides, count, &err);
    if (s == FV_OK) { /* as a run folder keeps it, and as --resume reads it */
        fv_text first = {0}, second = {0};
        fv_recipe_write(r, &first);
        must(!first.failed && fv_recipe_parse(&again, first.data, "written.yaml", NULL, 0, &err) == FV_OK);
        fv_recipe_write(again, &second);
        must(!second.failed && strcmp(first.data, second.data) == 0);
        fv_recipe_close(again);
        fv_text_clear(&first);
        fv_text_clear(&second);
        fv_recipe_close(r);
    } else {
        must(r == NULL);
        must_say(s, &err);
    }
    free(lines);
    free(text);
    return s == FV_OK;
}

/* ---- rows: read, and made into the text of a conversation ---------------------------------------------------------------------- */

static void converse(const fv_row *row) {
    fv_error err = {0};
    const json_t *messages = json_object_get(row->json, "messages"), *config = json_object_get(row->json, "env");
    if (messages == NULL) return; /* a row of tokens */
    fv_env *env = NULL;
    json_t *told = NULL;
    fv_status s = config != NULL ? fv_env_open(&env, config, 28, &err) : FV_OK;
    if (s == FV_OK && env != NULL) s = fv_env_messages(env, messages, row->json, &(fv_frame_size){64, 40, 56, 28}, &told, &err);
    if (s != FV_OK) must_say(s, &err);
    static const fv_family families[] = {FV_QWEN2_5_VL, FV_QWEN3_VL};
    for (size_t i = 0; i < FV_COUNT(families); i++) {
        fv_chat *chat;
        fv_chat_text text;
        must(fv_chat_open(&chat, "/nonexistent", families[i], &err) == FV_OK);
        fv_chat_options options = {.tools = json_object_get(row->json, "tools"), .generation_prompt = true};
        s = fv_chat_render(chat, told != NULL ? told : messages, &options, &text, &err);
        if (s != FV_OK) must_say(s, &err);
        else must(text.span_count > 0 && text.spans[text.span_count - 1].end == strlen(text.text));
        fv_chat_text_clear(&text);
        fv_chat_close(chat);
    }
    json_decref(told);
    fv_env_close(env);
}

bool fuzz_rows(const uint8_t *data, size_t size) {
    int file = memfd_create("rows", MFD_CLOEXEC);
    must(file >= 0 && write(file, data, size) == (ssize_t)size);
    fv_error err = {0};
    fv_dataset *rows;
    json_t *path = json_sprintf("/proc/self/fd/%d", file);
    fv_status s = fv_dataset_open(&rows, path, 1, &err);
    if (s != FV_OK) must(rows == NULL), must_say(s, &err);
    int64_t good = 0;
    for (int64_t i = 0; s == FV_OK && i < fv_dataset_count(rows); i++) {
        fv_row *row;
        fv_status read = fv_dataset_row(rows, i, &row, &err);
        if (read == FV_OK) good++, converse(row);
        else must(row == NULL), must_say(read, &err);
        fv_row_free(row);
    }
    fv_dataset_close(rows);
    json_decref(path);
    close(file);
    return good > 0;
}

/* ---- turns: what a policy writes, and what the tools' environment makes of it --------------------------------------------------- */

static bool act(const char *config, const char *turn, const fv_image *image) {
    fv_error err = {0};
    fv_env *env;
    fv_episode *episode;
    fv_observation seen_now;
    fv_step step;
    fv_seen seen = {image, {image->width, image->height, 56, 28}};
    json_t *json = json_loads(config, 0, NULL);
    must(fv_env_open(&env, json, 28, &err) == FV_OK);
    json_decref(json);
    must(fv_env_reset(env, NULL, 1, &episode, &err) == FV_OK);
    must(fv_env_step(episode, turn, &seen, 1, &seen_now, &step, &err) == FV_OK); /* whatever a policy writes, the environment goes on */
    must(step.failures <= step.calls && (step.failures == 0) == (step.error[0] == '\0'));
    fv_observation_clear(&seen_now);
    fv_episode_close(episode);
    fv_env_close(env);
    return step.calls > step.failures || step.terminated;
}

static void call(fv_span body) {
    fv_error err = {0};
    fv_call first, second;
    fv_status s = fv_call_parse(&first, body, &err);
    if (s != FV_OK) {
        must_say(s, &err);
        return;
    }
    fv_text written = {0};
    fv_span inside;
    fv_call_write(&written, first.name, first.arguments);
    const char *cursor = written.data;
    if (fv_pair_next(&inside, &cursor, "<tool_call>", "</tool_call>") && strcmp(cursor, "") == 0) { /* no argument quotes a tag */
        must(fv_call_parse(&second, inside, &err) == FV_OK);
        must(strcmp(first.name, second.name) == 0 && json_equal(first.arguments, second.arguments));
        fv_call_clear(&second);
    }
    fv_text_clear(&written);
    fv_call_clear(&first);
}

bool fuzz_turn(const uint8_t *data, size_t size) {
    static const char config[] = "{\"tools\": [\"image_zoom_in_tool\", \"image_rotate_tool\", \"image_draw_boxes_tool\", \"image_draw_lines_tool\", \"image_draw_points_tool\"], "
                                 "\"calls\": \"all\", \"min_side\": 4}";
    static const char actions[] = "{\"format\": \"actions\"}";
    char *turn = text_of(data, size);
    const char *cursor = turn;
    fv_span body;
    while (fv_pair_next(&body, &cursor, "<tool_call>", "</tool_call>")) call(body);
    call((fv_span){turn, strlen(turn)});
    fv_error err = {0};
    fv_image *image;
    must(fv_image_new(&image, 64, 40, (const uint8_t[]){90, 120, 200}, &err) == FV_OK);
    bool understood = act(config, turn, image), drawn = act(actions, turn, image);
    if (strstr(turn, "```json") != NULL) understood = drawn;
    fv_image_free(image);
    free(turn);
    return understood;
}

/* ---- answers of a policy: the first line is one, the rest the right one; all of it is an episode, a judge's text and a Python value ---------- */

bool fuzz_answer(const uint8_t *data, size_t size) {
    static fv_compare *const ways[] = {fv_compare_text, fv_compare_letters, fv_compare_subset, fv_compare_whole_set, fv_compare_mathruler, fv_compare_rounded, fv_compare_relative, fv_compare_regression,
                                       fv_compare_words, fv_compare_words_exp, fv_compare_rouge, fv_compare_iou, fv_compare_hit, fv_compare_boxes};
    char *text = text_of(data, size);
    fv_span all = fv_span_of(text), given = fv_py_before(all, "\n"), right = {given.text + given.size, all.size - given.size};
    fv_error err = {0};
    fv_turns turns;
    bool formed, understood = fv_mathruler_grade(given, right);
    for (size_t i = 0; i < FV_COUNT(ways); i++) {
        double worth = ways[i](given, right);
        must(worth >= 0 && worth <= 1);
    }
    must(fv_mathruler_grade(given, given) && fv_thinking_score(all, NULL) >= 0 && fv_thinking_score(all, NULL) <= 1);
    understood |= fv_math_verify(given, right);
    json_t *value = fv_literal(all);
    understood |= value != NULL;
    must(fv_turns_open(&turns, &(fv_response){.id = "fuzz", .text = text}, &err) == FV_OK && turns.count > 0);
    json_t *boxes = fv_drawn_boxes(&turns, &formed);
    must(boxes != NULL && (formed || json_array_size(boxes) == 0));
    json_decref(boxes);
    json_decref(value);
    fv_turns_close(&turns);
    free(text);
    return understood || formed;
}

/* ---- config.json -------------------------------------------------------------------------------------------------------------- */

bool fuzz_config(const uint8_t *data, size_t size) {
    fv_error err = {0};
    fv_config config;
    json_t *json = parsed(data, size, FV_BAD_MODEL, &err);
    if (json == NULL) return false;
    fv_status s = fv_config_of(&config, json, "fuzz.json", &err);
    if (s != FV_OK) {
        must(config.raw == NULL);
        must_say(s, &err);
    }
    fv_config_clear(&config);
    json_decref(json);
    return s == FV_OK;
}

/* ---- video files ---------------------------------------------------------------------------------------------------------------- */

static fv_status watch_frame(void *context, int k, const fv_image *frame, fv_error *err) {
    const fv_video_facts *about = context;
    (void)k, (void)err;
    must(frame->width == about->width && frame->height == about->height && frame->rgb != NULL);
    return FV_OK;
}

bool fuzz_video(const uint8_t *data, size_t size) {
    enum { MOST = 24 };
    fv_error err = {0};
    fv_video *video;
    fv_status s = fv_video_open(&video, data, size, "fuzz.mp4", &err);
    if (s != FV_OK) {
        must(video == NULL);
        must_say(s, &err);
        return false;
    }
    fv_video_facts about = fv_video_about(video);
    must(about.frames > 0 && about.fps > 0 && about.width > 0 && about.height > 0);
    int64_t index[MOST], n = about.frames < MOST ? about.frames : MOST;
    for (int64_t i = 0; i < n; i++) index[i] = i < n / 2 ? i : about.frames - n + i; /* the first ones, and the last by seeking */
    s = fv_video_decode(video, index, (int)n, watch_frame, &about, &err);
    if (s != FV_OK) must_say(s, &err);
    fv_video_close(video);
    return s == FV_OK;
}
