#include "rl/engine/pages.h"

#include <stdlib.h>
#include <string.h>

fv_status fv_pages_open(fv_pages *p, const fv_ops *ops, fv_exec exec, const fv_text_config *c, int64_t max_pages, fv_error *err) {
    memset(p, 0, sizeof *p);
    p->ops = ops;
    p->exec = exec;
    p->layers = c->layers;
    p->kv_heads = c->kv_heads;
    p->head_dim = c->head_dim;
    p->max_pages = max_pages;
    p->keys = calloc((size_t)c->layers, sizeof(fv_view));
    p->values = calloc((size_t)c->layers, sizeof(fv_view));
    if (p->keys && p->values) return FV_OK;
    fv_pages_close(p);
    return fv_fail(err, FV_NO_MEMORY, "page pool: out of memory");
}

void fv_pages_close(fv_pages *p) {
    for (int l = 0; l < p->layers; l++) {
        if (p->keys && p->keys[l].data) p->ops->free(p->keys[l].data);
        if (p->values && p->values[l].data) p->ops->free(p->values[l].data);
    }
    free(p->keys);
    free(p->values);
    free(p->free_list);
    memset(p, 0, sizeof *p);
}

void fv_pages_reset(fv_pages *p) {
    p->free_count = 0;
    for (int64_t i = p->pages; i-- > 0;) p->free_list[p->free_count++] = (int32_t)i;
    p->used = p->peak = 0;
}

/* As a table of pages, for gather: a page's bytes taken for floats. */
static fv_view table(fv_view v) { return fv_mat(v.data, v.shape[0], (int64_t)fv_bytes(v) / v.shape[0] / (int64_t)sizeof(float)); }

static bool grow_one(fv_pages *p, fv_view *v, int64_t pages, bool keys) {
    fv_error ignored;
    fv_view bigger = fv_page_view(p->ops->page_dtype(p->head_dim), NULL, pages, p->kv_heads, p->head_dim, keys);
    if (p->ops->alloc(&bigger.data, fv_bytes(bigger), &ignored) != FV_OK) return false;
    if (v->data) {
        int32_t *index = malloc((size_t)v->shape[0] * sizeof *index);
        if (!index) {
            p->ops->free(bigger.data);
            return false;
        }
        for (int64_t i = 0; i < v->shape[0]; i++) index[i] = (int32_t)i;
        p->ops->gather(&p->exec, fv_slice(table(bigger), 0, v->shape[0]), table(*v), fv_ints(index, v->shape[0]));
        free(index);
        p->ops->free(v->data);
    }
    *v = bigger;
    return true;
}

static bool grow(fv_pages *p) {
    int64_t want = p->pages ? 2 * p->pages : 64;
    if (p->max_pages && want > p->max_pages) want = p->max_pages;
    if (want <= p->pages) return false;
    int32_t *list = realloc(p->free_list, (size_t)want * sizeof *list);
    if (!list) return false;
    p->free_list = list;
    for (int l = 0; l < p->layers; l++) {
        bool more_keys = !p->keys[l].data || p->keys[l].shape[0] < want, more_values = !p->values[l].data || p->values[l].shape[0] < want;
        if ((more_keys && !grow_one(p, &p->keys[l], want, true)) || (more_values && !grow_one(p, &p->values[l], want, false)))
            return false; /* layers that did grow keep their room: the next try goes on from here */
    }
    for (int64_t i = want; i-- > p->pages;) p->free_list[p->free_count++] = (int32_t)i;
    p->pages = want;
    return true;
}

int32_t fv_pages_take(fv_pages *p) {
    if (!p->free_count && !grow(p)) return -1;
    if (++p->used > p->peak) p->peak = p->used;
    return p->free_list[--p->free_count];
}

void fv_pages_give(fv_pages *p, int32_t page) {
    p->free_list[p->free_count++] = page;
    p->used--;
}

void fv_pages_copy(fv_pages *p, int32_t to, int32_t from) {
    for (int l = 0; l < p->layers; l++) {
        p->ops->gather(&p->exec, fv_slice(table(p->keys[l]), to, 1), table(p->keys[l]), fv_ints(&from, 1));
        p->ops->gather(&p->exec, fv_slice(table(p->values[l]), to, 1), table(p->values[l]), fv_ints(&from, 1));
    }
}
