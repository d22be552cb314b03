/* A run folder as training leaves one: the main job in small, with numbers from arithmetic, photographs that ship, and answers that are sometimes wrong. */
#ifndef FV_TESTS_RL_RUN_FIXTURE_H
#define FV_TESTS_RL_RUN_FIXTURE_H

#include "core/file.h"
#include "core/json.h"
#include "core/random.h"
#include "datasets/photographs.h"
#include "tools/canvas.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FIXTURE_SFT = 120, FIXTURE_RL = 100, FIXTURE_SAMPLES = 12, FIXTURE_SIDE = 448 };

static const char fixture_recipe[] =
    "name: visual-search\nseed: 1\nout: runs/visual-search\nthreads: 2\ndevice: cpu\nmodel:\n  path: models/tiny-vl\ndata:\n  make: visual-search\n  n: 20000\n  split: train\n"
    "eval_data:\n  make: visual-search\n  n: 500\n  split: test\nenv:\n  tools: [image_zoom_in_tool]\n  max_turns: 3\nstages:\n  - name: cold-start\n    kind: sft\n    steps: 120\n"
    "    batch: 32\n    optim:\n      lr: 0.001  # peak\n      warmup: 30\n  - name: rl\n    kind: grpo\n    steps: 100\n    rollout:\n      prompts: 16\n      group_size: 8\n"
    "      temperature: 1.0\n      max_new_tokens: 48\n    reward:\n      terms: [{term: exact, weight: 1.0}, {term: tool, weight: 0.1}]\n";

/* In -1..1, from a counter. */
static double fixture_noise(int i) { return 2.0 * (double)(fv_random_key(7, "noise", (uint64_t)i, 0) >> 11) / 9007199254740992.0 - 1; }

static void fixture_file(const char *folder, const char *name, const fv_text *text) {
    fv_error err;
    char *path = fv_path_join(folder, name), *above = fv_path_folder(path);
    assert_int_equal(fv_folder_make(above, &err), FV_OK);
    assert_int_equal(fv_file_write(path, text->data, text->size, &err), FV_OK);
    free(above);
    free(path);
}

static void fixture_metrics(const char *folder) {
    fv_text t = {0};
    for (int i = 1; i <= FIXTURE_SFT; i++) {
        double loss = 0.25 + 2.2 * exp(-i / 22.0) + 0.05 * fixture_noise(i);
        fv_text_printf(&t, "{\"step\": %d, \"stage\": \"cold-start\", \"loss\": %.4f, \"grad_norm\": %.3f, \"learning_rate\": %.6f, \"entropy\": %.4f, \"loss/digit\": %.4f, "
                           "\"loss/describe\": %.4f, \"step_time\": %.3f, \"timing_s/data\": 0.011, \"num_tokens\": %d}\n",
                       i, loss, 0.6 + 0.3 * fixture_noise(i + 1000), 1e-3 * fmin(1, i / 30.0) * (0.5 + 0.5 * cos(3.1416 * i / 120)), loss * 0.8, loss * 1.15, loss * 0.7,
                       0.61 + 0.03 * fixture_noise(i + 3000), i * 4100);
    }
    for (int i = 1; i <= FIXTURE_RL; i++) {
        double p = 0.42 + 0.5 / (1 + exp(-(i - 38) / 11.0)), r = p + 0.06 * fixture_noise(i + 5000);
        fv_text_printf(&t, "{\"step\": %d, \"stage\": \"rl\", \"reward\": %.4f, \"reward_std\": 0.3, \"frac_reward_zero_std\": %.3f, \"rewards/exact/mean\": %.4f, \"rewards/exact/std\": 0.4, "
                           "\"rewards/tool/mean\": %.4f, \"completions/mean_length\": %.1f, \"completions/max_length\": %d, \"completions/clipped_ratio\": 0.0, \"entropy\": %.4f, "
                           "\"tools/call_frequency\": %.3f, \"tools/failure_frequency\": %.3f, \"loss\": 0.001, \"grad_norm\": %.3f, \"learning_rate\": 5e-05, "
                           "\"sampling/sampling_logp_difference/mean\": 0.0, \"sampling/sampling_logp_difference/max\": 0.0, \"timing_s/gen\": 1.9, \"timing_s/update_actor\": 1.3, \"step_time\": %.3f}\n",
                       FIXTURE_SFT + i, r * 1.06, 0.2 + 0.5 * p * p, fmin(r, 1), 0.6 * r, 41 + 3 * fixture_noise(i + 200), 52 + i % 5, 0.62 - 0.4 * (p - 0.42), 0.92 + 0.08 * p,
                       0.06 * (1 - p), 0.4 + 0.1 * fixture_noise(i + 900), 3.3 + 0.2 * fixture_noise(i));
    }
    fv_text_add(&t, "{\"step\": 221, \"stage\": \"rl\", \"rewa"); /* as kill -9 leaves a file */
    fixture_file(folder, "metrics.jsonl", &t);
    fv_text_clear(&t);
}

static void fixture_evaluation(fv_text *t, const char *after, const char *mode, int step, bool final, double p, double calls, double hits) {
    double half = 1.96 * sqrt(p * (1 - p) / 500);
    fv_text_printf(t, "{\"name\": \"%s-%s%s\", \"mode\": \"%s\", \"n\": 500, \"accuracy\": %.3f, \"se\": %.4f, \"ci95\": [%.4f, %.4f], \"by\": {\"digit\": {\"n\": 400, \"accuracy\": %.3f}, "
                      "\"letter\": {\"n\": 100, \"accuracy\": %.3f}}, \"calls_per_answer\": %.2f, \"failed_calls\": 0.01, \"target_hits\": ",
                   after, mode, final ? "" : "-step-170", mode, p, half / 1.96, p - half, p + half, p + 0.01, p - 0.04, calls);
    if (hits > 0) fv_text_printf(t, "%.3f", hits);
    else fv_text_add(t, "null");
    fv_text_printf(t, ", \"length\": %.1f, \"errors\": 0, \"seconds\": 21.5, \"after_stage\": \"%s\", \"step\": %d, \"final\": %s}", calls > 0 ? 41.2 : 3.0, after, step, final ? "true" : "false");
}

static void fixture_evaluations(const char *folder) {
    static const struct {
        const char *after, *mode;
        int step;
        bool final;
        double p, calls, hits;
    } all[] = {{"cold-start", "sampled", 120, true, 0.408, 0.98, 0.412}, {"cold-start", "greedy", 120, true, 0.446, 1.0, 0.452}, {"cold-start", "no_tool", 120, true, 0.104, 0, 0},
               {"rl", "sampled", 170, false, 0.742, 1.0, 0.78},          {"rl", "greedy", 170, false, 0.79, 1.0, 0.81},         {"rl", "no_tool", 170, false, 0.118, 0, 0},
               {"rl", "sampled", 220, true, 0.912, 1.01, 0.948},         {"rl", "greedy", 220, true, 0.946, 1.0, 0.966},        {"rl", "no_tool", 220, true, 0.112, 0, 0}};
    fv_text lines = {0}, summary = {0};
    fv_text_add(&summary, "{\"name\": \"visual-search\", \"stages\": [{\"name\": \"cold-start\", \"kind\": \"sft\", \"steps\": 120, \"seconds\": 143.2}, "
                          "{\"name\": \"rl\", \"kind\": \"grpo\", \"steps\": 100, \"seconds\": 421.9}], \"evaluations\": [");
    for (size_t i = 0; i < FV_COUNT(all); i++) {
        fixture_evaluation(&lines, all[i].after, all[i].mode, all[i].step, all[i].final, all[i].p, all[i].calls, all[i].hits);
        fv_text_char(&lines, '\n');
        if (i) fv_text_add(&summary, ", ");
        fixture_evaluation(&summary, all[i].after, all[i].mode, all[i].step, all[i].final, all[i].p, all[i].calls, all[i].hits);
    }
    fv_text_add(&summary, "], \"seconds\": 565.1}\n");
    fixture_file(folder, "evaluations.jsonl", &lines);
    fixture_file(folder, "summary.json", &summary);
    fv_text_clear(&lines);
    fv_text_clear(&summary);
}

/* ---- Trajectories ---- */

typedef struct {
    fv_image *image;
    fv_box plate;
    int digit;
    const char *color;
} fixture_scene;

/* A photograph with five plates; the first is asked for. */
static fixture_scene fixture_draw(int number) {
    const fv_image *photo;
    fv_error err;
    fixture_scene s = {.digit = (number * 7 + 3) % 10};
    assert_int_equal(fv_photograph(&photo, true, number % fv_photograph_count(true), &err), FV_OK);
    assert_int_equal(fv_image_crop(&s.image, photo, (number * 13) % 20, (number * 5) % 20, FIXTURE_SIDE, FIXTURE_SIDE, &err), FV_OK);
    for (int k = 4; k >= 0; k--) {
        int color_count;
        const fv_color_entry *color = &fv_color_table(&color_count)[(number + k * 5) % 7];
        double x = 24 + (double)((number * 97 + k * 151) % 370), y = 20 + (double)((number * 61 + k * 89) % 370);
        fv_box b = {x, y, x + 42, y + 34};
        char digit[2] = {(char)('0' + (s.digit + 3 * k) % 10), 0};
        fv_canvas_fill_plate(s.image, b, 7, color->color);
        fv_canvas_text(s.image, x + 21, y + 17, digit, &(fv_text_style){.size = 15, .anchor_x = 0.5, .anchor_y = 0.5, .color = fv_color_contrast(color->color)});
        if (k) continue;
        s.plate = b;
        s.color = color->name;
    }
    return s;
}

static void fixture_picture(const char *folder, const char *name, const fv_image *im) {
    fv_error err;
    char *path = fv_path_join(folder, name), *above = fv_path_folder(path);
    assert_int_equal(fv_folder_make(above, &err), FV_OK);
    assert_int_equal(fv_image_save(im, path, &err), FV_OK);
    free(above);
    free(path);
}

/* One line: a zoom that hits or misses, and what was read. `strange` replaces the answer's text. */
static void fixture_trajectory(fv_text *t, const char *folder, const fixture_scene *s, int number, int member, bool hit, bool refused, const char *strange) {
    char scene[64], crop[64];
    double x = fmin(fmax(s->plate.x1 - 30 + (hit ? 0 : number % 2 ? 130 : -140), 0), FIXTURE_SIDE - 112), y = fmin(fmax(s->plate.y1 - 34 + (hit ? 6 : 70), 0), FIXTURE_SIDE - 104);
    fv_image *cut;
    fv_error err;
    snprintf(scene, sizeof scene, "pictures/%016x.png", 0xbeef00 + number);
    snprintf(crop, sizeof crop, "pictures/%016x.png", 0xc0ffee00 + number * 16 + member * 2 + hit);
    fixture_picture(folder, scene, s->image);
    assert_int_equal(fv_image_crop(&cut, s->image, (int)x, (int)y, 112, 104, &err), FV_OK);
    if (!refused) fixture_picture(folder, crop, cut);
    fv_image_free(cut);
    int said = hit ? s->digit : (s->digit + 4) % 10;
    char call[256], answer[512], group[32];
    snprintf(group, sizeof group, "visual-search-%d", number);
    snprintf(call, sizeof call, "<tool_call>\n{\"name\": \"image_zoom_in_tool\", \"arguments\": {\"bbox_2d\": [%d, %d, %d, %d]}}\n</tool_call><|im_end|>", (int)x / 4, (int)y / 4,
             (int)(x + 112) / 4, refused ? 0 : (int)(y + 104) / 4);
    snprintf(answer, sizeof answer, "%s<answer>%d</answer><|im_end|>", strange ? strange : "", said);
    fv_text_printf(t, "{\"id\": \"%s\", \"group\": \"%s\", \"step\": %d, \"problem\": \"Which digit is on the %s plate?\", \"answer\": \"%d\", \"target_box\": [%g, %g, %g, %g], \"response\": ",
                   group, group, number, s->color, s->digit, s->plate.x1, s->plate.y1, s->plate.x2, s->plate.y2);
    fv_text_json(t, answer, strlen(answer));
    fv_text_printf(t, ", \"stop_reason\": \"answer\", \"images\": [{\"image\": \"%s\", \"min_pixels\": 784, \"max_pixels\": 12544}", scene);
    if (!refused) fv_text_printf(t, ", {\"image\": \"%s\", \"max_pixels\": 12544}", crop);
    fv_text_add(t, "], \"turns\": [{\"text\": ");
    fv_text_json(t, call, strlen(call));
    fv_text_add(t, ", \"tool\": \"image_zoom_in_tool\"");
    if (refused) fv_text_add(t, ", \"error\": \"bbox_2d is empty: x1 must be below x2 and y1 below y2, got [40, 30, 68, 0]\"");
    else fv_text_printf(t, ", \"picture\": 1, \"box\": [%g, %g, %g, %g]", x, y, x + 112, y + 104);
    fv_text_add(t, "}, {\"text\": ");
    fv_text_json(t, answer, strlen(answer));
    fv_text_printf(t, "}], \"terms\": {\"exact\": %d.0, \"format\": 1.0, \"tool\": %d.0}, \"reward\": %.1f, \"advantage\": %s}\n", hit, hit, 1.2 * hit + 0.2, member < 2 ? "0.0" : hit ? "0.94" : "-1.06");
}

static void fixture_held_out(const char *folder, const char *evaluation, int member, int misses) {
    char name[128];
    snprintf(name, sizeof name, "evaluations/%s", evaluation);
    char *below = fv_path_join(folder, name);
    fv_text t = {0};
    for (int i = 0; i < FIXTURE_SAMPLES; i++) {
        fixture_scene s = fixture_draw(i);
        bool miss = (i * 5 + 1) % FIXTURE_SAMPLES < misses;
        fixture_trajectory(&t, below, &s, i, member, !miss, miss && i == 7,
                           i == 2 ? "<think>The plate is small; </script><b>bold</b> & \"quoted\" \xF0\x9F\x94\x8D \xE8\x99\x8E</think>" : NULL);
        fv_image_free(s.image);
    }
    fv_text_add(&t, "{\"id\": \"visual-search-12\", \"turns\": [{\"te");
    fixture_file(below, "trajectories.jsonl", &t);
    fv_text_clear(&t);
    free(below);
}

static void fixture_training(const char *folder) {
    char *below = fv_path_join(folder, "trajectories");
    for (int step = 130; step <= 220; step += 30) {
        fv_text t = {0};
        char name[64];
        for (int i = 0; i < 2; i++) {
            fixture_scene s = fixture_draw(20 + step / 10);
            fixture_trajectory(&t, below, &s, 20 + step / 10, 2 + i, i == 0, false, NULL);
            fv_image_free(s.image);
        }
        snprintf(name, sizeof name, "step-%d.jsonl", step);
        fixture_file(below, name, &t);
        fv_text_clear(&t);
    }
    free(below);
}

static void fixture_write(const char *folder, const char *name, const char *content) {
    fv_text t = {0};
    fv_text_add(&t, content);
    fixture_file(folder, name, &t);
    fv_text_clear(&t);
}

/* All of it. */
static inline void fixture_run(const char *folder) {
    fixture_write(folder, "recipe.yaml", fixture_recipe);
    fixture_write(folder, "log.txt", "2026-11-24 10:00:00 stage cold-start (sft), from step 0\n2026-11-24 10:02:23 stage rl (grpo), from step 0\n");
    fixture_write(folder, "bad_rows.jsonl", "{\"id\": \"9\", \"error\": \"train.jsonl:9: a.png: truncated\"}\n");
    fixture_metrics(folder);
    fixture_evaluations(folder);
    fixture_held_out(folder, "cold-start-greedy", 0, 7);
    fixture_held_out(folder, "rl-greedy", 1, 1);
    fixture_training(folder);
}

#endif
