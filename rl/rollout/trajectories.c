#include "rl/rollout/trajectories.h"

#include "core/random.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void fv_trajectory_response(const fv_rollout *r, int i, double *terms, fv_response *out) {
    const fv_trajectory *t = &r->trajectories[i];
    const fv_row *row = r->samples[t->sample].row;
    *out = (fv_response){.id = row ? row->id : "", .group = row ? row->id : "", .place = row ? row->place : "", .row = row ? row->json : NULL, .text = t->text,
                         .answer = row ? fv_row_answer(row) : NULL, .length = t->tokens, .images = t->pictures, .calls = t->calls, .failures = t->failures,
                         .turns = t->turn_count, .stop_reason = t->stop_reason, .terms = terms, .reward = NAN, .advantage = 0};
    if (t->error.status != FV_OK) snprintf(out->error, sizeof out->error, "%.255s", t->error.text);
}

static void add_number(fv_text *out, const char *name, double v) {
    fv_text_printf(out, ", \"%s\": ", name);
    fv_text_f64(out, v);
}

static void add_string(fv_text *out, const char *name, const char *s) {
    fv_text_printf(out, ", \"%s\": ", name);
    if (s) fv_text_json(out, s, strlen(s));
    else fv_text_add(out, "null");
}

static void add_tokens(fv_text *out, const fv_tree *tree, const int *path, int depth) {
    fv_text_add(out, ", \"input_ids\": [");
    for (int d = 0, n = 0; d < depth; d++)
        for (int k = 0; k < tree->segments[path[d]]->count; k++) fv_text_printf(out, n++ ? ", %" PRId32 : "%" PRId32, tree->segments[path[d]]->ids[k]);
    fv_text_add(out, "], \"loss_mask\": [");
    for (int d = 0, n = 0; d < depth; d++)
        for (int k = 0; k < tree->segments[path[d]]->count; k++) fv_text_add(out, n++ ? (tree->segments[path[d]]->mask[k] ? ", 1" : ", 0") : tree->segments[path[d]]->mask[k] ? "1" : "0");
    fv_text_add(out, "], \"logprobs\": [");
    for (int d = 0, n = 0; d < depth; d++)
        for (int k = 0; k < tree->segments[path[d]]->count; k++) {
            if (n++) fv_text_add(out, ", ");
            fv_text_f32(out, tree->segments[path[d]]->logp[k]); /* null where nobody sampled */
        }
    fv_text_char(out, ']');
}

/* Writes a picture under its content's name if it is not there yet; *name "pictures/xxxx.png". */
static fv_status keep_picture(const fv_image *im, const char *folder, char name[64], fv_error *err) {
    uint64_t h = fv_hash_bytes(im->rgb, (size_t)im->width * (size_t)im->height * 3) ^ ((uint64_t)im->width << 32 | (uint64_t)im->height);
    snprintf(name, 64, "pictures/%016" PRIx64 ".png", h);
    char *path = fv_path_join(folder, name), *above = path ? fv_path_folder(path) : NULL;
    fv_status s = FV_OK;
    if (!path || !above) s = fv_fail(err, FV_NO_MEMORY, "%s: out of memory", folder);
    else if (!fv_file_exists(path)) {
        s = fv_folder_make(above, err);
        if (s == FV_OK) s = fv_image_save(im, path, err);
    }
    free(above);
    free(path);
    return s;
}

/* One picture, with the limits that give its view again. */
static fv_status add_picture(fv_text *out, const fv_picture *p, const char *folder, fv_error *err) {
    char name[64];
    if (!p->video) {
        FV_TRY(keep_picture(p->image, folder, name, err));
        fv_text_printf(out, "{\"image\": \"%s\"", name);
    } else {
        fv_text_add(out, "{\"video\": [");
        for (int f = 0; f < p->frame_count; f++) {
            FV_TRY(keep_picture(p->frames[f], folder, name, err));
            fv_text_printf(out, "%s\"%s\"", f ? ", " : "", name);
        }
        fv_text_add(out, "], \"fps\": ");
        fv_text_f64(out, p->fps);
    }
    if (p->min_pixels) fv_text_printf(out, ", \"min_pixels\": %" PRId64, p->min_pixels);
    if (p->max_pixels) fv_text_printf(out, ", \"max_pixels\": %" PRId64, p->max_pixels);
    if (p->resized_height) fv_text_printf(out, ", \"resized_height\": %d, \"resized_width\": %d", p->resized_height, p->resized_width);
    fv_text_char(out, '}');
    return FV_OK;
}

static fv_status add_pictures(fv_text *out, const fv_tree *tree, const int *path, int depth, const char *folder, fv_error *err) {
    fv_text_add(out, ", \"images\": [");
    for (int d = 0, n = 0; d < depth; d++)
        for (int k = 0; k < tree->segments[path[d]]->picture_count; k++) {
            if (n++) fv_text_add(out, ", ");
            FV_TRY(add_picture(out, tree->segments[path[d]]->pictures[k], folder, err));
        }
    fv_text_char(out, ']');
    return FV_OK;
}

static fv_status add_turns(fv_text *out, const fv_model *m, const fv_tree *tree, const fv_trajectory *t, fv_error *err) {
    fv_text_add(out, ", \"turns\": [");
    for (int k = 0; k < t->turn_count; k++) {
        const fv_step *step = &t->turns[k].step;
        const fv_segment *s = tree->segments[t->turns[k].segment];
        char *text;
        FV_TRY(fv_tokenizer_decode(m->tokenizer, s->ids, s->count, false, &text, err));
        fv_text_add(out, k ? ", {\"text\": " : "{\"text\": ");
        fv_text_json(out, text, strlen(text));
        free(text);
        if (step->tool[0]) add_string(out, "tool", step->tool);
        if (step->picture) fv_text_printf(out, ", \"picture\": %d", step->picture);
        if (step->has_box) {
            const double box[] = {step->box.x1, step->box.y1, step->box.x2, step->box.y2};
            fv_text_add(out, ", \"box\": [");
            for (int c = 0; c < 4; c++) {
                if (c) fv_text_add(out, ", ");
                fv_text_f64(out, box[c]);
            }
            fv_text_char(out, ']');
        }
        if (step->error[0]) add_string(out, "error", step->error);
        if (t->turns[k].observation >= 0) fv_text_printf(out, ", \"returned\": %d", tree->segments[t->turns[k].observation]->picture_count);
        fv_text_char(out, '}');
    }
    fv_text_char(out, ']');
    return FV_OK;
}

static void add_scores(fv_text *out, const fv_response *scored, const char *const *names, int count) {
    fv_text_add(out, ", \"terms\": {");
    for (int k = 0; k < count; k++) {
        fv_text_printf(out, k ? ", \"%s\": " : "\"%s\": ", names[k]);
        fv_text_f64(out, scored->terms[k]);
    }
    fv_text_char(out, '}');
    add_number(out, "reward", scored->reward);
    add_number(out, "advantage", scored->advantage);
    if (scored->judge_text) add_string(out, "judge_text", scored->judge_text);
    if (scored->error[0]) add_string(out, "error", scored->error);
    if (scored->second_text) add_string(out, "description_response", scored->second_text);
    if (scored->frames) add_string(out, "frames", scored->frames);
}

/* What the user asked, for readers of the file: the text parts of the first user turn. */
static void add_question(fv_text *out, const fv_row *row) {
    const json_t *messages = json_object_get(row->json, "messages");
    for (size_t i = 0; i < json_array_size(messages); i++) {
        const json_t *m = json_array_get(messages, i), *content = json_object_get(m, "content");
        const char *role = json_string_value(json_object_get(m, "role"));
        if (!role || strcmp(role, "user")) continue;
        fv_text q = {0};
        if (json_is_string(content)) fv_text_add(&q, json_string_value(content));
        for (size_t k = 0; k < json_array_size(content); k++) {
            const char *text = json_string_value(json_object_get(json_array_get(content, k), "text"));
            if (text) fv_text_add(&q, text);
        }
        add_string(out, "problem", q.data ? q.data : "");
        fv_text_clear(&q);
        return;
    }
}

static fv_status compose(fv_text *out, const char *folder, const fv_model *m, const fv_rollout *r, int i, int64_t step, const fv_response *scored,
                         const char *const *names, int count, fv_error *err) {
    const fv_trajectory *t = &r->trajectories[i];
    fv_row *row = r->samples[t->sample].row;
    fv_text id = {0};
    fv_text_add(&id, row->id);
    if (r->group_size > 1 || r->numbered) fv_text_printf(&id, "#%" PRId64, r->numbered_from + t->member);
    fv_text_add(out, "{\"id\": ");
    fv_text_json(out, id.data ? id.data : "", id.size);
    fv_text_clear(&id);
    add_string(out, "group", row->id);
    fv_text_printf(out, ", \"step\": %" PRId64, step);
    add_question(out, row);
    add_string(out, "answer", fv_row_answer(row));
    static const char *const kept[] = {"problem_type", "question_type", "data_type", "data_source", "tolerance", "solution", "options", "target_box", "category",
                                       "extra_info", "env", "grid_size", "enable_thinking"}; /* what terms (rl/rewards/), judges, and whoever rolls out from it again read */
    for (size_t k = 0; k < FV_COUNT(kept); k++)
        if (json_object_get(row->json, kept[k])) {
            fv_text_printf(out, ", \"%s\": ", kept[k]);
            fv_json_dump(out, json_object_get(row->json, kept[k]), 0);
        }
    add_string(out, "response", t->text);
    add_string(out, "stop_reason", t->stop_reason);
    fv_text_printf(out, ", \"length\": %d, \"calls\": %d, \"failures\": %d, \"returned\": %d", t->tokens, t->calls, t->failures, t->pictures);
    if (t->leaf >= 0) {
        int depth = fv_tree_depth(r->tree, t->leaf), *path = malloc((size_t)depth * sizeof *path);
        if (!path) return fv_fail(err, FV_NO_MEMORY, "trajectories: out of memory");
        fv_tree_path(r->tree, t->leaf, path);
        add_tokens(out, r->tree, path, depth);
        add_number(out, "temperature", t->turn_count ? r->tree->segments[t->turns[0].segment]->temperature : 1);
        fv_status s = add_pictures(out, r->tree, path, depth, folder, err);
        free(path);
        FV_TRY(s);
        FV_TRY(add_turns(out, m, r->tree, t, err));
    }
    if (scored) add_scores(out, scored, names, count);
    else if (t->error.status != FV_OK) add_string(out, "error", t->error.text);
    fv_text_char(out, '}');
    return FV_OK;
}

fv_status fv_trajectory_write(fv_lines *lines, const char *folder, const fv_model *m, const fv_rollout *r, int i, int64_t step, const fv_response *scored,
                              const char *const *term_names, int term_count, fv_error *err) {
    if (!r->samples[r->trajectories[i].sample].row) return FV_OK; /* a row that could not be read is in bad_rows.jsonl */
    fv_text out = {0};
    fv_status s = compose(&out, folder, m, r, i, step, scored, term_names, term_count, err);
    if (s == FV_OK) s = fv_lines_text(lines, &out, err);
    fv_text_clear(&out);
    return s;
}
