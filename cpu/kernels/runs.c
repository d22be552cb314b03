/* Attention of runs that see all of themselves: over pages, so that it has attention's bits. */
#include "core/runs.h"
#include "cpu/cpu.h"
#include "cpu/simd.h"

static const fv_paged by_pages = {fv_cpu_page_dtype, fv_cpu_clear, FV_KERNEL(kv_write), FV_KERNEL(kv_write_back), FV_KERNEL(attention), FV_KERNEL(attention_back)};

void FV_KERNEL(attend_runs)(const fv_exec *x, fv_view out, fv_view stats, fv_view q, fv_view k, fv_view v, const fv_runs *r) {
    fv_runs_over_pages(&by_pages, x, out, stats, q, k, v, r);
}

void FV_KERNEL(attend_runs_back)(const fv_exec *x, fv_view dq, fv_view dk, fv_view dv, fv_view dout, fv_view out, fv_view stats, fv_view q, fv_view k, fv_view v,
                                 const fv_runs *r) {
    fv_runs_over_pages_back(&by_pages, x, dq, dk, dv, dout, out, stats, q, k, v, r);
}
