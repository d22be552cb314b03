/* The page pool: keys and values of all layers, by page; reference counts are not needed since a page belongs to one segment. */
#ifndef FV_RL_PAGES_H
#define FV_RL_PAGES_H

#include "core/slot.h"
#include "language/config.h"

typedef struct {
    const fv_ops *ops;
    fv_exec exec;
    int layers, kv_heads, head_dim;
    fv_view *keys, *values;   /* [layers], of fv_page_view */
    int32_t *free_list;
    int free_count;
    int64_t pages, max_pages; /* there; allowed (0: any number) */
    int64_t used, peak;
} fv_pages;

fv_status fv_pages_open(fv_pages *p, const fv_ops *ops, fv_exec exec, const fv_text_config *c, int64_t max_pages, fv_error *err);
void fv_pages_close(fv_pages *p);
void fv_pages_reset(fv_pages *p);                                    /* all free */
/* A page, or -1 where the pool is at its limit (or memory is out). May move the pool's memory. */
int32_t fv_pages_take(fv_pages *p);
void fv_pages_give(fv_pages *p, int32_t page);
void fv_pages_copy(fv_pages *p, int32_t to, int32_t from);           /* all layers */

#endif
