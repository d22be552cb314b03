/* smart_resize, patches and settings against transformers' processors; pixel values to the last bit. */
#include "tests/vision/check.h"
#include "vision/processor.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void sizes_match(void **state) {
    (void)state;
    json_t *root, *cases = expected(&root, "sizes.cases"), *c;
    size_t i;
    json_array_foreach(cases, i, c) {
        fv_error err;
        int64_t v[7];
        for (size_t k = 0; k < 7; k++) v[k] = json_integer_value(json_array_get(c, k));
        int h, w;
        OK(fv_smart_resize(&h, &w, (int)v[0], (int)v[1], (int)v[2], v[3], v[4], &err));
        if (h != v[5] || w != v[6]) fail_msg("(%d, %d) became (%d, %d), not (%d, %d)", (int)v[0], (int)v[1], h, w, (int)v[5], (int)v[6]);
    }
    json_decref(root);
}

/* All sizes of a grid, as the script sweeps them. */
static void sizes_match_over_a_sweep(void **state) {
    (void)state;
    json_t *root, *cases = expected(&root, "sizes.sweep"), *c;
    size_t i;
    int32_t *pairs = malloc(2 * 78 * 70 * sizeof *pairs);
    json_array_foreach(cases, i, c) {
        fv_error err;
        size_t n = 0;
        for (int h = 1; h < 700; h += 9)
            for (int w = 1; w < 900; w += 13) {
                if ((h > w ? h : w) > 200 * (h > w ? w : h)) continue;
                int factor = (int)int_at(c, "factor"), frames = (int)int_at(c, "frames"), out_h, out_w;
                int64_t least = int_at(c, "min"), most = int_at(c, "max");
                if (frames) OK(fv_smart_resize_clip(&out_h, &out_w, frames, h, w, 2, factor, least, most, &err));
                else OK(fv_smart_resize(&out_h, &out_w, h, w, factor, least, most, &err));
                pairs[n++] = out_h;
                pairs[n++] = out_w;
            }
        if (crc32_of(pairs, n * sizeof *pairs) != (uint32_t)int_at(c, "crc")) fail_msg("sweep %d differs", (int)i);
    }
    free(pairs);
    json_decref(root);
}

static void sizes_are_refused(void **state) {
    (void)state;
    fv_error err;
    int h, w;
    assert_int_equal(fv_smart_resize(&h, &w, 10, 2001, 28, 3136, 100000, &err), FV_BAD_DATA);
    assert_string_equal(err.text, "a picture of 2001x10: one side must be at most 200 times the other, is 200.1");
    assert_int_equal(fv_smart_resize(&h, &w, 10, 2000, 28, 3136, 100000, &err), FV_OK);
    assert_int_equal(fv_smart_resize(&h, &w, 10, 10, 28, 0, 100000, &err), FV_BAD_DATA);
    assert_int_equal(fv_smart_resize(&h, &w, 10, 10, 28, (int64_t)1 << 40, (int64_t)1 << 40, &err), FV_BAD_DATA);
    assert_int_equal(fv_smart_resize_clip(&h, &w, 1, 64, 64, 2, 32, 4096, 100000, &err), FV_BAD_DATA);
    assert_string_equal(err.text, "a video must have at least 2 frames, got 1");
}

/* cap_pixels_per_frame, over the shapes of data/frames.json (tests/peers/video.py). */
static void frames_share_a_budget(void **state) {
    (void)state;
    fv_error err;
    json_t *root, *cases, *c;
    size_t i;
    OK(fv_json_read(&root, DATA "frames.json", FV_BAD_DATA, &err));
    cases = json_object_get(root, "cap");
    assert_true(json_array_size(cases) >= 20);
    json_array_foreach(cases, i, c) {
        fv_processor p = {.patch = (int)int_at(c, "patch"), .merge = 2, .temporal = 2, .min_pixels = item(c, "limits", 0), .max_pixels = item(c, "limits", 1), .resize = true,
                          .whole_clip = strcmp(json_string_value(json_object_get(c, "family")), "qwen3") == 0, .cap_tokens = int_at(c, "tokens")};
        int h, w;
        OK(fv_view_size(&h, &w, &p, (int)int_at(c, "frames"), item(c, "from", 0), item(c, "from", 1), 0, 0, &err));
        if (h != item(c, "to", 0) || w != item(c, "to", 1)) fail_msg("case %zu: %dx%d, not %dx%d", i, w, h, item(c, "to", 1), item(c, "to", 0));
    }
    json_decref(root);
}

static bool flag(const json_t *c, const char *key) { return !json_is_false(json_object_get(c, key)); }

static fv_processor processor_of(const json_t *c) {
    fv_processor p = {.patch = (int)int_at(c, "patch"), .merge = 2, .temporal = 2, .min_pixels = item(c, "limits", 0), .max_pixels = item(c, "limits", 1),
                      .resize = flag(c, "resize"), .rescale = flag(c, "rescale"), .normalize = flag(c, "normalize"),
                      .whole_clip = strcmp(json_string_value(json_object_get(c, "kind")), "clip") == 0,
                      .rescale_factor = json_number_value(json_object_get(c, "rescale_factor"))};
    for (size_t k = 0; k < 3; k++) {
        p.mean[k] = (float)json_number_value(json_array_get(json_object_get(c, "mean"), k));
        p.std[k] = (float)json_number_value(json_array_get(json_object_get(c, "std"), k));
    }
    return p;
}

static void patches_match_to_the_bit(void **state) {
    (void)state;
    json_t *root, *cases = expected(&root, "patched"), *c;
    size_t i;
    json_array_foreach(cases, i, c) {
        fv_error err;
        fv_processor p = processor_of(c);
        int count = (int)int_at(c, "frames"), w = (int)int_at(c, "width"), h = (int)int_at(c, "height");
        size_t bytes = (size_t)w * (size_t)h * 3;
        uint8_t *all = malloc(bytes * (size_t)count);
        noise(all, bytes * (size_t)count, (int)int_at(c, "seed"));
        fv_image frames[8];
        const fv_image *list[8];
        for (int t = 0; t < count; t++) {
            frames[t] = (fv_image){.width = w, .height = h, .rgb = all + (size_t)t * bytes};
            list[t] = &frames[t];
        }
        fv_patches *out;
        OK(fv_patches_make(&out, &p, list, count, 0, 0, &err));
        for (size_t k = 0; k < 3; k++) {
            assert_int_equal(out->grid[k], item(c, "grid", k));
            double want = json_number_value(json_array_get(json_object_get(c, "first"), k));
            if ((double)out->pixels[k] != want) fail_msg("case %d (%dx%d): value %d is %.9g, not %.9g", (int)i, w, h, (int)k, (double)out->pixels[k], want);
        }
        size_t n = (size_t)fv_patches_rows(out) * 6 * (size_t)(p.patch * p.patch);
        if (crc32_of(out->pixels, n * sizeof *out->pixels) != (uint32_t)int_at(c, "crc")) fail_msg("case %d (%dx%d) differs", (int)i, w, h);
        assert_int_equal(out->width, w);
        assert_int_equal(out->view_height, out->grid[1] * p.patch);
        assert_int_equal(fv_patches_tokens(out, 2) * 4, fv_patches_rows(out));
        fv_patches_free(out);
        free(all);
    }
    json_decref(root);
}

static const fv_processor plain = {.patch = 14, .merge = 2, .temporal = 2, .min_pixels = 3136, .max_pixels = 1 << 20, .std = {1, 1, 1}, .resize = true};

static void limits_of_a_part_win(void **state) {
    (void)state;
    fv_error err;
    fv_image *im = noise_image(100, 100, 1);
    fv_patches *out;
    const fv_image *list[1] = {im};
    OK(fv_patches_make(&out, &plain, list, 1, 0, 56 * 56, &err)); /* only the upper limit: the lower one stays the processor's */
    assert_int_equal(out->view_width, 56);
    fv_patches_free(out);
    OK(fv_patches_make(&out, &plain, list, 1, 196 * 196, 0, &err));
    assert_int_equal(out->view_width, 196);
    fv_patches_free(out);
    fv_image_free(im);
}

static void bad_clips_are_refused(void **state) {
    (void)state;
    fv_error err;
    fv_image *a = noise_image(60, 60, 1), *b = noise_image(60, 61, 1);
    const fv_image *list[2] = {a, b};
    fv_patches *out;
    assert_int_equal(fv_patches_make(&out, &plain, list, 2, 0, 0, &err), FV_BAD_DATA);
    assert_string_equal(err.text, "frame 1 is 60x61, the first one 60x60: frames of a clip must have one size");
    assert_null(out);
    assert_int_equal(fv_patches_make(&out, &plain, list, 0, 0, 0, &err), FV_BAD_DATA);
    fv_processor fixed = plain;
    fixed.resize = false;
    assert_int_equal(fv_patches_make(&out, &fixed, list, 1, 0, 0, &err), FV_BAD_DATA);
    assert_string_equal(err.text, "a picture of 60x60: with do_resize off its sides must be multiples of 28");
    fv_image_free(a);
    fv_image_free(b);
    fv_patches_free(NULL);
}

/* ---- Settings ---- */

static char folder[64];

static int make_folder(void **state) {
    (void)state;
    strcpy(folder, "/tmp/fovea-processor-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state) {
    (void)state;
    fv_error err;
    return fv_path_remove(folder, &err) == FV_OK ? 0 : -1;
}

static void put(const char *name, const char *text) {
    fv_error err;
    char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    OK(fv_file_write(path, text, strlen(text), &err));
}

/* Qwen2-VL and Qwen2.5-VL as they are on the Hub: video settings come from the picture's file. */
static void reads_the_old_layout(void **state) {
    (void)state;
    fv_error err;
    fv_processor p;
    put("preprocessor_config.json", "{\"min_pixels\": 3136, \"max_pixels\": 12845056, \"patch_size\": 14, \"temporal_patch_size\": 2, \"merge_size\": 2,"
                                    "\"image_mean\": [0.48145466, 0.4578275, 0.40821073], \"image_std\": [0.26862954, 0.26130258, 0.27577711],"
                                    "\"image_processor_type\": \"Qwen2VLImageProcessor\", \"processor_class\": \"Qwen2_5_VLProcessor\"}");
    for (int video = 0; video < 2; video++) {
        OK(fv_processor_read(&p, folder, video, "qwen2_5_vl", &err));
        assert_int_equal(p.min_pixels, 3136);
        assert_int_equal(p.max_pixels, 12845056);
        assert_int_equal(p.patch * 100 + p.merge * 10 + p.temporal, 1422);
        assert_true(p.mean[2] == 0.40821073f && p.std[0] == 0.26862954f);
        assert_true(p.resize && p.rescale && p.normalize && !p.whole_clip);
        assert_true(p.rescale_factor == 1.0 / 255.0);
    }
}

/* What transformers 5 saves: one file, nested; it wins over the others. */
static void reads_the_nested_layout(void **state) {
    (void)state;
    fv_error err;
    fv_processor p;
    put("processor_config.json", "{\"image_processor\": {\"size\": {\"shortest_edge\": 65536, \"longest_edge\": 16777216}, \"patch_size\": 16, \"do_rescale\": false,"
                                 "\"image_mean\": [0.5, 0.5, 0.5], \"image_std\": [0.5, 0.5, 0.5], \"resample\": 3},"
                                 "\"video_processor\": {\"size\": {\"shortest_edge\": 4096, \"longest_edge\": 25165824}, \"min_pixels\": 7,"
                                 "\"video_processor_type\": \"Qwen3VLVideoProcessor\"}}");
    OK(fv_processor_read(&p, folder, false, "qwen3_vl", &err));
    assert_int_equal(p.min_pixels, 65536);
    assert_int_equal(p.patch, 16);
    assert_true(!p.rescale && !p.whole_clip && p.mean[1] == 0.5f);
    OK(fv_processor_read(&p, folder, true, "qwen3_vl", &err));
    assert_int_equal(p.min_pixels, 4096);
    assert_int_equal(p.max_pixels, 25165824);
    assert_int_equal(p.patch, 16);
    assert_true(p.whole_clip && p.rescale && p.std[1] == 0.5f);
}

/* A processor_config.json without the section is passed over; min_pixels wins over size; config.json fills in the patch size. */
static void fills_in_what_is_missing(void **state) {
    (void)state;
    fv_error err;
    fv_processor p;
    put("processor_config.json", "{\"processor_class\": \"Qwen3VLProcessor\"}");
    put("preprocessor_config.json", "{\"size\": {\"shortest_edge\": 65536, \"longest_edge\": 16777216}, \"min_pixels\": 100, \"max_pixels\": null}");
    put("config.json", "{\"vision_config\": {\"patch_size\": 16, \"spatial_merge_size\": 2}}");
    OK(fv_processor_read(&p, folder, false, "qwen3_vl", &err));
    assert_int_equal(p.min_pixels, 100);
    assert_int_equal(p.max_pixels, 16777216);
    assert_int_equal(p.patch, 16);
    put("video_preprocessor_config.json", "{}");
    OK(fv_processor_read(&p, folder, true, "qwen2_vl", &err));
    assert_int_equal(p.min_pixels, 128 * 28 * 28);
    assert_int_equal(p.max_pixels, 768 * 28 * 28);
    assert_true(!p.sample && p.fps == 0 && p.frames == 0 && p.min_frames == 4 && p.max_frames == 768 && p.cap_tokens == 0);
    OK(fv_processor_read(&p, folder, true, "qwen3_vl", &err));
    assert_int_equal(p.min_pixels, 128 * 32 * 32);
    assert_true(p.whole_clip);
    assert_true(p.sample && p.fps == 2 && p.frames == 0 && p.min_frames == 4 && p.max_frames == 768 && p.cap_tokens == 0);
}

static void reads_how_videos_are_sampled(void **state) {
    (void)state;
    fv_error err;
    fv_processor p;
    put("video_preprocessor_config.json", "{\"do_sample_frames\": true, \"fps\": 1.5, \"num_frames\": null, \"min_frames\": 2, \"max_frames\": 16, \"cap_pixels_per_frame\": true}");
    OK(fv_processor_read(&p, folder, true, "qwen2_5_vl", &err));
    assert_true(p.sample && p.fps == 1.5 && p.frames == 0 && p.min_frames == 2 && p.max_frames == 16 && p.cap_tokens == 128000);
    OK(fv_processor_read(&p, folder, true, "qwen3_vl", &err));
    assert_int_equal(p.cap_tokens, 768);
    put("video_preprocessor_config.json", "{\"num_frames\": 0}");
    assert_int_equal(fv_processor_read(&p, folder, true, "qwen2_5_vl", &err), FV_BAD_MODEL);
    assert_non_null(strstr(err.text, "num_frames must be"));
}

static void complains(const char *text, fv_status status, const char *part) {
    fv_error err = {.text = ""};
    fv_processor p;
    put("preprocessor_config.json", text);
    assert_int_equal(fv_processor_read(&p, folder, false, "qwen2_vl", &err), status);
    if (!strstr(err.text, part)) fail_msg("%s", err.text);
}

static void names_the_wrong_field(void **state) {
    (void)state;
    fv_error err;
    fv_processor p;
    assert_int_equal(fv_processor_read(&p, folder, false, "qwen2_vl", &err), FV_BAD_MODEL);
    assert_non_null(strstr(err.text, "no picture settings"));
    complains("{", FV_BAD_MODEL, "preprocessor_config.json");
    complains("[]", FV_BAD_MODEL, "must be an object");
    complains("{\"patch_size\": 0}", FV_BAD_MODEL, "patch_size");
    complains("{\"size\": {\"shortest_edge\": 3136}}", FV_BAD_MODEL, "size must have shortest_edge and longest_edge");
    complains("{\"image_mean\": [0.5, 0.5]}", FV_BAD_MODEL, "image_mean must be three numbers");
    complains("{\"image_std\": [0.5, 0, 0.5]}", FV_BAD_MODEL, "image_std must be above 0");
    complains("{\"resample\": 2}", FV_UNSUPPORTED, "resample must be 3 (bicubic), got 2");
    complains("{\"image_processor_type\": \"CLIPImageProcessor\"}", FV_UNSUPPORTED, "image_processor_type must be Qwen's, got \"CLIPImageProcessor\"");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_match),
        cmocka_unit_test(sizes_match_over_a_sweep),
        cmocka_unit_test(sizes_are_refused),
        cmocka_unit_test(frames_share_a_budget),
        cmocka_unit_test(patches_match_to_the_bit),
        cmocka_unit_test(limits_of_a_part_win),
        cmocka_unit_test(bad_clips_are_refused),
        cmocka_unit_test_setup_teardown(reads_the_old_layout, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(reads_the_nested_layout, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(fills_in_what_is_missing, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(reads_how_videos_are_sampled, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(names_the_wrong_field, make_folder, remove_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
