#include "core/runs.h"

/* Every run has pages of its own; all its rows see all its keys. */
typedef struct {
    fv_attention plan;
    fv_view row, slot;
    bool filled; /* no run ends inside a page */
} layout;

static layout lay_out(fv_arena *arena, const fv_runs *r) {
    int32_t *run_page = FV_TAKE(arena, int32_t, r->runs + 1), *limit = FV_TAKE(arena, int32_t, r->rows);
    int32_t *slot = FV_TAKE(arena, int32_t, r->rows), *row = FV_TAKE(arena, int32_t, r->rows);
    layout l = {.filled = true};
    run_page[0] = 0;
    for (int i = 0; i < r->runs; i++) {
        int length = r->run_row[i + 1] - r->run_row[i];
        run_page[i + 1] = run_page[i] + (length + FV_PAGE - 1) / FV_PAGE;
        l.filled = l.filled && length % FV_PAGE == 0;
        for (int j = r->run_row[i]; j < r->run_row[i + 1]; j++) {
            row[j] = j;
            slot[j] = run_page[i] * FV_PAGE + j - r->run_row[i];
            limit[j] = length;
        }
    }
    int32_t *pages = FV_TAKE(arena, int32_t, run_page[r->runs]);
    for (int i = 0; i < run_page[r->runs]; i++) pages[i] = i;
    l.plan = (fv_attention){.rows = r->rows, .heads = r->heads, .kv_heads = r->heads, .head_dim = r->head_dim, .scale = r->scale, .runs = r->runs,
                            .run_row = r->run_row, .run_page = run_page, .pages = pages, .limit = limit};
    l.row = fv_ints(row, r->rows), l.slot = fv_ints(slot, r->rows);
    return l;
}

static fv_view new_pages(const fv_paged *t, const fv_exec *x, const layout *l, fv_dtype dtype, bool keys, bool clear) {
    const fv_attention *a = &l->plan;
    fv_view v = fv_page_view(dtype, NULL, a->run_page[a->runs], a->kv_heads, a->head_dim, keys);
    v.data = fv_arena_numbers(x->scratch, fv_bytes(v));
    if (clear) t->clear(x, v.data, fv_bytes(v));
    return v;
}

/* k and v in pages; positions that nobody writes are zero. */
static void write_pages(const fv_paged *t, const fv_exec *x, const layout *l, fv_view *keys, fv_view *values, fv_view k, fv_view v) {
    fv_dtype dtype = t->page_dtype(l->plan.head_dim);
    *keys = new_pages(t, x, l, dtype, true, !l->filled), *values = new_pages(t, x, l, dtype, false, !l->filled);
    t->kv_write(x, *keys, *values, k, v, l->row, l->slot);
}

void fv_runs_over_pages(const fv_paged *t, const fv_exec *x, fv_view out, fv_view stats, fv_view q, fv_view k, fv_view v, const fv_runs *r) {
    fv_arena_mark mark = fv_arena_here(x->scratch);
    layout l = lay_out(x->scratch, r);
    fv_view keys, values;
    write_pages(t, x, &l, &keys, &values, k, v);
    t->attention(x, out, stats, q, keys, values, &l.plan);
    fv_arena_release(x->scratch, mark);
}

void fv_runs_over_pages_back(const fv_paged *t, const fv_exec *x, fv_view dq, fv_view dk, fv_view dv, fv_view dout, fv_view out, fv_view stats, fv_view q, fv_view k,
                             fv_view v, const fv_runs *r) {
    fv_arena_mark mark = fv_arena_here(x->scratch);
    layout l = lay_out(x->scratch, r);
    fv_view keys, values;
    write_pages(t, x, &l, &keys, &values, k, v);
    fv_view dkeys = new_pages(t, x, &l, FV_F32, true, true), dvalues = new_pages(t, x, &l, FV_F32, false, true);
    t->attention_back(x, dq, dkeys, dvalues, dout, out, stats, q, keys, values, &l.plan);
    t->kv_write_back(x, dk, dv, dkeys, dvalues, l.row, l.slot);
    fv_arena_release(x->scratch, mark);
}
