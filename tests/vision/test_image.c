/* Decoding against torchcodec and PIL, what is refused and how it is said, loading by URL, writing. */
#include "tests/vision/check.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void decodes_as_the_reference(void **state) {
    (void)state;
    json_t *root, *cases = expected(&root, "decoded"), *c;
    size_t i;
    json_array_foreach(cases, i, c) {
        fv_error err;
        fv_image *im;
        const char *file = json_string_value(json_object_get(c, "file"));
        OK(fv_image_load_url(&im, FOVEA_SOURCE "/tests/vision/data", file, &err));
        if (im->width != int_at(c, "width") || im->height != int_at(c, "height") || image_crc(im) != (uint32_t)int_at(c, "crc"))
            fail_msg("%s: %dx%d, other pixels than %s", file, im->width, im->height, json_string_value(json_object_get(c, "judge")));
        fv_image_free(im);
    }
    json_decref(root);
}

static void every_prefix_is_truncated(void **state) {
    (void)state;
    static const char *const files[] = {DATA "rgba8-adam7.png", DATA "grey1.png", DATA "420.jpg", DATA "progressive.jpg", DATA "cmyk.jpg"};
    for (size_t f = 0; f < FV_COUNT(files); f++) {
        fv_error err;
        char *data;
        size_t size;
        OK(fv_file_read(&data, &size, files[f], &err));
        for (size_t n = 1; n < size; n++) {
            char *cut = malloc(n); /* exactly n bytes, so that a read past them is seen */
            memcpy(cut, data, n);
            fv_image *im;
            if (fv_image_decode(&im, cut, n, "cut", &err) != FV_BAD_DATA) fail_msg("%s: %zu of %zu bytes are accepted", files[f], n, size);
            assert_null(im);
            if (!strstr(err.text, "cut: truncated ")) fail_msg("%s: %zu of %zu bytes: %s", files[f], n, size, err.text);
            free(cut);
        }
        free(data);
    }
}

/* exif6.jpg has an EXIF segment of 48 bytes at 2. Whatever its contents become, the picture is read. */
static void malformed_exif_is_ignored(void **state) {
    (void)state;
    fv_error err;
    char *data;
    size_t size;
    OK(fv_file_read(&data, &size, DATA "exif6.jpg", &err));
    for (size_t at = 6; at < 2 + 48; at++)
        for (int v = 0; v < 256; v += 15) {
            char kept = data[at];
            data[at] = (char)v;
            fv_image *im;
            OK(fv_image_decode(&im, data, size, "exif", &err));
            assert_int_equal(im->width * im->height, 13 * 9);
            fv_image_free(im);
            data[at] = kept;
        }
    free(data);
}

static void put32(uint8_t *to, uint32_t v) {
    for (int i = 0; i < 4; i++) to[i] = (uint8_t)(v >> (24 - 8 * i));
}

/* rgb8.png with an eXIf chunk behind its header, which says how to turn it. */
static void png_is_turned_as_it_says(void **state) {
    (void)state;
    enum { SIGNATURE_AND_HEADER = 33, TIFF = 26 };
    fv_error err;
    char *data;
    size_t size;
    fv_image *plain, *turned;
    OK(fv_file_read(&data, &size, DATA "rgb8.png", &err));
    OK(fv_image_decode(&plain, data, size, "plain", &err));
    uint8_t chunk[12 + TIFF] = {0, 0, 0, TIFF, 'e', 'X', 'I', 'f', 'M', 'M', 0, 42, 0, 0, 0, 8, 0, 1, 0x01, 0x12, 0, 3, 0, 0, 0, 1, 0, 6};
    put32(chunk + 8 + TIFF, crc32_of(chunk + 4, 4 + TIFF));
    uint8_t *with = malloc(size + sizeof chunk);
    memcpy(with, data, SIGNATURE_AND_HEADER);
    memcpy(with + SIGNATURE_AND_HEADER, chunk, sizeof chunk);
    memcpy(with + SIGNATURE_AND_HEADER + sizeof chunk, data + SIGNATURE_AND_HEADER, size - SIGNATURE_AND_HEADER);
    OK(fv_image_decode(&turned, with, size + sizeof chunk, "turned", &err));
    assert_int_equal(turned->width, plain->height);
    assert_int_equal(turned->height, plain->width);
    for (int y = 0; y < turned->height; y++)
        for (int x = 0; x < turned->width; x++) /* a quarter to the right: what was at the left, from the bottom up, is the top row */
            assert_memory_equal(turned->rgb + 3 * (y * turned->width + x), plain->rgb + 3 * ((plain->height - 1 - x) * plain->width + y), 3);
    fv_image_free(plain), fv_image_free(turned);
    free(with), free(data);
}

static void refused(const void *data, size_t size, fv_status status, const char *text) {
    fv_error err;
    fv_image *im;
    assert_int_equal(fv_image_decode(&im, data, size, "a.png", &err), status);
    assert_null(im);
    assert_string_equal(err.text, text);
}

static void says_what_it_was_given(void **state) {
    (void)state;
    refused("", 0, FV_BAD_DATA, "a.png: empty file, expected a PNG or JPEG picture");
    refused("<html>\n<body>gone</body>", 24, FV_BAD_DATA, "a.png: not a picture (PNG or JPEG): it starts with \"<html>.<body>gon\"");
    refused("GIF89a......", 12, FV_UNSUPPORTED, "a.png: GIF pictures cannot be read; convert it to PNG or JPEG");
    refused("RIFF\x10\0\0\0WEBPVP8 ", 16, FV_UNSUPPORTED, "a.png: WebP pictures cannot be read; convert it to PNG or JPEG");
    refused("BM\x36\0\0\0\0\0", 8, FV_UNSUPPORTED, "a.png: BMP pictures cannot be read; convert it to PNG or JPEG");
    refused("\x89PNG", 4, FV_BAD_DATA, "a.png: truncated PNG (in the first bytes)");
}

/* A PNG that is only a header with right checksum. */
static size_t bare_png(uint8_t out[64], uint32_t width, uint32_t height) {
    static const uint8_t start[] = "\x89PNG\r\n\x1a\n\0\0\0\rIHDR";
    memcpy(out, start, 16);
    for (int i = 0; i < 4; i++) {
        out[16 + i] = (uint8_t)(width >> (24 - 8 * i));
        out[20 + i] = (uint8_t)(height >> (24 - 8 * i));
    }
    memcpy(out + 24, "\x08\x06\0\0\0", 5);
    uint32_t crc = crc32_of(out + 12, 17);
    for (int i = 0; i < 4; i++) out[29 + i] = (uint8_t)(crc >> (24 - 8 * i));
    memcpy(out + 33, "\0\0\0\4IDAT\0\0\0\0", 12); /* libpng reports a header once it sees the first IDAT */
    return 45;
}

static void huge_headers_are_refused(void **state) {
    (void)state;
    uint8_t png[64];
    size_t size = bare_png(png, 65535, 65535);
    refused(png, size, FV_BAD_DATA, "a.png: 65535x65535 pixels; a picture may have at most 16384 a side");
    size = bare_png(png, 16384, 16384);
    refused(png, size, FV_BAD_DATA, "a.png: truncated PNG (45 bytes cannot hold 16384x16384 pixels)");
    static const uint8_t jpeg[] = "\xff\xd8\xff\xc2\0\x11\x08\x40\0\x40\0\3\1\x11\0\2\x11\0\3\x11\0\xff\xda\0\x0c\3\1\0\2\0\3\0\0\0\0";
    refused(jpeg, sizeof jpeg - 1, FV_BAD_DATA, "a.png: truncated JPEG (35 bytes cannot hold 16384x16384 pixels)");
}

static void damage_is_named_with_its_row(void **state) {
    (void)state;
    fv_error err;
    char *data;
    size_t size;
    fv_image *im;
    OK(fv_file_read(&data, &size, DATA "rgb8.png", &err));
    assert_int_equal(fv_image_decode(&im, data, size / 2, "half.png", &err), FV_BAD_DATA);
    assert_non_null(strstr(err.text, "half.png: truncated PNG (row "));
    assert_non_null(strstr(err.text, " of 29)"));
    data[size / 2] ^= 0x10;
    assert_int_equal(fv_image_decode(&im, data, size, "bit.png", &err), FV_BAD_DATA);
    assert_non_null(strstr(err.text, "bit.png: corrupt PNG (row "));
    free(data);
    OK(fv_file_read(&data, &size, DATA "420.jpg", &err));
    assert_int_equal(fv_image_decode(&im, data, size - 200, "half.jpg", &err), FV_BAD_DATA);
    assert_non_null(strstr(err.text, "half.jpg: truncated JPEG (row "));
    free(data);
}

static const char dot_png[] = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC";

static fv_status load(const char *folder, const char *url, fv_error *err) {
    fv_image *im;
    fv_status status = fv_image_load_url(&im, folder, url, err);
    if (status != FV_OK) assert_null(im);
    fv_image_free(im);
    return status;
}

static void loads_data_urls(void **state) {
    (void)state;
    fv_error err;
    fv_image *im;
    char url[512];
    snprintf(url, sizeof url, "data:image/png;base64,%s", dot_png);
    OK(fv_image_load_url(&im, NULL, url, &err));
    assert_int_equal(im->width * im->height, 1);
    assert_memory_equal(im->rgb, "\xff\0\0", 3);
    fv_image_free(im);
    snprintf(url, sizeof url, "DATA:image/x-anything;name=a.png;Base64, \n%.10s\r\n\t%s ", dot_png, dot_png + 10);
    OK(load(NULL, url, &err));
    snprintf(url, sizeof url, "data:image/png;base64,%.20s!%s", dot_png, dot_png + 20);
    assert_int_equal(load(NULL, url, &err), FV_BAD_DATA);
    assert_string_equal(err.text, "data: URL: byte 0x21 at position 20 is not base64");
    snprintf(url, sizeof url, "data:image/png;base64,%.21s", dot_png);
    assert_int_equal(load(NULL, url, &err), FV_BAD_DATA);
    assert_string_equal(err.text, "data: URL: base64 is cut short (21 digits, 0 of padding)");
    assert_int_equal(load(NULL, "data:image/png;base64,AA==AA==", &err), FV_BAD_DATA);
    assert_int_equal(load(NULL, "data:image/png;base64,A===", &err), FV_BAD_DATA);
    assert_int_equal(load(NULL, "data:image/png;base64,", &err), FV_BAD_DATA);
    assert_string_equal(err.text, "data: URL: empty file, expected a PNG or JPEG picture");
    assert_int_equal(load(NULL, "data:image/svg+xml,%3Csvg/%3E", &err), FV_BAD_DATA);
    assert_int_equal(load(NULL, "data:text/plain;base64,AAAA", &err), FV_BAD_DATA);
    assert_int_equal(load(NULL, "data:image/png;base64", &err), FV_BAD_DATA);
    assert_int_equal(load(NULL, "data:image/,", &err), FV_BAD_DATA);
}

static void loads_paths_and_file_urls(void **state) {
    (void)state;
    fv_error err;
    const char *folder = FOVEA_SOURCE "/tests/vision/data";
    OK(load(folder, "rgb8.png", &err));
    OK(load("/nowhere", DATA "rgb8.png", &err));
    OK(load(NULL, "file://" DATA "rgb8%2epng", &err));
    OK(load(NULL, "file://localhost" DATA "rgb8.png", &err));
    OK(load(folder, "file://rgb8.png", &err));
    assert_int_equal(load(folder, "file://a%0.png", &err), FV_BAD_DATA);
    assert_int_equal(load(folder, "file://a%00.png", &err), FV_BAD_DATA);
    assert_int_equal(load(folder, "file://a%", &err), FV_BAD_DATA);
    assert_int_equal(load(folder, "missing.png", &err), FV_IO);
    assert_non_null(strstr(err.text, "missing.png"));
    assert_int_equal(load(folder, "https://example.org/a.png", &err), FV_UNSUPPORTED);
    assert_int_equal(load(folder, "", &err), FV_BAD_DATA);
}

static void crops_inside_only(void **state) {
    (void)state;
    fv_error err;
    fv_image *im = noise_image(9, 5, 3), *out;
    OK(fv_image_crop(&out, im, 2, 1, 7, 4, &err));
    for (int y = 0; y < 4; y++) assert_memory_equal(out->rgb + y * 21, im->rgb + ((y + 1) * 9 + 2) * 3, 21);
    fv_image_free(out);
    assert_int_equal(fv_image_crop(&out, im, 3, 1, 7, 4, &err), FV_BAD_DATA);
    assert_string_equal(err.text, "a crop of 7x4 at (3, 1) must lie inside the picture of 9x5");
    assert_int_equal(fv_image_crop(&out, im, 2147483647, 0, 2147483647, 1, &err), FV_BAD_DATA);
    assert_int_equal(fv_image_crop(&out, im, -1, 0, 1, 1, &err), FV_BAD_DATA);
    assert_int_equal(fv_image_new(&out, 0, 5, (uint8_t[3]){0}, &err), FV_BAD_DATA);
    fv_image_free(im);
    fv_image_free(NULL);
}

static void writes_what_it_reads(void **state) {
    (void)state;
    fv_error err;
    fv_image *im, *again;
    OK(fv_image_load(&im, DATA "444.jpg", &err));
    uint8_t *bytes;
    size_t size;
    OK(fv_image_encode_png(&bytes, &size, im, &err));
    OK(fv_image_decode(&again, bytes, size, "again.png", &err));
    assert_int_equal(again->width, im->width);
    assert_memory_equal(again->rgb, im->rgb, (size_t)im->width * (size_t)im->height * 3);
    fv_image_free(again);
    free(bytes);
    OK(fv_image_encode_jpeg(&bytes, &size, im, 95, &err));
    OK(fv_image_decode(&again, bytes, size, "again.jpg", &err));
    long off = 0, n = (long)im->width * im->height * 3;
    for (long i = 0; i < n; i++) off += labs((long)again->rgb[i] - im->rgb[i]);
    assert_true(off < 4 * n); /* 4 of 255 on average: quantisation at 95 on a picture full of edges */
    fv_image_free(again);
    free(bytes);
    assert_int_equal(fv_image_encode_jpeg(&bytes, &size, im, 0, &err), FV_BAD_USAGE);
    assert_null(bytes);
    fv_image_free(im);
}

static void saves_by_extension(void **state) {
    (void)state;
    fv_error err;
    fv_image *im = noise_image(5, 3, 9), *again;
    char folder[] = "/tmp/fovea-image-XXXXXX", path[128];
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/a.PNG", folder);
    OK(fv_image_save(im, path, &err));
    OK(fv_image_load(&again, path, &err));
    assert_memory_equal(again->rgb, im->rgb, 45);
    fv_image_free(again);
    snprintf(path, sizeof path, "%s/a.jpeg", folder);
    OK(fv_image_save(im, path, &err));
    OK(fv_image_load(&again, path, &err));
    fv_image_free(again);
    snprintf(path, sizeof path, "%s/a.gif", folder);
    assert_int_equal(fv_image_save(im, path, &err), FV_BAD_USAGE);
    OK(fv_path_remove(folder, &err));
    fv_image_free(im);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decodes_as_the_reference),
        cmocka_unit_test(every_prefix_is_truncated),
        cmocka_unit_test(malformed_exif_is_ignored),
        cmocka_unit_test(png_is_turned_as_it_says),
        cmocka_unit_test(says_what_it_was_given),
        cmocka_unit_test(huge_headers_are_refused),
        cmocka_unit_test(damage_is_named_with_its_row),
        cmocka_unit_test(loads_data_urls),
        cmocka_unit_test(loads_paths_and_file_urls),
        cmocka_unit_test(crops_inside_only),
        cmocka_unit_test(writes_what_it_reads),
        cmocka_unit_test(saves_by_extension),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
