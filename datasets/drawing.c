#include "datasets/drawing.h"

#include "tools/actions.h"
#include "vision/source.h"

#include <stdio.h>

void fv_maker_draws(fv_maker *m, int max_turns) {
    fv_maker_set(m, "env", json_pack("{ss, si, ss, ss}", "format", "actions", "max_turns", max_turns, "coordinates", "view", "prompt", "actions"));
}

fv_status fv_drawing_begin(fv_drawing *d, fv_maker *m, int max_turns, fv_error *err) {
    *d = (fv_drawing){.m = m, .max_turns = max_turns};
    fv_maker_draws(m, max_turns);
    for (int i = 0; i < m->row->image_count; i++) {
        const fv_image *im = m->row->images[i];
        d->seen[d->seen_count++] = (fv_seen){im, {im->width, im->height, m->view, m->view}};
    }
    FV_TRY(fv_env_open(&d->env, json_object_get(m->row->json, "env"), 28, err)); /* the factor is for zooms, which are not offered */
    fv_status s = fv_env_reset(d->env, m->row->json, 0, &d->episode, err);
    if (s != FV_OK) fv_drawing_end(d);
    return s;
}

/* The observation as the user's turn; its pictures go to the row. */
static void hear(fv_drawing *d, fv_observation *o) {
    fv_maker *m = d->m;
    for (size_t i = 0; i < json_array_size(o->content); i++) {
        const json_t *part = json_array_get(o->content, i);
        const char *text = json_string_value(json_object_get(part, "text"));
        if (text != NULL) {
            fv_maker_say(m, "%s", text);
            continue;
        }
        long k = fv_source_number(json_string_value(json_object_get(part, "image")));
        fv_image *im = o->images[k];
        o->images[k] = NULL;
        fv_maker_show(m, fv_maker_picture(m, im));
        if (m->failed) return;
        d->seen[d->seen_count++] = (fv_seen){im, {im->width, im->height, m->view, m->view}};
    }
    fv_maker_close_turn(m);
}

fv_status fv_drawing_act(fv_drawing *d, const char *thought, const char *tool, json_t *items, fv_error *err) {
    fv_text turn = {0}, list = {0};
    fv_observation o;
    fv_step step;
    fv_json_dump(&list, items, 0);
    json_decref(items);
    fv_text_printf(&turn, "<think>%s</think> ", thought);
    fv_action_write(&turn, fv_action_of(fv_tool_find(tool)), list.data ? list.data : "");
    fv_status s = turn.failed || list.failed ? fv_fail(err, FV_NO_MEMORY, "drawing: out of memory") : FV_OK;
    if (s == FV_OK) {
        fv_maker_reply(d->m, turn.data);
        s = fv_env_step(d->episode, turn.data, d->seen, d->seen_count, &o, &step, err);
        d->turns++;
        if (s == FV_OK && (step.failures || o.content == NULL)) s = fv_fail(err, FV_LIMIT, "drawing: %s", step.error[0] ? step.error : "the episode has ended");
        if (s == FV_OK) hear(d, &o);
        fv_observation_clear(&o);
    }
    fv_text_clear(&turn);
    fv_text_clear(&list);
    return s;
}

void fv_drawing_answer(fv_drawing *d, const char *thought, const char *answer) {
    char text[640];
    snprintf(text, sizeof text, "<think>%s</think> Action: Answer\n<answer>%s</answer>", thought, answer);
    fv_maker_reply(d->m, text);
}

void fv_drawing_end(fv_drawing *d) {
    fv_episode_close(d->episode);
    fv_env_close(d->env);
    d->episode = NULL;
    d->env = NULL;
}

json_t *fv_drawing_box(const fv_drawing *d, fv_box b, const char *label) {
    b = fv_box_round(b);
    return json_pack("{si, s[iiii], ss}", "index", d->seen_count, "bbox_2d", (int)b.x1, (int)b.y1, (int)b.x2, (int)b.y2, "label", label);
}

json_t *fv_drawing_line(const fv_drawing *d, fv_point from, fv_point to, const char *label) {
    return json_pack("{si, s[ii], s[ii], ss}", "index", d->seen_count, "start_point_2d", (int)fv_round_even(from.x), (int)fv_round_even(from.y), "end_point_2d",
                     (int)fv_round_even(to.x), (int)fv_round_even(to.y), "label", label);
}
