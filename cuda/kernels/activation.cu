/* Gated and plain activations over whole buffers, with their ways back beside them: a thread for each number. */
#include "cuda/device.h"

#include "core/lane_activation.h"

enum { THREADS = 256 };

typedef struct {
    float *y;
    const float *a, *b, *dy;
    float *da, *db;
    fv_activation f;
    int64_t n;
} job;

/* y = silu(gate) * up */
FV_GLOBAL(swiglu_numbers, job) {
    int64_t i = FV_BLOCK * THREADS + FV_THREAD;
    if (i < j.n) j.y[i] = fv_mul(fv_swish(j.a[i], 1.0f), j.b[i]);
}

FV_TABLE_OP void fv_cuda_swiglu(const fv_exec *x, fv_view y, fv_view gate, fv_view up) {
    (void)x;
    fv_cuda_begin("swiglu", y, gate);
    job j = {0};
    j.y = fv_f32(y), j.a = fv_f32(gate), j.b = fv_f32(up), j.n = fv_elements(y);
    FV_LAUNCH(swiglu_numbers, fv_blocks_of(j.n, THREADS), THREADS, 0, j);
}

/* dgate += dy * up * silu'(gate);   dup += dy * silu(gate) */
FV_GLOBAL(swiglu_back_numbers, job) {
    int64_t i = FV_BLOCK * THREADS + FV_THREAD;
    if (i >= j.n) return;
    float gate = j.a[i], dy = j.dy[i], s = fv_sigmoid(gate);
    float bend = fv_mul(s, fv_fma(gate, fv_sub(1.0f, s), 1.0f));
    j.da[i] = fv_fma(fv_mul(dy, j.b[i]), bend, j.da[i]);
    j.db[i] = fv_fma(dy, fv_mul(gate, s), j.db[i]);
}

FV_TABLE_OP void fv_cuda_swiglu_back(const fv_exec *x, fv_view dgate, fv_view dup, fv_view dy, fv_view gate, fv_view up) {
    (void)x;
    fv_cuda_begin("swiglu_back", dy, gate);
    job j = {0};
    j.a = fv_f32(gate), j.b = fv_f32(up), j.dy = fv_f32(dy), j.da = fv_f32(dgate), j.db = fv_f32(dup), j.n = fv_elements(dy);
    FV_LAUNCH(swiglu_back_numbers, fv_blocks_of(j.n, THREADS), THREADS, 0, j);
}

FV_GLOBAL(act_numbers, job) {
    int64_t i = FV_BLOCK * THREADS + FV_THREAD;
    if (i < j.n) j.y[i] = fv_activation_value(j.a[i], j.f);
}

FV_TABLE_OP void fv_cuda_act(const fv_exec *x, fv_view y, fv_view in, fv_activation f) {
    (void)x;
    fv_cuda_begin("act", y, in);
    job j = {0};
    j.y = fv_f32(y), j.a = fv_f32(in), j.f = f, j.n = fv_elements(y);
    FV_LAUNCH(act_numbers, fv_blocks_of(j.n, THREADS), THREADS, 0, j);
}

FV_GLOBAL(act_back_numbers, job) {
    int64_t i = FV_BLOCK * THREADS + FV_THREAD;
    if (i < j.n) j.da[i] = fv_fma(j.dy[i], fv_activation_slope(j.a[i], j.f), j.da[i]);
}

FV_TABLE_OP void fv_cuda_act_back(const fv_exec *x, fv_view dx, fv_view dy, fv_view in, fv_activation f) {
    (void)x;
    fv_cuda_begin("act_back", dy, in);
    job j = {0};
    j.a = fv_f32(in), j.dy = fv_f32(dy), j.da = fv_f32(dx), j.f = f, j.n = fv_elements(dy);
    FV_LAUNCH(act_back_numbers, fv_blocks_of(j.n, THREADS), THREADS, 0, j);
}
