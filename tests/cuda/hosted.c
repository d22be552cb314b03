#include "tests/cuda/hosted.h"

#include "cuda/cuda.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A piece of the host's memory that is on the card during a call. */
typedef struct {
    char *host;
    void *device;
    size_t bytes;
    bool back;
} mirror;

enum { MIRRORS = 20 };
static const fv_ops *real;
static fv_exec card;
static mirror mirrors[MIRRORS];
static int count;

enum { SKIPPED = 77 }; /* ctest's word for it: tests/cuda/CMakeLists.txt */

static void fail(const fv_error *err) {
    fprintf(stderr, "%s\n", err->text);
    exit(err->status == FV_UNSUPPORTED ? SKIPPED : 1);
}

/* `data` on the card; what lies in a piece that is there already is its part. */
static void *mirrored(const void *data, size_t bytes, bool back) {
    char *host = (char *)(uintptr_t)data;
    if (!host || !bytes) return NULL;
    for (int i = 0; i < count; i++)
        if (host >= mirrors[i].host && host + bytes <= mirrors[i].host + mirrors[i].bytes) {
            mirrors[i].back = mirrors[i].back || back;
            return (char *)mirrors[i].device + (host - mirrors[i].host);
        }
    if (count == MIRRORS) abort();
    mirror *m = &mirrors[count++];
    *m = (mirror){host, NULL, bytes, back};
    fv_error err;
    if (real->alloc(&m->device, bytes, &err) != FV_OK) fail(&err);
    real->upload(m->device, host, bytes);
    return m->device;
}

static fv_view in(fv_view v) {
    v.data = mirrored(v.data, fv_bytes(v), false);
    return v;
}
static fv_view out(fv_view v) {
    v.data = mirrored(v.data, fv_bytes(v), true);
    return v;
}
static fv_head head_in(fv_head h) { return (fv_head){in(h.weight), mirrored(h.packed, real->linear_packed_bytes(h.weight), false)}; }

static fv_distribution distribution_in(fv_distribution d) { return (fv_distribution){in(d.hidden), in(d.lse), head_in(d.head)}; }

/* After the call: results come back, and the card is asked whether all went well. */
static void done(void) {
    for (int i = 0; i < count; i++) {
        if (mirrors[i].back) real->download(mirrors[i].host, mirrors[i].device, mirrors[i].bytes);
        real->free(mirrors[i].device);
    }
    count = 0;
    fv_error err;
    if (real->check(&err) != FV_OK) fail(&err);
}

#define HOSTED(name, parameters, call)                                                                                 \
    static void name parameters {                                                                                      \
        (void)x;                                                                                                       \
        real->name call;                                                                                               \
        done();                                                                                                        \
    }

static size_t linear_packed_bytes(fv_view w) { return real->linear_packed_bytes(w); }
HOSTED(linear_pack, (const fv_exec *x, void *packed, fv_view w), (&card, mirrored(packed, real->linear_packed_bytes(w), true), in(w)))
HOSTED(linear_back, (const fv_exec *x, fv_view dx, fv_view dw, fv_view dbias, fv_view dy, fv_view a, fv_view w, const void *packed),
       (&card, out(dx), out(dw), out(dbias), in(dy), in(a), in(w), mirrored(packed, packed ? real->linear_packed_bytes(w) : 0, false)))
HOSTED(gather, (const fv_exec *x, fv_view y, fv_view table, fv_view index), (&card, out(y), in(table), index))
HOSTED(gather_add, (const fv_exec *x, fv_view y, fv_view table, fv_view index), (&card, out(y), in(table), index))
HOSTED(scatter, (const fv_exec *x, fv_view y, fv_view a, fv_view index), (&card, out(y), in(a), index))
HOSTED(scatter_add, (const fv_exec *x, fv_view y, fv_view a, fv_view index), (&card, out(y), in(a), index))
HOSTED(blend, (const fv_exec *x, fv_view y, fv_view table, fv_view index, fv_view weight), (&card, out(y), in(table), index, weight))
HOSTED(blend_back, (const fv_exec *x, fv_view dtable, fv_view dy, fv_view index, fv_view weight), (&card, out(dtable), in(dy), index, weight))
HOSTED(rms_norm, (const fv_exec *x, fv_view y, fv_view inv, fv_view a, fv_view w, float eps), (&card, out(y), out(inv), in(a), in(w), eps))
HOSTED(rms_norm_back, (const fv_exec *x, fv_view dx, fv_view dw, fv_view dy, fv_view a, fv_view w, fv_view inv),
       (&card, out(dx), out(dw), in(dy), in(a), in(w), in(inv)))
HOSTED(layer_norm, (const fv_exec *x, fv_view y, fv_view stats, fv_view a, fv_view w, fv_view b, float eps),
       (&card, out(y), out(stats), in(a), in(w), in(b), eps))
HOSTED(layer_norm_back, (const fv_exec *x, fv_view dx, fv_view dw, fv_view db, fv_view dy, fv_view a, fv_view w, fv_view stats),
       (&card, out(dx), out(dw), out(db), in(dy), in(a), in(w), in(stats)))
HOSTED(rotary_table, (const fv_exec *x, fv_view cos, fv_view sin, fv_view position, fv_view inv_freq, fv_view axis),
       (&card, out(cos), out(sin), position, inv_freq, axis))
HOSTED(rotary, (const fv_exec *x, fv_view io, fv_view cos, fv_view sin, int heads, int direction), (&card, out(io), in(cos), in(sin), heads, direction))
HOSTED(kv_write, (const fv_exec *x, fv_view keys, fv_view values, fv_view k, fv_view v, fv_view row, fv_view slot),
       (&card, out(keys), out(values), in(k), in(v), row, slot))
HOSTED(kv_write_back, (const fv_exec *x, fv_view dk, fv_view dv, fv_view dkeys, fv_view dvalues, fv_view row, fv_view slot),
       (&card, out(dk), out(dv), in(dkeys), in(dvalues), row, slot))
HOSTED(attention, (const fv_exec *x, fv_view y, fv_view stats, fv_view q, fv_view keys, fv_view values, const fv_attention *a),
       (&card, out(y), out(stats), in(q), in(keys), in(values), a))
HOSTED(attention_back,
       (const fv_exec *x, fv_view dq, fv_view dkeys, fv_view dvalues, fv_view dy, fv_view y, fv_view stats, fv_view q, fv_view keys, fv_view values,
        const fv_attention *a),
       (&card, out(dq), out(dkeys), out(dvalues), in(dy), in(y), in(stats), in(q), in(keys), in(values), a))
HOSTED(attend_runs, (const fv_exec *x, fv_view y, fv_view stats, fv_view q, fv_view k, fv_view v, const fv_runs *r), (&card, out(y), out(stats), in(q), in(k), in(v), r))
HOSTED(attend_runs_back,
       (const fv_exec *x, fv_view dq, fv_view dk, fv_view dv, fv_view dy, fv_view y, fv_view stats, fv_view q, fv_view k, fv_view v, const fv_runs *r),
       (&card, out(dq), out(dk), out(dv), in(dy), in(y), in(stats), in(q), in(k), in(v), r))
HOSTED(swiglu, (const fv_exec *x, fv_view y, fv_view gate, fv_view up), (&card, out(y), in(gate), in(up)))
HOSTED(swiglu_back, (const fv_exec *x, fv_view dgate, fv_view dup, fv_view dy, fv_view gate, fv_view up), (&card, out(dgate), out(dup), in(dy), in(gate), in(up)))
HOSTED(act, (const fv_exec *x, fv_view y, fv_view a, fv_activation f), (&card, out(y), in(a), f))
HOSTED(act_back, (const fv_exec *x, fv_view dx, fv_view dy, fv_view a, fv_activation f), (&card, out(dx), in(dy), in(a), f))
HOSTED(add, (const fv_exec *x, fv_view y, fv_view a, fv_view b), (&card, out(y), in(a), in(b)))
HOSTED(axpy, (const fv_exec *x, fv_view y, float a, fv_view b), (&card, out(y), a, in(b)))
HOSTED(scale, (const fv_exec *x, fv_view y, float a), (&card, out(y), a))
HOSTED(logprob, (const fv_exec *x, fv_view logp, fv_view entropy, fv_view lse, fv_view hidden, fv_head head, fv_view target, fv_view temperature),
       (&card, out(logp), out(entropy), out(lse), in(hidden), head_in(head), target, temperature))
HOSTED(logprob_back,
       (const fv_exec *x, fv_view dhidden, fv_view dweight, fv_view dlogp, fv_view dentropy, fv_view entropy, fv_view lse, fv_view hidden, fv_head head,
        fv_view target, fv_view temperature),
       (&card, out(dhidden), out(dweight), in(dlogp), in(dentropy), in(entropy), in(lse), in(hidden), head_in(head), target, temperature))
HOSTED(divergence, (const fv_exec *x, fv_view y, fv_view pull, fv_distribution p, fv_distribution q, fv_view temperature, float beta),
       (&card, out(y), out(pull), distribution_in(p), distribution_in(q), temperature, beta))
HOSTED(divergence_back,
       (const fv_exec *x, fv_view dhidden, fv_view dweight, fv_view dy, fv_view pull, fv_distribution p, fv_distribution q, fv_view temperature, float beta),
       (&card, out(dhidden), out(dweight), in(dy), in(pull), distribution_in(p), distribution_in(q), temperature, beta))
HOSTED(vocabulary, (const fv_exec *x, fv_view lse, fv_view hidden, fv_head head, fv_view temperature, fv_vocabulary_visit *visit, void *context),
       (&card, in(lse), in(hidden), head_in(head), temperature, visit, context))
HOSTED(sample, (const fv_exec *x, int32_t *id, float *logp, float *entropy, fv_view hidden, fv_head head, const fv_sampling *how),
       (&card, id, logp, entropy, in(hidden), head_in(head), how))
HOSTED(adamw, (const fv_exec *x, fv_view master, fv_view m, fv_view v, fv_view grad, fv_view weight, const fv_adamw *how),
       (&card, out(master), out(m), out(v), in(grad), out(weight), how))

static void linear(const fv_exec *x, const fv_linear_map *maps, int n, fv_view a) {
    fv_linear_map on_card[FV_MAPS_MOST];
    (void)x;
    for (int i = 0; i < n; i++)
        on_card[i] = (fv_linear_map){out(maps[i].y), in(maps[i].w), mirrored(maps[i].packed, real->linear_packed_bytes(maps[i].w), false), in(maps[i].bias), maps[i].scale, maps[i].adds};
    real->linear(&card, on_card, n, in(a));
    done();
}

static double dot(const fv_exec *x, fv_view a, fv_view b) {
    (void)x;
    double sum = real->dot(&card, in(a), in(b));
    done();
    return sum;
}

int fv_card_tables(const fv_ops **list, int max) {
    fv_error err;
    if (fv_ops_cpu_all(list, max) < 1 || max < 2) return 0;
    if (fv_cuda_table(&real, FV_PRECISION_F32, &err) != FV_OK) fail(&err);
    list[1] = real;
    return 2;
}

/* `real` over the host's memory. */
static const fv_ops *hosted(fv_ops *table, const fv_ops *cpu) {
    if (!card.scratch) card.scratch = fv_ops_arena(real, 0);
    *table = *cpu; /* memory is the host's */
    table->name = real->name;
    table->page_dtype = real->page_dtype;
#define HOSTED_OP(op) table->op = op;
    FV_KERNEL_MAP(HOSTED_OP)
    return table;
}

int fv_hosted_tables(const fv_ops **list, int max) {
    static fv_ops table;
    if (fv_card_tables(list, max) < 2) return 0;
    list[1] = hosted(&table, list[0]);
    return 2;
}

int fv_hosted_bf16_tables(const fv_ops **list, int max) {
    static fv_ops table;
    fv_error err;
    if (fv_ops_cpu_all(list, max) < 1) return 0;
    if (fv_cuda_table(&real, FV_PRECISION_BF16, &err) != FV_OK) fail(&err);
    list[0] = hosted(&table, list[0]);
    return 1;
}
