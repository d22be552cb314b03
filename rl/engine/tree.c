#include "rl/engine/tree.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

fv_status fv_tree_new(fv_tree **out, const fv_model *m, fv_error *err) {
    *out = NULL;
    fv_tree *t = calloc(1, sizeof *t);
    if (!t) return fv_fail(err, FV_NO_MEMORY, "trajectory tree: out of memory");
    t->config = &m->config;
    *out = t;
    return FV_OK;
}

static void free_segment(fv_segment *s) {
    if (!s) return;
    for (int i = 0; i < s->picture_count; i++) fv_picture_drop(s->pictures[i]);
    free(s->pictures);
    free(s->picture_at);
    free(s->ids);
    free(s->mask);
    free(s->logp);
    free(s->entropy);
    free(s->position);
    free(s);
}

void fv_tree_free(fv_tree *t) {
    if (!t) return;
    for (int i = 0; i < t->count; i++) free_segment(t->segments[i]);
    free(t->segments);
    free(t);
}

static bool resize(void **data, size_t bytes) {
    void *p = realloc(*data, bytes);
    if (p) *data = p;
    return p != NULL;
}

static fv_status make_room(fv_segment *s, int more, fv_error *err) {
    if (s->count + more <= s->room) return FV_OK;
    int room = s->room ? s->room : 64;
    while (room < s->count + more) room *= 2;
    size_t n = (size_t)room;
    if (!resize((void **)&s->ids, n * sizeof *s->ids) || !resize((void **)&s->mask, n) || !resize((void **)&s->logp, n * sizeof *s->logp) ||
        !resize((void **)&s->entropy, n * sizeof *s->entropy) || !resize((void **)&s->position, 3 * n * sizeof *s->position))
        return fv_fail(err, FV_NO_MEMORY, "trajectory tree: out of memory for a segment of %d tokens", room);
    s->room = room;
    return FV_OK;
}

static fv_status new_segment(fv_tree *t, int parent, int author, int *out, fv_error *err) {
    *out = -1;
    if (t->count == t->room) {
        int room = t->room ? 2 * t->room : 64;
        if (!resize((void **)&t->segments, (size_t)room * sizeof *t->segments)) return fv_fail(err, FV_NO_MEMORY, "trajectory tree: out of memory");
        t->room = room;
    }
    fv_segment *s = calloc(1, sizeof *s);
    if (!s) return fv_fail(err, FV_NO_MEMORY, "trajectory tree: out of memory");
    s->parent = parent;
    s->author = author;
    s->temperature = 1.0f;
    if (parent >= 0) {
        const fv_segment *p = t->segments[parent];
        s->start = p->start + p->count;
        s->next = p->next;
    }
    t->segments[t->count] = s;
    *out = t->count++;
    return FV_OK;
}

/* Pictures of the prompt that begin in [first, last), with their places counted from `first`. */
static fv_status take_pictures(fv_segment *s, const fv_prompt *p, int first, int last, fv_error *err) {
    int n = 0;
    for (int i = 0; i < p->picture_count; i++) n += p->picture_at[i] >= first && p->picture_at[i] < last;
    if (!n) return FV_OK;
    s->pictures = calloc((size_t)n, sizeof(fv_picture *));
    s->picture_at = calloc((size_t)n, sizeof(int));
    if (!s->pictures || !s->picture_at) return fv_fail(err, FV_NO_MEMORY, "trajectory tree: out of memory");
    for (int i = 0; i < p->picture_count; i++) {
        if (p->picture_at[i] < first || p->picture_at[i] >= last) continue;
        s->picture_at[s->picture_count] = p->picture_at[i] - first;
        s->pictures[s->picture_count++] = fv_picture_keep(p->pictures[i]);
    }
    return FV_OK;
}

fv_status fv_tree_add(fv_tree *t, int parent, int author, const fv_prompt *p, int first, int last, int *out, fv_error *err) {
    FV_TRY(new_segment(t, parent, author, out, err));
    fv_segment *s = t->segments[*out];
    int n = last - first;
    FV_TRY(make_room(s, n ? n : 1, err));
    FV_TRY(take_pictures(s, p, first, last, err));
    memcpy(s->ids, p->tokens.ids + first, (size_t)n * sizeof *s->ids);
    memcpy(s->mask, p->mask + first, (size_t)n);
    for (int i = 0; i < n; i++) s->logp[i] = s->entropy[i] = NAN;
    int32_t *rows = malloc(3 * (size_t)(n ? n : 1) * sizeof *rows); /* fv_positions writes [3, n]; the segment keeps [n][3], which grows */
    if (!rows) return fv_fail(err, FV_NO_MEMORY, "trajectory tree: out of memory");
    fv_positions(t->config, s->ids, n, s->pictures, s->picture_at, s->picture_count, rows, n, &s->next);
    for (int i = 0; i < n; i++)
        for (int axis = 0; axis < 3; axis++) s->position[3 * i + axis] = rows[axis * n + i];
    free(rows);
    s->count = n;
    return FV_OK;
}

fv_status fv_tree_branch(fv_tree *t, int parent, int author, float temperature, uint64_t version, int *out, fv_error *err) {
    FV_TRY(new_segment(t, parent, author, out, err));
    t->segments[*out]->temperature = temperature;
    t->segments[*out]->version = version;
    return FV_OK;
}

fv_status fv_tree_append(fv_tree *t, int segment, int32_t id, float logp, float entropy, fv_error *err) {
    fv_segment *s = t->segments[segment];
    FV_TRY(make_room(s, 1, err));
    int i = s->count++;
    s->ids[i] = id;
    s->mask[i] = 1;
    s->logp[i] = logp;
    s->entropy[i] = entropy;
    s->position[3 * i] = s->position[3 * i + 1] = s->position[3 * i + 2] = s->next++;
    return FV_OK;
}

void fv_tree_drop(fv_tree *t, int segment) {
    t->segments[segment]->dropped = true;
    for (int i = segment + 1; i < t->count; i++) { /* children come after their parents */
        fv_segment *s = t->segments[i];
        if (s->parent >= 0 && t->segments[s->parent]->dropped) s->dropped = true;
    }
}

/* Children come after their parents in number, so chains of first child and next sibling come from one scan; walking them is depth first. */
int fv_tree_order(const fv_tree *t, const int *leaves, int leaf_count, int *order) {
    int n = t->count;
    int *links = malloc(3 * (size_t)(n ? n : 1) * sizeof *links);
    if (!links) return -1;
    int *first = links, *next = links + n, *wanted = links + 2 * n;
    for (int i = 0; i < n; i++) first[i] = next[i] = -1, wanted[i] = 0;
    for (int i = 0; i < leaf_count; i++)
        for (int s = leaves[i]; s >= 0 && !wanted[s]; s = t->segments[s]->parent) wanted[s] = 1;
    int roots = -1;
    for (int i = n - 1; i >= 0; i--) { /* from the back, so that chains ascend */
        if (!wanted[i]) continue;
        int *head = t->segments[i]->parent < 0 ? &roots : &first[t->segments[i]->parent];
        next[i] = *head;
        *head = i;
    }
    int count = 0, at = roots;
    while (at >= 0) {
        order[count++] = at;
        if (first[at] >= 0) {
            at = first[at];
            continue;
        }
        while (at >= 0 && next[at] < 0) at = t->segments[at]->parent;
        if (at >= 0) at = next[at];
    }
    free(links);
    return count;
}

int fv_tree_depth(const fv_tree *t, int segment) {
    int n = 0;
    for (; segment >= 0; segment = t->segments[segment]->parent) n++;
    return n;
}

void fv_tree_path(const fv_tree *t, int segment, int *path) {
    for (int i = fv_tree_depth(t, segment); i-- > 0; segment = t->segments[segment]->parent) path[i] = segment;
}

int fv_tree_tokens(const fv_tree *t, int segment) {
    return segment < 0 ? 0 : t->segments[segment]->start + t->segments[segment]->count;
}

int fv_tree_shared(const fv_tree *t, int a, int b) {
    while (a != b) { /* the higher number can't be an ancestor of the lower one */
        int *later = a > b ? &a : &b;
        *later = t->segments[*later]->parent;
    }
    return fv_tree_tokens(t, a);
}

int fv_prompt_shared(const fv_prompt *a, const fv_prompt *b) {
    int n = a->tokens.count < b->tokens.count ? a->tokens.count : b->tokens.count;
    if (a->picture_count && a->picture_at[0] < n) n = a->picture_at[0];
    if (b->picture_count && b->picture_at[0] < n) n = b->picture_at[0];
    int i = 0;
    while (i < n && a->tokens.ids[i] == b->tokens.ids[i] && a->mask[i] == b->mask[i]) i++;
    return i;
}
