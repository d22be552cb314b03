/* JPEG to RGB through libjpeg-turbo with its defaults (exact integer DCT, smooth upsampling): the pixels that PIL and torchvision
 * get. CMYK is converted as PIL does it, EXIF's orientation is applied. */
#include "vision/decode.h"

#include <setjmp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>

#include <jerror.h>

/* Real encoders write about ten scans; a file of a thousand tiny ones would cost a full pass over the picture for each. */
enum { MAX_SCANS = 100 };

/* Everything that is alive while libjpeg may longjmp: kept outside of the function that calls setjmp. */
typedef struct {
    struct jpeg_error_mgr errors; /* first: libjpeg hands back a pointer to it */
    struct jpeg_progress_mgr progress;
    struct jpeg_decompress_struct in;
    jmp_buf back;
    bool ended;
    int orientation; /* EXIF's, 1..8 */
    char why[JMSG_LENGTH_MAX];
    fv_image *image;
    uint8_t *cmyk; /* one row, [width, 4] */
} jpeg_job;

static void on_error(j_common_ptr c) {
    jpeg_job *j = (jpeg_job *)(void *)c->err;
    c->err->format_message(c, j->why);
    longjmp(j->back, 1);
}

/* libjpeg goes on after these with made-up pixels: for us the file is damaged. Other warnings (stray bytes between
 * segments, an odd marker) leave the pixels intact and are common in the wild. */
static void on_message(j_common_ptr c, int level) {
    if (level >= 0) return;
    jpeg_job *j = (jpeg_job *)(void *)c->err;
    switch (c->err->msg_code) {
    case JWRN_JPEG_EOF:
        j->ended = true;
        on_error(c);
        break;
    case JWRN_HIT_MARKER:
    case JWRN_HUFF_BAD_CODE:
    case JWRN_ARITH_BAD_CODE:
    case JWRN_MUST_RESYNC:
        on_error(c);
        break;
    default:
        break;
    }
}

static void on_progress(j_common_ptr c) {
    jpeg_job *j = (jpeg_job *)(void *)c->err;
    if (j->in.input_scan_number <= MAX_SCANS) return;
    snprintf(j->why, sizeof j->why, "more than %d scans", MAX_SCANS);
    longjmp(j->back, 1);
}

static int orientation(const struct jpeg_decompress_struct *in) {
    for (jpeg_saved_marker_ptr m = in->marker_list; m; m = m->next)
        if (m->marker == JPEG_APP0 + 1 && m->data_length >= 6 && memcmp(m->data, "Exif\0\0", 6) == 0)
            return fv_orientation_read(m->data + 6, m->data_length - 6);
    return 1;
}

/* PIL reads every CMYK JPEG as Adobe's, whose inks are stored inverted (255 is no ink), and then converts by
 * k - round((255 - c) * k / 255) with c, k as stored. */
static void cmyk_row(uint8_t *rgb, const uint8_t *cmyk, size_t width) {
    for (size_t x = 0; x < width; x++)
        for (size_t c = 0; c < 3; c++) {
            int k = cmyk[4 * x + 3], v = (255 - cmyk[4 * x + c]) * k + 128;
            rgb[3 * x + c] = (uint8_t)(k - (((v >> 8) + v) >> 8));
        }
}

/* Header, checks, and the colour space to decode to. May longjmp. */
static fv_status start(jpeg_job *j, const uint8_t *data, size_t size, const char *name, fv_error *err) {
    struct jpeg_decompress_struct *in = &j->in;
    jpeg_create_decompress(in);
    in->progress = &j->progress;
    in->mem->max_memory_to_use = 2L << 30; /* a progressive picture keeps its coefficients: 6 bytes a pixel */
    jpeg_save_markers(in, JPEG_APP0 + 1, 0xffff);
    jpeg_mem_src(in, data, (unsigned long)size);
    jpeg_read_header(in, TRUE);
    j->orientation = orientation(in); /* the markers' memory goes with jpeg_finish_decompress */
    /* Huffman coding spends at least a bit on the DC value of each 8 x 8 block. */
    size_t least = in->arith_code ? 0 : (size_t)in->image_width * in->image_height / 512;
    FV_TRY(fv_decode_check_size("JPEG", in->image_width, in->image_height, size, least, name, err));
    bool four = in->jpeg_color_space == JCS_CMYK || in->jpeg_color_space == JCS_YCCK;
    if (in->jpeg_color_space == JCS_UNKNOWN)
        return fv_fail(err, FV_UNSUPPORTED, "%s: a JPEG with %d channels; grey, RGB and CMYK can be read", name, in->num_components);
    in->out_color_space = four ? JCS_CMYK : JCS_RGB;
    if (four && !(j->cmyk = malloc((size_t)in->image_width * 4))) return fv_fail(err, FV_NO_MEMORY, "%s: no memory for a row", name);
    return fv_image_blank(&j->image, (int)in->image_width, (int)in->image_height, 3, err);
}

/* May longjmp. */
static void read_rows(jpeg_job *j) {
    struct jpeg_decompress_struct *in = &j->in;
    jpeg_start_decompress(in);
    while (in->output_scanline < in->output_height) {
        uint8_t *rgb = j->image->rgb + (size_t)in->output_scanline * in->output_width * 3;
        JSAMPROW row = j->cmyk ? j->cmyk : rgb;
        jpeg_read_scanlines(in, &row, 1);
        if (j->cmyk) cmyk_row(rgb, j->cmyk, in->output_width);
    }
    jpeg_finish_decompress(in);
}

static fv_status run(jpeg_job *j, const uint8_t *data, size_t size, const char *name, fv_error *err) {
    if (setjmp(j->back)) {
        char where[64] = "in the header";
        if (j->image) snprintf(where, sizeof where, "row %u of %d", (unsigned)j->in.output_scanline, j->image->height);
        if (j->ended) return fv_fail(err, FV_BAD_DATA, "%s: truncated JPEG (%s)", name, where);
        return fv_fail(err, FV_BAD_DATA, "%s: corrupt JPEG (%s): %s", name, where, j->why);
    }
    FV_TRY(start(j, data, size, name, err));
    read_rows(j);
    return fv_orientation_turn(&j->image, j->orientation, err);
}

fv_status fv_decode_jpeg(fv_image **out, const uint8_t *data, size_t size, const char *name, fv_error *err) {
    *out = NULL;
    jpeg_job j = {.image = NULL};
    j.in.err = jpeg_std_error(&j.errors);
    j.errors.error_exit = on_error;
    j.errors.emit_message = on_message;
    j.progress.progress_monitor = on_progress;
    fv_status status = run(&j, data, size, name, err);
    jpeg_destroy_decompress(&j.in);
    free(j.cmyk);
    if (status == FV_OK) *out = j.image;
    else fv_image_free(j.image);
    return status;
}
