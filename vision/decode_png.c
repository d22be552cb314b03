/* PNG to RGB through libpng. Grey, palette and 16-bit samples become 8-bit RGB; gamma and colour profiles are ignored, as
 * transformers and PIL do; what is transparent is composited over white. */
#include "vision/decode.h"

#include <png.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Everything that is alive while libpng may longjmp: kept outside of the function that calls setjmp. */
typedef struct {
    const uint8_t *data;
    size_t size, at;
    bool ended;         /* libpng asked for bytes after the last one */
    uint32_t height;    /* 0 until the header has been read */
    uint32_t row;
    char why[128];      /* libpng's own words */
    jmp_buf back;
    fv_image *image;
    png_structp png;
    png_infop info;
} png_job;

static void on_read(png_structp png, png_bytep out, size_t n) {
    png_job *j = png_get_io_ptr(png);
    if (n > j->size - j->at) {
        j->ended = true;
        png_error(png, "end of file");
    }
    memcpy(out, j->data + j->at, n);
    j->at += n;
}

static void on_error(png_structp png, png_const_charp text) {
    png_job *j = png_get_error_ptr(png);
    snprintf(j->why, sizeof j->why, "%s", text);
    longjmp(j->back, 1);
}

/* libpng warns about what it can mend (checksums and contents of chunks that do not matter here). */
static void on_warning(png_structp png, png_const_charp text) { (void)png, (void)text; }

/* rgba [pixels, 4] to rgb [pixels, 3] in place, over white. PIL's Image.paste with a mask, which qwen-vl-utils uses:
 * (255 * (255 - a) + c * a) / 255, rounded to nearest; Image.alpha_composite over opaque white has the same results. */
static void over_white(uint8_t *px, size_t pixels) {
    for (size_t i = 0; i < pixels; i++) {
        unsigned a = px[4 * i + 3];
        for (size_t c = 0; c < 3; c++) {
            unsigned v = 255 * (255 - a) + px[4 * i + c] * a + 128;
            px[3 * i + c] = (uint8_t)(((v >> 8) + v) >> 8);
        }
    }
}

/* Header, checks, and the conversions to 8-bit RGB or RGBA. May longjmp. */
static fv_status start(png_job *j, const char *name, int *channels, fv_error *err) {
    png_set_read_fn(j->png, j, on_read);
    png_set_user_limits(j->png, PNG_UINT_31_MAX, PNG_UINT_31_MAX); /* checked below, in our words */
    /* Only IHDR, PLTE, tRNS, IDAT, IEND and eXIf are looked at: no profile or text is unpacked, whatever size it claims. */
    png_set_keep_unknown_chunks(j->png, PNG_HANDLE_CHUNK_NEVER, NULL, -1);
    png_set_keep_unknown_chunks(j->png, PNG_HANDLE_CHUNK_AS_DEFAULT, (png_const_bytep)"eXIf", 1);
    png_read_info(j->png, j->info);
    uint32_t width = png_get_image_width(j->png, j->info), height = png_get_image_height(j->png, j->info);
    /* deflate packs at most 1032 to 1 (258 bytes in two bits); each row has a filter byte. */
    size_t least = (png_get_rowbytes(j->png, j->info) + 1) * (size_t)height / 1032;
    FV_TRY(fv_decode_check_size("PNG", width, height, j->size, least, name, err));
    j->height = height;
    png_set_expand(j->png);   /* palette and grey below 8 bits to 8 bits, tRNS to alpha */
    png_set_scale_16(j->png); /* (v * 255 + 32895) >> 16: rounded */
    png_set_gray_to_rgb(j->png);
    (void)png_set_interlace_handling(j->png);
    png_read_update_info(j->png, j->info);
    *channels = png_get_channels(j->png, j->info);
    return fv_image_blank(&j->image, (int)width, (int)height, *channels, err);
}

/* All rows of all passes, then the chunks up to IEND: a file that ends before is truncated. May longjmp. */
static void read_rows(png_job *j, int channels) {
    size_t stride = (size_t)j->image->width * (size_t)channels;
    int passes = png_get_interlace_type(j->png, j->info) == PNG_INTERLACE_ADAM7 ? PNG_INTERLACE_ADAM7_PASSES : 1;
    for (int pass = 0; pass < passes; pass++)
        for (j->row = 0; j->row < j->height; j->row++) png_read_row(j->png, j->image->rgb + j->row * stride, NULL);
    png_read_end(j->png, j->info); /* eXIf may stand behind the rows */
}

static fv_status bad_png(const png_job *j, const char *name, fv_error *err) {
    char where[64] = "in the header";
    if (j->height > 0 && j->row < j->height) snprintf(where, sizeof where, "row %u of %u", (unsigned)j->row, (unsigned)j->height);
    if (j->height > 0 && j->row >= j->height) snprintf(where, sizeof where, "after the last row");
    if (j->ended) return fv_fail(err, FV_BAD_DATA, "%s: truncated PNG (%s)", name, where);
    return fv_fail(err, FV_BAD_DATA, "%s: corrupt PNG (%s): %s", name, where, j->why);
}

static fv_status run(png_job *j, const char *name, fv_error *err) {
    if (setjmp(j->back)) return bad_png(j, name, err);
    int channels;
    FV_TRY(start(j, name, &channels, err));
    read_rows(j, channels);
    if (channels == 4) {
        size_t pixels = (size_t)j->image->width * j->height;
        over_white(j->image->rgb, pixels);
        uint8_t *smaller = realloc(j->image->rgb, pixels * 3);
        if (smaller) j->image->rgb = smaller;
    }
    png_bytep exif = NULL;
    png_uint_32 bytes = 0;
    if (!png_get_eXIf_1(j->png, j->info, &bytes, &exif)) return FV_OK;
    return fv_orientation_turn(&j->image, fv_orientation_read(exif, bytes), err);
}

fv_status fv_decode_png(fv_image **out, const uint8_t *data, size_t size, const char *name, fv_error *err) {
    *out = NULL;
    png_job j = {.data = data, .size = size};
    j.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &j, on_error, on_warning);
    j.info = j.png ? png_create_info_struct(j.png) : NULL;
    fv_status status = j.info ? run(&j, name, err) : fv_fail(err, FV_NO_MEMORY, "%s: no memory for a PNG decoder", name);
    png_destroy_read_struct(&j.png, &j.info, NULL);
    if (status == FV_OK) *out = j.image;
    else fv_image_free(j.image);
    return status;
}
