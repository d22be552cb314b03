#include "core/weights.h"

#include "core/file.h"
#include "core/ops.h"

#include <stdlib.h>
#include <string.h>

enum { CHUNK = 16384 }; /* elements that are converted at once */

/* The place of a dtype in the safetensors library's order of alignment, on which its files are sorted (descending). */
static int rank_of(fv_dtype t) {
    static const fv_dtype ascending[] = {FV_BOOL, FV_U8, FV_I8, FV_I16, FV_F16, FV_BF16, FV_I32, FV_F32, FV_F64, FV_I64};
    for (size_t i = 0; i < FV_COUNT(ascending); i++)
        if (ascending[i] == t) return (int)i;
    return -1;
}

static int in_file_order(const void *a, const void *b) {
    const fv_tensor *x = a, *y = b;
    int by_rank = rank_of(y->view.dtype) - rank_of(x->view.dtype);
    return by_rank ? by_rank : strcmp(x->name, y->name);
}

static bool is_float(fv_dtype t) { return t == FV_F32 || t == FV_BF16 || t == FV_F16; }

/* A tensor with the dtype that it gets in the file, and the one that it has in memory. */
typedef struct {
    fv_tensor tensor; /* first: what in_file_order looks at */
    fv_dtype from;
} item;

static void write_header(fv_out *o, const item *items, size_t count, fv_text *header) {
    fv_text_add(header, "{\"__metadata__\":{\"format\":\"pt\"}");
    uint64_t at = 0;
    for (size_t i = 0; i < count; i++) {
        const fv_tensor *t = &items[i].tensor;
        fv_text_char(header, ',');
        fv_text_json(header, t->name, strlen(t->name));
        fv_text_printf(header, ":{\"dtype\":\"%s\",\"shape\":[", fv_dtype_name(t->view.dtype));
        for (int d = 0; d < t->view.rank; d++) fv_text_printf(header, "%s%lld", d ? "," : "", (long long)t->view.shape[d]);
        uint64_t end = at + fv_bytes(t->view);
        fv_text_printf(header, "],\"data_offsets\":[%llu,%llu]}", (unsigned long long)at, (unsigned long long)end);
        at = end;
    }
    fv_text_char(header, '}');
    while (header->size % 8 && !header->failed) fv_text_char(header, ' ');
    unsigned char length[8];
    for (int i = 0; i < 8; i++) length[i] = (unsigned char)((uint64_t)header->size >> (8 * i));
    fv_out_write(o, length, 8);
    fv_out_text(o, header);
}

/* Room for a chunk on its way: as it is in memory, as floats, as it is in the file. */
typedef struct {
    int64_t stored[CHUNK], cast[CHUNK]; /* int64_t: the largest element there is */
    float floats[CHUNK];
} room;

static void write_data(fv_out *o, const item *it, room *r, const fv_ops *ops) {
    const fv_view *v = &it->tensor.view;
    if (it->from == v->dtype && v->device == FV_CPU) {
        fv_out_write(o, v->data, fv_bytes(*v));
        return;
    }
    int64_t n = fv_elements(*v);
    size_t from = fv_dtype_size(it->from), to = fv_dtype_size(v->dtype);
    for (int64_t i = 0; i < n && !fv_out_failed(o); i += CHUNK) {
        int64_t m = n - i < CHUNK ? n - i : CHUNK;
        const void *stored = (const char *)v->data + (size_t)i * from;
        if (v->device != FV_CPU) {
            ops->download(r->stored, stored, (size_t)m * from);
            stored = r->stored;
        }
        if (it->from == v->dtype) {
            fv_out_write(o, stored, (size_t)m * from);
            continue;
        }
        fv_to_f32(r->floats, stored, it->from, m);
        fv_from_f32(r->cast, v->dtype, r->floats, m);
        fv_out_write(o, r->cast, (size_t)m * to);
    }
}

static fv_status check_items(const char *path, const fv_tensor *tensors, size_t count, fv_dtype as, const fv_ops *ops, fv_error *err) {
    if (as != FV_DTYPES && !is_float(as)) return fv_fail(err, FV_UNSUPPORTED, "%s: weights are stored as F32, BF16 or F16, not as %s", path, fv_dtype_name(as));
    for (size_t i = 0; i < count; i++) {
        const fv_tensor *t = &tensors[i];
        if (t->view.device != FV_CPU && (!ops || t->view.device != ops->device)) return fv_fail(err, FV_UNSUPPORTED, "%s: tensor %s: not in main memory", path, t->name);
        if (!t->view.data && fv_bytes(t->view) > 0) return fv_fail(err, FV_BAD_MODEL, "%s: tensor %s: has no data", path, t->name);
    }
    return FV_OK;
}

static fv_status write_items(fv_out *o, const item *items, size_t count, room *r, const fv_ops *ops, fv_error *err) {
    fv_text header = {0};
    write_header(o, items, count, &header);
    for (size_t i = 0; i < count; i++) write_data(o, &items[i], r, ops);
    fv_text_clear(&header);
    fv_status status = ops ? ops->check(err) : FV_OK;
    if (status == FV_OK) return fv_out_commit(o, err);
    fv_out_abandon(o);
    return status;
}

fv_status fv_weights_save_from(const char *path, const fv_tensor *tensors, size_t count, fv_dtype as, const fv_ops *ops, fv_error *err) {
    FV_TRY(check_items(path ? path : "weights", tensors, count, as, ops, err));
    item *items = calloc(count + 1, sizeof *items);
    room *r = malloc(sizeof *r);
    fv_out *o = NULL;
    fv_status status = items && r ? FV_OK : fv_fail(err, FV_NO_MEMORY, "%s: out of memory", path ? path : "weights");
    if (status == FV_OK) {
        for (size_t i = 0; i < count; i++) {
            items[i] = (item){tensors[i], tensors[i].view.dtype};
            if (as != FV_DTYPES && is_float(items[i].from)) items[i].tensor.view.dtype = as;
        }
        qsort(items, count, sizeof *items, in_file_order);
        status = fv_out_open(&o, path, err);
    }
    for (size_t i = 1; status == FV_OK && i < count; i++)
        if (strcmp(items[i - 1].tensor.name, items[i].tensor.name) == 0) status = fv_fail(err, FV_BAD_MODEL, "%s: tensor %s is given twice", path, items[i].tensor.name);
    if (status == FV_OK) status = write_items(o, items, count, r, ops, err);
    else fv_out_abandon(o);
    free(items);
    free(r);
    return status;
}

fv_status fv_weights_save(const char *path, const fv_tensor *tensors, size_t count, fv_dtype as, fv_error *err) {
    return fv_weights_save_from(path, tensors, count, as, NULL, err);
}
