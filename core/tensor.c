#include "core/tensor.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

const fv_view fv_none = {0};

static const struct {
    const char *name;
    size_t size;
} dtypes[FV_DTYPES] = {
#define X(name, text, size) [FV_##name] = {text, size},
    FV_DTYPE_MAP(X)
#undef X
};

size_t fv_dtype_size(fv_dtype t) {
    return dtypes[t].size;
}

const char *fv_dtype_name(fv_dtype t) {
    return dtypes[t].name;
}

int fv_dtype_parse(const char *name) {
    for (int t = 0; t < FV_DTYPES; t++)
        if (strcmp(name, dtypes[t].name) == 0) return t;
    return -1;
}

int64_t fv_elements(fv_view v) {
    int64_t n = 1;
    for (int i = 0; i < v.rank; i++) n *= v.shape[i];
    return n;
}

size_t fv_bytes(fv_view v) {
    return (size_t)fv_elements(v) * dtypes[v.dtype].size;
}

int64_t fv_rows(fv_view v) {
    int64_t n = 1;
    for (int i = 0; i + 1 < v.rank; i++) n *= v.shape[i];
    return n;
}

int64_t fv_cols(fv_view v) {
    return v.rank > 0 ? v.shape[v.rank - 1] : 1;
}

void fv_shape_text(fv_view v, char out[96]) {
    size_t size = 96, at = 0;
    at += (size_t)snprintf(out, size, "[");
    for (int i = 0; i < v.rank && at < size; i++)
        at += (size_t)snprintf(out + at, size - at, i ? ", %lld" : "%lld", (long long)v.shape[i]);
    if (at < size) snprintf(out + at, size - at, "]");
}

static fv_view fv_view_of(void *data, fv_dtype dtype, int rank, int64_t rows, int64_t cols) {
    return (fv_view){.data = data, .dtype = dtype, .device = FV_CPU, .rank = rank, .shape = {rows, cols}};
}

fv_view fv_mat(float *data, int64_t rows, int64_t cols) {
    return fv_view_of(data, FV_F32, 2, rows, cols);
}

fv_view fv_vec(float *data, int64_t n) {
    return fv_view_of(data, FV_F32, 1, n, 0);
}

fv_view fv_ints(const int32_t *data, int64_t n) {
    /* A view has one pointer for what is read and what is written; whoever reads through it keeps the promise. */
    union {
        const int32_t *read;
        void *any;
    } pointer = {.read = data};
    return fv_view_of(pointer.any, FV_I32, 1, n, 0);
}

fv_view fv_slice(fv_view v, int64_t first, int64_t count) {
    int64_t row = 1;
    for (int i = 1; i < v.rank; i++) row *= v.shape[i];
    if (v.data != NULL) v.data = (char *)v.data + (size_t)(first * row) * dtypes[v.dtype].size;
    v.shape[0] = count;
    return v;
}

/* ---- storage types ------------------------------------------------------------------------------------------------ */

static float fv_from_bits(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static uint32_t fv_bits_of(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static uint16_t fv_bf16_of(float x) {
    uint32_t bits = fv_bits_of(x);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return (uint16_t)(bits >> 16 | 0x40u); /* a NaN stays one */
    return (uint16_t)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

static float fv_of_f16(uint16_t h) {
    uint32_t sign = (uint32_t)(h & 0x8000u) << 16, exponent = h >> 10 & 31u, mantissa = h & 1023u;
    if (exponent == 31) return fv_from_bits(sign | 0x7f800000u | mantissa << 13);
    if (exponent > 0) return fv_from_bits(sign | (exponent + 112) << 23 | mantissa << 13);
    float magnitude = (float)mantissa * 0x1p-24f; /* subnormal or zero: exact */
    return fv_from_bits(fv_bits_of(magnitude) | sign);
}

static uint16_t fv_f16_of(float x) {
    uint32_t bits = fv_bits_of(x), sign = bits >> 16 & 0x8000u, magnitude = bits & 0x7fffffffu;
    if (magnitude > 0x7f800000u) return (uint16_t)(sign | 0x7e00u);
    if (magnitude >= 0x477ff000u) return (uint16_t)(sign | 0x7c00u); /* from 65520 on the nearest is infinity */
    if (magnitude < 0x38800000u) { /* below 2^-14: adding 0.5 leaves the rounded multiple of 2^-24 in the mantissa */
        float shifted = fv_from_bits(magnitude) + 0.5f;
        return (uint16_t)(sign | (fv_bits_of(shifted) - fv_bits_of(0.5f)));
    }
    return (uint16_t)(sign | (magnitude - (112u << 23) + 0xfffu + (magnitude >> 13 & 1u)) >> 13);
}

/* Nearest integer in [low, high], halves to even; NaN is 0. */
static int64_t fv_integer_of(float x, double low, double high) {
    double value = rint((double)x);
    if (!(value > low)) return value <= low ? (int64_t)low : 0;
    if (value >= high) return high >= 0x1p63 ? INT64_MAX : (int64_t)high;
    return (int64_t)value;
}

void fv_to_f32(float *out, const void *in, fv_dtype from, int64_t n) {
#define EACH(type, value)                                                                                              \
    do {                                                                                                               \
        const type *x = in;                                                                                            \
        for (int64_t i = 0; i < n; i++) out[i] = (value);                                                              \
    } while (0)
    switch (from) {
    case FV_F32: if (n > 0) memmove(out, in, (size_t)n * sizeof *out); break;
    case FV_BF16: EACH(uint16_t, fv_from_bits((uint32_t)x[i] << 16)); break;
    case FV_F16: EACH(uint16_t, fv_of_f16(x[i])); break;
    case FV_F64: EACH(double, (float)x[i]); break;
    case FV_I64: EACH(int64_t, (float)x[i]); break;
    case FV_I32: EACH(int32_t, (float)x[i]); break;
    case FV_I16: EACH(int16_t, (float)x[i]); break;
    case FV_I8: EACH(int8_t, (float)x[i]); break;
    case FV_U8: EACH(uint8_t, (float)x[i]); break;
    case FV_BOOL: EACH(uint8_t, x[i] ? 1.0f : 0.0f); break;
    case FV_DTYPES: break;
    }
#undef EACH
}

void fv_from_f32(void *out, fv_dtype to, const float *in, int64_t n) {
#define EACH(type, value)                                                                                              \
    do {                                                                                                               \
        type *y = out;                                                                                                 \
        for (int64_t i = 0; i < n; i++) y[i] = (type)(value);                                                          \
    } while (0)
    switch (to) {
    case FV_F32: if (n > 0) memmove(out, in, (size_t)n * sizeof *in); break;
    case FV_BF16: EACH(uint16_t, fv_bf16_of(in[i])); break;
    case FV_F16: EACH(uint16_t, fv_f16_of(in[i])); break;
    case FV_F64: EACH(double, in[i]); break;
    case FV_I64: EACH(int64_t, fv_integer_of(in[i], -0x1p63, 0x1p63)); break;
    case FV_I32: EACH(int32_t, fv_integer_of(in[i], INT32_MIN, INT32_MAX)); break;
    case FV_I16: EACH(int16_t, fv_integer_of(in[i], INT16_MIN, INT16_MAX)); break;
    case FV_I8: EACH(int8_t, fv_integer_of(in[i], INT8_MIN, INT8_MAX)); break;
    case FV_U8: EACH(uint8_t, fv_integer_of(in[i], 0, UINT8_MAX)); break;
    case FV_BOOL: EACH(uint8_t, in[i] != 0.0f); break;
    case FV_DTYPES: break;
    }
#undef EACH
}
