#include "cuda/runtime.h"

#include <stdio.h>
#include <string.h>

/* sm_80, Ampere: what the kernels are built for at least (CMakeLists.txt). */
enum { OLDEST_MAJOR = 8, REMEMBERED = 4 };

/* An operation that was asked for. */
typedef struct {
    const char *op;
    fv_view a, b;
} asked;

static struct {
    bool open;
    int multiprocessors;
    cudaStream_t stream;
    fv_error error;           /* the first; FV_OK: none */
    asked last[REMEMBERED];   /* a ring of the latest operations */
    unsigned count;           /* operations so far */
} card;

cudaStream_t fv_cuda_stream(void) { return card.stream; }
int fv_cuda_multiprocessors(void) { return card.multiprocessors; }
bool fv_cuda_well(void) { return card.error.status == FV_OK; }

static fv_status refuse(fv_error *err, cudaError_t status, const char *call) {
    cudaGetLastError(); /* told: it must not show again at the next call */
    return fv_fail(err, FV_UNSUPPORTED, "device=cuda: %s: %s (%s); use device=cpu", call, cudaGetErrorString(status), cudaGetErrorName(status));
}

fv_status fv_cuda_open(fv_error *err) {
    if (card.open) return FV_OK;
    int count = 0, major = 0, minor = 0;
    cudaError_t status = cudaGetDeviceCount(&count);
    if (status != cudaSuccess) return refuse(err, status, "cudaGetDeviceCount");
    if (count == 0) return fv_fail(err, FV_UNSUPPORTED, "device=cuda: there is no CUDA device here; use device=cpu");
    if ((status = cudaSetDevice(0)) != cudaSuccess) return refuse(err, status, "cudaSetDevice(0)");
    status = cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, 0);
    if (status == cudaSuccess) status = cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, 0);
    if (status == cudaSuccess) status = cudaDeviceGetAttribute(&card.multiprocessors, cudaDevAttrMultiProcessorCount, 0);
    if (status != cudaSuccess) return refuse(err, status, "cudaDeviceGetAttribute");
    if (major < OLDEST_MAJOR)
        return fv_fail(err, FV_UNSUPPORTED, "device=cuda: this card has compute capability %d.%d, %d.0 or newer is needed; use device=cpu", major, minor, OLDEST_MAJOR);
    status = cudaStreamCreateWithFlags(&card.stream, cudaStreamNonBlocking);
    if (status != cudaSuccess) return refuse(err, status, "cudaStreamCreateWithFlags");
    card.open = true;
    return FV_OK;
}

void fv_cuda_begin(const char *op, fv_view a, fv_view b) {
    asked *to = &card.last[card.count++ % REMEMBERED];
    to->op = op;
    to->a = a;
    to->b = b;
}

/* "linear [5, 21] [7, 21], rms_norm [5, 21] [21]", the latest first. */
static void add_asked(char *text, size_t size) {
    size_t n = strlen(text);
    for (unsigned i = 1; i <= REMEMBERED && i <= card.count && n < size; i++) {
        const asked *from = &card.last[(card.count - i) % REMEMBERED];
        char a[96], b[96];
        fv_shape_text(from->a, a);
        fv_shape_text(from->b, b);
        int more = snprintf(text + n, size - n, "%s%s %s %s", i == 1 ? "; operations asked for, the latest first: " : ", ", from->op, a, b);
        n += more > 0 ? (size_t)more : 0;
    }
}

bool fv_cuda_fine(cudaError_t status, const char *call, size_t bytes) {
    if (status == cudaSuccess || !fv_cuda_well()) return fv_cuda_well();
    char asked_for[512] = "";
    add_asked(asked_for, sizeof asked_for);
    bool memory = status == cudaErrorMemoryAllocation;
    fv_fail(&card.error, memory ? FV_NO_MEMORY : FV_IO, "cuda: %s, %zu bytes: %s (%s)%s", call, bytes, cudaGetErrorString(status), cudaGetErrorName(status),
            asked_for);
    return false;
}

void fv_cuda_failed(const fv_error *err) {
    char asked_for[512] = "";
    if (!fv_cuda_well()) return;
    add_asked(asked_for, sizeof asked_for);
    fv_fail(&card.error, err->status, "cuda: %.480s%s", err->text, asked_for);
}

fv_status fv_cuda_check(fv_error *err) {
    fv_cuda_flush();
    if (fv_cuda_well()) fv_cuda_fine(cudaStreamSynchronize(card.stream), "cudaStreamSynchronize", 0);
    if (fv_cuda_well()) return FV_OK;
    return fv_fail(err, card.error.status, "%s", card.error.text);
}
