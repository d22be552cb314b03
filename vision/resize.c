/* torch's antialiased bicubic resize of 8-bit pictures, bit for bit (torch 2.x, UpSampleKernel.cpp, separable path): two passes
 * with 16-bit weights, horizontal first, rounded to 8 bits in between. All arithmetic on pixels is on integers, so the
 * result does not depend on how the loops are vectorised. */
#include "vision/decode.h"
#include "vision/processor.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What each output position reads along one axis. */
typedef struct {
    int taps;       /* room for each position */
    int shift;      /* weights are multiples of 2^-shift */
    int *first;     /* [out]: where its window starts */
    int *count;     /* [out]: 1..taps */
    int16_t *w;     /* [out, taps] */
} axis;

static void axis_free(axis *a) {
    free(a->first);
    free(a->count);
    free(a->w);
}

/* Keys' cubic kernel with a = -0.5 (R. Keys, Cubic convolution interpolation, 1981, eq. 15). */
static double cubic(double x) {
    const double a = -0.5;
    x = fabs(x);
    if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0;
    if (x < 2.0) return (((x - 5.0) * x + 8.0) * x - 4.0) * a;
    return 0.0;
}

/* Weights of one output position, normalised, in w[0..count). The window is 2 pixels to each side of the centre, stretched when
 * shrinking. */
static int window(double *w, int *first, int i, int in, double scale) {
    double stretch = scale > 1.0 ? scale : 1.0, support = 2.0 * stretch, inverse = scale >= 1.0 ? 1.0 / scale : 1.0;
    double centre = scale * (i + 0.5), total = 0.0;
    int lo = (int)(centre - support + 0.5), hi = (int)(centre + support + 0.5);
    if (lo < 0) lo = 0;
    if (hi > in) hi = in;
    for (int j = 0; j < hi - lo; j++) total += w[j] = cubic((j + lo - centre + 0.5) * inverse);
    for (int j = 0; j < hi - lo; j++) w[j] /= total;
    *first = lo;
    return hi - lo;
}

/* The finest steps of which the largest weight still fits into 16 bits, 22 at most. */
static int precision(double largest) {
    int p = 0;
    while (p < 22 && 0.5 + largest * (double)(1 << (p + 1)) < 32768.0) p++;
    return p;
}

static fv_status axis_make(axis *a, int in, int out, fv_error *err) {
    double scale = (double)in / out;
    a->taps = (int)ceil(2.0 * (scale > 1.0 ? scale : 1.0)) * 2 + 1;
    size_t n = (size_t)out * (size_t)a->taps;
    double *exact = calloc(n, sizeof *exact), largest = 0.0;
    a->first = malloc((size_t)out * sizeof *a->first);
    a->count = malloc((size_t)out * sizeof *a->count);
    a->w = malloc(n * sizeof *a->w);
    if (!exact || !a->first || !a->count || !a->w) {
        free(exact);
        return fv_fail(err, FV_NO_MEMORY, "no memory to resize from %d to %d pixels", in, out);
    }
    for (int i = 0; i < out; i++) {
        double *w = exact + (size_t)i * (size_t)a->taps;
        a->count[i] = window(w, &a->first[i], i, in, scale);
        for (int j = 0; j < a->count[i]; j++) largest = w[j] > largest ? w[j] : largest;
    }
    a->shift = precision(largest);
    double unit = (double)(1 << a->shift);
    for (size_t k = 0; k < n; k++) a->w[k] = (int16_t)(exact[k] * unit + (exact[k] < 0 ? -0.5 : 0.5));
    free(exact);
    return FV_OK;
}

/* Both passes are the same sum over neighbouring lines: of pixel rows, or of columns that were turned into rows. */
enum { LANES = 32 };

/* out[l] = clamp((2^(shift-1) + sum_k w[k] * in[k * stride + l]) >> shift), l < LANES. |sum| < 2^31: the weights' magnitudes add up to
 * less than 1.3 * 2^22, pixels are below 2^8. */
static void blend(uint8_t *restrict out, const uint8_t *restrict in, size_t stride, const int16_t *restrict w, int taps, int shift) {
    int32_t sum[LANES];
    for (int l = 0; l < LANES; l++) sum[l] = 1 << shift >> 1;
    for (int k = 0; k < taps; k++) {
        const uint8_t *line = in + (size_t)k * stride;
        int16_t weight = w[k];
        for (int l = 0; l < LANES; l++) sum[l] += weight * (int16_t)line[l];
    }
    for (int l = 0; l < LANES; l++) {
        int32_t v = sum[l] >> shift;
        out[l] = (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
    }
}

/* The first pass, for LANES rows from `y` on: turned into columns, so that `blend` adds up neighbours along x.
 * tile [im->width * 3, LANES], narrow [width * 3, LANES], mid [im->height, stride bytes]. */
static void across_tile(uint8_t *mid, size_t stride, const fv_image *im, int y, const axis *a, int width, uint8_t *tile, uint8_t *narrow) {
    size_t columns = (size_t)im->width * 3;
    const uint8_t *row[LANES];
    for (int l = 0; l < LANES; l++) row[l] = im->rgb + (size_t)(y + l < im->height ? y + l : im->height - 1) * columns;
    for (size_t i = 0; i < columns; i++)
        for (int l = 0; l < LANES; l++) tile[i * LANES + (size_t)l] = row[l][i];
    for (int x = 0; x < width; x++)
        for (int c = 0; c < 3; c++)
            blend(narrow + (x * 3 + c) * LANES, tile + ((size_t)a->first[x] * 3 + (size_t)c) * LANES, (size_t)3 * LANES,
                  a->w + (size_t)x * (size_t)a->taps, a->count[x], a->shift);
    for (int l = 0; l < LANES && y + l < im->height; l++)
        for (size_t i = 0; i < (size_t)width * 3; i++) mid[(size_t)(y + l) * stride + i] = narrow[i * LANES + (size_t)l];
}

static fv_status across(uint8_t *mid, size_t stride, const fv_image *im, int width, fv_error *err) {
    axis a = {0};
    uint8_t *tile = malloc((size_t)im->width * 3 * LANES), *narrow = malloc((size_t)width * 3 * LANES);
    fv_status status = tile && narrow ? axis_make(&a, im->width, width, err) : fv_fail(err, FV_NO_MEMORY, "no memory to resize a picture");
    for (int y = 0; status == FV_OK && y < im->height; y += LANES) across_tile(mid, stride, im, y, &a, width, tile, narrow);
    axis_free(&a);
    free(tile);
    free(narrow);
    return status;
}

/* The second pass: mid [height_in, stride bytes] -> out. */
static fv_status down(fv_image *out, const uint8_t *mid, size_t stride, int height_in, fv_error *err) {
    axis a = {0};
    uint8_t *line = malloc(stride);
    fv_status status = line ? axis_make(&a, height_in, out->height, err) : fv_fail(err, FV_NO_MEMORY, "no memory to resize a picture");
    for (int y = 0; status == FV_OK && y < out->height; y++) {
        const uint8_t *from = mid + (size_t)a.first[y] * stride;
        for (size_t x = 0; x < stride; x += LANES) blend(line + x, from + x, stride, a.w + (size_t)y * (size_t)a.taps, a.count[y], a.shift);
        memcpy(out->rgb + (size_t)y * (size_t)out->width * 3, line, (size_t)out->width * 3);
    }
    axis_free(&a);
    free(line);
    return status;
}

static void copy_rows(uint8_t *to, size_t to_stride, const uint8_t *from, size_t from_stride, int rows, size_t bytes) {
    for (int y = 0; y < rows; y++) memcpy(to + (size_t)y * to_stride, from + (size_t)y * from_stride, bytes);
}

fv_status fv_image_resize(fv_image **out, const fv_image *im, int width, int height, fv_error *err) {
    *out = NULL;
    if (width < 1 || width > 65535 || height < 1 || height > 65535)
        return fv_fail(err, FV_BAD_DATA, "a picture's sides must be 1..65535, got %dx%d", width, height);
    if (width == im->width && height == im->height) return fv_image_copy(out, im, err);
    size_t row = (size_t)width * 3, stride = (row + LANES - 1) / LANES * LANES;
    uint8_t *mid = calloc((size_t)im->height, stride); /* zeroed: `down` reads the padding */
    fv_image *result = NULL;
    fv_status status = mid ? fv_image_blank(&result, width, height, 3, err) : fv_fail(err, FV_NO_MEMORY, "no memory to resize a picture");
    if (status == FV_OK) {
        if (width != im->width) status = across(mid, stride, im, width, err);
        else copy_rows(mid, stride, im->rgb, row, im->height, row);
    }
    if (status == FV_OK) {
        if (height != im->height) status = down(result, mid, stride, im->height, err);
        else copy_rows(result->rgb, row, mid, stride, height, row);
    }
    free(mid);
    if (status == FV_OK) *out = result;
    else fv_image_free(result);
    return status;
}
