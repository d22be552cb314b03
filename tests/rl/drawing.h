/* A lesson in drawing for a very small model, above that of lesson.h: pictures are marked before they are answered about. */
#ifndef FV_TESTS_RL_DRAWING_H
#define FV_TESTS_RL_DRAWING_H

#include "lesson.h"

#include "tools/actions.h"

/* Rows of three kinds, each with two answers, so that what is sampled earns now something and now nothing: a picture that is marked once, one that is marked
 * twice under one label, and a clip whose second frame is marked. */
enum { DRAWING_KINDS = 3, DRAWING_ROWS = 2 * DRAWING_KINDS };

static const char drawing_env[] = "{\"format\": \"actions\", \"prompt\": \"none\", \"max_turns\": 4}";

#define DRAWING_MARK(index, box) "<think>m</think> Action: Object Mapper\n```json\n[{\"index\": " index ", \"bbox_2d\": [" box "], \"label\": \"a\"}]\n```"
static const struct {
    const char *pictures; /* of the question, as JSON */
    int count;            /* numbers that they take */
    const char *turns[2];
} drawing_kinds[DRAWING_KINDS] = {
    {"{\"type\": \"image\", \"image\": \"a.png\"}", 1, {DRAWING_MARK("1", "0, 0, 56, 56")}},
    {"{\"type\": \"image\", \"image\": \"b.png\"}", 1, {DRAWING_MARK("1", "0, 0, 56, 56"), DRAWING_MARK("2", "28, 28, 84, 84")}},
    {"{\"type\": \"video\", \"video\": [\"a.png\", \"b.png\"]}", 2, {DRAWING_MARK("2", "0, 0, 56, 56")}},
};

static inline void drawing_message(json_t *messages, const char *role, json_t *content) {
    assert_int_equal(json_array_append_new(messages, json_pack("{s:s, s:o}", "role", role, "content", content)), 0);
}

/* The turns of a kind and what the environment says to them; drawn pictures become files. */
static inline void drawing_act(json_t *messages, int kind, fv_image *const *pictures) {
    fv_env *env;
    fv_episode *episode;
    fv_seen seen[4];
    fv_image *drawn[2] = {NULL, NULL};
    json_t *c = json_loads(drawing_env, 0, NULL);
    MUST(fv_env_open(&env, c, 28, err));
    MUST(fv_env_reset(env, NULL, 0, &episode, err));
    for (int i = 0; i < drawing_kinds[kind].count; i++) seen[i] = (fv_seen){pictures[kind == 1 ? 1 : i], {84, 84, 84, 84}};
    for (int t = 0; t < 2 && drawing_kinds[kind].turns[t]; t++) {
        fv_observation o;
        fv_step step;
        char name[32];
        MUST(fv_env_step(episode, drawing_kinds[kind].turns[t], seen, drawing_kinds[kind].count + t, &o, &step, err));
        assert_int_equal(o.image_count, 1);
        snprintf(name, sizeof name, "drawn-%d-%d.png", kind, t);
        MUST(fv_image_save(o.images[0], small_path(name), err));
        json_object_set_new(json_array_get(o.content, 0), "image", json_string(name));
        json_object_del(json_array_get(o.content, 0), "picture");
        drawing_message(messages, "assistant", json_string(drawing_kinds[kind].turns[t]));
        drawing_message(messages, "user", json_incref(o.content));
        drawn[t] = o.images[0];
        o.images[0] = NULL;
        seen[drawing_kinds[kind].count + t] = (fv_seen){drawn[t], {84, 84, 84, 84}};
        fv_observation_clear(&o);
    }
    for (int t = 0; t < 2; t++) fv_image_free(drawn[t]);
    fv_episode_close(episode);
    fv_env_close(env);
    json_decref(c);
}

/* asked.jsonl and drawn.jsonl: the questions, and whole conversations, beside the pictures of lesson_begin. own_env: the rows say what they act in, else a recipe does. */
static inline void drawing_rows(bool own_env) {
    fv_text rows[2] = {{0}, {0}};
    fv_image *pictures[2];
    for (int i = 0; i < 2; i++) MUST(fv_image_load(&pictures[i], small_path(i ? "b.png" : "a.png"), err));
    for (int i = 0; i < DRAWING_ROWS; i++) {
        char question[256], answer[80];
        snprintf(question, sizeof question, "[%s, {\"type\": \"text\", \"text\": \"Which digit?\"}]", drawing_kinds[i / 2].pictures);
        snprintf(answer, sizeof answer, "<think>s</think> Action: Answer\n<answer>%d</answer>", i % 2 ? 3 : 8);
        json_t *messages = json_array(), *row = json_pack("{s:o, s:o, s:s, s:s}", "id", json_sprintf("row%d", i), "messages", messages, "answer", i % 2 ? "3" : "8", "problem_type",
                                                              "multiple choice");
        if (own_env) json_object_set_new(row, "env", json_loads(drawing_env, 0, NULL));
        drawing_message(messages, "user", json_loads(question, 0, NULL));
        fv_json_dump(&rows[0], row, 0);
        drawing_act(messages, i / 2, pictures);
        drawing_message(messages, "assistant", json_string(answer));
        fv_json_dump(&rows[1], row, 0);
        for (int k = 0; k < 2; k++) fv_text_char(&rows[k], '\n');
        json_decref(row);
    }
    small_write("asked.jsonl", rows[0].data);
    small_write("drawn.jsonl", rows[1].data);
    for (int i = 0; i < 2; i++) fv_image_free(pictures[i]), fv_text_clear(&rows[i]);
}

/* A stage of learning the lesson; after 140 steps a model draws and answers. The caller's. */
static inline char *drawing_sft(void) {
    fv_text t = {0};
    fv_text_printf(&t, "  - {name: cold, kind: sft, steps: 140, batch: 6, data: %s/drawn.jsonl, optim: {lr: 1.0e-2, warmup: 5, schedule: linear, final: 0.1, beta2: 0.95}}\n", small_root);
    return t.data;
}

#endif
