/* Video files against data/videos.json: frames, rates, sizes and pixels as torchcodec gives them (tests/peers/video.py). */
#include "tests/vision/check.h"
#include "vision/video.h"

#include <stdlib.h>
#include <string.h>

static json_t *files(void) {
    fv_error err;
    json_t *root;
    OK(fv_json_read(&root, DATA "videos.json", FV_BAD_DATA, &err));
    assert_true(json_object_size(root) >= 16);
    return root;
}

typedef struct {
    uint32_t crc[128];
    int taken;
} seen;

static fv_status take(void *context, int k, const fv_image *frame, fv_error *err) {
    seen *s = context;
    (void)err;
    assert_int_equal(k, s->taken);
    s->crc[s->taken++] = image_crc(frame);
    return FV_OK;
}

static uint32_t crc_at(const json_t *want, int64_t i) { return (uint32_t)json_integer_value(json_array_get(json_object_get(want, "crc"), (size_t)i)); }

static void check_frames(fv_video *v, const char *name, const json_t *want, const int64_t *index, int count) {
    fv_error err;
    seen s = {.taken = 0};
    OK(fv_video_decode(v, index, count, take, &s, &err));
    assert_int_equal(s.taken, count);
    for (int k = 0; k < count; k++)
        if (s.crc[k] != crc_at(want, index[k])) fail_msg("%s: frame %lld differs", name, (long long)index[k]);
}

/* All of them, then some: by seeking, backwards from where it stood, one twice. */
static void check_file(const char *name, const json_t *want) {
    char path[512];
    fv_error err;
    fv_video *v;
    snprintf(path, sizeof path, DATA "video/%s", name);
    OK(fv_video_load_url(&v, NULL, path, &err));
    fv_video_facts about = fv_video_about(v);
    if (about.frames != int_at(want, "frames") || about.fps != json_number_value(json_object_get(want, "fps")) || about.width != int_at(want, "width") ||
        about.height != int_at(want, "height"))
        fail_msg("%s: %lld frames of %dx%d at %.17g", name, (long long)about.frames, about.width, about.height, about.fps);
    int n = (int)about.frames;
    int64_t all[128];
    for (int i = 0; i < n; i++) all[i] = i;
    check_frames(v, name, want, all, n);
    check_frames(v, name, want, (int64_t[]){n / 3, n / 3, n - 1}, 3);
    check_frames(v, name, want, (int64_t[]){n - 2}, 1);
    check_frames(v, name, want, (int64_t[]){0}, 1);
    fv_video_close(v);
}

static void frames_are_torchcodecs(void **state) {
    (void)state;
    json_t *root = files(), *want;
    const char *name;
    json_object_foreach(root, name, want) check_file(name, want);
    json_decref(root);
}

/* Every pair of frames of a long file with many key frames: seeking finds what reading on finds. */
static void seeking_changes_nothing(void **state) {
    (void)state;
    json_t *root = files(), *want = json_object_get(root, "h264-keys.mkv");
    fv_error err;
    fv_video *v;
    OK(fv_video_load_url(&v, DATA "video", "h264-keys.mkv", &err));
    for (int64_t step = 1; step < 90; step = step * 2 + 1)
        for (int64_t first = 0; first < step && first < 24; first += 5) {
            int64_t index[90];
            int n = 0;
            for (int64_t i = first; i < 90; i += step) index[n++] = i;
            check_frames(v, "h264-keys.mkv", want, index, n);
        }
    fv_video_close(v);
    json_decref(root);
}

static void names_may_be_urls(void **state) {
    (void)state;
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    fv_error err;
    fv_video *v;
    fv_text url = {0};
    char *bytes;
    size_t size;
    OK(fv_file_read(&bytes, &size, DATA "video/scene.gif", &err));
    fv_text_add(&url, "data:video/gif;base64,");
    for (size_t i = 0; i < size; i += 3) {
        uint32_t three = 0;
        for (size_t k = 0; k < 3; k++) three = three << 8 | (i + k < size ? (uint8_t)bytes[i + k] : 0);
        for (size_t k = 0; k < 4; k++) fv_text_char(&url, i + k <= size ? letters[three >> (18 - 6 * k) & 63] : '=');
    }
    OK(fv_video_load_url(&v, NULL, url.data, &err));
    assert_int_equal(fv_video_about(v).frames, 12);
    fv_video_close(v);
    fv_text_clear(&url);
    free(bytes);
    OK(fv_video_load_url(&v, "/nowhere", "file://" DATA "video/h264%2Emp4", &err));
    fv_video_close(v);
    assert_int_equal(fv_video_load_url(&v, NULL, "https://example.com/a.mp4", &err), FV_UNSUPPORTED);
    assert_int_equal(fv_video_load_url(&v, NULL, DATA "video/gone.mp4", &err), FV_IO);
    assert_non_null(strstr(err.text, "gone.mp4"));
}

/* ---- Files that are not whole ---- */

static fv_status open_and_decode(const void *data, size_t size, const char *name, fv_error *err) {
    fv_video *v;
    seen s = {.taken = 0};
    FV_TRY(fv_video_open(&v, data, size, name, err));
    int64_t all[128];
    int n = (int)fv_video_about(v).frames;
    for (int i = 0; i < n; i++) all[i] = i;
    fv_status status = fv_video_decode(v, all, n, take, &s, err);
    fv_video_close(v);
    return status;
}

static void check_cut(const char *name, const char *bytes, size_t size, size_t part) {
    fv_error err = {0};
    char *copy = malloc(part ? part : 1); /* of exactly this size, so that a read past its end is seen */
    memcpy(copy, bytes, part);
    if (open_and_decode(copy, part, "cut.mp4", &err) == FV_OK) fail_msg("%s: %zu of %zu bytes pass for a whole video", name, part, size);
    if (err.status != FV_BAD_DATA || strncmp(err.text, "cut.mp4: ", 9) != 0) fail_msg("%s: %d %s", name, err.status, err.text);
    free(copy);
}

/* Cut anywhere in its frames, no file passes for a shorter one: an index, a duration or a packet without its end tells. */
static void cut_files_are_reported(void **state) {
    (void)state;
    static const char *const names[] = {"h264.mp4", "h264-late-index.mov", "h264-keys.mkv", "vp9-odd.webm", "av1.mkv", "mpeg4.avi", "hevc.mp4", "scene.gif"};
    for (size_t i = 0; i < FV_COUNT(names); i++) {
        char path[512], *bytes;
        size_t size;
        fv_error err;
        snprintf(path, sizeof path, DATA "video/%s", names[i]);
        OK(fv_file_read(&bytes, &size, path, &err));
        for (int tenth = 0; tenth < 9; tenth++) check_cut(names[i], bytes, size, size * (size_t)tenth / 10);
        free(bytes);
    }
}

/* After each of its bytes: between two blocks and inside of a block's head as well. */
static void a_gif_is_whole_with_its_last_byte(void **state) {
    (void)state;
    char *bytes;
    size_t size;
    fv_error err;
    OK(fv_file_read(&bytes, &size, DATA "video/scene.gif", &err));
    for (size_t part = 0; part < size; part++) check_cut("scene.gif", bytes, size, part);
    OK(open_and_decode(bytes, size, "scene.gif", &err));
    free(bytes);
}

/* Files that FFmpeg decodes to their ends, with what it makes up in place of what it can't read: a complaint, or a mark on the frame, is all there is. */
static void damaged_files_are_reported(void **state) {
    (void)state;
    static const char *const names[] = {"h264.mp4", "mpeg4-odd.mp4", "vp9-odd.webm", "av1.mp4", "scene.gif", "hevc-hash.mp4"};
    for (size_t i = 0; i < FV_COUNT(names); i++) {
        char path[512], *bytes;
        size_t size;
        fv_error err = {0};
        snprintf(path, sizeof path, DATA "damaged/%s", names[i]);
        OK(fv_file_read(&bytes, &size, path, &err));
        if (open_and_decode(bytes, size, path, &err) == FV_OK) fail_msg("%s passes for a good one", path);
        if (err.status != FV_BAD_DATA || strncmp(err.text, path, strlen(path)) != 0 || !strstr(err.text, "damaged")) fail_msg("%s: %d %s", path, err.status, err.text);
        free(bytes);
    }
}

static void what_is_no_video_is_named(void **state) {
    (void)state;
    static const char text[] = "#EXTM3U\n#EXTINF:1,\n/etc/passwd\n";
    fv_error err;
    fv_video *v;
    assert_int_equal(fv_video_open(&v, text, sizeof text - 1, "list.mp4", &err), FV_BAD_DATA);
    assert_non_null(strstr(err.text, "list.mp4: not a video that can be read (mp4, mov, mkv, webm, avi, gif)"));
    assert_int_equal(fv_video_open(&v, text, 0, "none.mp4", &err), FV_BAD_DATA);
    assert_string_equal(err.text, "none.mp4: empty file, expected a video");
    assert_int_equal(fv_video_load_url(&v, NULL, DATA "420.jpg", &err), FV_BAD_DATA);
    assert_null(v);
}

static fv_status stop_at_two(void *context, int k, const fv_image *frame, fv_error *err) {
    (void)frame;
    *(int *)context = k;
    return k == 2 ? fv_fail(err, FV_NO_MEMORY, "enough") : FV_OK;
}

static void who_takes_frames_may_stop(void **state) {
    (void)state;
    fv_error err;
    fv_video *v;
    int last = -1;
    OK(fv_video_load_url(&v, DATA "video", "h264.mp4", &err));
    assert_int_equal(fv_video_decode(v, (int64_t[]){0, 1, 2, 3}, 4, stop_at_two, &last, &err), FV_NO_MEMORY);
    assert_int_equal(last, 2);
    fv_video_close(v);
    fv_video_close(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_are_torchcodecs),
        cmocka_unit_test(seeking_changes_nothing),
        cmocka_unit_test(names_may_be_urls),
        cmocka_unit_test(cut_files_are_reported),
        cmocka_unit_test(a_gif_is_whole_with_its_last_byte),
        cmocka_unit_test(damaged_files_are_reported),
        cmocka_unit_test(what_is_no_video_is_named),
        cmocka_unit_test(who_takes_frames_may_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
