/* attend_runs by attention over pages: what a table does that has nothing better. Pages are made for the call, so a run has the bits of fv_attend over pages of its own. */
#ifndef FV_CORE_RUNS_H
#define FV_CORE_RUNS_H

#include "core/ops.h"

/* The operations of a table that it takes. */
typedef struct {
    __typeof__(((fv_ops *)0)->page_dtype) page_dtype;
    __typeof__(((fv_ops *)0)->clear) clear;
    __typeof__(((fv_ops *)0)->kv_write) kv_write;
    __typeof__(((fv_ops *)0)->kv_write_back) kv_write_back;
    __typeof__(((fv_ops *)0)->attention) attention;
    __typeof__(((fv_ops *)0)->attention_back) attention_back;
} fv_paged;

/* As the table's attend_runs and attend_runs_back. Pages, and plans on the host, are in x->scratch until they return. */
void fv_runs_over_pages(const fv_paged *t, const fv_exec *x, fv_view out, fv_view stats, fv_view q, fv_view k, fv_view v, const fv_runs *r);
void fv_runs_over_pages_back(const fv_paged *t, const fv_exec *x, fv_view dq, fv_view dk, fv_view dv, fv_view dout, fv_view out, fv_view stats, fv_view q, fv_view k,
                             fv_view v, const fv_runs *r);

#endif
