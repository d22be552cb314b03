/* A view: where numbers lie, of which type, in which shape. Views own nothing and are passed by value. */
#ifndef FV_CORE_TENSOR_H
#define FV_CORE_TENSOR_H

#include <stddef.h>
#include <stdint.h>

enum { FV_MAX_RANK = 5 }; /* patch_embed.proj.weight is [out, 3, 2, patch, patch] */

/* One list: the enum, the safetensors name, bytes an element. */
#define FV_DTYPE_MAP(X)                                                                                                \
    X(F32, "F32", 4) X(BF16, "BF16", 2) X(F16, "F16", 2) X(F64, "F64", 8) X(I64, "I64", 8) X(I32, "I32", 4)            \
    X(I16, "I16", 2) X(I8, "I8", 1) X(U8, "U8", 1) X(BOOL, "BOOL", 1)

typedef enum {
#define X(name, text, size) FV_##name,
    FV_DTYPE_MAP(X)
#undef X
    FV_DTYPES
} fv_dtype;

typedef enum { FV_CPU, FV_CUDA } fv_device;

typedef struct {
    void *data; /* NULL: an absent optional tensor (no bias, frozen gradient) */
    fv_dtype dtype;
    fv_device device;
    int rank;
    int64_t shape[FV_MAX_RANK]; /* row-major, contiguous */
} fv_view;

size_t fv_dtype_size(fv_dtype t);
const char *fv_dtype_name(fv_dtype t);
int fv_dtype_parse(const char *name); /* the fv_dtype, or -1 */

int64_t fv_elements(fv_view v);                 /* product of the shape; 1 for rank 0 */
size_t fv_bytes(fv_view v);
int64_t fv_rows(fv_view v);                     /* product of all but the last dimension */
int64_t fv_cols(fv_view v);                     /* the last dimension; 1 for rank 0 */
void fv_shape_text(fv_view v, char out[96]);    /* "[1024, 3, 2, 14, 14]" */

/* A view of caller's memory. fv_mat(x, r, c) is f32 [r, c]; fv_vec(x, n) is f32 [n]; fv_ints(x, n) is i32 [n]. */
fv_view fv_mat(float *data, int64_t rows, int64_t cols);
fv_view fv_vec(float *data, int64_t n);
fv_view fv_ints(const int32_t *data, int64_t n);
extern const fv_view fv_none; /* data NULL, rank 0 */

/* Rows [first, first + count) of a view whose first dimension is rows. */
fv_view fv_slice(fv_view v, int64_t first, int64_t count);

static inline float *fv_f32(fv_view v) { return (float *)v.data; }
static inline int32_t *fv_i32(fv_view v) { return (int32_t *)v.data; }

/* Storage types to f32 and back (bf16: round to nearest even; f16 likewise, subnormals kept). */
void fv_to_f32(float *out, const void *in, fv_dtype from, int64_t n);
void fv_from_f32(void *out, fv_dtype to, const float *in, int64_t n);

#endif
