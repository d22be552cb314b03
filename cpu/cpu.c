#include "cpu/cpu.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static fv_status host_alloc(void **out, size_t bytes, fv_error *err) {
    *out = fv_aligned_alloc(bytes);
    if (!*out) return fv_fail(err, FV_NO_MEMORY, "memory: the system refused %zu MiB", (bytes >> 20) + 1);
    memset(*out, 0, bytes);
    return FV_OK;
}

static void host_free(void *data) { free(data); }

static void host_copy_in(void *device, const void *host, size_t bytes) {
    if (bytes) memcpy(device, host, bytes);
}

static void host_copy_out(void *host, const void *device, size_t bytes) {
    if (bytes) memcpy(host, device, bytes);
}

static void clear_range(void *context, int64_t begin, int64_t end, int worker) {
    (void)worker;
    memset((char *)context + begin, 0, (size_t)(end - begin));
}

/* By all threads: what each clears here it finds in its cache soon after. */
void fv_cpu_clear(const fv_exec *x, void *data, size_t bytes) {
    enum { GRAIN = 65536 };
    fv_parallel(x->pool, (int64_t)bytes, GRAIN, clear_range, data);
}

fv_dtype fv_cpu_page_dtype(int head_dim) {
    (void)head_dim;
    return FV_F32;
}

static size_t host_room(void) { return 0; }

static fv_status host_check(fv_error *err) {
    (void)err;
    return FV_OK;
}

#define TABLE_HEAD_(isa)                                                                                               \
    .name = "cpu-" #isa, .device = FV_CPU, .alloc = host_alloc, .alloc_host = host_alloc, .free = host_free, .upload = host_copy_in, \
    .download = host_copy_out, .clear = fv_cpu_clear, .page_dtype = fv_cpu_page_dtype, .room = host_room, .check = host_check,

#define KERNEL_(op) .op = fv_cpu_scalar_##op,
static const fv_ops table_scalar = { TABLE_HEAD_(scalar) FV_KERNEL_MAP(KERNEL_) };
#undef KERNEL_
#define KERNEL_(op) .op = fv_cpu_avx2_##op,
static const fv_ops table_avx2 = { TABLE_HEAD_(avx2) FV_KERNEL_MAP(KERNEL_) };
#undef KERNEL_
#define KERNEL_(op) .op = fv_cpu_avx512_##op,
static const fv_ops table_avx512 = { TABLE_HEAD_(avx512) FV_KERNEL_MAP(KERNEL_) };
#undef KERNEL_

/* AVX-512's, but for products. */
static const fv_ops *table_bf16(void) {
    static fv_ops made;
    made = table_avx512;
    made.name = "cpu-avx512-bf16";
#define BF16_KERNEL_(op) made.op = fv_cpu_avx512bf16_##op;
    FV_BF16_MAP(BF16_KERNEL_)
#undef BF16_KERNEL_
    return &made;
}

static const struct {
    const char *isa;
    const fv_ops *table;
} tables[] = { { "avx512", &table_avx512 }, { "avx2", &table_avx2 }, { "scalar", &table_scalar } };

/* The processor has the registers and the system saves them (libgcc asks both). */
static bool runs_here(const fv_ops *table) {
    if (!__builtin_cpu_supports("avx") || !__builtin_cpu_supports("fma")) return false; /* even scalar: one rounding, fast */
    if (table == &table_scalar) return true;
    if (table == &table_avx2) return __builtin_cpu_supports("avx2");
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vl");
}

int fv_cpu_tables(const fv_ops **out, int max) {
    int n = 0;
    for (size_t i = 0; i < FV_COUNT(tables) && n < max; i++)
        if (runs_here(tables[i].table)) out[n++] = tables[i].table;
    return n;
}

fv_status fv_cpu_table(const fv_ops **out, const char *isa, fv_error *err) {
    *out = NULL;
    if (!isa || !*isa) {
        if (fv_cpu_tables(out, 1) == 1) return FV_OK;
        return fv_fail(err, FV_UNSUPPORTED, "cpu: this processor has no fused multiply-add (x86-64-v3 or newer is needed)");
    }
    for (size_t i = 0; i < FV_COUNT(tables); i++) {
        if (strcmp(tables[i].isa, isa)) continue;
        if (!runs_here(tables[i].table))
            return fv_fail(err, FV_UNSUPPORTED, "FOVEA_ISA=%s: this processor does not have it; leave FOVEA_ISA unset", isa);
        *out = tables[i].table;
        return FV_OK;
    }
    return fv_fail(err, FV_BAD_USAGE, "FOVEA_ISA must be scalar, avx2 or avx512, got %s", isa);
}

fv_status fv_cpu_table_bf16(const fv_ops **out, const char *isa, fv_error *err) {
    *out = NULL;
    bool chosen = !isa || !*isa || !strcmp(isa, "avx512");
    if (!chosen) return fv_fail(err, FV_UNSUPPORTED, "precision=bf16: FOVEA_ISA=%s has no dot products of bf16; leave it unset, or use precision=f32", isa);
    if (!runs_here(&table_avx512) || !__builtin_cpu_supports("avx512bf16"))
        return fv_fail(err, FV_UNSUPPORTED, "precision=bf16: this processor has no dot products of bf16 (AVX512_BF16); use precision=f32");
    *out = table_bf16();
    return FV_OK;
}
