/* Launches are not made at once. A kernel, or zeros, that an operation asks for goes into a window, which is given to the card when it is full and before anything that must come
 * after it: a copy to the host or over memory that it may use, a wait, memory that goes back to the card. A token of decoding is a thousand small
 * launches, which cost the host more than the card; but they are the same from token to token. So a window that is seen again becomes a graph, which the host gives
 * to the card in one call; what has changed in it, arguments and numbers of blocks, is told to it first.
 *
 * A window is seen again if it has the same kernels in the same order, and at most a part of their arguments is new. Layers are alike, so windows of
 * the same kernels may be those of other layers, with other weights: each is remembered for itself, and the one that came after the last is looked at first. */
#include "cuda/runtime.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ALWAYS_SHARED: bytes of a block's memory that need not be asked for. FEW launches are not worth a graph. GRAPHS take memory of the card, SEEN windows the host's. */
enum { ENTRIES = 128, BYTES = 64 << 10, ALIGNMENT = 16, ALWAYS_SHARED = 48 << 10, FEW = 8, GRAPHS = 128, SEEN = 256 };

/* Of a window's entries, a graph is told of at most PART_NEW PART_OFths; the sequence that came next before is taken at once where at most a NEAR-th is new. */
enum { PART_NEW = 7, PART_OF = 8, NEAR = 8 };

typedef struct {
    const fv_kernel *kernel; /* NULL: zeros */
    void *data;              /* where they go, and how many */
    size_t bytes;
    unsigned blocks;
    int threads;
    size_t shared;
    size_t at, size;         /* the argument, among the sequence's bytes */
} entry;

typedef struct {
    entry *entries;
    char *bytes;
    int count;
    size_t used;   /* of bytes */
    uint64_t hash; /* of kernels and their order */
} sequence;

/* A sequence that was given to the card, and the graph of it, if it was given twice. */
typedef struct {
    sequence as; /* what the graph has now */
    int entry_room;
    size_t byte_room;
    cudaGraph_t graph;
    cudaGraphExec_t ready; /* NULL: no graph */
    cudaGraphNode_t nodes[ENTRIES];
    uint64_t last;         /* `windows` when it was given; 0: never */
    int after;             /* the one that was given next */
} seen;

static entry pending_entries[ENTRIES];
static _Alignas(ALIGNMENT) char pending_bytes[BYTES];
static sequence pending = {.entries = pending_entries, .bytes = pending_bytes};
static bool plainly;

static struct {
    seen *list; /* [GRAPHS + SEEN]; NULL until the first window */
    int before;  /* the one that was given last */
    int graphs, most; /* graphs there are, and may be */
    uint64_t windows;
} known = {.most = GRAPHS};

static fv_cuda_launches counts;

fv_cuda_launches fv_cuda_counts(void) { return counts; }

/* As fv_cuda_fine, of a call for an entry. */
static bool entry_fine(cudaError_t status, const char *call, const entry *e) {
    if (status == cudaSuccess) return fv_cuda_well();
    char text[256];
    if (!e->kernel) snprintf(text, sizeof text, "%s for zeros", call);
    else snprintf(text, sizeof text, "%s for kernel %s of %u blocks, %d threads, shared memory", call, e->kernel->name, e->blocks, e->threads);
    return fv_cuda_fine(status, text, e->kernel ? e->shared : e->bytes);
}

/* ---- giving a window as it is ---- */

static void launch_plainly(void) {
    counts.plain++;
    for (int i = 0; i < pending.count && fv_cuda_well(); i++) {
        const entry *e = &pending.entries[i];
        void *argument = pending.bytes + e->at;
        if (e->kernel) entry_fine(cudaLaunchKernel(e->kernel->function, (dim3){e->blocks, 1, 1}, (dim3){(unsigned)e->threads, 1, 1}, &argument, e->shared, fv_cuda_stream()), "cudaLaunchKernel", e);
        else entry_fine(cudaMemsetAsync(e->data, 0, e->bytes, fv_cuda_stream()), "cudaMemsetAsync", e);
    }
}

/* ---- finding a graph ---- */

static bool same_kinds(const sequence *a, const sequence *b) {
    if (a->hash != b->hash || a->count != b->count || a->used != b->used) return false;
    for (int i = 0; i < a->count; i++) {
        const entry *p = &a->entries[i], *q = &b->entries[i];
        if (!p->kernel != !q->kernel || p->size != q->size) return false;
        if (p->kernel && (p->kernel->function != q->kernel->function || p->threads != q->threads || p->shared != q->shared)) return false;
    }
    return true;
}

/* Bytes are compared, so padding that was never written may cost an update, and no more. */
static bool same_entry(const sequence *a, const sequence *b, int i) {
    const entry *p = &a->entries[i], *q = &b->entries[i];
    return p->blocks == q->blocks && p->data == q->data && p->bytes == q->bytes && memcmp(a->bytes + p->at, b->bytes + q->at, p->size) == 0;
}

/* Entries that are new in the window, of the same kinds; counts no further than to most + 1. */
static int news(const seen *s, int most) {
    int n = 0;
    for (int i = 0; i < pending.count && n <= most; i++) n += !same_entry(&s->as, &pending, i);
    return n;
}

/* The sequence with the fewest news, at most a part of the window. NULL: none. */
static seen *find(void) {
    seen *next = &known.list[known.list[known.before].after], *best = NULL;
    int least = pending.count * PART_NEW / PART_OF + 1;
    if (next->last && same_kinds(&next->as, &pending)) {
        int n = news(next, least - 1);
        if (n < least) best = next, least = n;
        if (n <= pending.count / NEAR) return next;
    }
    for (int i = 0; i < GRAPHS + SEEN && least; i++) {
        seen *s = &known.list[i];
        if (s == next || !s->last || !same_kinds(&s->as, &pending)) continue;
        int n = news(s, least - 1);
        if (n < least) best = s, least = n;
    }
    return best;
}

/* ---- making and changing graphs ---- */

static void copy_entry(sequence *to, int i) {
    const entry *e = &pending.entries[i];
    to->entries[i] = *e;
    memcpy(to->bytes + e->at, pending.bytes + e->at, e->size);
}

/* The one that was given longest ago, with a graph or without. NULL: there is none. */
static seen *oldest(bool graph) {
    seen *found = NULL;
    for (int i = 0; i < GRAPHS + SEEN; i++) {
        seen *s = &known.list[i];
        if ((s->ready != NULL) == graph && (!found || s->last < found->last)) found = s;
    }
    return found;
}

/* Remembers the window, in the place of the oldest that has no graph; NULL: the host has no memory for it, which is no error. */
static seen *remember(void) {
    seen *s = oldest(false);
    if (s->entry_room < pending.count || s->byte_room < pending.used) {
        s->last = 0;
        free(s->as.entries), free(s->as.bytes);
        s->as.entries = malloc((size_t)pending.count * sizeof *s->as.entries);
        s->as.bytes = malloc(pending.used + 1);
        bool fine = s->as.entries && s->as.bytes;
        s->entry_room = fine ? pending.count : 0;
        s->byte_room = fine ? pending.used : 0;
        if (!fine) return NULL;
    }
    s->as.count = pending.count;
    s->as.used = pending.used;
    s->as.hash = pending.hash;
    for (int i = 0; i < pending.count; i++) copy_entry(&s->as, i);
    return s;
}

static void drop(seen *s) {
    if (s->ready) {
        fv_cuda_fine(cudaStreamSynchronize(fv_cuda_stream()), "cudaStreamSynchronize", 0); /* it may be running */
        fv_cuda_fine(cudaGraphExecDestroy(s->ready), "cudaGraphExecDestroy", 0);
        known.graphs--;
    }
    if (s->graph) fv_cuda_fine(cudaGraphDestroy(s->graph), "cudaGraphDestroy", 0);
    s->ready = NULL;
    s->graph = NULL;
}

static struct cudaKernelNodeParams kernel_of(const entry *e, void **argument) {
    return (struct cudaKernelNodeParams){.func = (void *)(uintptr_t)e->kernel->function, .gridDim = {e->blocks, 1, 1}, .blockDim = {(unsigned)e->threads, 1, 1},
                                         .sharedMemBytes = (unsigned)e->shared, .kernelParams = argument};
}
static struct cudaMemsetParams zeros_of(const entry *e) { return (struct cudaMemsetParams){.dst = e->data, .elementSize = 1, .width = e->bytes, .height = 1}; }

static bool add_node(seen *s, int i) {
    const entry *e = &pending.entries[i];
    const cudaGraphNode_t *before = i ? &s->nodes[i - 1] : NULL;
    if (!e->kernel) {
        struct cudaMemsetParams zeros = zeros_of(e);
        return entry_fine(cudaGraphAddMemsetNode(&s->nodes[i], s->graph, before, i > 0, &zeros), "cudaGraphAddMemsetNode", e);
    }
    void *argument = pending.bytes + e->at;
    struct cudaKernelNodeParams kernel = kernel_of(e, &argument);
    return entry_fine(cudaGraphAddKernelNode(&s->nodes[i], s->graph, before, i > 0, &kernel), "cudaGraphAddKernelNode", e);
}

static bool change_node(seen *s, int i) {
    const entry *e = &pending.entries[i];
    counts.updated++;
    copy_entry(&s->as, i);
    if (!e->kernel) {
        struct cudaMemsetParams zeros = zeros_of(e);
        return entry_fine(cudaGraphExecMemsetNodeSetParams(s->ready, s->nodes[i], &zeros), "cudaGraphExecMemsetNodeSetParams", e);
    }
    void *argument = pending.bytes + e->at;
    struct cudaKernelNodeParams kernel = kernel_of(e, &argument);
    return entry_fine(cudaGraphExecKernelNodeSetParams(s->ready, s->nodes[i], &kernel), "cudaGraphExecKernelNodeSetParams", e);
}

/* Where there may be no more graphs: one of these kinds that was not given for long, as of a number of answers that is past, becomes this sequence's. To tell a graph other arguments costs
 * less than to make one. True: `s` has a graph now, or there was an error. */
static bool take_over(seen *s) {
    seen *from = NULL;
    for (int i = 0; i < GRAPHS + SEEN; i++) {
        seen *t = &known.list[i];
        if (t->ready && t->last + GRAPHS < known.windows && (!from || t->last < from->last) && same_kinds(&t->as, &pending)) from = t;
    }
    if (!from) return false;
    s->graph = from->graph, s->ready = from->ready;
    memcpy(s->nodes, from->nodes, sizeof s->nodes);
    from->graph = NULL, from->ready = NULL;
    for (int i = 0; i < pending.count; i++)
        if (same_entry(&from->as, &pending, i)) copy_entry(&s->as, i);
        else if (!change_node(s, i)) break;
    return true;
}

/* The window as a graph, one entry after the other. False: an error, or no memory for it on the card, which is none: no more graphs are then made than there are. */
static bool make(seen *s) {
    if (known.most == 0) return false;
    if (known.graphs >= known.most) {
        if (take_over(s)) return fv_cuda_well();
        drop(oldest(true));
    }
    if (!fv_cuda_fine(cudaGraphCreate(&s->graph, 0), "cudaGraphCreate", 0)) return false;
    for (int i = 0; i < pending.count; i++)
        if (!add_node(s, i)) return false;
    cudaError_t status = cudaGraphInstantiate(&s->ready, s->graph, 0);
    if (status != cudaSuccess) s->ready = NULL;
    if (status == cudaErrorMemoryAllocation) {
        cudaGetLastError(); /* answered here */
        drop(s);
        known.most = known.graphs;
        return false;
    }
    if (!fv_cuda_fine(status, "cudaGraphInstantiate", (size_t)pending.count)) return false;
    for (int i = 0; i < pending.count; i++) copy_entry(&s->as, i);
    known.graphs++;
    counts.made++;
    return true;
}

static bool change(seen *s) {
    for (int i = 0; i < pending.count; i++)
        if (!same_entry(&s->as, &pending, i) && !change_node(s, i)) return false;
    return true;
}

/* True: the window was given to the card as a graph. */
static bool launch_graph(void) {
    if (plainly || pending.count < FEW) return false;
    if (!known.list) known.list = calloc(GRAPHS + SEEN, sizeof *known.list);
    if (!known.list) return false;
    seen *s = find();
    bool again = s;
    if (!again && !(s = remember())) return false;
    s->last = ++known.windows;
    known.list[known.before].after = (int)(s - known.list);
    known.before = (int)(s - known.list);
    if (!again || !(s->ready ? change(s) : make(s))) return false;
    cudaError_t status = cudaGraphLaunch(s->ready, fv_cuda_stream());
    counts.graphs += status == cudaSuccess;
    if (status == cudaSuccess) return true;
    char text[128];
    snprintf(text, sizeof text, "cudaGraphLaunch of %d launches that begin with %s, nodes", pending.count, pending.entries[0].kernel ? pending.entries[0].kernel->name : "zeros");
    return fv_cuda_fine(status, text, (size_t)pending.count);
}

/* ---- the window ---- */

void fv_cuda_flush(void) {
    if (!pending.count) return;
    if (fv_cuda_well() && !launch_graph() && fv_cuda_well()) launch_plainly();
    pending.count = 0;
    pending.used = 0;
    pending.hash = 0;
    fv_cuda_staged_given();
}

void fv_cuda_forget_graphs(void) {
    fv_cuda_flush();
    for (int i = 0; known.list && i < GRAPHS + SEEN; i++) drop(&known.list[i]);
    known.most = GRAPHS;
}

void fv_cuda_plainly(bool on) {
    fv_cuda_flush();
    plainly = on;
}

static void mix(uint64_t x) {
    pending.hash = (pending.hash ^ x) * 0x9E3779B97F4A7C15u;
    pending.hash ^= pending.hash >> 29;
}

static void add(entry e, const void *argument) {
    if (e.size > BYTES - pending.used) fv_cuda_flush();
    if (e.kernel) fv_cuda_staged_pending(argument, e.size);
    e.at = pending.used;
    memcpy(pending.bytes + e.at, argument, e.size);
    pending.used += (e.size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    pending.entries[pending.count++] = e;
    mix(e.kernel ? (uint64_t)(uintptr_t)e.kernel->function : 0);
    mix((uint64_t)e.shared << 32 | (uint64_t)(unsigned)e.threads);
    counts.launches++;
    if (plainly || pending.count == ENTRIES) fv_cuda_flush();
}

void fv_cuda_launch(fv_kernel *kernel, int64_t blocks, int threads, size_t shared, const void *argument, size_t size) {
    if (blocks <= 0 || !fv_cuda_well()) return;
    entry e = {.kernel = kernel, .blocks = (unsigned)blocks, .threads = threads, .shared = shared, .size = size};
    if (blocks > INT32_MAX || size > BYTES) {
        entry_fine(cudaErrorInvalidValue, "FV_LAUNCH", &e);
        return;
    }
    if (shared > ALWAYS_SHARED && shared > kernel->shared) {
        if (!entry_fine(cudaFuncSetAttribute(kernel->function, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)shared), "cudaFuncSetAttribute(shared memory)", &e)) return;
        kernel->shared = shared;
    }
    add(e, argument);
}

void fv_cuda_zeros(void *data, size_t bytes) {
    if (bytes && fv_cuda_well()) add((entry){.data = data, .bytes = bytes}, "");
}
