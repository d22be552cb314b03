/* The one place that knows which back ends there are. */
#include "core/ops.h"
#include "cpu/cpu.h"
#ifdef FV_WITH_CUDA
#include "cuda/cuda.h"
#endif

#include <stdlib.h>
#include <string.h>

fv_status fv_ops_find(const fv_ops **out, const char *device, const char *precision, fv_error *err) {
    *out = NULL;
    bool bf16 = precision && !strcmp(precision, "bf16");
    if (precision && !bf16 && strcmp(precision, "f32")) return fv_fail(err, FV_BAD_USAGE, "precision must be f32 or bf16, got %s", precision);
    if (!strcmp(device, "cpu")) return bf16 ? fv_cpu_table_bf16(out, getenv("FOVEA_ISA"), err) : fv_cpu_table(out, getenv("FOVEA_ISA"), err);
#ifdef FV_WITH_CUDA
    if (!strcmp(device, "cuda")) return fv_cuda_table(out, bf16 ? FV_PRECISION_BF16 : FV_PRECISION_F32, err);
#else
    if (!strcmp(device, "cuda"))
        return fv_fail(err, FV_UNSUPPORTED, "device=cuda: this program was built without CUDA; use device=cpu, or build it in with FOVEA_CUDA=1 (docs/cuda.md)");
#endif
    return fv_fail(err, FV_BAD_USAGE, "device must be cpu or cuda, got %s", device);
}

fv_view fv_page_view(fv_dtype dtype, void *data, int64_t pages, int kv_heads, int head_dim, bool keys) {
    if (dtype == FV_BF16) return (fv_view){.data = data, .dtype = dtype, .rank = 5, .shape = {pages, kv_heads, (head_dim + FV_PAGE_PART - 1) / FV_PAGE_PART, FV_PAGE, FV_PAGE_PART}};
    return (fv_view){.data = data, .dtype = dtype, .rank = 4, .shape = {pages, kv_heads, keys ? head_dim : FV_PAGE, keys ? FV_PAGE : head_dim}};
}

fv_arena *fv_ops_arena(const fv_ops *ops, size_t chunk) {
    return ops->device == FV_CPU ? fv_arena_new(chunk) : fv_arena_new_over(ops->alloc, ops->free, chunk);
}

int fv_ops_cpu_all(const fv_ops **out, int max) { return fv_cpu_tables(out, max); }
