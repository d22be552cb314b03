#include "cuda/cudnn.h"

#include "cuda/cudnn_parts.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef FV_CUDNN_BUILT

#include <dlfcn.h>

typedef cudnnBackendDescriptor_t descriptor;

enum { CONFIGS = 16, PLANS = 256 };
static const size_t aligned_to = 256; /* parts of the workspace */
static const int64_t shortest = 64, scores_at_once = (int64_t)1 << 30, scores_most = (int64_t)2 << 30; /* rows of the smallest plan; bytes, of several windows and of one */

struct fv_cudnn {
    void *library;
    fv_cudnn_calls calls;
    cudaStream_t stream;
    cudnnHandle_t handle; /* NULL: the card is not here */
    descriptor card;      /* its properties, where it is not here */
    struct {
        fv_cudnn_shape asked; /* rounded up */
        fv_cudnn_plan *plan;
        uint64_t used; /* `finds` when it was last asked for */
    } kept[PLANS];
    int kept_count;
    uint64_t finds;
};

struct fv_cudnn_plan {
    fv_cudnn *c;
    fv_cudnn_shape shape;
    descriptor made[FV_CUDNN_MADE];
    int made_count;
    int64_t names[32];
    int name_count;
    descriptor plan;
    size_t own, sum, accumulator; /* bytes of the workspace: cuDNN's, and of the way back's two tensors behind it */
    bool repeats;
    float scale, never, one; /* cuDNN reads them from here at every call */
};

/* ---- the library ---- */

static fv_status load(fv_cudnn *c, fv_error *err) {
    c->library = dlopen("libcudnn.so.9", RTLD_NOW);
    if (!c->library) return fv_fail(err, FV_UNSUPPORTED, "cudnn: %s", dlerror());
#define FIND(name)                                                                                                     \
    c->calls.name = (__typeof__(c->calls.name))(uintptr_t)dlsym(c->library, #name);                                    \
    if (!c->calls.name) return fv_fail(err, FV_UNSUPPORTED, "cudnn: libcudnn.so.9 has no " #name);
    FV_CUDNN_MAP(FIND)
#undef FIND
    return FV_OK;
}

static fv_status open_card(fv_cudnn *c, cudaStream_t stream, const char *card, fv_error *err) {
    fv_cudnn_builder b = {.calls = &c->calls, .err = err};
    if (card) {
        c->card = fv_cudnn_make(&b, CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR, "the card's properties");
        fv_cudnn_set(&b, c->card, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, CUDNN_TYPE_CHAR, (int64_t)strlen(card), card, "the card's properties");
        fv_cudnn_finish(&b, c->card, "the card's properties");
        return b.status;
    }
    fv_cudnn_check(&b, c->calls.cudnnCreate(&c->handle), "cudnnCreate", "opening");
    if (b.status == FV_OK) fv_cudnn_check(&b, c->calls.cudnnSetStream(c->handle, stream), "cudnnSetStream", "opening");
    return b.status;
}

fv_status fv_cudnn_open(fv_cudnn **out, cudaStream_t stream, const char *card, fv_error *err) {
    *out = NULL;
    fv_cudnn *c = calloc(1, sizeof *c);
    if (!c) return fv_fail(err, FV_NO_MEMORY, "cudnn: out of memory");
    c->stream = stream;
    fv_status status = load(c, err);
    if (status == FV_OK) status = open_card(c, stream, card, err);
    if (status == FV_OK) *out = c;
    else fv_cudnn_close(c);
    return status;
}

void fv_cudnn_close(fv_cudnn *c) {
    if (!c) return;
    for (int i = 0; i < c->kept_count; i++) fv_cudnn_plan_close(c->kept[i].plan);
    if (c->card) c->calls.cudnnBackendDestroyDescriptor(c->card);
    if (c->handle) c->calls.cudnnDestroy(c->handle);
    free(c); /* the library stays: its kernels may be on their way still */
}

size_t fv_cudnn_version(const fv_cudnn *c) { return c->calls.cudnnGetVersion(); }

/* ---- engines ---- */

static bool get(const fv_cudnn *c, descriptor d, cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t room, int64_t *count, void *out) {
    return c->calls.cudnnBackendGetAttribute(d, name, type, room, count, out) == CUDNN_STATUS_SUCCESS;
}

/* The engine and the knobs of a configuration; and whether the engine repeats itself. */
static bool read_engine(fv_cudnn_builder *b, const fv_cudnn *c, descriptor config, fv_cudnn_engine *e, bool *repeats) {
    descriptor engine = fv_cudnn_make(b, CUDNN_BACKEND_ENGINE_DESCRIPTOR, "the engine's name"), choice[FV_CUDNN_KNOBS];
    cudnnBackendNumericalNote_t notes[CUDNN_NUMERICAL_NOTE_TYPE_COUNT];
    int64_t count = 0, note_count = 0;
    for (int i = 0; i < FV_CUDNN_KNOBS; i++) choice[i] = fv_cudnn_make(b, CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR, "the engine's knobs");
    if (b->status != FV_OK) return false;
    *e = (fv_cudnn_engine){.engine = -1};
    if (!get(c, config, CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &count, &engine)) return false;
    get(c, engine, CUDNN_ATTR_ENGINE_GLOBAL_INDEX, CUDNN_TYPE_INT64, 1, &count, &e->engine);
    *repeats = get(c, engine, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE, CUDNN_NUMERICAL_NOTE_TYPE_COUNT, &note_count, notes);
    for (int64_t i = 0; i < note_count; i++)
        if (notes[i] == CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC) *repeats = false;
    count = 0;
    get(c, config, CUDNN_ATTR_ENGINECFG_KNOB_CHOICES, CUDNN_TYPE_BACKEND_DESCRIPTOR, FV_CUDNN_KNOBS, &count, choice);
    for (int i = 0; i < (int)count; i++) {
        cudnnBackendKnobType_t knob = CUDNN_KNOB_TYPE_COUNTS;
        int64_t one, value = 0;
        get(c, choice[i], CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE, CUDNN_TYPE_KNOB_TYPE, 1, &one, &knob);
        get(c, choice[i], CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE, CUDNN_TYPE_INT64, 1, &one, &value);
        e->knob[e->count] = (int)knob;
        e->value[e->count++] = value;
    }
    return true;
}

/* The configuration of an engine that is told. */
static descriptor told_config(fv_cudnn_builder *b, const fv_cudnn *c, descriptor graph, const fv_cudnn_engine *e) {
    descriptor engine = fv_cudnn_make(b, CUDNN_BACKEND_ENGINE_DESCRIPTOR, "the told engine"), choice[FV_CUDNN_KNOBS];
    fv_cudnn_set(b, engine, CUDNN_ATTR_ENGINE_OPERATION_GRAPH, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &graph, "the told engine");
    fv_cudnn_set(b, engine, CUDNN_ATTR_ENGINE_GLOBAL_INDEX, CUDNN_TYPE_INT64, 1, &e->engine, "the told engine");
    if (c->card) fv_cudnn_set(b, engine, CUDNN_ATTR_ENGINE_DEVICEPROP, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &c->card, "the told engine");
    fv_cudnn_finish(b, engine, "the told engine");
    for (int i = 0; i < e->count; i++) {
        cudnnBackendKnobType_t knob = (cudnnBackendKnobType_t)e->knob[i];
        choice[i] = fv_cudnn_make(b, CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR, "a told knob");
        fv_cudnn_set(b, choice[i], CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE, CUDNN_TYPE_KNOB_TYPE, 1, &knob, "a told knob");
        fv_cudnn_set(b, choice[i], CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE, CUDNN_TYPE_INT64, 1, &e->value[i], "a told knob");
        fv_cudnn_finish(b, choice[i], "a told knob");
    }
    descriptor config = fv_cudnn_make(b, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, "the told configuration");
    fv_cudnn_set(b, config, CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &engine, "the told configuration");
    if (e->count) fv_cudnn_set(b, config, CUDNN_ATTR_ENGINECFG_KNOB_CHOICES, CUDNN_TYPE_BACKEND_DESCRIPTOR, e->count, choice, "the told configuration");
    fv_cudnn_finish(b, config, "the told configuration");
    return config;
}

/* What heuristics advise, the best first. */
static int advised_configs(fv_cudnn_builder *b, const fv_cudnn *c, descriptor graph, cudnnBackendHeurMode_t mode, descriptor *configs) {
    int64_t count = 0;
    descriptor heuristics = fv_cudnn_make(b, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR, "heuristics");
    fv_cudnn_set(b, heuristics, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &graph, "heuristics");
    fv_cudnn_set(b, heuristics, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode, "heuristics");
    if (c->card) fv_cudnn_set(b, heuristics, CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &c->card, "heuristics");
    fv_cudnn_finish(b, heuristics, "heuristics (no engine takes the graph)");
    for (int i = 0; i < CONFIGS; i++) configs[i] = fv_cudnn_make(b, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, "heuristics' results");
    if (b->status != FV_OK) return 0;
    cudnnStatus_t status = b->calls->cudnnBackendGetAttribute(heuristics, CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR, CONFIGS, &count, configs);
    fv_cudnn_check(b, status, "cudnnBackendGetAttribute", "heuristics' results");
    if (b->status == FV_OK && count == 0) b->status = fv_fail(b->err, FV_UNSUPPORTED, "cudnn: heuristics know no engine for this graph");
    return b->status == FV_OK ? (int)count : 0;
}

/* ---- plans ---- */

static descriptor plan_of(fv_cudnn_builder *b, const fv_cudnn *c, descriptor config) {
    cudnnHandle_t handle = c->handle;
    descriptor plan = fv_cudnn_make(b, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, "the plan");
    if (handle) fv_cudnn_set(b, plan, CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, 1, &handle, "the plan");
    if (c->card) fv_cudnn_set(b, plan, CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &c->card, "the plan");
    fv_cudnn_set(b, plan, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &config, "the plan");
    fv_cudnn_finish(b, plan, "the plan");
    return plan;
}

/* The first configuration of which a plan can be made. Of several that can't, the first one's words are kept. */
static void choose(fv_cudnn_builder *b, fv_cudnn_plan *p, descriptor graph) {
    descriptor configs[CONFIGS];
    const fv_cudnn_engine *told = &p->shape.engine;
    int count = 1;
    if (told->count >= 0) configs[0] = told_config(b, p->c, graph, told);
    else count = advised_configs(b, p->c, graph, CUDNN_HEUR_MODE_A, configs);
    if (b->status != FV_OK) return;
    for (int i = 0; i < count; i++) {
        fv_error later, *first = b->err;
        if (i) b->status = FV_OK, b->err = &later;
        p->plan = plan_of(b, p->c, configs[i]);
        b->err = first;
        if (b->status != FV_OK) continue;
        fv_cudnn_engine taken;
        if (read_engine(b, p->c, configs[i], &taken, &p->repeats)) p->shape.engine = taken;
        return;
    }
}

static size_t rounded(size_t bytes) { return (bytes + aligned_to - 1) / aligned_to * aligned_to; }

static void measure(fv_cudnn_builder *b, fv_cudnn_plan *p) {
    const fv_cudnn_shape *s = &p->shape;
    int64_t bytes = 0, count;
    if (b->status != FV_OK) return;
    cudnnStatus_t status = b->calls->cudnnBackendGetAttribute(p->plan, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1, &count, &bytes);
    fv_cudnn_check(b, status, "cudnnBackendGetAttribute", "the plan's workspace");
    size_t rows = (size_t)(s->layout == FV_CUDNN_RAGGED ? s->rows : (int64_t)s->windows * s->longest) * (size_t)s->heads;
    p->own = rounded((size_t)bytes);
    for (int i = 0; i < p->name_count; i++) {
        if (p->names[i] == FV_CUDNN_SUM) p->sum = rounded(rows * sizeof(float));
        if (p->names[i] == FV_CUDNN_ACCUMULATOR) p->accumulator = rounded(rows * (size_t)s->head_dim * sizeof(float));
    }
}

static descriptor graph_of(fv_cudnn_builder *b, const fv_cudnn *c) {
    cudnnHandle_t handle = c->handle;
    fv_cudnn_describe(b);
    descriptor graph = fv_cudnn_make(b, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR, "the graph");
    if (handle) fv_cudnn_set(b, graph, CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, 1, &handle, "the graph");
    fv_cudnn_set(b, graph, CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR, b->op_count, b->ops, "the graph");
    fv_cudnn_finish(b, graph, "the graph");
    return graph;
}

fv_status fv_cudnn_build(fv_cudnn_plan **out, fv_cudnn *c, const fv_cudnn_shape *shape, fv_error *err) {
    *out = NULL;
    fv_cudnn_plan *p = calloc(1, sizeof *p);
    fv_cudnn_builder *b = calloc(1, sizeof *b);
    if (!p || !b) {
        free(p), free(b);
        return fv_fail(err, FV_NO_MEMORY, "cudnn: out of memory");
    }
    *p = (fv_cudnn_plan){.c = c, .shape = *shape, .scale = shape->scale, .never = -INFINITY, .one = 1};
    *b = (fv_cudnn_builder){.calls = &c->calls, .shape = shape, .err = err};
    descriptor graph = graph_of(b, c);
    if (b->status == FV_OK) choose(b, p, graph);
    memcpy(p->names, b->names, sizeof p->names);
    p->name_count = b->name_count;
    measure(b, p);
    memcpy(p->made, b->made, sizeof p->made);
    p->made_count = b->made_count;
    fv_status status = b->status;
    free(b);
    if (status == FV_OK) *out = p;
    else fv_cudnn_plan_close(p);
    return status;
}

void fv_cudnn_plan_close(fv_cudnn_plan *p) {
    if (!p) return;
    for (int i = p->made_count - 1; i >= 0; i--) p->c->calls.cudnnBackendDestroyDescriptor(p->made[i]);
    free(p);
}

/* The next power of two, from `least` on. */
static int64_t bucket(int64_t n, int64_t least) {
    while (least < n) least *= 2;
    return least;
}

/* The next of four steps between powers of two: memory goes with the square of rows. */
static int64_t fine_bucket(int64_t n, int64_t least) {
    int64_t high = bucket(n, least), step = high / 8;
    return high == least ? least : (n + step - 1) / step * step;
}

int fv_cudnn_windows_at_once(const fv_cudnn_shape *s) {
    int64_t longest = fine_bucket(s->longest, shortest), bytes = 2 * s->heads * longest * longest, most = scores_at_once / bytes, n = 1;
    if (!s->back || !s->deterministic) return s->windows;
    if (bytes > scores_most) return 0;
    while (2 * n <= most) n *= 2;
    return n < s->windows ? (int)n : s->windows;
}

/* The engine of every shape of a head width and direction: what is chosen for one picture of 1024 rows. */
static fv_status choose_engine(fv_cudnn *c, fv_cudnn_shape *s, fv_error *err) {
    fv_cudnn_plan *p;
    fv_cudnn_shape one = *s;
    one.windows = 1, one.longest = 1024, one.rows = 1024;
    one.engine.count = -1;
    FV_TRY(fv_cudnn_build(&p, c, &one, err));
    s->engine = p->shape.engine;
    fv_cudnn_plan_close(p);
    return FV_OK;
}

/* Where another plan may be kept: in the place of the one that was asked for longest ago, which may be running still. */
static int free_place(fv_cudnn *c) {
    int oldest = 0;
    if (c->kept_count < PLANS) return c->kept_count++;
    for (int i = 1; i < PLANS; i++)
        if (c->kept[i].used < c->kept[oldest].used) oldest = i;
    cudaStreamSynchronize(c->stream);
    fv_cudnn_plan_close(c->kept[oldest].plan);
    return oldest;
}

fv_status fv_cudnn_find(fv_cudnn_plan **out, fv_cudnn *c, const fv_cudnn_shape *shape, fv_error *err) {
    *out = NULL;
    fv_cudnn_shape s = *shape;
    s.windows = (int)bucket(s.windows, 1), s.longest = (int)fine_bucket(s.longest, shortest);
    s.rows = (int64_t)s.windows * s.longest; /* the most that they have; it costs a sum for each */
    s.engine = (fv_cudnn_engine){.count = -1};
    const fv_cudnn_engine *engine = NULL;
    for (int i = 0; i < c->kept_count; i++) {
        const fv_cudnn_shape *k = &c->kept[i].asked;
        if (k->layout != s.layout || k->words != s.words || k->back != s.back || k->deterministic != s.deterministic) continue;
        if (k->heads != s.heads || k->head_dim != s.head_dim || k->step != s.step || memcmp(&k->scale, &s.scale, sizeof s.scale) != 0) continue;
        engine = &c->kept[i].plan->shape.engine;
        if (k->windows != s.windows || k->longest != s.longest) continue;
        *out = c->kept[i].plan;
        c->kept[i].used = ++c->finds;
        return FV_OK;
    }
    fv_cudnn_shape asked = s;
    if (engine) s.engine = *engine;
    else FV_TRY(choose_engine(c, &s, err));
    FV_TRY(fv_cudnn_build(out, c, &s, err));
    int place = free_place(c);
    c->kept[place].asked = asked;
    c->kept[place].plan = *out;
    c->kept[place].used = ++c->finds;
    return FV_OK;
}

const fv_cudnn_shape *fv_cudnn_shape_of(const fv_cudnn_plan *p) { return &p->shape; }
bool fv_cudnn_repeats(const fv_cudnn_plan *p) { return p->repeats; }
size_t fv_cudnn_workspace(const fv_cudnn_plan *p) { return p->own + p->sum + p->accumulator; }

/* ---- calls ---- */

static const void *memory_of(const fv_cudnn_plan *p, const fv_cudnn_call *call, int64_t name) {
    char *workspace = call->workspace;
    switch ((fv_cudnn_name)name) {
    case FV_CUDNN_Q: return call->q;
    case FV_CUDNN_K: return call->k;
    case FV_CUDNN_V: return call->v;
    case FV_CUDNN_OUT: return call->out;
    case FV_CUDNN_STATS: return call->stats;
    case FV_CUDNN_DOUT: return call->dout;
    case FV_CUDNN_DQ: return call->dq;
    case FV_CUDNN_DK: return call->dk;
    case FV_CUDNN_DV: return call->dv;
    case FV_CUDNN_SUM: return workspace + p->own;
    case FV_CUDNN_ACCUMULATOR: return workspace + p->own + p->sum;
    case FV_CUDNN_LENGTH_Q:
    case FV_CUDNN_LENGTH_K: return call->lengths;
    case FV_CUDNN_AT_Q:
    case FV_CUDNN_AT_K:
    case FV_CUDNN_AT_V: return call->offset_in;
    case FV_CUDNN_AT_OUT: return call->offset_out;
    case FV_CUDNN_AT_STATS: return call->offset_stats;
    case FV_CUDNN_SCALE: return &p->scale;
    case FV_CUDNN_NEVER: return &p->never;
    case FV_CUDNN_ONE: return &p->one;
    case FV_CUDNN_MIDDLE: break;
    }
    return NULL;
}

fv_status fv_cudnn_run(const fv_cudnn_plan *p, const fv_cudnn_call *call, fv_error *err) {
    fv_cudnn_builder b = {.calls = &p->c->calls, .err = err};
    if (!p->c->handle) return fv_fail(err, FV_UNSUPPORTED, "cudnn: a plan for a card that is not here can't run");
    const void *memory[FV_COUNT(p->names)];
    void *workspace = call->workspace;
    for (int i = 0; i < p->name_count; i++) memory[i] = memory_of(p, call, p->names[i]);
    descriptor pack = fv_cudnn_make(&b, CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, "a call");
    fv_cudnn_set(&b, pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, p->name_count, p->names, "a call");
    fv_cudnn_set(&b, pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, p->name_count, memory, "a call");
    fv_cudnn_set(&b, pack, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &workspace, "a call");
    fv_cudnn_finish(&b, pack, "a call");
    if (b.status == FV_OK) fv_cudnn_check(&b, p->c->calls.cudnnBackendExecute(p->c->handle, p->plan, pack), "cudnnBackendExecute", "a call");
    if (pack) p->c->calls.cudnnBackendDestroyDescriptor(pack);
    return b.status;
}

#else

static fv_status none(fv_error *err) { return fv_fail(err, FV_UNSUPPORTED, "cudnn: built without its headers"); }

/* Nothing can be opened, so nothing else is ever called with anything. */
fv_status fv_cudnn_open(fv_cudnn **out, cudaStream_t stream, const char *card, fv_error *err) { return (void)stream, (void)card, *out = NULL, none(err); }
void fv_cudnn_close(fv_cudnn *c) { (void)c; }
size_t fv_cudnn_version(const fv_cudnn *c) { return (void)c, (size_t)0; }
fv_status fv_cudnn_build(fv_cudnn_plan **out, fv_cudnn *c, const fv_cudnn_shape *shape, fv_error *err) { return (void)c, (void)shape, *out = NULL, none(err); }
fv_status fv_cudnn_find(fv_cudnn_plan **out, fv_cudnn *c, const fv_cudnn_shape *shape, fv_error *err) { return fv_cudnn_build(out, c, shape, err); }
void fv_cudnn_plan_close(fv_cudnn_plan *p) { (void)p; }
int fv_cudnn_windows_at_once(const fv_cudnn_shape *shape) { return shape->windows; }
const fv_cudnn_shape *fv_cudnn_shape_of(const fv_cudnn_plan *p) { return (void)p, NULL; }
bool fv_cudnn_repeats(const fv_cudnn_plan *p) { return (void)p, false; }
size_t fv_cudnn_workspace(const fv_cudnn_plan *p) { return (void)p, (size_t)0; }
fv_status fv_cudnn_run(const fv_cudnn_plan *p, const fv_cudnn_call *call, fv_error *err) { return (void)p, (void)call, none(err); }

#endif
