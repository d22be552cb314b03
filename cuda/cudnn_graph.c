/* Attention in cuDNN's words. A graph of small operations is attention to cuDNN only where it is one that its engines look for ("fused flash attention" in its
 * documentation): these operations, on these types, with nothing left out, such as the product with one. */
#include "cuda/cudnn_parts.h"

#include <stdio.h>

#ifdef FV_CUDNN_BUILT

typedef cudnnBackendDescriptor_t descriptor;

/* ---- descriptors ---- */

void fv_cudnn_check(fv_cudnn_builder *b, cudnnStatus_t status, const char *call, const char *what) {
    if (status == CUDNN_STATUS_SUCCESS || b->status != FV_OK) return;
    char text[512] = "";
    b->calls->cudnnGetLastErrorString(text, sizeof text);
    b->status = fv_fail(b->err, FV_UNSUPPORTED, "cudnn: %s: %s: %s (%d): %s", what, call, b->calls->cudnnGetErrorString(status), (int)status, text);
}

descriptor fv_cudnn_make(fv_cudnn_builder *b, cudnnBackendDescriptorType_t type, const char *what) {
    descriptor d = NULL;
    if (b->status != FV_OK) return NULL;
    if (b->made_count == FV_CUDNN_MADE) {
        b->status = fv_fail(b->err, FV_LIMIT, "cudnn: %s: more than %d descriptors", what, FV_CUDNN_MADE);
        return NULL;
    }
    fv_cudnn_check(b, b->calls->cudnnBackendCreateDescriptor(type, &d), "cudnnBackendCreateDescriptor", what);
    if (b->status == FV_OK) b->made[b->made_count++] = d;
    return d;
}

void fv_cudnn_set(fv_cudnn_builder *b, descriptor d, cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t count, const void *value, const char *what) {
    if (b->status != FV_OK) return;
    char call[64];
    cudnnStatus_t status = b->calls->cudnnBackendSetAttribute(d, name, type, count, value);
    if (status == CUDNN_STATUS_SUCCESS) return;
    snprintf(call, sizeof call, "cudnnBackendSetAttribute(%d)", (int)name);
    fv_cudnn_check(b, status, call, what);
}

void fv_cudnn_finish(fv_cudnn_builder *b, descriptor d, const char *what) {
    if (b->status == FV_OK) fv_cudnn_check(b, b->calls->cudnnBackendFinalize(d), "cudnnBackendFinalize", what);
}

static void set_int(fv_cudnn_builder *b, descriptor d, cudnnBackendAttributeName_t name, int64_t value, const char *what) {
    fv_cudnn_set(b, d, name, CUDNN_TYPE_INT64, 1, &value, what);
}
static void set_type(fv_cudnn_builder *b, descriptor d, cudnnBackendAttributeName_t name, cudnnDataType_t value, const char *what) {
    fv_cudnn_set(b, d, name, CUDNN_TYPE_DATA_TYPE, 1, &value, what);
}
/* Nothing where there is none. */
static void set_part(fv_cudnn_builder *b, descriptor d, cudnnBackendAttributeName_t name, descriptor part, const char *what) {
    if (part) fv_cudnn_set(b, d, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &part, what);
}

/* ---- tensors ---- */

typedef struct {
    int64_t of[4];
} four;

/* name 0: between operations. */
typedef struct {
    fv_cudnn_name name;
    cudnnDataType_t type;
    four size, step;
    descriptor offsets;
    bool number; /* one, on the host */
    const char *what;
} tensor;

static descriptor add_tensor(fv_cudnn_builder *b, tensor t) {
    bool yes = true;
    descriptor d = fv_cudnn_make(b, CUDNN_BACKEND_TENSOR_DESCRIPTOR, t.what);
    set_type(b, d, CUDNN_ATTR_TENSOR_DATA_TYPE, t.type, t.what);
    fv_cudnn_set(b, d, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 4, t.size.of, t.what);
    fv_cudnn_set(b, d, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, 4, t.step.of, t.what);
    set_int(b, d, CUDNN_ATTR_TENSOR_UNIQUE_ID, t.name ? (int64_t)t.name : b->next++, t.what);
    set_int(b, d, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, 16, t.what);
    if (!t.name) fv_cudnn_set(b, d, CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, 1, &yes, t.what);
    if (t.number) fv_cudnn_set(b, d, CUDNN_ATTR_TENSOR_IS_BY_VALUE, CUDNN_TYPE_BOOLEAN, 1, &yes, t.what);
    set_part(b, d, CUDNN_ATTR_TENSOR_RAGGED_OFFSET_DESC, t.offsets, t.what);
    fv_cudnn_finish(b, d, t.what);
    if (t.name) b->names[b->name_count++] = t.name;
    return d;
}

static descriptor number(fv_cudnn_builder *b, fv_cudnn_name name, const char *what) {
    four one = {{1, 1, 1, 1}};
    return add_tensor(b, (tensor){.name = name, .type = CUDNN_DATA_FLOAT, .size = one, .step = one, .number = true, .what = what});
}

static descriptor integers(fv_cudnn_builder *b, fv_cudnn_name name, int64_t count, const char *what) {
    return add_tensor(b, (tensor){.name = name, .type = CUDNN_DATA_INT32, .size = {{count, 1, 1, 1}}, .step = {{1, 1, 1, 1}}, .what = what});
}

static descriptor offsets(fv_cudnn_builder *b, fv_cudnn_name name, const char *what) {
    return b->shape->layout == FV_CUDNN_RAGGED ? integers(b, name, b->shape->windows + 1, what) : NULL;
}

static four flip(four x) { return (four){{x.of[0], x.of[1], x.of[3], x.of[2]}}; }

/* [windows, heads, longest, head_dim] over rows that are `step` apart; turned: [windows, heads, head_dim, longest]. */
static descriptor rows_of(fv_cudnn_builder *b, fv_cudnn_name name, int64_t step, descriptor at, bool turned, const char *what) {
    const fv_cudnn_shape *s = b->shape;
    four size = {{s->windows, s->heads, s->longest, s->head_dim}}, steps = {{s->longest * step, s->head_dim, step, 1}};
    if (turned) size = flip(size), steps = flip(steps);
    return add_tensor(b, (tensor){.name = name, .type = CUDNN_DATA_BFLOAT16, .size = size, .step = steps, .offsets = at, .what = what});
}

/* One number for every row and head. */
static descriptor row_numbers(fv_cudnn_builder *b, fv_cudnn_name name, descriptor at, const char *what) {
    const fv_cudnn_shape *s = b->shape;
    int64_t h = s->heads, l = s->longest;
    four apart = {{h * l, l, 1, 1}}, packed = {{h * l, 1, h, 1}};
    four size = {{s->windows, h, l, 1}};
    return add_tensor(b, (tensor){.name = name, .type = CUDNN_DATA_FLOAT, .size = size, .step = at ? packed : apart, .offsets = at, .what = what});
}

/* Between operations: a number for every query and key of a head; turned: keys first. */
static descriptor scores(fv_cudnn_builder *b, cudnnDataType_t type, bool turned, const char *what) {
    int64_t n = b->shape->longest, h = b->shape->heads;
    four size = {{b->shape->windows, h, n, n}}, step = {{h * n * n, n * n, n, 1}};
    return add_tensor(b, (tensor){.type = type, .size = size, .step = turned ? flip(step) : step, .what = what});
}
static descriptor floats(fv_cudnn_builder *b, const char *what) { return scores(b, CUDNN_DATA_FLOAT, false, what); }

/* ---- operations ---- */

static void add_op(fv_cudnn_builder *b, descriptor op, const char *what) {
    fv_cudnn_finish(b, op, what);
    if (b->status == FV_OK && b->op_count == FV_CUDNN_OPS) b->status = fv_fail(b->err, FV_LIMIT, "cudnn: %s: more than %d operations", what, FV_CUDNN_OPS);
    if (b->status == FV_OK) b->ops[b->op_count++] = op;
}

typedef struct {
    cudnnPointwiseMode_t mode;
    cudnnDataType_t in; /* what it is computed in */
    int64_t axis;       /* GEN_INDEX */
    descriptor x, b, t, y;
} pointwise;

static descriptor add_pointwise(fv_cudnn_builder *b, pointwise p, const char *what) {
    float one = 1;
    descriptor kind = fv_cudnn_make(b, CUDNN_BACKEND_POINTWISE_DESCRIPTOR, what);
    fv_cudnn_set(b, kind, CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1, &p.mode, what);
    set_type(b, kind, CUDNN_ATTR_POINTWISE_MATH_PREC, p.in, what);
    if (p.mode == CUDNN_POINTWISE_GEN_INDEX) set_int(b, kind, CUDNN_ATTR_POINTWISE_AXIS, p.axis, what);
    fv_cudnn_finish(b, kind, what);
    descriptor op = fv_cudnn_make(b, CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR, what);
    set_part(b, op, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, kind, what);
    set_part(b, op, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, p.x, what);
    set_part(b, op, CUDNN_ATTR_OPERATION_POINTWISE_YDESC, p.y, what);
    set_part(b, op, CUDNN_ATTR_OPERATION_POINTWISE_BDESC, p.b, what);
    set_part(b, op, CUDNN_ATTR_OPERATION_POINTWISE_TDESC, p.t, what);
    fv_cudnn_set(b, op, CUDNN_ATTR_OPERATION_POINTWISE_ALPHA1, CUDNN_TYPE_FLOAT, 1, &one, what);
    fv_cudnn_set(b, op, CUDNN_ATTR_OPERATION_POINTWISE_ALPHA2, CUDNN_TYPE_FLOAT, 1, &one, what);
    add_op(b, op, what);
    return p.y;
}

/* y = mode(x, other), in f32; other may be none. */
static descriptor apply(fv_cudnn_builder *b, cudnnPointwiseMode_t mode, descriptor x, descriptor other, descriptor y, const char *what) {
    return add_pointwise(b, (pointwise){.mode = mode, .in = CUDNN_DATA_FLOAT, .x = x, .b = other, .y = y}, what);
}

static descriptor reduce(fv_cudnn_builder *b, cudnnReduceTensorOp_t by, descriptor x, descriptor y, const char *what) {
    descriptor kind = fv_cudnn_make(b, CUDNN_BACKEND_REDUCTION_DESCRIPTOR, what);
    set_type(b, kind, CUDNN_ATTR_REDUCTION_COMP_TYPE, CUDNN_DATA_FLOAT, what);
    fv_cudnn_set(b, kind, CUDNN_ATTR_REDUCTION_OPERATOR, CUDNN_TYPE_REDUCTION_OPERATOR_TYPE, 1, &by, what);
    fv_cudnn_finish(b, kind, what);
    descriptor op = fv_cudnn_make(b, CUDNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR, what);
    set_part(b, op, CUDNN_ATTR_OPERATION_REDUCTION_DESC, kind, what);
    set_part(b, op, CUDNN_ATTR_OPERATION_REDUCTION_XDESC, x, what);
    set_part(b, op, CUDNN_ATTR_OPERATION_REDUCTION_YDESC, y, what);
    add_op(b, op, what);
    return y;
}

/* c [m, n] = a [m, k] b [k, n]; each of m, n, k may be shorter in a window. */
typedef struct {
    descriptor a, b, c, m, n, k;
} product;

static descriptor add_product(fv_cudnn_builder *b, product p, const char *what) {
    descriptor kind = fv_cudnn_make(b, CUDNN_BACKEND_MATMUL_DESCRIPTOR, what);
    set_type(b, kind, CUDNN_ATTR_MATMUL_COMP_TYPE, CUDNN_DATA_FLOAT, what);
    fv_cudnn_finish(b, kind, what);
    descriptor op = fv_cudnn_make(b, CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR, what);
    set_part(b, op, CUDNN_ATTR_OPERATION_MATMUL_ADESC, p.a, what);
    set_part(b, op, CUDNN_ATTR_OPERATION_MATMUL_BDESC, p.b, what);
    set_part(b, op, CUDNN_ATTR_OPERATION_MATMUL_CDESC, p.c, what);
    set_part(b, op, CUDNN_ATTR_OPERATION_MATMUL_DESC, kind, what);
    set_part(b, op, CUDNN_ATTR_OPERATION_MATMUL_GEMM_M_OVERRIDE_DESC, p.m, what);
    set_part(b, op, CUDNN_ATTR_OPERATION_MATMUL_GEMM_N_OVERRIDE_DESC, p.n, what);
    set_part(b, op, CUDNN_ATTR_OPERATION_MATMUL_GEMM_K_OVERRIDE_DESC, p.k, what);
    add_op(b, op, what);
    return p.c;
}

static descriptor turn(fv_cudnn_builder *b, descriptor x, descriptor y, const char *what) {
    descriptor op = fv_cudnn_make(b, CUDNN_BACKEND_OPERATION_RESHAPE_DESCRIPTOR, what);
    set_part(b, op, CUDNN_ATTR_OPERATION_RESHAPE_XDESC, x, what);
    set_part(b, op, CUDNN_ATTR_OPERATION_RESHAPE_YDESC, y, what);
    add_op(b, op, what);
    return y;
}

/* ---- attention ---- */

/* What both ways have. */
typedef struct {
    descriptor at_q, at_k, at_v, at_out, at_stats, length_q, length_k, scale;
} common;

static common begin(fv_cudnn_builder *b) {
    common c = {.at_q = offsets(b, FV_CUDNN_AT_Q, "offsets of q")};
    c.at_k = offsets(b, FV_CUDNN_AT_K, "offsets of k"), c.at_v = offsets(b, FV_CUDNN_AT_V, "offsets of v");
    c.at_out = offsets(b, FV_CUDNN_AT_OUT, "offsets of out"), c.at_stats = offsets(b, FV_CUDNN_AT_STATS, "offsets of stats");
    if (b->shape->layout != FV_CUDNN_EQUAL) {
        c.length_q = integers(b, FV_CUDNN_LENGTH_Q, b->shape->windows, "lengths of queries");
        c.length_k = integers(b, FV_CUDNN_LENGTH_K, b->shape->windows, "lengths of keys");
    }
    c.scale = number(b, FV_CUDNN_SCALE, "scale");
    return c;
}

/* q.k * scale, and minus infinity outside a window's length. */
static descriptor masked_scores(fv_cudnn_builder *b, const common *c, descriptor q, descriptor k) {
    descriptor s = add_product(b, (product){.a = q, .b = k, .c = floats(b, "scores"), .m = c->length_q, .n = c->length_k}, "q k");
    s = apply(b, CUDNN_POINTWISE_MUL, s, c->scale, floats(b, "scaled scores"), "scores * scale");
    if (!c->length_q) return s;
    static const char *const index[] = {"row's index", "column's index"}, *const inside[] = {"row < length", "column < length"};
    descriptor in[2];
    for (int i = 0; i < 2; i++) {
        pointwise count = {.mode = CUDNN_POINTWISE_GEN_INDEX, .in = CUDNN_DATA_INT32, .axis = 2 + i, .x = s};
        count.y = scores(b, CUDNN_DATA_INT32, false, index[i]);
        pointwise less = {.mode = CUDNN_POINTWISE_CMP_LT, .in = CUDNN_DATA_BOOLEAN, .x = add_pointwise(b, count, index[i]), .b = i ? c->length_k : c->length_q};
        less.y = scores(b, CUDNN_DATA_BOOLEAN, false, inside[i]);
        in[i] = add_pointwise(b, less, inside[i]);
    }
    pointwise both = {.mode = CUDNN_POINTWISE_LOGICAL_AND, .in = CUDNN_DATA_BOOLEAN, .x = in[0], .b = in[1], .y = scores(b, CUDNN_DATA_BOOLEAN, false, "inside")};
    pointwise select = {.mode = CUDNN_POINTWISE_BINARY_SELECT, .in = CUDNN_DATA_FLOAT, .x = s, .t = add_pointwise(b, both, "inside")};
    select.b = number(b, FV_CUDNN_NEVER, "minus infinity"), select.y = floats(b, "masked scores");
    return add_pointwise(b, select, "mask");
}

static void describe_forward(fv_cudnn_builder *b) {
    const fv_cudnn_shape *s = b->shape;
    common c = begin(b);
    descriptor q = rows_of(b, FV_CUDNN_Q, s->step, c.at_q, false, "q"), k = rows_of(b, FV_CUDNN_K, s->step, c.at_k, true, "k");
    descriptor v = rows_of(b, FV_CUDNN_V, s->step, c.at_v, false, "v");
    descriptor out = rows_of(b, FV_CUDNN_OUT, (int64_t)s->heads * s->head_dim, c.at_out, false, "out"), stats = row_numbers(b, FV_CUDNN_STATS, c.at_stats, "stats");
    descriptor score = masked_scores(b, &c, q, k);
    descriptor most = reduce(b, CUDNN_REDUCE_TENSOR_MAX, score, row_numbers(b, 0, NULL, "max"), "max");
    descriptor e = apply(b, CUDNN_POINTWISE_SUB, score, most, floats(b, "score - max"), "score - max");
    e = apply(b, CUDNN_POINTWISE_EXP, e, NULL, floats(b, "exp"), "exp");
    descriptor sum = reduce(b, CUDNN_REDUCE_TENSOR_ADD, e, row_numbers(b, 0, NULL, "sum"), "sum");
    descriptor log = apply(b, CUDNN_POINTWISE_LOG, sum, NULL, row_numbers(b, 0, NULL, "log"), "log");
    apply(b, CUDNN_POINTWISE_ADD, most, log, stats, "max + log");
    descriptor p = apply(b, CUDNN_POINTWISE_DIV, e, sum, scores(b, CUDNN_DATA_BFLOAT16, false, "p"), "p");
    add_product(b, (product){.a = p, .b = v, .c = out, .m = c.length_q, .k = c.length_k}, "p v");
}

static void describe_back(fv_cudnn_builder *b) {
    const fv_cudnn_shape *s = b->shape;
    int64_t width = (int64_t)s->heads * s->head_dim, l = s->longest;
    common c = begin(b);
    descriptor one = number(b, FV_CUDNN_ONE, "one");
    descriptor q = rows_of(b, FV_CUDNN_Q, s->step, c.at_q, false, "q"), k = rows_of(b, FV_CUDNN_K, s->step, c.at_k, true, "k");
    descriptor v = rows_of(b, FV_CUDNN_V, s->step, c.at_v, true, "v");
    descriptor out = rows_of(b, FV_CUDNN_OUT, width, c.at_out, false, "out"), dout = rows_of(b, FV_CUDNN_DOUT, width, c.at_out, false, "dout");
    descriptor stats = row_numbers(b, FV_CUDNN_STATS, c.at_stats, "stats"), total = row_numbers(b, FV_CUDNN_SUM, c.at_stats, "dout . out");
    descriptor dq = rows_of(b, FV_CUDNN_DQ, s->step, c.at_q, false, "dq"), dk = rows_of(b, FV_CUDNN_DK, s->step, c.at_k, false, "dk");
    descriptor dv = rows_of(b, FV_CUDNN_DV, s->step, c.at_v, false, "dv");

    four size = {{s->windows, s->heads, l, s->head_dim}};
    four apart = {{l * width, l * s->head_dim, s->head_dim, 1}}, packed = {{l * width, s->head_dim, width, 1}};
    descriptor both = add_tensor(b, (tensor){.type = CUDNN_DATA_FLOAT, .size = size, .step = apart, .what = "dout * out"});
    apply(b, CUDNN_POINTWISE_MUL, dout, out, both, "dout * out");
    descriptor sum = reduce(b, CUDNN_REDUCE_TENSOR_ADD, both, row_numbers(b, 0, NULL, "sum of dout * out"), "sum of dout * out");
    apply(b, CUDNN_POINTWISE_MUL, sum, one, total, "dout . out");

    descriptor p = masked_scores(b, &c, q, k);
    p = apply(b, CUDNN_POINTWISE_SUB, p, stats, floats(b, "score - stats"), "score - stats");
    p = apply(b, CUDNN_POINTWISE_EXP, p, NULL, floats(b, "p"), "p");
    descriptor across = turn(b, p, scores(b, CUDNN_DATA_BFLOAT16, true, "p turned"), "p turned");
    add_product(b, (product){.a = across, .b = dout, .c = dv, .m = c.length_k, .k = c.length_q}, "dv");

    descriptor ds = add_product(b, (product){.a = dout, .b = v, .c = floats(b, "dp"), .m = c.length_q, .n = c.length_k}, "dp");
    ds = apply(b, CUDNN_POINTWISE_SUB, ds, total, floats(b, "dp - sum"), "dp - sum");
    ds = apply(b, CUDNN_POINTWISE_MUL, ds, p, floats(b, "ds"), "ds");
    ds = apply(b, CUDNN_POINTWISE_MUL, ds, c.scale, floats(b, "scaled ds"), "ds * scale");
    across = turn(b, ds, scores(b, CUDNN_DATA_BFLOAT16, true, "ds turned"), "ds turned");
    add_product(b, (product){.a = across, .b = q, .c = dk, .m = c.length_k, .k = c.length_q}, "dk");

    descriptor keys = turn(b, k, rows_of(b, 0, s->step, c.at_k, false, "keys"), "keys");
    if (s->deterministic) {
        add_product(b, (product){.a = ds, .b = keys, .c = dq, .m = c.length_q, .k = c.length_k}, "dq");
        return;
    }
    /* Blocks of keys add to the same dq, in f32. */
    tensor in_f32 = {.name = FV_CUDNN_ACCUMULATOR, .type = CUDNN_DATA_FLOAT, .size = size, .step = c.at_out ? packed : apart, .offsets = c.at_out, .what = "dq in f32"};
    descriptor f32 = add_tensor(b, in_f32);
    add_product(b, (product){.a = ds, .b = keys, .c = f32, .m = c.length_q, .k = c.length_k}, "dq in f32");
    apply(b, CUDNN_POINTWISE_IDENTITY, f32, NULL, dq, "dq");
}

/* cuDNN's one operation. Neither k nor v is turned here. Its way back has a descriptor, too, but no graph takes it (9.19). */
static void describe_whole(fv_cudnn_builder *b) {
#if CUDNN_VERSION >= 91500
    const fv_cudnn_shape *s = b->shape;
    int64_t width = (int64_t)s->heads * s->head_dim;
    common c = begin(b);
    descriptor q = rows_of(b, FV_CUDNN_Q, s->step, c.at_q, false, "q"), k = rows_of(b, FV_CUDNN_K, s->step, c.at_k, false, "k");
    descriptor v = rows_of(b, FV_CUDNN_V, s->step, c.at_v, false, "v");
    descriptor out = rows_of(b, FV_CUDNN_OUT, width, c.at_out, false, "out"), stats = row_numbers(b, FV_CUDNN_STATS, c.at_stats, "stats");
    descriptor op = fv_cudnn_make(b, CUDNN_BACKEND_OPERATION_SDPA_FWD_DESCRIPTOR, "attention");
    set_part(b, op, CUDNN_ATTR_OPERATION_SDPA_FWD_QDESC, q, "q of attention");
    set_part(b, op, CUDNN_ATTR_OPERATION_SDPA_FWD_KDESC, k, "k of attention");
    set_part(b, op, CUDNN_ATTR_OPERATION_SDPA_FWD_VDESC, v, "v of attention");
    set_part(b, op, CUDNN_ATTR_OPERATION_SDPA_FWD_ODESC, out, "out of attention");
    set_part(b, op, CUDNN_ATTR_OPERATION_SDPA_FWD_STATSDESC, stats, "stats of attention");
    set_part(b, op, CUDNN_ATTR_OPERATION_SDPA_FWD_SCALEDESC, c.scale, "scale of attention");
    set_part(b, op, CUDNN_ATTR_OPERATION_SDPA_FWD_SEQ_LEN_QDESC, c.length_q, "lengths of attention");
    set_part(b, op, CUDNN_ATTR_OPERATION_SDPA_FWD_SEQ_LEN_KVDESC, c.length_k, "lengths of attention");
    add_op(b, op, "attention");
#else
    b->status = fv_fail(b->err, FV_UNSUPPORTED, "cudnn: attention in one operation: built with the headers of a cuDNN before 9.15");
#endif
}

void fv_cudnn_describe(fv_cudnn_builder *b) {
    b->next = FV_CUDNN_MIDDLE;
    if (b->shape->back) describe_back(b);
    else if (b->shape->words == FV_CUDNN_WHOLE) describe_whole(b);
    else describe_forward(b);
}

#else
typedef int fv_cudnn_not_built; /* a file may not be empty */
#endif
