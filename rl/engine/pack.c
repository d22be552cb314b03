#include "rl/engine/pack.h"

#include <string.h>

/* Page tables while they are laid out: every packed segment has the list of pages of its whole path. A segment goes on in its parent's last,
 * partly filled page if it is the only packed child; siblings get a page of their own with a copy of the lanes before them. */
typedef struct {
    int32_t **pages;  /* [segments] by packed number */
    int *page_count;
    int *children;    /* [tree->count] packed children */
    int *packed;      /* [tree->count] packed number */
    int pages_made;
    int32_t *row, *slot;
    int writes;
} layout;

static void write_slot(layout *l, int row, int page, int lane) {
    l->row[l->writes] = row;
    l->slot[l->writes++] = page * FV_PAGE + lane;
}

/* The row of the token at `position` on the path that ends in `segment`. */
static int row_at(const fv_pack *p, int segment, int position) {
    while (p->tree->segments[segment]->start > position) segment = p->tree->segments[segment]->parent;
    return p->row_of[segment] + position - p->tree->segments[segment]->start;
}

static void lay_out(layout *l, const fv_pack *p, int number, fv_arena *arena) {
    int id = p->order[number];
    const fv_segment *s = p->tree->segments[id];
    int end = s->start + p->count_of[id], want = (end + FV_PAGE - 1) / FV_PAGE, have = 0;
    l->pages[number] = FV_TAKE(arena, int32_t, want ? want : 1);
    l->page_count[number] = want;
    if (s->parent >= 0) {
        int up = l->packed[s->parent];
        bool alone = l->children[s->parent] == 1;
        have = alone ? l->page_count[up] : s->start / FV_PAGE;
        if (have > want) have = want;
        memcpy(l->pages[number], l->pages[up], (size_t)have * sizeof(int32_t));
    }
    for (int i = have; i < want; i++) l->pages[number][i] = l->pages_made++;
    for (int at = have * FV_PAGE; at < s->start; at++) /* the copied lanes of a page shared by siblings */
        write_slot(l, row_at(p, s->parent, at), l->pages[number][at / FV_PAGE], at % FV_PAGE);
    for (int i = 0; i < p->count_of[id]; i++) {
        int at = s->start + i;
        write_slot(l, p->row_of[id] + i, l->pages[number][at / FV_PAGE], at % FV_PAGE);
    }
}

static void fill_rows(fv_pack *p, fv_arena *arena) {
    int32_t *ids = FV_TAKE(arena, int32_t, p->rows), *position = FV_TAKE(arena, int32_t, 3 * (size_t)p->rows);
    for (int n = 0; n < p->segments; n++) {
        const fv_segment *s = p->tree->segments[p->order[n]];
        int row = p->row_of[p->order[n]];
        int count = p->count_of[p->order[n]];
        if (count) memcpy(ids + row, s->ids, (size_t)count * sizeof *ids);
        for (int i = 0; i < count; i++)
            for (int axis = 0; axis < 3; axis++) position[axis * p->rows + row + i] = s->position[3 * i + axis];
    }
    p->batch.ids = fv_ints(ids, p->rows);
    p->batch.position = fv_ints(position, 3 * (int64_t)p->rows);
    p->batch.position.rank = 2;
    p->batch.position.shape[0] = 3;
    p->batch.position.shape[1] = p->rows;
}

static void fill_attention(fv_pack *p, fv_arena *arena) {
    layout l = {0};
    l.pages = FV_TAKE(arena, int32_t *, p->segments);
    l.page_count = FV_TAKE(arena, int, p->segments);
    l.children = FV_ZERO(arena, int, p->tree->count);
    l.packed = FV_TAKE(arena, int, p->tree->count);
    int copies = 0;
    for (int n = 0; n < p->segments; n++) {
        const fv_segment *s = p->tree->segments[p->order[n]];
        l.packed[p->order[n]] = n;
        if (s->parent >= 0) l.children[s->parent]++;
        copies += s->start % FV_PAGE;
    }
    l.row = FV_TAKE(arena, int32_t, p->rows + copies);
    l.slot = FV_TAKE(arena, int32_t, p->rows + copies);
    for (int n = 0; n < p->segments; n++) lay_out(&l, p, n, arena);

    int listed = 0;
    for (int n = 0; n < p->segments; n++) listed += l.page_count[n];
    int32_t *run_row = FV_TAKE(arena, int32_t, p->segments + 1), *run_page = FV_TAKE(arena, int32_t, p->segments + 1);
    int32_t *pages = FV_TAKE(arena, int32_t, listed ? listed : 1), *limit = FV_TAKE(arena, int32_t, p->rows);
    int at = 0;
    for (int n = 0; n < p->segments; n++) {
        const fv_segment *s = p->tree->segments[p->order[n]];
        run_row[n] = p->row_of[p->order[n]];
        run_page[n] = at;
        memcpy(pages + at, l.pages[n], (size_t)l.page_count[n] * sizeof *pages);
        at += l.page_count[n];
        for (int i = 0; i < p->count_of[p->order[n]]; i++) limit[run_row[n] + i] = s->start + i + 1;
    }
    run_row[p->segments] = p->rows;
    run_page[p->segments] = at;
    p->batch.plan = (fv_attention){.rows = p->rows, .runs = p->segments, .run_row = run_row, .run_page = run_page, .pages = pages, .limit = limit};
    p->batch.kv_row = fv_ints(l.row, l.writes);
    p->batch.kv_slot = fv_ints(l.slot, l.writes);
    p->batch.pages = l.pages_made;
}

/* Equal pictures are one: the tower sees each once. */
static int picture_number(fv_pack *p, const fv_picture *picture, int *token_base, int merge) {
    const fv_picture **seen = p->pictures;
    int base = 0;
    for (int i = 0; i < p->picture_count; i++) {
        if (seen[i] == picture || (seen[i]->hash == picture->hash && fv_patches_rows(seen[i]->patches) == fv_patches_rows(picture->patches))) {
            *token_base = base;
            return i;
        }
        base += fv_patches_tokens(seen[i]->patches, merge);
    }
    seen[p->picture_count] = picture;
    *token_base = base;
    return p->picture_count++;
}

static void fill_pictures(fv_pack *p, int merge, fv_arena *arena) {
    int pictures = 0, tokens = 0;
    for (int n = 0; n < p->segments; n++) {
        const fv_segment *s = p->tree->segments[p->order[n]];
        pictures += s->picture_count;
        for (int i = 0; i < s->picture_count; i++) tokens += fv_patches_tokens(s->pictures[i]->patches, merge);
    }
    p->pictures = FV_TAKE(arena, const fv_picture *, pictures ? pictures : 1);
    int32_t *row = FV_TAKE(arena, int32_t, tokens ? tokens : 1), *index = FV_TAKE(arena, int32_t, tokens ? tokens : 1);
    int at = 0;
    for (int n = 0; n < p->segments; n++) {
        const fv_segment *s = p->tree->segments[p->order[n]];
        for (int i = 0; i < s->picture_count; i++) {
            int base;
            picture_number(p, s->pictures[i], &base, merge);
            int count = fv_patches_tokens(s->pictures[i]->patches, merge);
            for (int k = 0, j = s->picture_at[i]; k < count; j++) { /* a clip's placeholders may have time stamps between them */
                if (s->ids[j] != p->tree->config->image_token && s->ids[j] != p->tree->config->video_token) continue;
                row[at] = p->row_of[p->order[n]] + j;
                index[at++] = base + k++;
            }
        }
    }
    p->visual_row = fv_ints(row, tokens);
    p->visual_index = fv_ints(index, tokens);
}

/* How many tokens come before the last one that is learned: later ones change nothing of it. All where nothing is learned, or a picture follows. */
static int count_scored(const fv_segment *s) {
    int n = s->count;
    while (n > 0 && !s->mask[n - 1]) n--;
    bool pictures_after = n > 0 && s->picture_count && s->picture_at[s->picture_count - 1] >= n - 1;
    return n == 0 || pictures_after ? s->count : n - 1;
}

/* How many tokens of each segment are packed: all, or with `scored`, of segments that nothing packed follows, only what predicts something. */
static void count_tokens(fv_pack *p, bool scored, fv_arena *arena) {
    p->count_of = FV_ZERO(arena, int, p->tree->count);
    for (int n = p->segments; n-- > 0;) { /* children stand behind their parents */
        int id = p->order[n];
        const fv_segment *s = p->tree->segments[id];
        bool followed = p->count_of[id] < 0;
        p->count_of[id] = scored && !followed ? count_scored(s) : s->count;
        if (s->parent >= 0) p->count_of[s->parent] = -1;
    }
}

static fv_status make(fv_pack *out, const fv_tree *t, const int *leaves, int leaf_count, int merge, bool scored, fv_arena *arena, fv_error *err) {
    memset(out, 0, sizeof *out);
    out->tree = t;
    out->order = FV_TAKE(arena, int, t->count);
    out->segments = fv_tree_order(t, leaves, leaf_count, out->order);
    if (out->segments < 0) return fv_fail(err, FV_NO_MEMORY, "packing %d trajectories: out of memory", leaf_count);
    out->row_of = FV_TAKE(arena, int, t->count);
    for (int i = 0; i < t->count; i++) out->row_of[i] = -1;
    count_tokens(out, scored, arena);
    for (int n = 0; n < out->segments; n++) {
        int id = out->order[n];
        if (t->segments[id]->dropped) return fv_fail(err, FV_LIMIT, "packing: segment %d was dropped from the tree", id);
        out->row_of[id] = out->rows;
        out->rows += out->count_of[id];
    }
    fill_rows(out, arena);
    fill_attention(out, arena);
    fill_pictures(out, merge, arena);
    return FV_OK;
}

fv_status fv_pack_make(fv_pack *out, const fv_tree *t, const int *leaves, int leaf_count, int merge, fv_arena *arena, fv_error *err) {
    return make(out, t, leaves, leaf_count, merge, false, arena, err);
}

fv_status fv_pack_make_scored(fv_pack *out, const fv_tree *t, const int *leaves, int leaf_count, int merge, fv_arena *arena, fv_error *err) {
    return make(out, t, leaves, leaf_count, merge, true, arena, err);
}

static fv_tower_out look(fv_pass *p, const fv_model *m, const fv_pack *pack) {
    const fv_patches **list = FV_TAKE(p->arena, const fv_patches *, pack->picture_count);
    for (int i = 0; i < pack->picture_count; i++) list[i] = pack->pictures[i]->patches;
    if (pack->seen) fv_replay_start(pack->seen, p, pack->seen_rows);
    fv_tower_out visual = fv_tower_forward(p, m->tower, list, pack->picture_count);
    fv_replay_stop(p);
    return visual;
}

fv_var *fv_pack_forward(fv_pass *p, const fv_model *m, fv_pack *pack, fv_tower_out *embeds) {
    fv_tower_out visual = {0};
    if (pack->picture_count) {
        visual = look(p, m, pack);
        pack->batch.visual = &visual;
        pack->batch.visual_row = pack->visual_row;
        pack->batch.visual_index = pack->visual_index;
    }
    if (pack->record) fv_replay_start(pack->record, p, pack->recorded);
    fv_var *hidden = fv_decoder_forward(p, m->decoder, &pack->batch);
    fv_replay_stop(p);
    pack->batch.visual = NULL;
    if (embeds) *embeds = visual;
    return hidden;
}

int fv_pack_source(const fv_pack *pack, int segment, int i) {
    if (i > 0) return pack->row_of[segment] + i - 1;
    int up = pack->tree->segments[segment]->parent;
    while (up >= 0 && pack->tree->segments[up]->count == 0) up = pack->tree->segments[up]->parent;
    return up < 0 ? -1 : pack->row_of[up] + pack->tree->segments[up]->count - 1;
}

void fv_pack_targets(fv_targets *out, const fv_pack *pack, bool only_masked, float temperature, fv_arena *arena) {
    memset(out, 0, sizeof *out);
    int room = 1; /* not the rows: a leaf's last token is a target and may be no row (fv_pack_make_scored) */
    for (int n = 0; n < pack->segments; n++) room += pack->tree->segments[pack->order[n]]->count;
    out->source = FV_TAKE(arena, int32_t, room);
    out->target = FV_TAKE(arena, int32_t, room);
    out->segment = FV_TAKE(arena, int, room);
    out->index = FV_TAKE(arena, int, room);
    out->temperature = FV_TAKE(arena, float, room);
    bool sampled = pack->record && only_masked && temperature == 0;
    out->logp = sampled ? FV_TAKE(arena, float, room) : NULL;
    out->entropy = sampled ? FV_TAKE(arena, float, room) : NULL;
    for (int n = 0; n < pack->segments; n++) {
        int id = pack->order[n];
        const fv_segment *s = pack->tree->segments[id];
        for (int i = 0; i < s->count; i++) {
            int source = fv_pack_source(pack, id, i);
            if (source < 0 || (only_masked && !s->mask[i])) continue;
            out->source[out->count] = source;
            out->target[out->count] = s->ids[i];
            out->segment[out->count] = id;
            out->index[out->count] = i;
            if (sampled) out->logp[out->count] = s->logp[i], out->entropy[out->count] = s->entropy[i];
            out->temperature[out->count++] = temperature > 0 ? temperature : s->temperature > 0 ? s->temperature : 1.0f;
        }
    }
}

void fv_pack_want(fv_pack *pack, fv_targets *targets, fv_arena *arena) {
    int32_t *wanted = FV_TAKE(arena, int32_t, pack->rows + 1), *number = FV_ZERO(arena, int32_t, pack->rows + 1);
    int count = 0;
    for (int i = 0; i < targets->count; i++) number[targets->source[i]] = 1;
    for (int r = 0; r < pack->rows; r++) {
        if (!number[r]) continue;
        number[r] = count;
        wanted[count++] = r;
    }
    for (int i = 0; i < targets->count; i++) targets->source[i] = number[targets->source[i]];
    pack->batch.wanted = fv_ints(wanted, count);
}

fv_scored fv_pack_score(fv_pass *p, const fv_model *m, fv_var *hidden, const fv_targets *targets) {
    fv_var *rows = fv_gather(p, hidden, fv_ints(targets->source, targets->count));
    int head = fv_decoder_head(m->decoder);
    fv_view target = fv_ints(targets->target, targets->count), temperature = fv_vec(targets->temperature, targets->count);
    return targets->logp ? fv_logprob_known(p, rows, head, target, temperature, targets->logp, targets->entropy) : fv_logprob(p, rows, head, target, temperature);
}
