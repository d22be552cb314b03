/* A row's tensors on the way: what the tower saw and gave, positions, final hidden states, logits. */
#include "rl/score.h"

#include "core/file.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_TENSORS = 8 };

typedef struct {
    const fv_scored_row *row;
    fv_arena *arena;
    fv_tensor tensors[MOST_TENSORS];
    size_t count;
} dump;

static void add(dump *d, const char *name, fv_view v) { d->tensors[d->count++] = (fv_tensor){name, v}; }

/* A value of the pass. */
static void add_value(dump *d, fv_pass *pass, const char *name, fv_view v) {
    v.data = (void *)fv_read(pass, v);
    add(d, name, v);
}

/* Patches of all pictures (or clips) of the row, one below the other, in order. */
static void add_pixels(dump *d, const char *name, bool video) {
    const fv_prompt *p = &d->row->sample->prompt;
    const fv_processor *how = video ? &d->row->model->video : &d->row->model->image;
    int64_t cols = (int64_t)3 * how->temporal * how->patch * how->patch, rows = 0;
    for (int i = 0; i < p->picture_count; i++)
        if (p->pictures[i]->video == video) rows += fv_patches_rows(p->pictures[i]->patches);
    if (!rows) return;
    float *out = FV_TAKE(d->arena, float, rows * cols), *at = out;
    for (int i = 0; i < p->picture_count; i++) {
        if (p->pictures[i]->video != video) continue;
        size_t n = (size_t)fv_patches_rows(p->pictures[i]->patches) * (size_t)cols;
        memcpy(at, p->pictures[i]->patches->pixels, n * sizeof *at);
        at += n;
    }
    add(d, name, fv_mat(out, rows, cols));
}

/* [3, tokens] of t, h, w; [1, tokens] for text models. */
static void add_positions(dump *d) {
    const fv_pack *pack = d->row->pack;
    int tokens = d->row->sample->prompt.tokens.count, axes = d->row->model->config.has_vision ? 3 : 1;
    int64_t *out = FV_TAKE(d->arena, int64_t, (size_t)axes * (size_t)tokens);
    const int32_t *position = fv_i32(pack->batch.position);
    for (int a = 0; a < axes; a++)
        for (int i = 0; i < tokens; i++) out[a * tokens + i] = position[a * pack->rows + d->row->rows[i]];
    add(d, "position_ids", (fv_view){.data = out, .dtype = FV_I64, .rank = 2, .shape = {axes, tokens}});
}

/* The tower's rows that stand at the row's placeholders `token`. */
static void add_embeds(dump *d, fv_pass *pass, const char *name, int token) {
    const fv_scored_row *r = d->row;
    const fv_ids *ids = &r->sample->prompt.tokens;
    int32_t *index_of = FV_TAKE(d->arena, int32_t, r->pack->rows), *index = FV_TAKE(d->arena, int32_t, ids->count);
    int n = 0;
    for (int64_t i = 0; i < fv_elements(r->pack->visual_row); i++) index_of[fv_i32(r->pack->visual_row)[i]] = fv_i32(r->pack->visual_index)[i];
    for (int i = 0; i < ids->count; i++)
        if (ids->ids[i] == token) index[n++] = index_of[r->rows[i]];
    if (n) add_value(d, pass, name, fv_gather(pass, fv_input(pass, r->visual->embeds->v), fv_ints(index, n))->v);
}

static fv_status make_tensors(dump *d, fv_error *err) {
    const fv_scored_row *r = d->row;
    fv_pass pass = fv_pass_begin(r->slot, d->arena, false);
    if (r->model->config.has_vision) {
        add_pixels(d, "pixel_values", false);
        add_pixels(d, "pixel_values_videos", true);
    }
    add_positions(d);
    if (r->sample->prompt.picture_count) {
        add_embeds(d, &pass, "image_embeds", r->model->config.image_token);
        add_embeds(d, &pass, "video_embeds", r->model->config.video_token);
    }
    fv_var *hidden = fv_gather(&pass, fv_input(&pass, r->hidden->v), fv_ints(r->rows, r->sample->prompt.tokens.count));
    add_value(d, &pass, "hidden_states", hidden->v);
    add_value(d, &pass, "logits", fv_linear(&pass, hidden, fv_decoder_head(r->model->decoder), -1)->v);
    return pass.error.status == FV_OK ? FV_OK : fv_fail(err, pass.error.status, "%s: %s", r->sample->row->id, pass.error.text);
}

void fv_score_file(fv_text *out, const char *id) {
    for (const char *c = id; *c; c++) fv_text_char(out, *c == '/' ? '_' : *c);
    fv_text_add(out, ".safetensors");
}

/* malloc'ed; NULL when out of memory */
static char *dump_path(const char *folder, const char *id) {
    fv_text name = {0};
    fv_score_file(&name, id);
    char *path = name.failed ? NULL : fv_path_join(folder, name.data);
    fv_text_clear(&name);
    return path;
}

fv_status fv_score_dump(const char *folder, const fv_scored_row *row, fv_arena *arena, fv_error *err) {
    dump d = {.row = row, .arena = arena};
    fv_arena_mark mark = fv_arena_here(arena);
    char *path = dump_path(folder, row->sample->row->id);
    fv_status status = make_tensors(&d, err);
    if (status == FV_OK) status = fv_weights_save(path, d.tensors, d.count, FV_DTYPES, err);
    free(path);
    fv_arena_release(arena, mark);
    return status;
}
