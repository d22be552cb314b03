/* The stand-in's card: its memory, its stream, and blocks of threads that take turns. Whatever a card would answer with silence or wrong numbers ends
 * the test here, with a word on stderr: the host touching the card's memory (a signal), a copy from memory that is not pinned, threads of a warp
 * that miss an exchange, threads that wait at different barriers, or at gates that nobody opens, a graph that goes while it may be running. */
#include "tests/cuda/stand_in.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <ucontext.h>

enum { MAX_THREADS = 1024, WARP = 32, STACK = 64 << 10, MAX_PIECES = 4096, MAX_PINNED = 1024, MAX_COPIES = 256, MAX_KERNELS = 256, NODE_BYTES = 4096 };
static const size_t card_bytes = (size_t)8 << 30; /* of addresses; pages come when they are touched */

static void stop(const char *what) {
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
    int calls_left, graphs;
} card = {.limit = (size_t)4 << 30, .kernels_left = -1};

static cudaError_t told(cudaError_t status) {
    if (card.sticky != cudaSuccess) status = card.sticky;
    if (status != cudaSuccess) card.last = status;
    return status;
}

/* What a call ends with that tests may have refused. */
static cudaError_t answer(const char *call) {
    bool refused = card.refused && !strcmp(card.refused, call) && card.calls_left-- == 0;
    return told(refused ? cudaErrorInvalidValue : cudaSuccess);
}

static void protect(bool host_away) {
    if (card.used && mprotect(card.base, card.used, host_away ? PROT_NONE : PROT_READ | PROT_WRITE) != 0) stop("mprotect failed");
}

cudaError_t cudaMalloc(void **out, size_t bytes) {
    size_t size = (bytes + 4095) / 4096 * 4096;
    if (card.sticky != cudaSuccess) return told(card.sticky);
    if (!card.base) {
        card.base = mmap(NULL, card_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (card.base == MAP_FAILED) stop("no addresses for the card's memory");
    }
    if (size > card.limit - card.taken || size > card_bytes) return told(cudaErrorMemoryAllocation);
    piece *found = NULL;
    for (int i = 0; i < card.count && !found; i++)
        if (card.pieces[i].free && card.pieces[i].size == size) found = &card.pieces[i];
    if (!found) {
        if (card.count == MAX_PIECES || size > card_bytes - card.used) stop("the card's memory is in too many pieces");
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
            return told(cudaSuccess);
        }
    return data ? told(cudaErrorInvalidValue) : cudaSuccess;
}

cudaError_t cudaMallocHost(void **out, size_t bytes) {
    if (card.pinned_count == MAX_PINNED) stop("pinned memory is in too many pieces");
    *out = malloc(bytes);
    if (!*out) return told(cudaErrorMemoryAllocation);
    card.pinned[card.pinned_count++] = (piece){*out, bytes, false};
    return cudaSuccess;
}

cudaError_t cudaFreeHost(void *data) {
    run_stream();
    for (int i = 0; i < card.pinned_count; i++)
        if (card.pinned[i].data == data) {
            card.pinned[i] = card.pinned[--card.pinned_count];
            free(data);
            return told(cudaSuccess);
        }
    return told(cudaErrorInvalidValue);
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
int fv_stand_in_graphs(void) { return card.graphs; }
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
        if (fibers[fv_stand_in.thread].copy_count) stop("a thread ends before its copies have come");
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
    if (f->copy_count == MAX_COPIES) stop("a thread asks for too many copies");
    if ((uintptr_t)to % (uintptr_t)size || (uintptr_t)from % (uintptr_t)size || n < 0 || n > size) stop("a copy that a card would refuse");
    if (n > 0 && !fv_stand_in_owns(from)) stop("a copy into a block's memory from what is not the card's");
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
        if (warp[i].state != AT_EXCHANGE || warp[i].d != warp[0].d) stop("threads of a warp miss an exchange");
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
    if (gates < 0) stop("threads wait at a gate that nobody opens");
    int line = -1;
    for (int t = 0; t < threads; t++) {
        if (fibers[t].state != AT_BARRIER) continue;
        if (line >= 0 && fibers[t].line != line) stop("threads of a block wait at different barriers");
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

static void run_block(int threads) {
    for (int t = 0; t < threads; t++) fibers[t].state = READY;
    do {
        int turn = step_of(threads);
        for (int i = 0, t = 0; i < threads; i++, t = (t + turn) % threads)
            if (fibers[t].state == READY) take_turn(t);
        order = order ? order * 6364136223846793005u + 1442695040888963407u : 0;
    } while (let_go(threads));
}

/* ---- the stream: what was asked for and is not done yet ---- */

typedef struct work {
    struct work *next;
    const fv_stand_in_kernel *kernel; /* NULL: a copy, or a memset where from is NULL */
    int64_t blocks;
    int threads;
    size_t shared, bytes;
    void *to;
    const void *from;
    size_t size; /* of the argument */
    int after;   /* in a graph: the node before it, -1: none */
    _Alignas(16) char argument[];
} work;

static work *first, **last = &first;

static work *new_work(size_t extra) {
    work *w = calloc(1, sizeof *w + extra);
    if (!w) stop("no memory for the stream");
    w->size = extra;
    return w;
}

static work *copy_of(const work *from) {
    work *w = new_work(from->size);
    memcpy(w, from, sizeof *w + from->size);
    return w;
}

static void add(work *w) {
    w->next = NULL;
    *last = w;
    last = &w->next;
}

static void run_kernel(work *w) {
    if (card.kernels_left == 0) card.sticky = cudaErrorIllegalAddress;
    if (card.kernels_left >= 0) card.kernels_left--;
    if (card.sticky != cudaSuccess) return;
    fv_stand_in.shared = malloc(w->shared ? w->shared : 1);
    kernel = w->kernel->run;
    argument = w->argument;
    for (fv_stand_in.block = 0; fv_stand_in.block < w->blocks; fv_stand_in.block++) run_block(w->threads);
    free(fv_stand_in.shared);
}

static void run_stream(void) {
    if (!first) return;
    protect(false);
    while (first) {
        work *w = first;
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
    if (i == MAX_KERNELS) stop("too many kernels");
    if (!allowed[i].of) allowed[i].of = of, allowed[i].shared = 48 << 10, allowed[i].most = 99 << 10;
    return i;
}

void fv_stand_in_wide(const void *of) { allowed[allowed_of(of)].most = 227 << 10; }

cudaError_t cudaFuncSetAttribute(const void *function, cudaFuncAttribute attribute, int value) {
    int i = allowed_of(function);
    if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize || value < 0 || (size_t)value > allowed[i].most) stop("an attribute that a card would refuse");
    allowed[i].shared = (size_t)value;
    return told(cudaSuccess);
}

static work *kernel_work(const void *function, dim3 grid, dim3 block, size_t shared, void **arguments) {
    const fv_stand_in_kernel *k = function;
    if (block.x % WARP || block.x > MAX_THREADS || block.y != 1 || block.z != 1 || shared > allowed[allowed_of(k)].shared || grid.x < 1 || grid.x > INT32_MAX || grid.y != 1 || grid.z != 1)
        stop("a launch that a card would refuse");
    work *w = new_work(k->size);
    w->kernel = k;
    w->blocks = grid.x;
    w->threads = (int)block.x;
    w->shared = shared;
    memcpy(w->argument, arguments[0], k->size);
    return w;
}

cudaError_t cudaLaunchKernel(const void *function, dim3 grid, dim3 block, void **arguments, size_t shared, cudaStream_t stream) {
    (void)stream;
    cudaError_t status = answer("cudaLaunchKernel");
    if (status == cudaSuccess) add(kernel_work(function, grid, block, shared, arguments));
    return status;
}

void fv_stand_in_fail(int after) {
    card.kernels_left = after;
    if (after < 0) card.sticky = card.last = cudaSuccess;
}

static work *zeros_work(void *data, size_t bytes) {
    work *w = new_work(0);
    w->to = data;
    w->bytes = bytes;
    return w;
}

cudaError_t cudaMemsetAsync(void *data, int value, size_t bytes, cudaStream_t stream) {
    (void)stream;
    if (!fv_stand_in_owns(data) || value != 0) return told(cudaErrorInvalidValue);
    add(zeros_work(data, bytes));
    return told(cudaSuccess);
}

static bool pinned(const void *p, size_t bytes) {
    bool found = false;
    for (int i = 0; i < card.pinned_count; i++) found |= (const char *)p >= card.pinned[i].data && (const char *)p + bytes <= card.pinned[i].data + card.pinned[i].size;
    return found;
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
    (void)stream, (void)kind;
    bool up = pinned(from, bytes), down = pinned(to, bytes);
    if ((!up && !fv_stand_in_owns(from)) || (!down && !fv_stand_in_owns(to)) || (!up && !down)) stop("a copy that is not between the card and pinned memory");
    work *w = zeros_work(to, bytes);
    w->from = from;
    add(w);
    card.copies++;
    return told(cudaSuccess);
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
    (void)stream;
    run_stream();
    return told(cudaSuccess);
}

/* ---- graphs ---- */

struct graph_node {
    cudaGraph_t graph;
    int number;
    work *as;
};

struct graph {
    cudaGraphNode_t *nodes;
    int count;
};

/* Copies of the nodes; of the graph it knows which they are. */
struct graph_exec {
    cudaGraph_t graph;
    work **nodes;
    int count;
};

cudaError_t cudaGraphCreate(cudaGraph_t *graph, unsigned flags) {
    if (flags) return told(cudaErrorInvalidValue);
    *graph = calloc(1, sizeof **graph);
    return answer("cudaGraphCreate");
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
    for (int i = 0; i < graph->count; i++) free(graph->nodes[i]->as), free(graph->nodes[i]);
    free(graph->nodes), free(graph);
    return told(cudaSuccess);
}

static void add_node(cudaGraphNode_t *node, cudaGraph_t graph, const cudaGraphNode_t *before, size_t count, work *w) {
    if (count > 1 || (count == 1 && before[0]->graph != graph)) stop("a node after others than one of its graph");
    w->after = count ? before[0]->number : -1;
    *node = malloc(sizeof **node);
    **node = (struct graph_node){graph, graph->count, w};
    graph->nodes = realloc(graph->nodes, (size_t)(graph->count + 1) * sizeof(cudaGraphNode_t));
    graph->nodes[graph->count++] = *node;
}

cudaError_t cudaGraphAddKernelNode(cudaGraphNode_t *node, cudaGraph_t graph, const cudaGraphNode_t *before, size_t count, const struct cudaKernelNodeParams *p) {
    add_node(node, graph, before, count, kernel_work(p->func, p->gridDim, p->blockDim, p->sharedMemBytes, p->kernelParams));
    return answer("cudaGraphAddKernelNode");
}

static work *zeros_of(const struct cudaMemsetParams *p) {
    if (!fv_stand_in_owns(p->dst) || p->value != 0 || p->elementSize != 1 || p->height != 1) stop("a memset that a card would refuse");
    return zeros_work(p->dst, p->width);
}

cudaError_t cudaGraphAddMemsetNode(cudaGraphNode_t *node, cudaGraph_t graph, const cudaGraphNode_t *before, size_t count, const struct cudaMemsetParams *p) {
    add_node(node, graph, before, count, zeros_of(p));
    return answer("cudaGraphAddMemsetNode");
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *exec, cudaGraph_t graph, unsigned long long flags) {
    cudaError_t status = answer("cudaGraphInstantiate");
    size_t bytes = (size_t)graph->count * NODE_BYTES;
    if (status != cudaSuccess || flags) return status;
    if (bytes > card.limit - card.taken) return told(cudaErrorMemoryAllocation);
    card.taken += bytes;
    card.graphs++;
    *exec = malloc(sizeof **exec);
    **exec = (struct graph_exec){graph, calloc((size_t)graph->count + 1, sizeof(work *)), graph->count};
    for (int i = 0; i < graph->count; i++) (*exec)->nodes[i] = copy_of(graph->nodes[i]->as);
    return status;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) {
    if (first) stop("a graph goes that may be running");
    card.taken -= (size_t)exec->count * NODE_BYTES;
    card.graphs--;
    for (int i = 0; i < exec->count; i++) free(exec->nodes[i]);
    free(exec->nodes), free(exec);
    return told(cudaSuccess);
}

/* Only what is launched from now on has it. */
static cudaError_t change_node(cudaGraphExec_t exec, cudaGraphNode_t node, work *w, const char *call) {
    work *was = exec->nodes[node->number];
    if (node->graph != exec->graph || was->kernel != w->kernel) stop("another node's parameters");
    w->after = was->after;
    exec->nodes[node->number] = w;
    free(was);
    return answer(call);
}

cudaError_t cudaGraphExecKernelNodeSetParams(cudaGraphExec_t exec, cudaGraphNode_t node, const struct cudaKernelNodeParams *p) {
    return change_node(exec, node, kernel_work(p->func, p->gridDim, p->blockDim, p->sharedMemBytes, p->kernelParams), "cudaGraphExecKernelNodeSetParams");
}

cudaError_t cudaGraphExecMemsetNodeSetParams(cudaGraphExec_t exec, cudaGraphNode_t node, const struct cudaMemsetParams *p) {
    return change_node(exec, node, zeros_of(p), "cudaGraphExecMemsetNodeSetParams");
}

/* Of nodes that may run, the last goes first: only what a node waits for is before it. */
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream) {
    (void)stream;
    cudaError_t status = answer("cudaGraphLaunch");
    bool *done = calloc((size_t)exec->count + 1, sizeof *done);
    for (int left = status == cudaSuccess ? exec->count : 0; left; left--) {
        int i = exec->count - 1;
        while (done[i] || (exec->nodes[i]->after >= 0 && !done[exec->nodes[i]->after])) i--;
        done[i] = true;
        add(copy_of(exec->nodes[i]));
    }
    free(done);
    return status;
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
    return told(cudaSuccess);
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
    (void)event;
    run_stream();
    return told(cudaSuccess);
}
cudaError_t cudaGetDeviceCount(int *count) {
    *count = 1;
    return cudaSuccess;
}
cudaError_t cudaSetDevice(int device) { return device == 0 ? cudaSuccess : told(cudaErrorInvalidValue); }
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
