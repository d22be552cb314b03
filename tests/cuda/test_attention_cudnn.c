/* tests/cpu/test_attention.c once more, for the bf16 table with a cuDNN that is made of loops: what cuda/runs.c gives to cuDNN and takes from it, on the stand-in. It has windows only as
 * the plan has them, reads nothing but what a call says, and runs when it is called: what was launched before must be on the stream. */
#define fv_ops_cpu_all fv_hosted_bf16_tables
#define NEAR 1e-2
#include "cuda/cudnn.h"
#include "tests/cuda/stand_in.h"

#define main attention_tests
int attention_tests(void);
#include "tests/cpu/test_attention.c"
#undef main

enum { SHORTEST = 64, LONG = 140, AT_ONCE = 4, KEPT = 32 };

struct fv_cudnn_plan {
    fv_cudnn_shape shape;
};
static struct fv_cudnn_plan kept[KEPT];
static cudaStream_t on;
static int kept_count, calls[2], most_windows;

fv_status fv_cudnn_open(fv_cudnn **out, cudaStream_t stream, const char *card, fv_error *err) {
    (void)card, (void)err;
    on = stream;
    *out = (fv_cudnn *)kept;
    return FV_OK;
}
void fv_cudnn_close(fv_cudnn *c) { (void)c; }
size_t fv_cudnn_version(const fv_cudnn *c) { return (void)c, (size_t)0; }

static int rounded_up(int n, int least) {
    while (least < n) least *= 2;
    return least;
}

/* In places of a list, so that a plan of another shape is another. */
fv_status fv_cudnn_find(fv_cudnn_plan **out, fv_cudnn *c, const fv_cudnn_shape *of, fv_error *err) {
    fv_cudnn_shape s = *of;
    (void)c;
    if (of->head_dim % 8 || of->head_dim > 128) return fv_fail(err, FV_UNSUPPORTED, "no such heads");
    s.windows = rounded_up(s.windows, 1), s.longest = rounded_up(s.longest, SHORTEST);
    for (int i = 0; i < kept_count; i++) {
        const fv_cudnn_shape *k = &kept[i].shape;
        *out = &kept[i];
        if (k->back == s.back && k->heads == s.heads && k->head_dim == s.head_dim && k->windows == s.windows && k->longest == s.longest) return FV_OK;
    }
    assert_true(kept_count < KEPT);
    kept[kept_count].shape = s;
    *out = &kept[kept_count++];
    return FV_OK;
}

int fv_cudnn_windows_at_once(const fv_cudnn_shape *of) {
    int most = of->longest > LONG ? 0 : of->longest > SHORTEST ? 1 : AT_ONCE;
    return most < of->windows ? most : of->windows;
}
const fv_cudnn_shape *fv_cudnn_shape_of(const fv_cudnn_plan *p) { return &p->shape; }
size_t fv_cudnn_workspace(const fv_cudnn_plan *p) { return (size_t)p->shape.longest; }

static double widened(const void *from, int64_t i) {
    float x;
    fv_to_f32(&x, (const uint16_t *)from + i, FV_BF16, 1);
    return (double)x;
}
static void put(void *to, int64_t i, double x) {
    float y = (float)x;
    fv_from_f32((uint16_t *)to + i, FV_BF16, &y, 1);
}

/* One query of a window; its number of stats is the log of the sum. */
static void forward(const fv_cudnn_shape *s, const fv_cudnn_call *c, int64_t rows, int64_t stats, int n, int i, int head) {
    int64_t q = rows + i * s->step + head * s->head_dim;
    double sum = 0, p[512];
    for (int j = 0; j < n; j++) {
        int64_t k = rows + j * s->step + head * s->head_dim;
        double score = 0;
        for (int d = 0; d < s->head_dim; d++) score += widened(c->q, q + d) * widened(c->k, k + d);
        sum += p[j] = exp(score * (double)s->scale);
    }
    for (int d = 0; d < s->head_dim; d++) {
        double mixed = 0;
        for (int j = 0; j < n; j++) mixed += p[j] / sum * widened(c->v, rows + j * s->step + head * s->head_dim + d);
        put(c->out, q + d, mixed);
    }
    c->stats[stats + (int64_t)i * s->heads + head] = (float)log(sum);
}

/* A head of a window, every gradient once. */
static void backward(const fv_cudnn_shape *s, const fv_cudnn_call *c, int64_t rows, int64_t stats, int n, int head) {
    int dim = s->head_dim;
    double *dq = calloc((size_t)(3 * n * dim), sizeof *dq), *dk = dq + n * dim, *dv = dk + n * dim;
    for (int i = 0; i < n; i++) {
        int64_t q = rows + i * s->step + head * dim;
        double dot = 0;
        for (int d = 0; d < dim; d++) dot += widened(c->dout, q + d) * widened(c->out, q + d);
        for (int j = 0; j < n; j++) {
            int64_t k = rows + j * s->step + head * dim;
            double score = 0, dp = 0;
            for (int d = 0; d < dim; d++) score += widened(c->q, q + d) * widened(c->k, k + d), dp += widened(c->dout, q + d) * widened(c->v, k + d);
            double p = exp(score * (double)s->scale - (double)c->stats[stats + (int64_t)i * s->heads + head]), ds = p * (dp - dot) * (double)s->scale;
            for (int d = 0; d < dim; d++) {
                dq[i * dim + d] += ds * widened(c->k, k + d);
                dk[j * dim + d] += ds * widened(c->q, q + d);
                dv[j * dim + d] += p * widened(c->dout, q + d);
            }
        }
    }
    for (int i = 0; i < n; i++)
        for (int d = 0; d < dim; d++) {
            int64_t at = rows + i * s->step + head * dim + d;
            put(c->dq, at, dq[i * dim + d]), put(c->dk, at, dk[i * dim + d]), put(c->dv, at, dv[i * dim + d]);
        }
    free(dq);
}

typedef struct {
    fv_cudnn_shape shape;
    fv_cudnn_call call;
} job;

static void must_hold(bool holds, const char *what) {
    if (holds) return;
    fprintf(stderr, "a call of cuDNN's: %s\n", what);
    abort();
}

/* By one of its threads, when its turn on the stream has come. */
FV_GLOBAL(attend, job) {
    const fv_cudnn_shape *s = &j.shape;
    const fv_cudnn_call *c = &j.call;
    int windows = 0;
    if (FV_THREAD) return;
    memset(c->workspace, -1, (size_t)s->longest);
    for (int w = 0; w < s->windows; w++) {
        int n = c->lengths[w];
        must_hold(n >= 0 && n <= s->longest, "a window's length");
        must_hold(c->offset_in[w + 1] - c->offset_in[w] == n * s->step && c->offset_stats[w + 1] - c->offset_stats[w] == n * s->heads, "offsets are those of lengths");
        windows += n > 0;
        for (int head = 0; head < s->heads; head++) {
            if (s->back) backward(s, c, c->offset_in[w], c->offset_stats[w], n, head);
            for (int i = 0; !s->back && i < n; i++) forward(s, c, c->offset_in[w], c->offset_stats[w], n, i, head);
        }
    }
    if (windows > most_windows) most_windows = windows;
    calls[s->back]++;
}

fv_status fv_cudnn_run(const fv_cudnn_plan *p, const fv_cudnn_call *c, fv_error *err) {
    const void *aligned[] = {c->q, c->k, c->v, c->out, c->dout, c->dq, c->dk, c->dv, c->stats, c->lengths, c->offset_in, c->offset_out, c->offset_stats};
    job j = {p->shape, *c};
    void *argument = &j;
    for (size_t i = 0; i < FV_COUNT(aligned); i++) must_hold((uintptr_t)aligned[i] % 16 == 0, "16 bytes");
    must_hold((uintptr_t)c->workspace % 256 == 0, "256 bytes");
    if (cudaLaunchKernel(FV_KERNEL(attend), (dim3){1, 1, 1}, (dim3){32, 1, 1}, &argument, 0, on) == cudaSuccess) return FV_OK;
    return fv_fail(err, FV_IO, "cudnn: cudaLaunchKernel");
}

int main(void) {
    cmocka_set_test_filter("runs_*");
    int failed = attention_tests();
    printf("cuDNN was called %d times forward, %d back, with up to %d windows\n", calls[0], calls[1], most_windows);
    return failed || calls[0] <= calls[1] /* long runs go back over pages */ || !calls[1] || most_windows != AT_ONCE;
}
