/* Which frames are looked at, against data/frames.json: transformers' processors, qwen-vl-utils and the harnesses' formulas (tests/peers/video.py). */
#include "tests/vision/check.h"
#include "vision/frames.h"

#include <stdlib.h>
#include <string.h>

static fv_processor qwen2 = {.temporal = 2, .min_frames = 4, .max_frames = 768};
static fv_processor qwen3 = {.temporal = 2, .min_frames = 4, .max_frames = 768, .whole_clip = true, .sample = true, .fps = 2};

static fv_json_at place_of(const json_t *wish) { return (fv_json_at){.root = wish, .place = "picture", .status = FV_BAD_DATA}; }

static json_t *cases_of(const char *group, json_t **root) {
    fv_error err;
    OK(fv_json_read(root, DATA "frames.json", FV_BAD_DATA, &err));
    json_t *cases = json_object_get(*root, group);
    assert_true(json_array_size(cases) >= 20);
    return cases;
}

/* Long lists are there as their length and the checksum of their text. */
static bool same(const fv_frame_list *f, const json_t *c) {
    const json_t *want = json_object_get(c, "index");
    if (json_is_array(want)) {
        bool equal = (size_t)f->count == json_array_size(want);
        for (int i = 0; equal && i < f->count; i++) equal = f->index[i] == json_integer_value(json_array_get(want, (size_t)i));
        return equal;
    }
    fv_text t = {0};
    for (int i = 0; i < f->count; i++) fv_text_printf(&t, "%s%lld", i ? "," : "", (long long)f->index[i]);
    bool equal = f->count == json_integer_value(want) && crc32_of(t.data, t.size) == (uint32_t)int_at(c, "crc");
    fv_text_clear(&t);
    return equal;
}

static void check(const json_t *c, const fv_processor *p) {
    fv_error err = {0};
    fv_frame_wish wish;
    fv_frame_list f = {0};
    const json_t *want = json_object_get(c, "index"), *sampled = json_object_get(c, "sampled");
    char *text = json_dumps(json_object_get(c, "wish"), 0);
    fv_status status = fv_frame_wish_read(&wish, place_of(json_object_get(c, "wish")), &err);
    if (status == FV_OK) status = fv_frames_choose(&f, p, &wish, int_at(c, "total"), json_number_value(json_object_get(c, "fps")), &err);
    if (json_is_null(want)) {
        if (status != FV_BAD_DATA || !err.text[0]) fail_msg("%s of %lld frames: refused by the reference, %d frames here", text, (long long)int_at(c, "total"), f.count);
    } else if (status != FV_OK || !same(&f, c)) {
        fail_msg("%s of %lld frames at %g: %s (%d frames, from %lld)", text, (long long)int_at(c, "total"), json_number_value(json_object_get(c, "fps")), err.text, f.count,
                 f.count ? (long long)f.index[0] : -1);
    } else if (sampled) {
        assert_true(f.fps == json_number_value(sampled));
    }
    fv_frame_list_clear(&f);
    free(text);
}

static void families_look_as_transformers(void **state) {
    (void)state;
    json_t *root, *cases = cases_of("family", &root), *c;
    size_t i;
    json_array_foreach(cases, i, c) check(c, strcmp(json_string_value(json_object_get(c, "family")), "qwen3") == 0 ? &qwen3 : &qwen2);
    json_decref(root);
}

static void ranges_are_those_of_qwen_vl_utils(void **state) {
    (void)state;
    json_t *root, *cases = cases_of("range", &root), *c;
    size_t i;
    json_array_foreach(cases, i, c) check(c, &qwen2), check(c, &qwen3);
    json_decref(root);
}

static void policies_are_the_harnesses(void **state) {
    (void)state;
    json_t *root, *cases = cases_of("policy", &root), *c;
    size_t i;
    json_array_foreach(cases, i, c) check(c, i % 2 ? &qwen2 : &qwen3);
    json_decref(root);
}

static void wishes_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *wish, *says;
    } bad[] = {
        {"{\"fps\": 0}", "fps must be positive"},
        {"{\"fps\": 2, \"nframes\": 4}", "nframes must be absent beside fps"},
        {"{\"nframes\": 0}", "nframes must be an integer in 1..4096, got 0"},
        {"{\"nframes\": 14}", "nframes 14 must be at most the video's 12"},
        {"{\"frames\": {\"policy\": \"random\", \"n\": 4}}", "frames.policy must be uniform, centers, inner, linspace or fps, got \"random\""},
        {"{\"frames\": {\"policy\": \"inner\"}}", "frames.n must say how many"},
        {"{\"frames\": {\"policy\": \"inner\", \"n\": 2, \"fps\": 1}}", "frames.fps must be positive with policy fps, and absent with others"},
        {"{\"frames\": {\"policy\": \"inner\", \"n\": 2}, \"fps\": 1}", "fps must be absent beside frames"},
        {"{\"frames\": {\"policy\": \"fps\", \"fps\": 0.1}}", "too few to look at any"},
        {"{\"frames\": {\"policy\": \"fps\", \"fps\": 1e5}}", "at most 4096 can be"},
        {"{\"video_start\": \"1\"}", "video_start must be"},
        {"{\"video_start\": 3}", "video_start and video_end leave"},
    };
    for (size_t i = 0; i < FV_COUNT(bad); i++) {
        fv_error err = {0};
        fv_frame_wish wish;
        fv_frame_list f = {0};
        json_t *json = json_loads(bad[i].wish, 0, NULL);
        fv_status status = fv_frame_wish_read(&wish, place_of(json), &err);
        if (status == FV_OK) status = fv_frames_choose(&f, &qwen2, &wish, 12, 8, &err);
        if (status != FV_BAD_DATA || !strstr(err.text, bad[i].says)) fail_msg("%s: %d %s", bad[i].wish, status, err.text);
        assert_null(f.index);
        json_decref(json);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(families_look_as_transformers),
        cmocka_unit_test(ranges_are_those_of_qwen_vl_utils),
        cmocka_unit_test(policies_are_the_harnesses),
        cmocka_unit_test(wishes_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
