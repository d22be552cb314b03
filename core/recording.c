#include "core/recording.h"

#include <stdlib.h>

struct fv_recording {
    const fv_ops *ops;
    fv_slot *slot;
    uint64_t version;
    size_t max_bytes;
    fv_view *tables;       /* [count] by number of the operation: [capacity, its columns] */
    int count, room;
    int64_t capacity, used; /* rows */
    int64_t rows;          /* of the forward under way */
    int next;              /* number of the next costly operation */
    bool lost;             /* some operation of the forward under way had no room */
    bool hopeless;         /* not even the first forward fits: nothing more is tried */
    fv_view index;         /* replaying: i32 [rows] */
};

enum { FIRST_ROWS = 1024 };

fv_recording *fv_recording_new(size_t max_bytes) {
    fv_recording *r = calloc(1, sizeof *r);
    if (r) r->max_bytes = max_bytes;
    return r;
}

static void free_tables(fv_recording *r) {
    for (int i = 0; i < r->count; i++) r->ops->free(r->tables[i].data);
    r->count = 0;
    r->capacity = 0;
}

void fv_recording_free(fv_recording *r) {
    if (!r) return;
    free_tables(r);
    free(r->tables);
    free(r);
}

void fv_recording_begin(fv_recording *r, fv_slot *slot) {
    r->hopeless = r->slot == slot && (r->hopeless || (r->lost && !r->used));
    if (r->slot != slot || r->hopeless) free_tables(r);
    r->ops = slot->ops;
    r->slot = slot;
    r->version = slot->version;
    r->used = 0;
}

bool fv_recording_fits(const fv_recording *r, const fv_slot *slot) { return r->slot == slot && r->version == slot->version; }

static size_t bytes_of(const fv_recording *r, int64_t rows) {
    size_t bytes = 0;
    for (int i = 0; i < r->count; i++) bytes += (size_t)(rows * r->tables[i].shape[1]) * sizeof(float);
    return bytes;
}

/* Room for `rows` rows in every table, what is used kept. */
static bool grow(fv_recording *r, int64_t rows) {
    int64_t want = r->capacity ? r->capacity : FIRST_ROWS;
    while (want < rows) want *= 2;
    if (want > r->capacity && bytes_of(r, want) > r->max_bytes) want = rows;
    if (want <= r->capacity) return true;
    if (bytes_of(r, want) > r->max_bytes) return false;
    int32_t *index = malloc((size_t)(r->used ? r->used : 1) * sizeof *index);
    if (!index) return false;
    for (int64_t i = 0; i < r->used; i++) index[i] = (int32_t)i;
    fv_error ignored;
    bool all = true;
    for (int i = 0; i < r->count && all; i++) {
        fv_view *t = &r->tables[i], bigger = fv_mat(NULL, want, t->shape[1]);
        if (t->shape[0] >= want) continue; /* an earlier try got as far as here */
        all = r->ops->alloc(&bigger.data, fv_bytes(bigger), &ignored) == FV_OK;
        if (!all) break;
        if (r->used) r->ops->gather(&r->slot->exec, fv_slice(bigger, 0, r->used), *t, fv_ints(index, r->used));
        r->ops->free(t->data);
        *t = bigger;
    }
    free(index);
    if (all) r->capacity = want;
    return all;
}

void fv_recording_start(fv_recording *r, fv_pass *p, int64_t rows) {
    r->rows = rows;
    r->next = 0;
    r->index = fv_none;
    r->lost = r->hopeless || p->slot != r->slot || p->slot->version != r->version || !grow(r, r->used + rows);
    p->record = r->lost ? NULL : r;
}

int64_t fv_recording_stop(fv_recording *r, fv_pass *p) {
    p->record = NULL;
    if (r->lost) return -1;
    r->used += r->rows;
    return r->used - r->rows;
}

void fv_replay_start(fv_recording *r, fv_pass *p, fv_view index) {
    r->rows = fv_elements(index);
    r->next = 0;
    r->index = index;
    p->record = r;
}

void fv_replay_stop(fv_pass *p) { p->record = NULL; }

/* The table of a new operation. */
static bool add_table(fv_recording *r, int64_t cols) {
    fv_error ignored;
    fv_view t = fv_mat(NULL, r->capacity, cols);
    if (bytes_of(r, r->capacity) + fv_bytes(t) > r->max_bytes) return false;
    if (r->count == r->room) {
        int room = r->room ? 2 * r->room : 64;
        fv_view *bigger = realloc(r->tables, (size_t)room * sizeof *bigger);
        if (!bigger) return false;
        r->tables = bigger;
        r->room = room;
    }
    if (r->ops->alloc(&t.data, fv_bytes(t), &ignored) != FV_OK) return false;
    r->tables[r->count++] = t;
    return true;
}

fv_view fv_costly(fv_pass *p, int64_t rows, int64_t cols, bool *known) {
    fv_recording *r = p->record;
    *known = false;
    fv_view plain = fv_mat(NULL, rows, cols);
    if (r && !r->lost && rows == r->rows) {
        int number = r->next++;
        if (r->index.data) {
            bool same = number < r->count && r->tables[number].shape[1] == cols;
            plain.data = FV_NUMBERS(p->arena, rows * cols);
            *known = fv_pass_fits(p, same, "fv_costly", "the replayed forward must be the one that was recorded", plain, r->index);
            if (*known) r->ops->gather(&r->slot->exec, plain, r->tables[number], r->index);
            return plain;
        }
        bool same = number < r->count ? r->tables[number].shape[1] == cols : add_table(r, cols);
        if (same) return fv_slice(r->tables[number], r->used, rows);
        r->lost = true;
    }
    plain.data = FV_NUMBERS(p->arena, rows * cols);
    return plain;
}
