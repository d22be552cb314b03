/* The stand-in's card: its memory, its stream, and blocks of threads that take turns. Whatever a card would answer with silence or wrong numbers ends
 * the test here, with a word on stderr: the host touching the card's memory (a signal), a copy from memory that is not pinned, threads of a warp
 * that miss an exchange, threads that wait at different barriers, or at gates that nobody opens, a graph that goes while it may be running. */
#include "tests/cuda/stand_in_parts.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <ucontext.h>

enum { MAX_THREADS = 1024, WARP = 32, STACK = 64 << 10, MAX_PIECES = 4096, MAX_PINNED = 1024, MAX_COPIES = 256, MAX_KERNELS = 256 };
static const size_t card_bytes = (size_t)8 << 30; /* of addresses; pages come when they are touched */

void fv_stand_in_stop(const char *what) {
    fprintf(stderr, "stand-in: %s\n", what);
    abort();
}

/* ---- memory ---- */

typedef struct {
    char *data;
    size_t size;
    bool free;
} piece;

static struct {
    char *base;
    size_t used, limit, taken, allocations, copies;
    piece pieces[MAX_PIECES], pinned[MAX_PINNED];
    int count, pinned_count;
    cudaError_t sticky, last;
    int kernels_left; /* until one fails; < 0: none does */
    const char *refused; /* the call that is, after `calls_left` more */
    int calls_left;
} card = {.limit = (size_t)4 << 30, .kernels_left = -1};

cudaError_t fv_stand_in_told(cudaError_t status) {
    if (card.sticky != cudaSuccess) status = card.sticky;
    if (status != cudaSuccess) card.last = status;
    return status;
}

/* What a call ends with that tests may have refused. */
cudaError_t fv_stand_in_answer(const char *call) {
    bool refused = card.refused && !strcmp(card.refused, call) && card.calls_left-- == 0;
    return fv_stand_in_told(refused ? cudaErrorInvalidValue : cudaSuccess);
}

static void protect(bool host_away) {
    if (card.used && mprotect(card.base, card.used, host_away ? PROT_NONE : PROT_READ | PROT_WRITE) != 0) fv_stand_in_stop("mprotect failed");
}

cudaError_t cudaMalloc(void **out, size_t bytes) {
    size_t size = (bytes + 4095) / 4096 * 4096;
    if (card.sticky != cudaSuccess) return fv_stand_in_told(card.sticky);
    if (!card.base) {
        card.base = mmap(NULL, card_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (card.base == MAP_FAILED) fv_stand_in_stop("no addresses for the card's memory");
    }
    if (size > card.limit - card.taken || size > card_bytes) return fv_stand_in_told(cudaErrorMemoryAllocation);
    piece *found = NULL;
    for (int i = 0; i < card.count && !found; i++)
        if (card.pieces[i].free && card.pieces[i].size == size) found = &card.pieces[i];
    if (!found) {
        if (card.count == MAX_PIECES || size > card_bytes - card.used) fv_stand_in_stop("the card's memory is in too many pieces");
        found = &card.pieces[card.count++];
        *found = (piece){card.base + card.used, size, false};
        card.used += size;
    }
    found->free = false;
    card.taken += size;
    card.allocations++;
    *out = found->data;
    return cudaSuccess;
}

static void run_stream(void);

cudaError_t cudaFree(void *data) {
    run_stream();
    for (int i = 0; i < card.count; i++)
        if (card.pieces[i].data == data && !card.pieces[i].free) {
            card.pieces[i].free = true;
            card.taken -= card.pieces[i].size;
            return fv_stand_in_told(cudaSuccess);
        }
    return data ? fv_stand_in_told(cudaErrorInvalidValue) : cudaSuccess;
}

cudaError_t cudaMallocHost(void **out, size_t bytes) {
    if (card.pinned_count == MAX_PINNED) fv_stand_in_stop("pinned memory is in too many pieces");
    *out = malloc(bytes);
    if (!*out) return fv_stand_in_told(cudaErrorMemoryAllocation);
    card.pinned[card.pinned_count++] = (piece){*out, bytes, false};
    return cudaSuccess;
}

cudaError_t cudaFreeHost(void *data) {
    run_stream();
    for (int i = 0; i < card.pinned_count; i++)
        if (card.pinned[i].data == data) {
            card.pinned[i] = card.pinned[--card.pinned_count];
            free(data);
            return fv_stand_in_told(cudaSuccess);
        }
    return fv_stand_in_told(cudaErrorInvalidValue);
}

cudaError_t cudaMemGetInfo(size_t *left, size_t *all) {
    *left = card.limit - card.taken;
    *all = card.limit;
    return cudaSuccess;
}

void fv_stand_in_memory(size_t bytes) { card.limit = bytes > card.taken ? bytes : card.taken; }
bool fv_stand_in_owns(const void *p) { return card.base && (const char *)p >= card.base && (const char *)p < card.base + card.used; }
size_t fv_stand_in_allocations(void) { return card.allocations; }
size_t fv_stand_in_copies(void) { return card.copies; }
bool fv_stand_in_takes(size_t bytes) {
    bool fits = bytes <= card.limit - card.taken;
    card.taken += fits ? bytes : 0;
    return fits;
}
void fv_stand_in_gives(size_t bytes) { card.taken -= bytes; }
void fv_stand_in_refuse(const char *call, int after) { card.refused = call, card.calls_left = after; }

/* ---- a block of threads ---- */

/* A copy into the block's memory that a thread has asked for. */
typedef struct {
    void *to;
    const void *from;
    int size, n, group;
} copy;

typedef enum { READY, AT_BARRIER, AT_EXCHANGE, AT_GATE, DONE } state;

typedef struct {
    ucontext_t start;
    jmp_buf here;
    bool begun;
    state state;
    int line, d;   /* of the barrier; of the exchange */
    double x;
    const uint8_t *phase; /* of the gate */
    uint8_t parity;
    bool waited; /* for the launches before */
    copy copies[MAX_COPIES];
    int copy_count, group; /* not made yet; groups ended */
} fiber;

struct fv_stand_in fv_stand_in;
static fiber fibers[MAX_THREADS];
static char *stacks;
static jmp_buf scheduler;
static void (*kernel)(const void *j);
static const void *argument;
static uint64_t order;

void fv_stand_in_order(uint64_t seed) { order = seed; }

static void yield_as(state s) {
    fiber *f = &fibers[fv_stand_in.thread];
    f->state = s;
    if (_setjmp(f->here) == 0) _longjmp(scheduler, 1);
}

static void fiber_body(void) {
    for (;;) {
        kernel(argument);
        if (fibers[fv_stand_in.thread].copy_count) fv_stand_in_stop("a thread ends before its copies have come");
        yield_as(DONE);
    }
}

void fv_stand_in_sync(int line) {
    fibers[fv_stand_in.thread].line = line;
    yield_as(AT_BARRIER);
}

double fv_across_double(double x, int d) {
    fiber *f = &fibers[fv_stand_in.thread];
    f->x = x;
    f->d = d;
    yield_as(AT_EXCHANGE);
    return f->x;
}

void fv_stand_in_copy(void *to, const void *from, int size, int n) {
    fiber *f = &fibers[fv_stand_in.thread];
    if (f->copy_count == MAX_COPIES) fv_stand_in_stop("a thread asks for too many copies");
    if ((uintptr_t)to % (uintptr_t)size || (uintptr_t)from % (uintptr_t)size || n < 0 || n > size) fv_stand_in_stop("a copy that a card would refuse");
    if (n > 0 && !fv_stand_in_owns(from)) fv_stand_in_stop("a copy into a block's memory from what is not the card's");
    f->copies[f->copy_count++] = (copy){to, from, size, n, f->group};
}

void fv_copy_end(void) { fibers[fv_stand_in.thread].group++; }

void fv_copy_wait(int groups) {
    fiber *f = &fibers[fv_stand_in.thread];
    int left = 0;
    for (int i = 0; i < f->copy_count; i++) {
        copy c = f->copies[i];
        if (c.group >= f->group - groups) {
            f->copies[left++] = c;
            continue;
        }
        memcpy(c.to, c.from, (size_t)c.n);
        memset((char *)c.to + c.n, 0, (size_t)(c.size - c.n));
    }
    f->copy_count = left;
}

void fv_wait_for_earlier(void) { fibers[fv_stand_in.thread].waited = true; }

void fv_stand_in_gate(const uint8_t *phase, uint8_t parity) {
    if (*phase != parity) return;
    fiber *f = &fibers[fv_stand_in.thread];
    f->phase = phase;
    f->parity = parity;
    yield_as(AT_GATE);
}

static void take_turn(int thread) {
    fiber *f = &fibers[thread];
    fv_stand_in.thread = thread;
    if (_setjmp(scheduler) != 0) return;
    if (f->begun) _longjmp(f->here, 1);
    f->begun = true;
    if (!stacks) stacks = mmap(NULL, (size_t)MAX_THREADS * STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    getcontext(&f->start);
    f->start.uc_stack.ss_sp = stacks + (size_t)thread * STACK;
    f->start.uc_stack.ss_size = STACK;
    f->start.uc_link = NULL;
    makecontext(&f->start, fiber_body, 0);
    setcontext(&f->start);
}

/* The threads of a warp change numbers; true if they were there to do so. */
static bool exchange(fiber *warp) {
    bool any = false;
    double x[WARP];
    for (int i = 0; i < WARP; i++) any = any || warp[i].state == AT_EXCHANGE;
    for (int i = 0; i < WARP; i++)
        if (!any || warp[i].state == AT_GATE) return false;
    for (int i = 0; i < WARP; i++) {
        if (warp[i].state != AT_EXCHANGE || warp[i].d != warp[0].d) fv_stand_in_stop("threads of a warp miss an exchange");
        x[i] = warp[i].x;
    }
    for (int i = 0; i < WARP; i++) {
        warp[i].x = x[i ^ warp[i].d];
        warp[i].state = READY;
    }
    return true;
}

/* Threads whose gates have opened go on; 1: there are some. -1: gates are waited for, and none has opened. */
static int open_gates(int threads) {
    int waiting = 0, opened = 0;
    for (int t = 0; t < threads; t++) {
        if (fibers[t].state != AT_GATE) continue;
        waiting = 1;
        if (*fibers[t].phase == fibers[t].parity) continue;
        fibers[t].state = READY;
        opened = 1;
    }
    return opened ? 1 : -waiting;
}

/* All that wait are let go on; false: everybody is done. */
static bool let_go(int threads) {
    bool any = false, exchanged = false;
    for (int w = 0; w < threads; w += WARP) exchanged = exchange(fibers + w) || exchanged;
    int gates = open_gates(threads);
    if (exchanged || gates > 0) return true;
    if (gates < 0) fv_stand_in_stop("threads wait at a gate that nobody opens");
    int line = -1;
    for (int t = 0; t < threads; t++) {
        if (fibers[t].state != AT_BARRIER) continue;
        if (line >= 0 && fibers[t].line != line) fv_stand_in_stop("threads of a block wait at different barriers");
        line = fibers[t].line;
        fibers[t].state = READY;
        any = true;
    }
    return any;
}

/* A step from turn to turn that shares no factor with the number of threads: every thread has its turn. */
static int step_of(int threads) {
    int step = order ? (int)(order % (uint64_t)threads) : 1;
    for (int a = 0, b = 0;; step++) {
        for (a = threads, b = step; b; ) {
            int rest = a % b;
            a = b, b = rest;
        }
        if (a == 1) return step;
    }
}

static void run_block(int threads, bool early) {
    for (int t = 0; t < threads; t++) fibers[t].state = READY, fibers[t].waited = !early;
    do {
        int turn = step_of(threads);
        for (int i = 0, t = 0; i < threads; i++, t = (t + turn) % threads)
            if (fibers[t].state == READY) take_turn(t);
        order = order ? order * 6364136223846793005u + 1442695040888963407u : 0;
    } while (let_go(threads));
    for (int t = 0; t < threads; t++)
        if (fibers[t].waited) return;
    fv_stand_in_stop("a kernel ends that has not waited for those before it");
}

/* ---- the stream: what was asked for and is not done yet ---- */

static work *first, **last = &first;

static work *new_work(size_t extra) {
    work *w = calloc(1, sizeof *w + extra);
    if (!w) fv_stand_in_stop("no memory for the stream");
    w->size = extra;
    return w;
}

work *fv_stand_in_copy_of(const work *from) {
    work *w = new_work(from->size);
    memcpy(w, from, sizeof *w + from->size);
    return w;
}

bool fv_stand_in_idle(void) { return !first; }

void fv_stand_in_add(work *w) {
    w->next = NULL;
    *last = w;
    last = &w->next;
}

/* The card's memory before a row of kernels each of which may begin before the one before it has ended: so old may be what they read before they wait. Taken only where one reads so. */
static struct {
    char *bytes;
    size_t size, room;
} past;

static void keep_past(const work *w) {
    bool reads = false;
    for (const work *next = w->next; next && next->early; next = next->next) reads = reads || next->kernel->early;
    past.size = reads ? card.used : 0;
    if (past.size > past.room) {
        past.room = past.size;
        if (!(past.bytes = realloc(past.bytes, past.room))) fv_stand_in_stop("no memory for what was before");
    }
    if (reads) memcpy(past.bytes, card.base, past.size);
}

const char *fv_stand_in_now(const char *from) {
    size_t at = (size_t)(from - card.base);
    return fibers[fv_stand_in.thread].waited || at >= past.size ? from : past.bytes + at;
}

static void run_kernel(work *w) {
    if (card.kernels_left == 0) card.sticky = cudaErrorIllegalAddress;
    if (card.kernels_left >= 0) card.kernels_left--;
    if (card.sticky != cudaSuccess) return;
    fv_stand_in.shared = malloc(w->shared ? w->shared : 1);
    kernel = w->kernel->run;
    argument = w->argument;
    for (fv_stand_in.block = 0; fv_stand_in.block < w->blocks; fv_stand_in.block++) run_block(w->threads, w->kernel->early);
    free(fv_stand_in.shared);
}

static void run_stream(void) {
    if (!first) return;
    protect(false);
    while (first) {
        work *w = first;
        if (!w->early) keep_past(w);
        if (w->kernel) run_kernel(w);
        else if (card.sticky == cudaSuccess && w->from) memcpy(w->to, w->from, w->bytes);
        else if (card.sticky == cudaSuccess) memset(w->to, 0, w->bytes);
        first = w->next;
        free(w);
    }
    last = &first;
    protect(true);
}

/* What kernels may have of a block's memory: what was asked for, which is not above what the card has. */
static struct {
    const void *of;
    size_t shared, most;
} allowed[MAX_KERNELS];

static int allowed_of(const void *of) {
    int i = 0;
    while (i < MAX_KERNELS && allowed[i].of && allowed[i].of != of) i++;
    if (i == MAX_KERNELS) fv_stand_in_stop("too many kernels");
    if (!allowed[i].of) allowed[i].of = of, allowed[i].shared = 48 << 10, allowed[i].most = 99 << 10;
    return i;
}

void fv_stand_in_wide(const void *of) { allowed[allowed_of(of)].most = 227 << 10; }

cudaError_t cudaFuncSetAttribute(const void *function, cudaFuncAttribute attribute, int value) {
    int i = allowed_of(function);
    if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize || value < 0 || (size_t)value > allowed[i].most) fv_stand_in_stop("an attribute that a card would refuse");
    allowed[i].shared = (size_t)value;
    return fv_stand_in_told(cudaSuccess);
}

work *fv_stand_in_kernel_work(const void *function, dim3 grid, dim3 block, size_t shared, void **arguments) {
    const fv_stand_in_kernel *k = function;
    if (block.x % WARP || block.x > MAX_THREADS || block.y != 1 || block.z != 1 || shared > allowed[allowed_of(k)].shared || grid.x < 1 || grid.x > INT32_MAX || grid.y != 1 || grid.z != 1)
        fv_stand_in_stop("a launch that a card would refuse");
    work *w = new_work(k->size);
    w->kernel = k;
    w->blocks = grid.x;
    w->threads = (int)block.x;
    w->shared = shared;
    memcpy(w->argument, arguments[0], k->size);
    return w;
}

cudaError_t cudaFuncGetAttributes(struct cudaFuncAttributes *attributes, const void *function) {
    (void)function;
    attributes->ptxVersion = 90;
    return fv_stand_in_answer("cudaFuncGetAttributes");
}

cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t *how, const void *function, void **arguments) {
    cudaError_t status = fv_stand_in_answer("cudaLaunchKernelExC");
    if (status != cudaSuccess) return status;
    work *w = fv_stand_in_kernel_work(function, how->gridDim, how->blockDim, how->dynamicSmemBytes, arguments);
    w->early = how->numAttrs && how->attrs->id == cudaLaunchAttributeProgrammaticStreamSerialization && how->attrs->val.programmaticStreamSerializationAllowed;
    fv_stand_in_add(w);
    return status;
}

void fv_stand_in_fail(int after) {
    card.kernels_left = after;
    if (after < 0) card.sticky = card.last = cudaSuccess;
}

work *fv_stand_in_zeros_work(void *data, size_t bytes) {
    work *w = new_work(0);
    w->to = data;
    w->bytes = bytes;
    return w;
}

cudaError_t cudaMemsetAsync(void *data, int value, size_t bytes, cudaStream_t stream) {
    (void)stream;
    if (!fv_stand_in_owns(data) || value != 0) return fv_stand_in_told(cudaErrorInvalidValue);
    fv_stand_in_add(fv_stand_in_zeros_work(data, bytes));
    return fv_stand_in_told(cudaSuccess);
}

static bool pinned(const void *p, size_t bytes) {
    bool found = false;
    for (int i = 0; i < card.pinned_count; i++) found |= (const char *)p >= card.pinned[i].data && (const char *)p + bytes <= card.pinned[i].data + card.pinned[i].size;
    return found;
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
    (void)stream, (void)kind;
    bool up = pinned(from, bytes), down = pinned(to, bytes);
    if ((!up && !fv_stand_in_owns(from)) || (!down && !fv_stand_in_owns(to)) || (!up && !down)) fv_stand_in_stop("a copy that is not between the card and pinned memory");
    work *w = fv_stand_in_zeros_work(to, bytes);
    w->from = from;
    fv_stand_in_add(w);
    card.copies++;
    return fv_stand_in_told(cudaSuccess);
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
    (void)stream;
    run_stream();
    return fv_stand_in_told(cudaSuccess);
}

/* ---- the rest of the runtime ---- */

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags) {
    (void)flags;
    *stream = NULL;
    return cudaSuccess;
}
cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned flags) {
    (void)flags;
    *event = NULL;
    return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
    (void)event, (void)stream;
    return fv_stand_in_told(cudaSuccess);
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
    (void)event;
    run_stream();
    return fv_stand_in_told(cudaSuccess);
}
cudaError_t cudaGetDeviceCount(int *count) {
    *count = 1;
    return cudaSuccess;
}
cudaError_t cudaSetDevice(int device) { return device == 0 ? cudaSuccess : fv_stand_in_told(cudaErrorInvalidValue); }
cudaError_t cudaDeviceGetAttribute(int *value, cudaDeviceAttr attribute, int device) {
    (void)device;
    *value = attribute == cudaDevAttrComputeCapabilityMajor ? 9 : attribute == cudaDevAttrMultiProcessorCount ? 1 : 0; /* one: small sizes fill it, so that large tiles have their turn */
    return cudaSuccess;
}
cudaError_t cudaGetLastError(void) {
    cudaError_t status = card.last;
    card.last = card.sticky;
    return status;
}
const char *cudaGetErrorString(cudaError_t status) { return status == cudaErrorIllegalAddress ? "an illegal memory access was encountered" : "the stand-in's error"; }
const char *cudaGetErrorName(cudaError_t status) { return status == cudaErrorIllegalAddress ? "cudaErrorIllegalAddress" : "cudaErrorOfTheStandIn"; }
