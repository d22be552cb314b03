#include "datasets/survey.h"

#include "datasets/rowfile.h"
#include "tools/env.h"
#include "vision/frames.h"
#include "vision/source.h"
#include "vision/url.h"
#include "vision/video.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_CATEGORIES = 64, SHOWN_TEXT = 300 };

typedef struct {
    const fv_survey_options *o;
    json_t *formats, *fields, *categories, *problems, *rows, *env; /* env: the last one that was found good */
    int64_t answers, learn, named, opened, videos, watched, wrong;
    fv_image smallest, largest; /* sizes alone */
} survey;

static void count(json_t *table, const char *key) {
    json_object_set_new(table, key, json_integer(json_integer_value(json_object_get(table, key)) + 1));
}

static void complain(survey *v, const fv_error *why) {
    v->wrong++;
    if (json_array_size(v->problems) >= (size_t)(v->o->problems ? v->o->problems : 20)) return;
    fv_text quoted = {0}; /* as JSON, where what was cut inside of a character is whole again */
    fv_text_json(&quoted, why->text, strlen(why->text));
    json_array_append_new(v->problems, quoted.failed ? json_string("out of memory") : json_loads(quoted.data, JSON_DECODE_ANY, NULL));
    fv_text_clear(&quoted);
}

/* Which format datasets/formats.h reads a row as. */
static const char *format_of(const json_t *raw) {
    static const char *const by_field[][2] = {{"input_ids", "tokens"}, {"messages", "messages"}, {"prompt", "prompt (verl, TRL)"}, {"conversations", "conversations (LLaVA, ShareGPT)"},
                                              {"problem", "problem (EasyR1, Video-R1)"}, {"question", "question"}};
    for (size_t i = 0; i < FV_COUNT(by_field); i++)
        if (fv_json_find(raw, by_field[i][0])) return by_field[i][1];
    return "unknown";
}

/* ---- Pictures ---- */

static void note_size(survey *v, const fv_image *im) {
    int64_t area = (int64_t)im->width * im->height;
    if (!v->opened || area < (int64_t)v->smallest.width * v->smallest.height) v->smallest.width = im->width, v->smallest.height = im->height;
    if (!v->opened || area > (int64_t)v->largest.width * v->largest.height) v->largest.width = im->width, v->largest.height = im->height;
    v->opened++;
}

/* The first ones are decoded; after that a plain path must only be there, which is quick. */
static void check_picture(survey *v, const fv_row *row, const char *name) {
    fv_error err = {0};
    v->named++;
    bool plain = !strstr(name, "://") && strncmp(name, "data:", 5);
    if (v->opened < (v->o->open ? v->o->open : 64) || !plain) {
        fv_image *im;
        if (fv_image_load_url(&im, row->folder, name, &err) == FV_OK) note_size(v, im), fv_image_free(im);
    } else {
        char *path = fv_path_join(row->folder ? row->folder : "", name);
        if (!fv_file_exists(path)) fv_fail(&err, FV_IO, "%s: no such file", path ? path : name);
        free(path);
    }
    if (err.status == FV_OK) return;
    fv_fail_in(&err, "%s", row->place);
    complain(v, &err);
}

static fv_status seen(void *context, int k, const fv_image *frame, fv_error *err) {
    (void)context, (void)k, (void)frame, (void)err;
    return FV_OK;
}

/* Reads a video to its end, and decodes its first and last frame. */
static fv_status watch(const fv_row *row, const char *name, fv_error *err) {
    fv_video *video;
    FV_TRY(fv_video_load_url(&video, row->folder, name, err));
    const int64_t ends[] = {0, fv_video_about(video).frames - 1};
    fv_status status = fv_video_decode(video, ends, 2, seen, NULL, err);
    fv_video_close(video);
    return status;
}

/* A folder of pictures or a file must be there; the first files are read. `part` says which of a file's frames are looked at. */
static fv_status check_film(survey *v, const fv_row *row, const json_t *part, const char *name, fv_error *err) {
    fv_frame_wish wish;
    char *path = NULL;
    bool data = fv_url_is_data(name);
    if (!data) FV_TRY(fv_url_path(&path, row->folder, name, "videos", err));
    bool folder = !data && fv_folder_exists(path), there = data || folder || fv_file_exists(path);
    fv_status status = there ? FV_OK : fv_fail(err, FV_IO, "%s: no such file", path);
    free(path);
    if (status == FV_OK && !folder) status = fv_frame_wish_read(&wish, (fv_json_at){.root = part, .place = name, .status = FV_BAD_DATA}, err);
    if (status != FV_OK || folder || (!data && v->watched >= (v->o->watch ? v->o->watch : 16))) return status;
    v->watched++;
    return watch(row, name, err);
}

static void check_video(survey *v, const fv_row *row, const json_t *part, const json_t *source) {
    fv_error err = {0};
    v->videos++;
    for (size_t i = 0; i < json_array_size(source); i++)
        if (json_is_string(json_array_get(source, i))) check_picture(v, row, json_string_value(json_array_get(source, i)));
    if (!json_is_string(source) || check_film(v, row, part, json_string_value(source), &err) == FV_OK) return;
    fv_fail_in(&err, "%s", row->place);
    complain(v, &err);
}

/* A picture's or clip's part, or an entry of `images`; its names go to `shown` (may be NULL). */
static void check_part(survey *v, const fv_row *row, const json_t *part, json_t *shown) {
    const json_t *source = json_is_string(part) ? part : fv_source_of(part);
    const char *type = json_string_value(json_object_get(part, "type"));
    if (!source || (type && !strcmp(type, "text"))) return;
    if (shown) json_array_append(shown, (json_t *)source);
    if (json_object_get(part, "video")) check_video(v, row, part, source);
    else if (json_is_string(source)) check_picture(v, row, json_string_value(source));
}

static void check_media(survey *v, const fv_row *row, json_t *shown) {
    const json_t *messages = json_object_get(row->json, "messages"), *images = json_object_get(row->json, "images");
    for (size_t i = 0; i < json_array_size(messages); i++) {
        const json_t *content = json_object_get(json_array_get(messages, i), "content");
        for (size_t k = 0; k < json_array_size(content); k++) check_part(v, row, json_array_get(content, k), shown);
    }
    for (size_t i = 0; i < json_array_size(images) && !messages; i++) check_part(v, row, json_array_get(images, i), shown); /* rows of tokens */
}

/* ---- Rows ---- */

/* An environment that can't be opened would stop a run at this row. */
static void check_env(survey *v, const fv_row *row) {
    json_t *config = json_object_get(row->json, "env");
    fv_error err = {0};
    fv_env *env;
    if (!json_is_object(config) || (v->env && json_equal(config, v->env))) return;
    if (fv_env_open(&env, config, 28, &err) != FV_OK) {
        fv_fail_in(&err, "%s", row->place);
        complain(v, &err);
        return;
    }
    fv_env_close(env);
    json_decref(v->env);
    v->env = json_incref(config);
}

/* The text of the first user turn, cut. */
static json_t *question_of(const fv_row *row) {
    const json_t *messages = json_object_get(row->json, "messages");
    fv_text t = {0};
    for (size_t i = 0; i < json_array_size(messages) && !t.size; i++) {
        const json_t *m = json_array_get(messages, i), *content = json_object_get(m, "content");
        const char *role = json_string_value(json_object_get(m, "role"));
        if (!role || strcmp(role, "user")) continue;
        if (json_is_string(content)) fv_text_add(&t, json_string_value(content));
        for (size_t k = 0; k < json_array_size(content); k++) {
            const char *text = json_string_value(json_object_get(json_array_get(content, k), "text"));
            if (text) fv_text_add(&t, text);
        }
    }
    size_t n = t.size < SHOWN_TEXT ? t.size : SHOWN_TEXT;
    while (n && n < t.size && ((unsigned char)t.data[n] & 0xC0) == 0x80) n--; /* not within a character */
    json_t *out = t.data ? json_stringn(t.data, n) : json_null();
    fv_text_clear(&t);
    return out;
}

static bool has_assistant(const fv_row *row) {
    const json_t *messages = json_object_get(row->json, "messages");
    for (size_t i = 0; i < json_array_size(messages); i++) {
        const json_t *message = json_array_get(messages, i), *weight = json_object_get(message, "weight");
        const char *role = json_string_value(json_object_get(message, "role"));
        if (role && !strcmp(role, "assistant") && fv_json_bit(weight, 1) != 0) return true;
    }
    return json_object_get(row->json, "loss_mask") != NULL;
}

static void look_at_row(survey *v, const fv_row *row) {
    const char *category = fv_row_text(row, "category") ? fv_row_text(row, "category") : fv_row_text(row, "problem_type"), *answer = fv_row_answer(row);
    if (category) count(v->categories, json_object_get(v->categories, category) || json_object_size(v->categories) < MOST_CATEGORIES ? category : "...");
    v->answers += answer != NULL;
    v->learn += has_assistant(row);
    bool shown = json_array_size(v->rows) < (size_t)(v->o->show ? v->o->show : 3);
    json_t *names = shown ? json_array() : NULL;
    check_media(v, row, names);
    check_env(v, row);
    if (shown) json_array_append_new(v->rows, json_pack("{s: s, s: o, s: s?, s: o}", "id", row->id, "question", question_of(row), "answer", answer, "pictures", names));
}

static void look_at_text(survey *v, const fv_rowfile *f, int64_t i) {
    json_t *raw;
    if (fv_json_parse(&raw, fv_rowfile_text(f, i), f->rows[i].size, f->path, (int)f->rows[i].line, FV_BAD_DATA, NULL) != FV_OK) return; /* reading it as a row says so */
    const char *key;
    json_t *value;
    json_object_foreach(raw, key, value) count(v->fields, key);
    count(v->formats, format_of(raw));
    json_decref(raw);
}

static json_t *size_json(const fv_image *size, int64_t opened) { return opened ? json_pack("[i, i]", size->width, size->height) : json_null(); }

static json_t *facts(survey *v, const char *path, int64_t n) {
    json_t *pictures = json_pack("{s: I, s: I, s: o, s: o}", "named", (json_int_t)v->named, "opened", (json_int_t)v->opened, "smallest", size_json(&v->smallest, v->opened), "largest",
                                 size_json(&v->largest, v->opened));
    return json_pack("{s: s, s: I, s: O, s: O, s: O, s: I, s: I, s: o, s: I, s: I, s: O, s: O}", "file", path, "n", (json_int_t)n, "formats", v->formats, "fields", v->fields, "categories",
                     v->categories, "answers", (json_int_t)v->answers, "learn", (json_int_t)v->learn, "pictures", pictures, "videos", (json_int_t)v->videos, "problem_count",
                     (json_int_t)v->wrong, "problems", v->problems, "rows", v->rows);
}

fv_status fv_survey(json_t **out, const char *path, const fv_survey_options *options, fv_error *err) {
    *out = NULL;
    survey v = {.o = options, .formats = json_object(), .fields = json_object(), .categories = json_object(), .problems = json_array(), .rows = json_array()};
    fv_rowfile file = {0};
    fv_dataset *data = NULL;
    json_t *spec = json_string(path);
    fv_status s = spec ? fv_rowfile_open(&file, path, err) : fv_fail(err, FV_BAD_DATA, "a data file's name must be UTF-8");
    if (s == FV_OK) s = fv_dataset_open(&data, spec, 0, err);
    for (int64_t i = 0; i < file.count && s == FV_OK; i++) {
        fv_error why = {0};
        fv_row *row;
        look_at_text(&v, &file, i);
        if (fv_dataset_row(data, i, &row, &why) != FV_OK) complain(&v, &why);
        else look_at_row(&v, row), fv_row_free(row);
    }
    if (s == FV_OK && !(*out = facts(&v, path, file.count))) s = fv_fail(err, FV_NO_MEMORY, "%s: out of memory", path);
    fv_dataset_close(data);
    fv_rowfile_close(&file);
    json_t *const all[] = {spec, v.formats, v.fields, v.categories, v.problems, v.rows, v.env};
    for (size_t i = 0; i < FV_COUNT(all); i++) json_decref(all[i]);
    return s;
}
