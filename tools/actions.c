#include "tools/actions.h"

#include "tools/literal.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

/* A turn of some thousand tokens is shorter; this keeps a runaway turn from being read at length. */
enum { FV_TURN_MOST = 65536 };

static const fv_action actions[] = {
    {"Object Mapper", "image_draw_boxes_tool", "Marks objects with labelled boxes.", "{\"index\": 1, \"bbox_2d\": [10, 20, 100, 200], \"label\": \"cup\"}"},
    {"Path Tracer", "image_draw_lines_tool", "Draws a line from a start to an end.",
     "{\"index\": 1, \"start_point_2d\": [10, 20], \"end_point_2d\": [100, 200], \"label\": \"way\"}"},
};

/* The sentences of the release (verl/workers/rollout/vllm_rollout/vllm_rollout_spmd_video.py), which its checkpoints were trained with. */
static const char go_on[] = "Continue your reasoning. After each tool use, critically evaluate the visualization and adjust if needed:";
static const char must_answer[] = "Then, you can not invoke the Object Mapper or Path Tracer tool. Please answer the initial question and structure your response as required:";
const char fv_action_hint[] = "\n\nBegin your reasoning. After each tool use, critically evaluate the visualization and adjust if needed:\n";

const fv_action *fv_action_of(const fv_tool *t) {
    for (size_t i = 0; i < FV_COUNT(actions); i++)
        if (strcmp(actions[i].tool, t->name) == 0) return &actions[i];
    return NULL;
}

bool fv_action_answers(const char *turn) {
    return strstr(turn, "<answer>") != NULL && strstr(turn, "</answer>") != NULL;
}

/* Moves *at behind the next line that is "```json", blanks aside. */
static bool next_fence(const char **at) {
    while (**at != '\0') {
        fv_span line = fv_line_next(at);
        while (line.size > 0 && isspace((unsigned char)line.text[0])) line.text++, line.size--;
        while (line.size > 0 && isspace((unsigned char)line.text[line.size - 1])) line.size--;
        if (line.size == 7 && memcmp(line.text, "```json", 7) == 0) return true;
    }
    return false;
}

bool fv_action_calls(const char *turn) {
    return next_fence(&turn);
}

fv_status fv_action_items(json_t **out, const char *turn, fv_error *err) {
    size_t size = strlen(turn);
    *out = NULL;
    if (size > FV_TURN_MOST) return fv_fail(err, FV_TOOL, "the turn is %zu bytes long, at most %d are read", size, FV_TURN_MOST);
    json_t *items = json_array();
    int failed = items == NULL;
    while (next_fence(&turn)) {
        const char *end = strstr(turn, "```");
        if (end == NULL) end = strstr(turn, "</think>");
        json_t *list = fv_literal((fv_span){turn, end != NULL ? (size_t)(end - turn) : strlen(turn)});
        if (json_is_array(list)) failed |= json_array_extend(items, list);
        json_decref(list);
    }
    if (failed) json_decref(items);
    else *out = items;
    return failed ? fv_fail(err, FV_NO_MEMORY, "reading a turn: out of memory") : FV_OK;
}

void fv_action_write(fv_text *out, const fv_action *a, const char *list) {
    fv_text_printf(out, "Action: %s\n```json\n", a->name);
    if (list != NULL) fv_text_add(out, list);
    else fv_text_printf(out, "[%s]", a->example);
    fv_text_add(out, "\n```");
}

/* Line breaks are where the release has them: one picture stands on a line of its own, of several each before its text. */
fv_status fv_action_show(json_t *content, const fv_action_picture *p, fv_error *err) {
    const char *next = !p->last ? "" : p->last_call ? must_answer : go_on;
    json_t *image = json_pack("{s:s, s:o, s:i}", "type", "image", "image", json_sprintf("#%d", p->k), "picture", p->from);
    json_t *text = json_sprintf("%sThe index of the given image is %d (width: %d, height: %d).%s%s%s", p->only ? "\n" : "", p->number, p->width, p->height, p->last ? " " : "", next,
                                p->last && !p->only ? "\n\n" : "\n");
    int failed = json_array_append_new(content, image);
    failed |= json_array_append_new(content, json_pack("{s:s, s:o}", "type", "text", "text", text));
    return failed ? fv_fail(err, FV_NO_MEMORY, "observation: out of memory") : FV_OK;
}

/* ---- the question --------------------------------------------------------------------------------------------------- */

static bool is_media(const json_t *part, const char *word) {
    const char *type = json_string_value(json_object_get(part, "type"));
    return type != NULL && strncmp(type, word, strlen(word)) == 0; /* image, image_url; video, video_url */
}

static const char *row_text(const json_t *row, const char *field) {
    const char *text = json_string_value(json_object_get(row, field));
    return text != NULL ? text : "";
}

/* What kind of answer is wanted, in any case as the release reads it. */
static const char *wanted(const json_t *row) {
    const char *type = row_text(row, "problem_type")[0] ? row_text(row, "problem_type") : row_text(row, "question_type");
    if (strcasecmp(type, "multiple choice") == 0) return "\nAnswer with the option's letter from the given choices directly.";
    bool number = strcasecmp(type, "regression") == 0 || strcasecmp(type, "numerical") == 0;
    return number ? "\nPlease answer the question using a single word or phrase (e.g., 42 or 3.14)." : "";
}

static int add_text(json_t *content, json_t *text) {
    return json_array_append_new(content, json_pack("{s:s, s:o}", "type", "text", "text", text));
}

/* The content before `end`, where the last picture or clip is; of several pictures each with its number. Not 0: out of memory. */
static int add_media(json_t *out, const json_t *content, size_t end, const fv_point *corner, size_t pictures) {
    int number = 0, failed = 0;
    for (size_t i = 0; i < end; i++) {
        json_t *part = json_array_get(content, i);
        failed |= json_array_append(out, part);
        if (!is_media(part, "image") || pictures < 2) continue;
        number++;
        failed |= add_text(out, corner == NULL ? json_sprintf("The index of the given image is %d.\n", number)
                                               : json_sprintf("The index of the given image is %d (width: %.0f, height: %.0f).\n", number, corner->x, corner->y));
    }
    return failed;
}

json_t *fv_action_question(const json_t *content, const json_t *row, const fv_point *corner) {
    size_t count = json_array_size(content), pictures = 0, clips = 0, end = 0;
    for (size_t i = 0; i < count; i++) {
        bool image = is_media(json_array_get(content, i), "image"), clip = is_media(json_array_get(content, i), "video");
        pictures += image;
        clips += clip;
        if (image || clip) end = i + 1;
    }
    bool frames = pictures > 1 && (strcmp(row_text(row, "data_type"), "video") == 0 || strcmp(row_text(row, "data_type"), "spatial_r1") == 0);
    json_t *out = json_array();
    int failed = add_media(out, content, end, corner, clips > 0 ? 0 : pictures) | add_text(out, json_string("\n### Question:\n"));
    if (frames) /* the spelling is the release's */
        failed |= add_text(out, json_sprintf("These are frames from a video, numbered from 1 to %d in sequence. That is, the index of each image is 1, 2, 3, ..., %d.\n\n"
                                             "Answer the quesntion with appropriate tools:\n", (int)pictures, (int)pictures));
    if (json_is_string(content)) failed |= add_text(out, json_incref((json_t *)content));
    for (size_t i = end; i < count; i++) failed |= json_array_append(out, json_array_get(content, i));
    if (pictures == 1 && clips == 0) failed |= add_text(out, json_string("\nThe index of the given image is 1."));
    if (wanted(row)[0]) failed |= add_text(out, json_string(wanted(row)));
    if (!failed) return out;
    json_decref(out);
    return NULL;
}
