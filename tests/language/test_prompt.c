/* Conversations as tokens against transformers: data/prompt/cases.json is written by tests/peers/prompt.py, videos.json by video.py. The models are new ones. */
#include "core/file.h"
#include "language/prompt.h"
#include "tests/vision/crc.h"

#include <stdarg.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define DATA FOVEA_SOURCE "/tests/language/data/prompt"
#define VIDEOS FOVEA_SOURCE "/tests/vision/data/video"

enum { QWEN2_5_VL, QWEN3_VL, QWEN2_VL, MODELS };
static fv_model *models[MODELS];
static char folder[] = "/tmp/fovea-prompt-XXXXXX";

static int make_models(void **state) {
    (void)state;
    static const char *const presets[MODELS] = {"tiny", DATA "/qwen3_vl.json", DATA "/qwen2_vl.json"};
    if (mkdtemp(folder) == NULL) return -1;
    for (int i = 0; i < MODELS; i++) {
        char path[64];
        fv_error err = {0};
        snprintf(path, sizeof path, "%s/%d", folder, i);
        if (fv_model_init(presets[i], 1, path, FV_BF16, &err) != FV_OK || fv_model_open(&models[i], path, &err) != FV_OK) {
            print_error("%s\n", err.text);
            return -1;
        }
    }
    return 0;
}

static int drop_models(void **state) {
    (void)state;
    for (int i = 0; i < MODELS; i++) fv_model_close(models[i]);
    return fv_path_remove(folder, NULL) != FV_OK;
}

static json_t *parse(const char *text) {
    json_t *json;
    fv_error err = {0};
    if (fv_json_parse(&json, text, strlen(text), "here", 1, FV_BAD_DATA, &err) != FV_OK) fail_msg("%s", err.text);
    return json;
}

/* Pictures of the given sizes, in memory. */
typedef struct {
    fv_image *images[8];
    fv_media media;
} album;

static void open_album(album *a, const json_t *sizes) {
    memset(a, 0, sizeof *a);
    a->media = (fv_media){.folder = VIDEOS, .images = a->images, .image_count = (int)json_array_size(sizes)};
    for (int i = 0; i < a->media.image_count; i++) {
        const json_t *size = json_array_get(sizes, (size_t)i);
        int width = (int)json_integer_value(json_array_get(size, 0)), height = (int)json_integer_value(json_array_get(size, 1));
        assert_int_equal(fv_image_new(&a->images[i], width, height, (uint8_t[]){40, 90, 160}, NULL), FV_OK);
    }
}

static void close_album(album *a) {
    for (int i = 0; i < a->media.image_count; i++) fv_image_free(a->images[i]);
}

static void check_grids(const fv_prompt *p, bool video, const json_t *want) {
    size_t k = 0;
    for (int i = 0; i < p->picture_count; i++) {
        if (p->pictures[i]->video != video) continue;
        for (size_t axis = 0; axis < 3; axis++)
            assert_int_equal(p->pictures[i]->patches->grid[axis], json_integer_value(json_array_get(json_array_get(want, k), axis)));
        k++;
    }
    assert_int_equal(k, json_array_size(want));
}

static void check_positions(const fv_model *m, const fv_prompt *p, const json_t *want) {
    int n = p->tokens.count;
    int32_t *rows = malloc(3 * (size_t)n * sizeof *rows), next = 0;
    fv_positions(&m->config, p->tokens.ids, n, p->pictures, p->picture_at, p->picture_count, rows, n, &next);
    const json_t *positions = json_object_get(want, "positions");
    for (int axis = 0; axis < 3; axis++)
        for (int i = 0; i < n; i++)
            assert_int_equal(rows[axis * n + i], json_integer_value(json_array_get(json_array_get(positions, (size_t)axis), (size_t)i)));
    assert_int_equal(next, json_integer_value(json_object_get(want, "next")));
    free(rows);
}

static uint32_t pixel_crc(const fv_processor *how, const fv_patches *patches) {
    return crc32_of(patches->pixels, (size_t)fv_patches_rows(patches) * 3 * (size_t)(how->temporal * how->patch * how->patch) * sizeof(float));
}

static const fv_model *model_of(const char *family) {
    for (int i = 0; i < MODELS; i++)
        if (strcmp(models[i]->config.model_type, family) == 0) return models[i];
    fail_msg("no model of the family %s", family);
    return NULL;
}

static void check_case(const json_t *c, size_t number) {
    const fv_model *m = model_of(json_string_value(json_object_get(c, "family")));
    const json_t *want = json_object_get(c, "want"), *ids = json_object_get(want, "ids");
    fv_chat_options options = {.generation_prompt = json_is_true(json_object_get(c, "generation_prompt"))};
    fv_error err = {0};
    fv_prompt p;
    album a;
    open_album(&a, json_object_get(c, "images"));
    if (fv_prompt_make(m, json_object_get(c, "messages"), &options, &a.media, &p, &err) != FV_OK) fail_msg("case %zu: %s", number, err.text);
    assert_int_equal(p.tokens.count, json_array_size(ids));
    for (int i = 0; i < p.tokens.count; i++) assert_int_equal(p.tokens.ids[i], json_integer_value(json_array_get(ids, (size_t)i)));
    check_grids(&p, false, json_object_get(want, "image_grid_thw"));
    check_grids(&p, true, json_object_get(want, "video_grid_thw"));
    check_positions(m, &p, want);
    const json_t *seconds = json_array_get(json_object_get(want, "second_per_grid_ts"), 0);
    if (seconds != NULL) assert_true((float)p.pictures[0]->second_per_grid == (float)json_real_value(seconds)); /* the processor's tensor is f32 */
    const json_t *pixels = json_object_get(c, "pixels"); /* checksum of pixel_values_videos */
    if (pixels != NULL && pixel_crc(&m->video, p.pictures[0]->patches) != (uint32_t)json_integer_value(pixels)) fail_msg("case %zu: other pixels", number);
    fv_prompt_clear(&p);
    close_album(&a);
}

static void check_cases(const char *path) {
    json_t *cases, *c;
    size_t i;
    assert_int_equal(fv_json_read(&cases, path, FV_BAD_DATA, NULL), FV_OK);
    assert_true(json_array_size(cases) >= 5 * MODELS);
    json_array_foreach(cases, i, c) check_case(c, i);
    json_decref(cases);
}

static void same_tokens_and_positions_as_transformers(void **state) {
    (void)state;
    check_cases(DATA "/cases.json");
}

/* From the file to the model: the frames that are looked at, their pixels to the bit, time stamps, positions in time. */
static void videos_are_seen_as_by_transformers(void **state) {
    (void)state;
    check_cases(DATA "/videos.json");
}

/* A video's frames, as they are kept, are a clip that is seen as the video is: rollouts write it so. */
static void frames_stand_for_their_video(void **state) {
    (void)state;
    static const char *const parts[] = {"{\"video\": \"h264-keys.mkv\", \"fps\": 2.5}", "{\"video\": \"vp9-odd.webm\", \"frames\": {\"policy\": \"inner\", \"n\": 5}}"};
    for (size_t i = 0; i < FV_COUNT(parts) * MODELS; i++) {
        const fv_model *m = models[i % MODELS];
        json_t *part = parse(parts[i / MODELS]), *names = json_array();
        fv_error err = {0};
        fv_picture *film, *clip;
        if (fv_picture_load(m, part, &(fv_media){.folder = VIDEOS}, &film, &err) != FV_OK) fail_msg("%s", err.text);
        for (int k = 0; k < film->frame_count; k++) json_array_append_new(names, json_sprintf("#%d", k));
        json_t *list = json_pack("{s:o, s:f, s:I, s:I}", "video", names, "fps", film->fps, "min_pixels", (json_int_t)film->min_pixels, "max_pixels", (json_int_t)film->max_pixels);
        if (fv_picture_load(m, list, &(fv_media){.images = film->frames, .image_count = film->frame_count}, &clip, &err) != FV_OK) fail_msg("%s", err.text);
        assert_true(clip->hash == film->hash && clip->second_per_grid == film->second_per_grid);
        assert_memory_equal(clip->patches->grid, film->patches->grid, sizeof clip->patches->grid);
        assert_true(pixel_crc(&m->video, clip->patches) == pixel_crc(&m->video, film->patches));
        fv_picture_drop(clip);
        fv_picture_drop(film);
        json_decref(list);
        json_decref(part);
    }
}

/* The text of the tokens whose mask is 1. */
static char *learned(const fv_model *m, const fv_prompt *p) {
    fv_ids ids = {0};
    char *text;
    for (int i = 0; i < p->tokens.count; i++)
        if (p->mask[i]) assert_int_equal(fv_ids_add(&ids, p->tokens.ids[i], NULL), FV_OK);
    assert_int_equal(fv_tokenizer_decode(m->tokenizer, ids.ids, ids.count, false, &text, NULL), FV_OK);
    fv_ids_clear(&ids);
    return text;
}

static void mask_is_what_the_assistant_wrote(void **state) {
    (void)state;
    json_t *messages = parse("[{\"role\": \"user\", \"content\": \"<|im_start|>assistant\\nno\"}, {\"role\": \"assistant\", \"content\": \"e\\u0301 7\"},"
                             " {\"role\": \"user\", \"content\": \"more\"}, {\"role\": \"assistant\", \"content\": \"<answer>8</answer>\"}]");
    for (int i = 0; i < MODELS; i++) {
        fv_prompt p;
        assert_int_equal(fv_prompt_make(models[i], messages, NULL, NULL, &p, NULL), FV_OK);
        char *text = learned(models[i], &p);
        assert_string_equal(text, "\u00e9 7<|im_end|><answer>8</answer><|im_end|>");
        free(text);
        fv_prompt_clear(&p);
    }
    json_decref(messages);
}

/* "weight": 0 changes what is learned, not what is read: the tokens are those of the conversation without it. */
static void weightless_turns_keep_their_tokens(void **state) {
    (void)state;
    json_t *messages = parse("[{\"role\": \"user\", \"content\": \"a\"}, {\"role\": \"assistant\", \"content\": \"\\n\\n first\"}, {\"role\": \"user\", \"content\": \"b\"}, {\"role\": \"assistant\", \"content\": \"second\"}]");
    for (int i = 0; i < MODELS; i++) {
        fv_prompt with, without;
        json_object_del(json_array_get(messages, 1), "weight");
        assert_int_equal(fv_prompt_make(models[i], messages, NULL, NULL, &with, NULL), FV_OK);
        json_object_set_new(json_array_get(messages, 1), "weight", json_integer(0));
        assert_int_equal(fv_prompt_make(models[i], messages, NULL, NULL, &without, NULL), FV_OK);
        assert_int_equal(with.tokens.count, without.tokens.count);
        assert_memory_equal(with.tokens.ids, without.tokens.ids, (size_t)with.tokens.count * sizeof *with.tokens.ids);
        char *text = learned(models[i], &without);
        assert_string_equal(text, "second<|im_end|>");
        free(text);
        fv_prompt_clear(&with);
        fv_prompt_clear(&without);
    }
    json_decref(messages);
}

static void tokens_are_taken_as_they_are(void **state) {
    (void)state;
    const fv_model *m = models[QWEN3_VL];
    json_t *sizes = parse("[[100, 80], [100, 80]]"), *part = parse("{\"image\": \"#1\", \"max_pixels\": 4096}");
    album a;
    open_album(&a, sizes);
    fv_prompt p, again;
    fv_error err = {0};
    assert_int_equal(fv_prompt_text(m, "see <|vision_start|><|image_pad|><|vision_end|>\n", (const json_t *[]){part}, 1, &a.media, &p, &err), FV_OK);
    assert_int_equal(p.pictures[0]->max_pixels, 4096);
    assert_int_equal(fv_patches_tokens(p.pictures[0]->patches, 2), 2); /* 64 x 32 pixels, patches of 16 */
    assert_int_equal(fv_prompt_ids(m, p.tokens.ids, NULL, p.tokens.count, (const json_t *[]){part}, 1, &a.media, &again, &err), FV_OK);
    assert_int_equal(again.tokens.count, p.tokens.count);
    assert_int_equal(again.picture_at[0], p.picture_at[0]);
    assert_true(again.pictures[0]->hash == p.pictures[0]->hash);
    fv_prompt_clear(&again);
    assert_int_equal(fv_prompt_ids(m, p.tokens.ids, NULL, p.tokens.count - 4, (const json_t *[]){part}, 1, &a.media, &again, &err), FV_BAD_DATA);
    assert_non_null(strstr(err.text, "placeholders"));
    assert_int_equal(fv_prompt_ids(m, (int32_t[]){704}, NULL, 1, NULL, 0, NULL, &again, &err), FV_BAD_DATA);
    assert_string_equal(err.text, "input_ids[0] must be 0..703, got 704");
    fv_prompt_clear(&p);
    close_album(&a);
    json_decref(sizes);
    json_decref(part);
}

static void complaints_say_what_is_wrong(void **state) {
    (void)state;
    static const struct {
        const char *content, *says;
        fv_status status;
    } bad[] = {
        {"\"a literal <|image_pad|>\"", "the text has 1 placeholders for 0 pictures", FV_BAD_DATA},
        {"[{\"type\": \"image\", \"image\": \"#9\"}]", "picture #9: there are 1 pictures in memory", FV_BAD_DATA},
        {"[{\"type\": \"image\", \"image\": \"not-there.png\"}]", "not-there.png", FV_IO},
        {"[{\"type\": \"video\", \"video\": \"film.mp4\"}]", "/film.mp4: ", FV_IO},
        {"[{\"type\": \"video\", \"video\": \"../420.jpg\"}]", "420.jpg: ", FV_BAD_DATA},
        {"[{\"type\": \"video\", \"video\": \"h264.mp4\", \"nframes\": 40}]", "h264.mp4: nframes 40 must be at most the video's 12", FV_BAD_DATA},
        {"[{\"type\": \"video\", \"video\": \"h264.mp4\", \"max_pixels\": 0}]", "max_pixels", FV_BAD_DATA},
        {"[{\"type\": \"video\", \"video\": \".\"}]", "there is no picture in it", FV_BAD_DATA},
        {"[{\"type\": \"video\", \"video\": []}]", "video must be a list of 1..", FV_BAD_DATA},
        {"[{\"type\": \"video\", \"video\": [\"#0\", \"#0\"], \"fps\": 0}]", "fps must be positive", FV_BAD_DATA},
        {"[{\"type\": \"video\", \"video\": [\"#0\", \"#0\"], \"nframes\": 2}]", "nframes must be absent", FV_BAD_DATA},
        {"[{\"type\": \"image\"}]", "a picture's part must have image", FV_BAD_DATA},
        {"[{\"type\": \"image\", \"image\": \"#0\", \"max_pixels\": -1}]", "max_pixels", FV_BAD_DATA},
    };
    json_t *sizes = parse("[[60, 60]]");
    album a;
    open_album(&a, sizes);
    for (size_t i = 0; i < FV_COUNT(bad); i++) {
        json_t *content = parse(bad[i].content), *messages = json_pack("[{s:s, s:O}]", "role", "user", "content", content);
        fv_prompt p;
        fv_error err = {0};
        fv_status status = fv_prompt_make(models[QWEN2_5_VL], messages, NULL, &a.media, &p, &err);
        if (status != bad[i].status || strstr(err.text, bad[i].says) == NULL) fail_msg("case %zu: %d %s", i, status, err.text);
        assert_null(p.tokens.ids);
        json_decref(messages);
        json_decref(content);
    }
    close_album(&a);
    json_decref(sizes);
}

/* Qwen2.5-VL's clips take tokens_per_second positions a second, Qwen2-VL's one a pair of frames, and what follows begins after the largest position of all. */
static void long_clips_push_positions_on(void **state) {
    (void)state;
    static const struct {
        int model, pair; /* positions that a pair takes: 2 seconds, 2 a second; or 1 */
    } cases[] = {{QWEN2_5_VL, 4}, {QWEN2_VL, 1}};
    json_t *sizes = parse("[[56, 56]]"), *part = parse("{\"video\": [\"#0\", \"#0\", \"#0\", \"#0\", \"#0\", \"#0\", \"#0\", \"#0\"], \"fps\": 1}");
    album a;
    open_album(&a, sizes);
    for (size_t c = 0; c < FV_COUNT(cases); c++) {
        const fv_model *m = models[cases[c].model];
        fv_prompt p;
        fv_error err = {0};
        assert_int_equal(fv_prompt_text(m, "<|vision_start|><|video_pad|><|vision_end|>", (const json_t *[]){part}, 1, &a.media, &p, &err), FV_OK);
        int n = p.tokens.count, last = 11 + 3 * cases[c].pair;
        int32_t rows[3 * 64], next = 10;
        assert_int_equal(n, 18); /* 4 pairs of 4 tokens, and two around them */
        fv_positions(&m->config, p.tokens.ids, n, p.pictures, p.picture_at, 1, rows, 64, &next);
        for (int i = 0; i < 16; i++) assert_int_equal(rows[1 + i], 11 + i / 4 * cases[c].pair);
        assert_int_equal(rows[17], last + 1);
        assert_int_equal(next, last + 2);
        fv_prompt_clear(&p);
    }
    close_album(&a);
    json_decref(sizes);
    json_decref(part);
}

/* Frames and the width at which they are seen. */
static void check_film(const fv_model *m, const char *text, int frames, int width) {
    json_t *part = parse(text);
    fv_picture *p;
    fv_error err = {0};
    if (fv_picture_load(m, part, &(fv_media){.folder = VIDEOS}, &p, &err) != FV_OK) fail_msg("%s: %s", text, err.text);
    assert_int_equal(p->patches->width, 64);
    assert_int_equal(p->frame_count, frames);
    assert_int_equal(p->patches->view_width, width);
    fv_picture_drop(p);
    json_decref(part);
}

/* What is said for all rows holds where a row does not say it: which frames in one piece, limits one by one. */
static void rows_win_over_what_is_said_for_all(void **state) {
    (void)state;
    fv_model *m = models[QWEN2_5_VL];
    fv_error err = {0};
    json_t *fields = parse("{\"nframes\": 4, \"min_pixels\": 9000}");
    check_film(m, "{\"video\": \"h264.mp4\"}", 12, 56);
    assert_int_equal(fv_model_watch(m, NULL, fields, &err), FV_OK);
    check_film(m, "{\"video\": \"h264.mp4\"}", 4, 112);
    check_film(m, "{\"video\": \"h264.mp4\", \"fps\": 4}", 6, 112);
    check_film(m, "{\"video\": \"h264.mp4\", \"min_pixels\": 3136}", 4, 56);
    json_decref(fields);
    static const char *const bad[][2] = {{"{\"fps\": 0}", "video: fps must be positive"}, {"{\"frame\": 3}", "video: there is no field frame"}, {"{\"min_pixels\": \"a\"}", "video: min_pixels must be"}};
    for (size_t i = 0; i < FV_COUNT(bad); i++) {
        fields = parse(bad[i][0]);
        assert_int_equal(fv_model_watch(m, NULL, fields, &err), FV_BAD_RECIPE);
        assert_non_null(strstr(err.text, bad[i][1]));
        json_decref(fields);
    }
    assert_int_equal(fv_model_watch(m, NULL, NULL, &err), FV_OK);
    check_film(m, "{\"video\": \"h264.mp4\"}", 12, 56);
}

/* A size that is asked for is the size, rounded; so a drawing on a clip's frame is seen as the frame is, where limits alone would round anew. */
static void sizes_can_be_asked_for(void **state) {
    (void)state;
    fv_model *m = models[QWEN2_5_VL];
    fv_error err = {0};
    fv_image *im;
    assert_int_equal(fv_image_new(&im, 640, 480, (const uint8_t[3]){9, 9, 9}, &err), FV_OK);
    fv_media media = {.images = &im, .image_count = 1};
    static const struct {
        const char *part;
        int width, height;
    } cases[] = {{"{\"image\": \"#0\", \"resized_height\": 100, \"resized_width\": 300, \"max_pixels\": 3136}", 308, 112},
                 {"{\"video\": [\"#0\", \"#0\"], \"max_pixels\": 200704}", 504, 364},
                 {"{\"video\": [\"#0\", \"#0\"], \"max_pixels\": 200704, \"total_pixels\": 100352}", 364, 252},
                 {"{\"video\": [\"#0\", \"#0\", \"#0\", \"#0\"], \"max_pixels\": 200704, \"total_pixels\": 200704}", 364, 252},
                 {"{\"video\": [\"#0\", \"#0\"], \"min_pixels\": 100352, \"total_pixels\": 784}", 364, 280},
                 {"{\"image\": \"#0\", \"min_pixels\": 183456, \"max_pixels\": 183456}", 476, 364}, /* 504 x 364 pixels */
                 {"{\"image\": \"#0\", \"resized_height\": 364, \"resized_width\": 504}", 504, 364},
                 {"{\"video\": [\"#0\", \"#0\"], \"resized_height\": 364, \"resized_width\": 504}", 504, 364}};
    for (size_t i = 0; i < FV_COUNT(cases); i++) {
        json_t *part = parse(cases[i].part);
        fv_picture *p;
        if (fv_picture_load(m, part, &media, &p, &err) != FV_OK) fail_msg("%s", err.text);
        if (p->patches->view_width != cases[i].width || p->patches->view_height != cases[i].height) fail_msg("%s is seen as %dx%d", cases[i].part, p->patches->view_width, p->patches->view_height);
        fv_picture_drop(p);
        json_decref(part);
    }
    json_t *half = parse("{\"image\": \"#0\", \"resized_height\": 364}");
    fv_picture *p;
    assert_int_equal(fv_picture_load(m, half, &media, &p, &err), FV_BAD_DATA);
    assert_non_null(strstr(err.text, "resized_height must have the other side beside it"));
    json_decref(half);
    fv_image_free(im);
}

/* The same of pictures. Last of all tests: it stays said. */
static void pictures_are_as_large_as_is_said(void **state) {
    (void)state;
    fv_model *m = models[QWEN2_5_VL];
    fv_error err = {0};
    fv_image *im;
    assert_int_equal(fv_image_new(&im, 280, 280, (const uint8_t[3]){9, 9, 9}, &err), FV_OK);
    fv_media media = {.images = &im, .image_count = 1};
    json_t *limits = parse("{\"min_pixels\": 3136, \"max_pixels\": 12544}"), *unknown = parse("{\"fps\": 1}"), *crossed = parse("{\"min_pixels\": 9, \"max_pixels\": 8}");
    json_t *parts[] = {parse("{\"image\": \"#0\"}"), parse("{\"image\": \"#0\", \"max_pixels\": 3136}")};
    assert_int_equal(fv_model_watch(m, unknown, NULL, &err), FV_BAD_RECIPE);
    assert_string_equal(err.text, "image: there is no field fps; min_pixels and max_pixels are known");
    assert_int_equal(fv_model_watch(m, crossed, NULL, &err), FV_BAD_RECIPE);
    assert_int_equal(fv_model_watch(m, limits, NULL, &err), FV_OK);
    for (int i = 0; i < 2; i++) {
        fv_picture *p;
        assert_int_equal(fv_picture_load(m, parts[i], &media, &p, &err), FV_OK);
        assert_int_equal(p->patches->view_width, i ? 56 : 112);
        fv_picture_drop(p);
        json_decref(parts[i]);
    }
    json_decref(limits), json_decref(unknown), json_decref(crossed);
    fv_image_free(im);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_tokens_and_positions_as_transformers), cmocka_unit_test(mask_is_what_the_assistant_wrote), cmocka_unit_test(weightless_turns_keep_their_tokens),
        cmocka_unit_test(tokens_are_taken_as_they_are),              cmocka_unit_test(complaints_say_what_is_wrong),
        cmocka_unit_test(long_clips_push_positions_on),              cmocka_unit_test(videos_are_seen_as_by_transformers),
        cmocka_unit_test(frames_stand_for_their_video),              cmocka_unit_test(rows_win_over_what_is_said_for_all), cmocka_unit_test(sizes_can_be_asked_for), cmocka_unit_test(pictures_are_as_large_as_is_said),
    };
    return cmocka_run_group_tests(tests, make_models, drop_models);
}
