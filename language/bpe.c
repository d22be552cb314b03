#include "language/bpe.h"

#include <stdlib.h>

/* ---- the table of merges ------------------------------------------------------------------------------------------ */

typedef struct fv_merge {
    int32_t left, right; /* left -1: free */
    int32_t rank, id;
} fv_merge;

static uint32_t slot_of(const fv_merges *m, int32_t left, int32_t right) {
    uint64_t pair = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    return (uint32_t)(pair * 0x9e3779b97f4a7c15u >> 32) & m->mask; /* Fibonacci hashing, Knuth 6.4 */
}

fv_status fv_merges_new(fv_merges *out, size_t count, fv_error *err) {
    size_t slots = 16;
    while (slots < count * 2) slots *= 2;
    *out = (fv_merges){.mask = (uint32_t)(slots - 1)};
    out->slots = slots <= (1u << 30) ? malloc(slots * sizeof *out->slots) : NULL;
    if (out->slots == NULL) return fv_fail(err, FV_NO_MEMORY, "no memory for %zu merges", count);
    for (size_t i = 0; i < slots; i++) out->slots[i].left = -1;
    return FV_OK;
}

void fv_merges_free(fv_merges *m) {
    free(m->slots);
    *m = (fv_merges){0};
}

void fv_merges_put(fv_merges *m, int32_t left, int32_t right, int32_t rank, int32_t id) {
    uint32_t at = slot_of(m, left, right);
    while (m->slots[at].left >= 0 && !(m->slots[at].left == left && m->slots[at].right == right)) at = (at + 1) & m->mask;
    m->slots[at] = (fv_merge){.left = left, .right = right, .rank = rank, .id = id};
}

static const fv_merge *find_merge(const fv_merges *m, int32_t left, int32_t right) {
    for (uint32_t at = slot_of(m, left, right); m->slots[at].left >= 0; at = (at + 1) & m->mask)
        if (m->slots[at].left == left && m->slots[at].right == right) return &m->slots[at];
    return NULL;
}

/* ---- merging ------------------------------------------------------------------------------------------------------ */

/* The word as a list: symbol i began at byte i. One that was merged into its left neighbour has id -1. */
typedef struct fv_bpe_symbol {
    int32_t id, previous, next; /* neighbours by index, -1: none */
} fv_bpe_symbol;

/* A merge of the symbol at `at` with its right neighbour. It is stale if these two do not give `id` any more. */
typedef struct fv_bpe_candidate {
    int32_t rank, at, id;
} fv_bpe_candidate;

static bool before(const fv_bpe_candidate *a, const fv_bpe_candidate *b) {
    return a->rank < b->rank || (a->rank == b->rank && a->at < b->at);
}

static void push(fv_bpe_work *w, fv_bpe_candidate c) {
    size_t i = w->waiting++;
    while (i > 0 && before(&c, &w->heap[(i - 1) / 2])) {
        w->heap[i] = w->heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    w->heap[i] = c;
}

static fv_bpe_candidate pop(fv_bpe_work *w) {
    fv_bpe_candidate first = w->heap[0], last = w->heap[--w->waiting];
    size_t i = 0;
    for (size_t child; (child = 2 * i + 1) < w->waiting; i = child) {
        if (child + 1 < w->waiting && before(&w->heap[child + 1], &w->heap[child])) child++;
        if (!before(&w->heap[child], &last)) break;
        w->heap[i] = w->heap[child];
    }
    w->heap[i] = last;
    return first;
}

static void consider(const fv_merges *m, fv_bpe_work *w, int32_t at) {
    if (at < 0 || w->symbols[at].next < 0) return;
    const fv_merge *merge = find_merge(m, w->symbols[at].id, w->symbols[w->symbols[at].next].id);
    if (merge != NULL) push(w, (fv_bpe_candidate){.rank = merge->rank, .at = at, .id = merge->id});
}

static void merge_all(const fv_merges *m, fv_bpe_work *w) {
    while (w->waiting > 0) {
        fv_bpe_candidate c = pop(w);
        fv_bpe_symbol *left = &w->symbols[c.at];
        if (left->id < 0 || left->next < 0) continue;
        fv_bpe_symbol *right = &w->symbols[left->next];
        const fv_merge *merge = find_merge(m, left->id, right->id);
        if (merge == NULL || merge->id != c.id) continue;
        left->id = c.id;
        right->id = -1;
        left->next = right->next;
        if (left->next >= 0) w->symbols[left->next].previous = c.at;
        consider(m, w, left->previous);
        consider(m, w, c.at);
    }
}

/* A word of n symbols has n - 1 pairs, and each of its at most n - 1 merges brings two more. */
static fv_status make_room(fv_bpe_work *w, size_t length, fv_error *err) {
    if (length <= w->room) return FV_OK;
    size_t room = length < 64 ? 64 : length + length / 2;
    fv_bpe_work_free(w);
    w->symbols = malloc(room * sizeof *w->symbols);
    w->heap = malloc(3 * room * sizeof *w->heap);
    if (w->symbols == NULL || w->heap == NULL) return fv_fail(err, FV_NO_MEMORY, "no memory for a word of %zu bytes", length);
    w->room = room;
    return FV_OK;
}

void fv_bpe_work_free(fv_bpe_work *w) {
    free(w->symbols);
    free(w->heap);
    *w = (fv_bpe_work){0};
}

fv_status fv_bpe_word(const fv_merges *m, const int32_t byte_id[256], const uint8_t *word, size_t length, fv_bpe_work *w, fv_ids *out, fv_error *err) {
    FV_TRY(make_room(w, length, err));
    int32_t n = (int32_t)length;
    for (int32_t i = 0; i < n; i++)
        w->symbols[i] = (fv_bpe_symbol){.id = byte_id[word[i]], .previous = i - 1, .next = i + 1 < n ? i + 1 : -1};
    w->waiting = 0;
    for (int32_t i = 0; i + 1 < n; i++) consider(m, w, i);
    merge_all(m, w);
    for (int32_t i = n > 0 ? 0 : -1; i >= 0; i = w->symbols[i].next) FV_TRY(fv_ids_add(out, w->symbols[i].id, err));
    return FV_OK;
}
