#include "rl/engine/engine.h"

#include "core/recording.h"
#include "rl/engine/pages.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What the engine knows of a segment. */
typedef struct {
    int32_t *recorded;    /* [record_room] by token: its row of the record, -1: none */
    int record_room;
    int32_t *pages;       /* its own: positions from (start / 16) * 16 on; the list's memory stays for later trees */
    int page_count, page_room;
    int fed;              /* leading tokens whose keys and values are in pages */
    int reached;          /* the most that fed ever was: what is fed below it is fed again */
    int first_row, n;     /* in this step's batch; n 0: not in it */
    unsigned mark;        /* on some active path (see evict_idle) */
} seg_kv;

typedef struct {
    fv_ask ask;
    bool finished;
} cursor;

/* The tower's output of a picture that was seen: rows of the embedding table. */
typedef struct {
    uint64_t hash;
    int rows, base;
    int64_t recorded; /* its first row of the tower's record, -1: none */
} seen_picture;

struct fv_engine {
    const fv_model *model;
    fv_slot *slot;
    fv_engine_options options;
    fv_tree *tree;
    fv_pages pool;
    fv_arena *arena;
    fv_recording *record;    /* of the decoder; NULL: nothing is kept */
    fv_recording *seen;      /* and of the tower */
    seg_kv *kv;
    int kv_room;
    cursor *cursors;
    int cursor_count, cursor_room, active;
    seen_picture *pictures;
    int picture_count, picture_room;
    fv_view embeds, deepstack[FV_MAX_DEEPSTACK]; /* [room, width] tables; embed_rows of them in use */
    int embed_rows, deepstack_count;
    uint8_t *banned;
    unsigned mark;
    int *work, work_count;                       /* segments of this step, in order */
    int work_room;
    fv_engine_stats stats;
};

const char *fv_stop_name(fv_stop s) {
    static const char *const names[] = {"none", "end", "length", "context"};
    return names[s];
}

fv_status fv_engine_open(fv_engine **out, const fv_model *m, fv_slot *slot, const fv_engine_options *options, fv_error *err) {
    *out = NULL;
    fv_engine *e = calloc(1, sizeof *e);
    if (!e) return fv_fail(err, FV_NO_MEMORY, "engine: out of memory");
    e->model = m;
    e->slot = slot;
    if (options) e->options = *options;
    if (!e->options.max_rows) e->options.max_rows = fv_engine_rows(slot->ops);
    e->arena = fv_ops_arena(slot->ops, FV_ARENA_SCRATCH);
    if (e->options.record) e->record = fv_recording_new(e->options.record);
    if (e->options.record) e->seen = fv_recording_new(e->options.record / FV_ENGINE_SEEN);
    e->banned = malloc((size_t)m->config.text.vocabulary);
    if (!e->arena || !e->banned || (e->options.record && !(e->record && e->seen)) || fv_pages_open(&e->pool, slot->ops, slot->exec, &m->config.text, e->options.max_pages, err) != FV_OK) {
        fv_engine_close(e);
        return fv_fail(err, FV_NO_MEMORY, "engine: out of memory");
    }
    fv_model_banned(m, e->banned);
    for (int i = 0; i < m->config.eos_count && e->options.ignore_eos; i++) e->banned[m->config.eos[i]] = 1;
    *out = e;
    return FV_OK;
}

static void forget_segments(fv_engine *e) {
    for (int i = 0; i < e->kv_room; i++) {
        seg_kv *k = &e->kv[i];
        *k = (seg_kv){.pages = k->pages, .page_room = k->page_room, .recorded = k->recorded, .record_room = k->record_room};
        for (int t = 0; t < k->record_room; t++) k->recorded[t] = -1;
    }
}

void fv_engine_close(fv_engine *e) {
    if (!e) return;
    for (int i = 0; i < e->kv_room; i++) {
        free(e->kv[i].pages);
        free(e->kv[i].recorded);
    }
    fv_recording_free(e->record);
    fv_recording_free(e->seen);
    fv_pages_close(&e->pool);
    fv_arena_free(e->arena);
    if (e->embeds.data) e->slot->ops->free(e->embeds.data);
    for (int i = 0; i < FV_MAX_DEEPSTACK; i++)
        if (e->deepstack[i].data) e->slot->ops->free(e->deepstack[i].data);
    free(e->kv);
    free(e->cursors);
    free(e->pictures);
    free(e->banned);
    free(e->work);
    free(e);
}

void fv_engine_begin(fv_engine *e, fv_tree *t) {
    forget_segments(e);
    fv_pages_reset(&e->pool);
    if (e->record) {
        fv_recording_begin(e->record, e->slot);
        fv_recording_begin(e->seen, e->slot);
    }
    e->tree = t;
    e->cursor_count = e->active = 0;
    e->picture_count = e->embed_rows = 0;
    memset(&e->stats, 0, sizeof e->stats);
}

static bool grow(void **data, int *room, int want, size_t size) {
    if (want <= *room) return true;
    int n = *room ? *room : 64;
    while (n < want) n *= 2;
    char *p = realloc(*data, (size_t)n * size);
    if (!p) return false;
    memset(p + (size_t)*room * size, 0, (size_t)(n - *room) * size);
    *data = p;
    *room = n;
    return true;
}

fv_status fv_engine_ask(fv_engine *e, const fv_ask *ask, fv_error *err) {
    if (!grow((void **)&e->cursors, &e->cursor_room, e->cursor_count + 1, sizeof *e->cursors)) return fv_fail(err, FV_NO_MEMORY, "engine: out of memory");
    if (!e->active) e->cursor_count = 0;
    e->cursors[e->cursor_count++] = (cursor){.ask = *ask};
    e->active++;
    return FV_OK;
}

int fv_engine_active(const fv_engine *e) { return e->active; }

void fv_engine_drop(fv_engine *e) { e->cursor_count = e->active = 0; }

fv_engine_stats fv_engine_counts(const fv_engine *e) {
    fv_engine_stats s = e->stats;
    s.peak_pages = e->pool.peak;
    return s;
}

/* ---- Pages ---- */

static int first_page(const fv_segment *s) { return s->start / FV_PAGE; }

static void release(fv_engine *e, int segment) {
    seg_kv *k = &e->kv[segment];
    for (int i = 0; i < k->page_count; i++) fv_pages_give(&e->pool, k->pages[i]);
    k->page_count = k->fed = 0;
}

/* Marks the segments that the unfinished answers before cursor `end` need. */
static void mark_paths(fv_engine *e, int end) {
    e->mark++;
    for (int c = 0; c < end; c++)
        for (int s = e->cursors[c].finished ? -1 : e->cursors[c].ask.segment; s >= 0; s = e->tree->segments[s]->parent) e->kv[s].mark = e->mark;
}

/* Under pressure: pages that no active path needs go first. */
static bool evict_idle(fv_engine *e) {
    mark_paths(e, e->cursor_count);
    bool any = false;
    for (int s = 0; s < e->tree->count; s++)
        if (e->kv[s].mark != e->mark && e->kv[s].page_count) {
            release(e, s);
            any = true;
        }
    return any;
}

/* Then the pages of a younger answer, but for those that an older one needs as well. */
static void preempt(fv_engine *e, int younger) {
    if (e->cursors[younger].finished) return;
    mark_paths(e, younger);
    for (int s = e->cursors[younger].ask.segment; s >= 0; s = e->tree->segments[s]->parent)
        if (e->kv[s].mark != e->mark) release(e, s);
}

/* The page that holds `position` of the path ending in `segment`, and its owner; the position is fed already or is being fed. */
static int32_t page_at(const fv_engine *e, int segment, int position) {
    const fv_segment *s = e->tree->segments[segment];
    while (position / FV_PAGE < first_page(s) || e->kv[segment].page_count <= position / FV_PAGE - first_page(s)) {
        segment = s->parent;
        s = e->tree->segments[segment];
    }
    return e->kv[segment].pages[position / FV_PAGE - first_page(s)];
}

/* Pages for the first `tokens` of a segment, all or none: a first page that begins in an ancestor is a copy of the ancestor's, and would be an old
 * one if it waited here for the others. False: the pool is at its limit. */
static bool provide_pages(fv_engine *e, int segment, int tokens) {
    const fv_segment *s = e->tree->segments[segment];
    seg_kv *k = &e->kv[segment];
    int had = k->page_count, want = (s->start + tokens + FV_PAGE - 1) / FV_PAGE - first_page(s);
    if (!grow((void **)&k->pages, &k->page_room, want, sizeof *k->pages)) return false;
    for (int i = had; i < want; i++) {
        k->pages[i] = fv_pages_take(&e->pool);
        if (k->pages[i] >= 0) continue;
        while (i-- > had) fv_pages_give(&e->pool, k->pages[i]);
        return false;
    }
    if (!had && want && s->start % FV_PAGE) fv_pages_copy(&e->pool, k->pages[0], page_at(e, s->parent, s->start - 1));
    if (want > had) k->page_count = want;
    return true;
}

/* ---- What to feed ---- */

static int last_filled(const fv_tree *t, int segment) {
    while (segment >= 0 && t->segments[segment]->count == 0) segment = t->segments[segment]->parent;
    return segment;
}

/* Adds what is missing on one path, root first, while there are rows and pages. False: no pages. */
static bool plan_path(fv_engine *e, int leaf, int *rows) {
    int depth = fv_tree_depth(e->tree, leaf), end = last_filled(e->tree, leaf);
    int *path = FV_TAKE(e->arena, int, depth);
    fv_tree_path(e->tree, leaf, path);
    for (int i = 0; i < depth; i++) {
        int id = path[i];
        const fv_segment *s = e->tree->segments[id];
        seg_kv *k = &e->kv[id];
        if (k->n) { /* another path of this step feeds it; whoever comes below must wait if it isn't fed whole */
            if (k->fed + k->n < s->count) return true;
            continue;
        }
        if (k->fed == s->count && id == end) k->fed--; /* its last hidden state is wanted again: one row */
        int missing = s->count - k->fed, n = missing < *rows ? missing : *rows;
        if (!missing) continue;
        if (!n) return true;
        if (!provide_pages(e, id, k->fed + n)) return false;
        k->n = n;
        k->first_row = e->options.max_rows - *rows;
        *rows -= n;
        e->work[e->work_count++] = id;
        if (n < missing) return true;
    }
    return true;
}

static fv_status plan_step(fv_engine *e, int *rows, fv_error *err) {
    int left = e->options.max_rows;
    e->work_count = 0;
    for (int c = 0; c < e->cursor_count && left > 0; c++) {
        if (e->cursors[c].finished || plan_path(e, e->cursors[c].ask.segment, &left)) continue;
        if (evict_idle(e) && plan_path(e, e->cursors[c].ask.segment, &left)) continue;
        if (e->work_count) break; /* later answers wait until pages come free */
        for (int v = e->cursor_count; v-- > c + 1 && !e->work_count;) { /* none of this could go on: the youngest gives its pages back */
            preempt(e, v);
            plan_path(e, e->cursors[c].ask.segment, &left);
        }
        if (!e->work_count) return fv_fail(err, FV_LIMIT, "engine: one answer alone needs more than max_pages %lld pages of 16 tokens", (long long)e->options.max_pages);
        break;
    }
    *rows = e->options.max_rows - left;
    return FV_OK;
}

/* ---- Pictures ---- */

static const seen_picture *find_picture(const fv_engine *e, const fv_picture *p) {
    for (int i = 0; i < e->picture_count; i++)
        if (e->pictures[i].hash == p->hash && e->pictures[i].rows == fv_patches_tokens(p->patches, e->model->image.merge)) return &e->pictures[i];
    return NULL;
}

/* Appends rows to a growing table. */
static fv_status extend_table(fv_engine *e, fv_view *table, fv_view more, fv_error *err) {
    const fv_ops *ops = e->slot->ops;
    int64_t want = e->embed_rows + more.shape[0], cols = more.shape[1];
    int32_t *index = FV_TAKE(e->arena, int32_t, want);
    if (!table->data || table->shape[0] < want) {
        void *data;
        FV_TRY(ops->alloc(&data, (size_t)(2 * want * cols) * sizeof(float), err));
        fv_view bigger = fv_mat(data, 2 * want, cols);
        for (int64_t i = 0; i < e->embed_rows; i++) index[i] = (int32_t)i;
        if (e->embed_rows) ops->gather(&e->slot->exec, fv_slice(bigger, 0, e->embed_rows), *table, fv_ints(index, e->embed_rows));
        if (table->data) ops->free(table->data);
        *table = bigger;
    }
    for (int64_t i = 0; i < more.shape[0]; i++) index[i] = (int32_t)(e->embed_rows + i);
    ops->scatter(&e->slot->exec, *table, more, fv_ints(index, more.shape[0]));
    return FV_OK;
}

/* The tower over the pictures that were seen last, which are `fresh` ones; notes where they are in its record. */
static fv_tower_out run_tower(fv_engine *e, fv_pass *pass, const fv_patches **list, int fresh) {
    int64_t rows = 0;
    for (int i = 0; i < fresh; i++) rows += fv_patches_rows(list[i]);
    if (e->seen) fv_recording_start(e->seen, pass, rows);
    fv_tower_out out = fv_tower_forward(pass, e->model->tower, list, fresh);
    int64_t at = e->seen ? fv_recording_stop(e->seen, pass) : -1;
    for (int i = 0; i < fresh; i++) { /* the tower takes them one after the other */
        e->pictures[e->picture_count - fresh + i].recorded = at;
        if (at >= 0) at += fv_patches_rows(list[i]);
    }
    return out;
}

/* Runs the tower over the pictures of this step that it has not seen yet. */
static fv_status see_pictures(fv_engine *e, fv_pass *pass, fv_error *err) {
    int room = 0, fresh = 0, at = e->embed_rows;
    for (int w = 0; w < e->work_count; w++) room += e->tree->segments[e->work[w]]->picture_count;
    const fv_patches **list = FV_TAKE(e->arena, const fv_patches *, room ? room : 1);
    for (int w = 0; w < e->work_count; w++) {
        const fv_segment *s = e->tree->segments[e->work[w]];
        for (int i = 0; i < s->picture_count; i++) {
            if (find_picture(e, s->pictures[i])) continue;
            if (!grow((void **)&e->pictures, &e->picture_room, e->picture_count + 1, sizeof *e->pictures)) return fv_fail(err, FV_NO_MEMORY, "engine: out of memory");
            int rows = fv_patches_tokens(s->pictures[i]->patches, e->model->image.merge);
            e->pictures[e->picture_count++] = (seen_picture){.hash = s->pictures[i]->hash, .rows = rows, .base = at};
            at += rows;
            list[fresh++] = s->pictures[i]->patches;
        }
    }
    if (!fresh) return FV_OK;
    fv_tower_out out = run_tower(e, pass, list, fresh);
    FV_TRY(extend_table(e, &e->embeds, out.embeds->v, err));
    e->deepstack_count = 0;
    for (int i = 0; i < FV_MAX_DEEPSTACK && out.deepstack[i]; i++) {
        FV_TRY(extend_table(e, &e->deepstack[i], out.deepstack[i]->v, err));
        e->deepstack_count++;
    }
    e->embed_rows = at;
    e->stats.pictures += fresh;
    return FV_OK;
}

/* Rows of this batch that hold picture tokens, and their rows of the table. */
static int visual_rows(const fv_engine *e, int32_t *row, int32_t *index) {
    const fv_config *c = e->tree->config;
    int n = 0;
    for (int w = 0; w < e->work_count; w++) {
        const fv_segment *s = e->tree->segments[e->work[w]];
        const seg_kv *k = &e->kv[e->work[w]];
        for (int i = 0; i < s->picture_count; i++) {
            const seen_picture *seen = find_picture(e, s->pictures[i]);
            for (int j = s->picture_at[i], v = 0; v < seen->rows; j++) {
                if (s->ids[j] != c->image_token && s->ids[j] != c->video_token) continue;
                if (j >= k->fed && j < k->fed + k->n) {
                    row[n] = k->first_row + j - k->fed;
                    index[n++] = seen->base + v;
                }
                v++;
            }
        }
    }
    return n;
}

/* ---- The batch ---- */

static void fill_work(const fv_engine *e, fv_batch *b, int rows) {
    int32_t *ids = FV_TAKE(e->arena, int32_t, rows), *position = FV_TAKE(e->arena, int32_t, 3 * (size_t)rows);
    int32_t *limit = FV_TAKE(e->arena, int32_t, rows), *kv_row = FV_TAKE(e->arena, int32_t, (size_t)rows + 16 * (size_t)e->work_count);
    int32_t *kv_slot = FV_TAKE(e->arena, int32_t, (size_t)rows + 16 * (size_t)e->work_count);
    int32_t *run_row = FV_TAKE(e->arena, int32_t, e->work_count + 1), *run_page = FV_TAKE(e->arena, int32_t, e->work_count + 1);
    int writes = 0, listed = 0, at = 0;
    for (int w = 0; w < e->work_count; w++) {
        const seg_kv *k = &e->kv[e->work[w]];
        listed += (e->tree->segments[e->work[w]]->start + k->fed + k->n + FV_PAGE - 1) / FV_PAGE;
    }
    int32_t *pages = FV_TAKE(e->arena, int32_t, listed);
    for (int w = 0; w < e->work_count; w++) {
        int id = e->work[w];
        const fv_segment *s = e->tree->segments[id];
        const seg_kv *k = &e->kv[id];
        int end = s->start + k->fed + k->n;
        run_row[w] = k->first_row;
        run_page[w] = at;
        for (int p = 0; p * FV_PAGE < end; p++) pages[at++] = page_at(e, id, p * FV_PAGE);
        for (int i = 0; i < k->n; i++) {
            int row = k->first_row + i, token = k->fed + i;
            ids[row] = s->ids[token];
            limit[row] = s->start + token + 1;
            for (int axis = 0; axis < 3; axis++) position[axis * rows + row] = s->position[3 * token + axis];
            kv_row[writes] = row;
            kv_slot[writes++] = k->pages[(s->start + token) / FV_PAGE - first_page(s)] * FV_PAGE + (s->start + token) % FV_PAGE;
        }
        /* Lanes of the first page that belong to ancestors fed in this very step: the page was copied before they were there. */
        for (int lane = 0; lane < s->start % FV_PAGE && k->fed == 0; lane++) {
            int position_of = first_page(s) * FV_PAGE + lane, up = s->parent;
            while (e->tree->segments[up]->start > position_of) up = e->tree->segments[up]->parent;
            const seg_kv *a = &e->kv[up];
            int token = position_of - e->tree->segments[up]->start;
            if (!a->n || token < a->fed || token >= a->fed + a->n) continue;
            kv_row[writes] = a->first_row + token - a->fed;
            kv_slot[writes++] = k->pages[0] * FV_PAGE + lane;
        }
    }
    run_row[e->work_count] = rows;
    run_page[e->work_count] = at;
    *b = (fv_batch){.ids = fv_ints(ids, rows),
                    .position = {.data = position, .dtype = FV_I32, .rank = 2, .shape = {3, rows}},
                    .plan = {.rows = rows, .runs = e->work_count, .run_row = run_row, .run_page = run_page, .pages = pages, .limit = limit},
                    .kv_row = fv_ints(kv_row, writes),
                    .kv_slot = fv_ints(kv_slot, writes),
                    .keys = e->pool.keys,
                    .values = e->pool.values};
}

static bool is_eos(const fv_config *c, int32_t id) {
    for (int i = 0; i < c->eos_count; i++)
        if (c->eos[i] == id) return true;
    return false;
}

/* Draws the next token of every answer whose path is fed whole. */
static fv_status sample(fv_engine *e, fv_pass *pass, fv_var *hidden, fv_done *done, int room, int *count, fv_error *err) {
    int n = 0, *who = FV_TAKE(e->arena, int, e->cursor_count);
    int32_t *source = FV_TAKE(e->arena, int32_t, e->cursor_count);
    fv_sampling *how = FV_TAKE(e->arena, fv_sampling, e->cursor_count);
    for (int c = 0; c < e->cursor_count; c++) {
        const fv_ask *a = &e->cursors[c].ask;
        if (e->cursors[c].finished) continue;
        int end = last_filled(e->tree, a->segment);
        const seg_kv *k = &e->kv[end];
        if (!k->n || k->fed + k->n < e->tree->segments[end]->count) continue;
        who[n] = c;
        source[n] = k->first_row + k->n - 1;
        how[n++] = (fv_sampling){.temperature = a->temperature, .top_p = a->top_p > 0 ? a->top_p : 1.0f, .top_k = a->top_k, .key = a->key,
                                 .position = (uint64_t)fv_tree_tokens(e->tree, a->segment), .banned = e->banned};
    }
    *count = 0;
    if (!n) return FV_OK;
    int32_t *id = FV_TAKE(e->arena, int32_t, n);
    float *logp = FV_TAKE(e->arena, float, n), *entropy = FV_TAKE(e->arena, float, n);
    fv_var *rows = fv_gather(pass, hidden, fv_ints(source, n));
    int head = fv_decoder_head(e->model->decoder);
    fv_head projection = {e->slot->params[head].w, fv_slot_packed(e->slot, head)};
    e->slot->ops->sample(&e->slot->exec, id, logp, entropy, rows->v, projection, how);
    FV_TRY(e->slot->ops->check(err));
    for (int i = 0; i < n; i++) {
        cursor *c = &e->cursors[who[i]];
        if (id[i] < 0 || !isfinite(logp[i])) return fv_fail(err, FV_LIMIT, "no token could be drawn at temperature %g: logits / temperature are no finite numbers; are the weights?", (double)c->ask.temperature);
        FV_TRY(fv_tree_append(e->tree, c->ask.segment, id[i], logp[i], entropy[i], err));
        fv_stop stop = is_eos(&e->model->config, id[i])                                                     ? FV_STOP_END
                       : e->tree->segments[c->ask.segment]->count >= c->ask.max_new                         ? FV_STOP_LENGTH
                       : c->ask.max_total && fv_tree_tokens(e->tree, c->ask.segment) >= c->ask.max_total ? FV_STOP_CONTEXT
                                                                                                            : FV_STOP_NONE;
        if (stop == FV_STOP_NONE || *count == room) continue;
        c->finished = true;
        e->active--;
        done[(*count)++] = (fv_done){c->ask.segment, stop};
    }
    return FV_OK;
}

/* ---- What is kept for training ---- */

/* Notes where the tokens of this step are in the record. */
static fv_status note_rows(fv_engine *e, int64_t first, fv_error *err) {
    for (int w = 0; w < e->work_count; w++) {
        seg_kv *k = &e->kv[e->work[w]];
        int had = k->record_room;
        if (!grow((void **)&k->recorded, &k->record_room, k->fed + k->n, sizeof *k->recorded)) return fv_fail(err, FV_NO_MEMORY, "engine: out of memory");
        for (int i = had; i < k->record_room; i++) k->recorded[i] = -1;
        for (int i = 0; i < k->n && first >= 0; i++) k->recorded[k->fed + i] = (int32_t)(first + k->first_row + i);
    }
    return FV_OK;
}

static fv_status run_decoder(fv_engine *e, fv_pass *pass, const fv_batch *b, fv_var **hidden, fv_error *err) {
    if (e->record) fv_recording_start(e->record, pass, fv_elements(b->ids));
    *hidden = fv_decoder_forward(pass, e->model->decoder, b);
    return e->record ? note_rows(e, fv_recording_stop(e->record, pass), err) : FV_OK;
}

/* The pack's pictures, where all are in the tower's record. */
static void replay_pictures(const fv_engine *e, fv_pack *pack, fv_arena *arena) {
    int64_t rows = 0, n = 0;
    for (int i = 0; i < pack->picture_count; i++) rows += fv_patches_rows(pack->pictures[i]->patches);
    int32_t *index = FV_TAKE(arena, int32_t, rows + 1);
    for (int i = 0; i < pack->picture_count; i++) {
        const seen_picture *seen = find_picture(e, pack->pictures[i]);
        if (!seen || seen->recorded < 0) return;
        for (int64_t k = 0; k < fv_patches_rows(pack->pictures[i]->patches); k++) index[n++] = (int32_t)(seen->recorded + k);
    }
    pack->seen = e->seen;
    pack->seen_rows = fv_ints(index, rows);
}

bool fv_engine_replay(const fv_engine *e, fv_pack *pack, fv_arena *arena) {
    if (!e->record || pack->tree != e->tree || !fv_recording_fits(e->record, e->slot)) return false;
    replay_pictures(e, pack, arena);
    int32_t *index = FV_TAKE(arena, int32_t, pack->rows);
    for (int n = 0; n < pack->segments; n++) {
        int id = pack->order[n];
        if (id >= e->kv_room) return false;
        const seg_kv *k = &e->kv[id];
        for (int i = 0; i < pack->count_of[id]; i++) {
            if (i >= k->record_room || k->recorded[i] < 0) return false;
            index[pack->row_of[id] + i] = k->recorded[i];
        }
    }
    pack->record = e->record;
    pack->recorded = fv_ints(index, pack->rows);
    return true;
}

/* ---- One step ---- */

fv_status fv_engine_step(fv_engine *e, fv_done *done, int room, int *count, fv_error *err) {
    *count = 0;
    if (!e->active) return FV_OK;
    if (!grow((void **)&e->kv, &e->kv_room, e->tree->count, sizeof *e->kv) || !grow((void **)&e->work, &e->work_room, e->tree->count, sizeof *e->work))
        return fv_fail(err, FV_NO_MEMORY, "engine: out of memory");
    fv_arena_reset(e->arena);
    int rows = 0;
    FV_TRY(plan_step(e, &rows, err));
    fv_batch b;
    fv_pass pass = fv_pass_begin(e->slot, e->arena, false);
    FV_TRY(see_pictures(e, &pass, err));
    fill_work(e, &b, rows);
    fv_tower_out visual = {0};
    int32_t *visual_row = FV_TAKE(e->arena, int32_t, rows), *visual_index = FV_TAKE(e->arena, int32_t, rows);
    int n = visual_rows(e, visual_row, visual_index);
    if (n) {
        visual.embeds = fv_input(&pass, e->embeds);
        for (int i = 0; i < e->deepstack_count; i++) visual.deepstack[i] = fv_input(&pass, e->deepstack[i]);
        b.visual = &visual;
        b.visual_row = fv_ints(visual_row, n);
        b.visual_index = fv_ints(visual_index, n);
    }
    fv_var *hidden;
    FV_TRY(run_decoder(e, &pass, &b, &hidden, err));
    e->stats.rows += rows;
    e->stats.steps++;
    FV_TRY(sample(e, &pass, hidden, done, room, count, err));
    if (pass.error.status != FV_OK) return fv_fail(err, pass.error.status, "engine: %s", pass.error.text);
    for (int w = 0; w < e->work_count; w++) {
        seg_kv *k = &e->kv[e->work[w]];
        int end = k->fed + k->n;
        if (k->reached > k->fed) e->stats.fed_again += (k->reached < end ? k->reached : end) - k->fed;
        if (k->reached < end) k->reached = end;
        k->fed = end;
        k->n = 0;
    }
    return FV_OK;
}
