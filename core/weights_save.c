#include "core/weights.h"

#include "core/file.h"

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

static void write_data(fv_out *o, const item *it, float *floats, void *cast) {
    const fv_view *v = &it->tensor.view;
    if (it->from == v->dtype) {
        fv_out_write(o, v->data, fv_bytes(*v));
        return;
    }
    int64_t n = fv_elements(*v);
    size_t from = fv_dtype_size(it->from), to = fv_dtype_size(v->dtype);
    for (int64_t i = 0; i < n && !fv_out_failed(o); i += CHUNK) {
        int64_t m = n - i < CHUNK ? n - i : CHUNK;
        fv_to_f32(floats, (const char *)v->data + (size_t)i * from, it->from, m);
        fv_from_f32(cast, v->dtype, floats, m);
        fv_out_write(o, cast, (size_t)m * to);
    }
}

static fv_status check_items(const char *path, const fv_tensor *tensors, size_t count, fv_dtype as, fv_error *err) {
    if (as != FV_DTYPES && !is_float(as)) return fv_fail(err, FV_UNSUPPORTED, "%s: weights are stored as F32, BF16 or F16, not as %s", path, fv_dtype_name(as));
    for (size_t i = 0; i < count; i++) {
        const fv_tensor *t = &tensors[i];
        if (t->view.device != FV_CPU) return fv_fail(err, FV_UNSUPPORTED, "%s: tensor %s: not in main memory", path, t->name);
        if (!t->view.data && fv_bytes(t->view) > 0) return fv_fail(err, FV_BAD_MODEL, "%s: tensor %s: has no data", path, t->name);
    }
    return FV_OK;
}

fv_status fv_weights_save(const char *path, const fv_tensor *tensors, size_t count, fv_dtype as, fv_error *err) {
    FV_TRY(check_items(path ? path : "weights", tensors, count, as, err));
    item *items = calloc(count + 1, sizeof *items);
    float *floats = malloc(CHUNK * sizeof *floats), *cast = malloc(CHUNK * sizeof *cast);
    fv_text header = {0};
    fv_out *o = NULL;
    fv_status status = items && floats && cast ? FV_OK : fv_fail(err, FV_NO_MEMORY, "%s: out of memory", path ? path : "weights");
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
    if (status == FV_OK) {
        write_header(o, items, count, &header);
        for (size_t i = 0; i < count; i++) write_data(o, &items[i], floats, cast);
        status = fv_out_commit(o, err);
    } else {
        fv_out_abandon(o);
    }
    fv_text_clear(&header);
    free(items);
    free(floats);
    free(cast);
    return status;
}
