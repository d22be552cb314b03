#include "datasets/ground.h"

#include "datasets/photographs.h"
#include "tools/canvas.h"

/* ---- photographs and plain grounds -------------------------------------------------------------------------------------- */

/* One row where nothing is averaged, of large pictures the common case: no sums, no divisions. */
static void cut_row(uint8_t *to, const uint8_t *from, int width, bool mirrored, uint8_t tones[3][256]) {
    for (int x = 0; x < width; x++, to += 3) {
        const uint8_t *at = from + 3 * (size_t)(mirrored ? width - 1 - x : x);
        for (int c = 0; c < 3; c++) to[c] = tones[c][at[c]];
    }
}

/* out[y, x] = mean of a shrink x shrink block of the photograph from (x0, y0), mirrored or not, through a table of tones a channel. */
static void cut(fv_image *out, const fv_image *photo, int x0, int y0, int shrink, bool mirrored, uint8_t tones[3][256]) {
    int area = shrink * shrink;
    for (int y = 0; y < out->height; y++) {
        uint8_t *to = out->rgb + (size_t)y * (size_t)out->width * 3;
        if (shrink == 1) cut_row(to, photo->rgb + ((size_t)(y0 + y) * (size_t)photo->width + (size_t)x0) * 3, out->width, mirrored, tones);
        for (int x = 0; x < out->width && shrink > 1; x++, to += 3) {
            int column = x0 + shrink * (mirrored ? out->width - 1 - x : x), sum[3] = {0};
            for (int dy = 0; dy < shrink; dy++) {
                const uint8_t *from = photo->rgb + ((size_t)(y0 + shrink * y + dy) * (size_t)photo->width + (size_t)column) * 3;
                for (int dx = 0; dx < shrink; dx++, from += 3)
                    for (int c = 0; c < 3; c++) sum[c] += from[c];
            }
            for (int c = 0; c < 3; c++) to[c] = tones[c][(sum[c] + area / 2) / area];
        }
    }
}

/* A photograph whose contrast is `low` to `high` times its own: in training; tests see them as they are. */
static fv_status photograph(fv_image **out, fv_maker *m, int width, int height, int shrink, double low, double high, fv_error *err) {
    const fv_image *photo;
    *out = NULL;
    FV_TRY(fv_photograph(&photo, m->test, (int)fv_below(&m->random, fv_photograph_count(m->test)), err));
    shrink = fv_clamp_int(shrink, 1, (photo->width < photo->height ? photo->width : photo->height) / (width > height ? width : height));
    shrink = 1 + (int)fv_below(&m->random, shrink);
    int x0 = (int)fv_below(&m->random, photo->width - shrink * width + 1), y0 = (int)fv_below(&m->random, photo->height - shrink * height + 1);
    bool mirrored = fv_maker_chance(m, 0.5);
    uint8_t tones[3][256];
    double contrast = m->test ? 1 : fv_uniform_in(&m->random, low, high), light = m->test ? 128 : fv_uniform_in(&m->random, 90, 165);
    for (int c = 0; c < 3; c++) {
        double tint = m->test ? 0 : fv_uniform_in(&m->random, -20, 20);
        for (int i = 0; i < 256; i++) tones[c][i] = (uint8_t)fv_clamp_int((int)(light + tint + contrast * (i - 128)), 0, 255);
    }
    FV_TRY(fv_image_new(out, width, height, (const uint8_t[3]){0, 0, 0}, err));
    cut(*out, photo, x0, y0, shrink, mirrored, tones);
    return FV_OK;
}

fv_status fv_ground_photograph(fv_image **out, fv_maker *m, int width, int height, int shrink, fv_error *err) {
    return photograph(out, m, width, height, shrink, 0.5, 1.1, err);
}

fv_status fv_ground_plain(fv_image **out, fv_maker *m, int width, int height, fv_error *err) {
    uint8_t from[3], to[3];
    double light = fv_uniform(&m->random) * 215, run = fv_maker_chance(m, 0.5) ? 60 : 0;
    for (int c = 0; c < 3; c++) {
        from[c] = (uint8_t)(light + fv_uniform(&m->random) * 40);
        to[c] = (uint8_t)fv_clamp_int((int)(from[c] + fv_uniform_in(&m->random, -run, run + 1e-9)), 0, 255);
    }
    FV_TRY(fv_image_new(out, width, height, from, err));
    for (int y = 0; run > 0 && y < height; y++)
        for (int x = 0; x < width; x++)
            for (int c = 0; c < 3; c++)
                (*out)->rgb[((size_t)y * (size_t)width + (size_t)x) * 3 + (size_t)c] = (uint8_t)((from[c] * (height - y) + to[c] * y) / height);
    return FV_OK;
}

/* ---- mixtures ---------------------------------------------------------------------------------------------------------- */

/* Channels in another order, some of them inverted; upside down or not. */
static void recolour(fv_image *im, fv_maker *m) {
    int from[3] = {0, 1, 2}, last = (int)fv_below(&m->random, 3), first = (int)fv_below(&m->random, 2), t;
    t = from[2], from[2] = from[last], from[last] = t;
    t = from[1], from[1] = from[first], from[first] = t;
    uint8_t flip[3];
    for (int c = 0; c < 3; c++) flip[c] = fv_maker_chance(m, 0.25) ? 255 : 0;
    size_t n = (size_t)im->width * (size_t)im->height;
    for (size_t i = 0; i < n; i++) {
        uint8_t *p = im->rgb + 3 * i, was[3] = {p[0], p[1], p[2]};
        for (int c = 0; c < 3; c++) p[c] = was[from[c]] ^ flip[c];
    }
}

static fv_color any_color(fv_maker *m) {
    fv_color c;
    for (int i = 0; i < 3; i++) c.rgb[i] = (uint8_t)fv_below(&m->random, 256);
    return c;
}

/* Things without a rim, of any size and colour. */
static void strew(fv_image *im, fv_maker *m) {
    double unit = im->width / 112.0;
    for (int n = (int)fv_below(&m->random, 16); n > 0; n--) {
        double x = fv_uniform(&m->random) * im->width, y = fv_uniform(&m->random) * im->height, size = fv_uniform_in(&m->random, 2, 30) * unit;
        double other = fv_uniform_in(&m->random, 2, 30) * unit, width = fv_uniform_in(&m->random, 1, 5) * unit;
        fv_color c = any_color(m);
        char letter[2] = {(char)('A' + fv_below(&m->random, 26))};
        fv_text_style style = {.size = size, .degrees = fv_uniform(&m->random) * 360, .color = c};
        switch (fv_below(&m->random, 4)) {
        case 0: fv_canvas_fill_disc(im, x, y, size / 2, c); break;
        case 1: fv_canvas_fill_box(im, (fv_box){x, y, x + size, y + other}, c); break;
        case 2: fv_canvas_line(im, x, y, x + size, y + other - size, width, c); break;
        default: fv_canvas_text(im, x, y, letter, &style); break;
        }
    }
}

/* a += share of b, the share in 256ths a constant, or all of it beyond a line through the middle's neighbourhood. */
static void join(fv_image *a, const fv_image *b, fv_maker *m) {
    bool line = fv_maker_chance(m, 0.5);
    int share = 50 + (int)fv_below(&m->random, 160);
    double x0 = fv_uniform_in(&m->random, 0.2, 0.8) * a->width, y0 = fv_uniform_in(&m->random, 0.2, 0.8) * a->height;
    double dx = fv_uniform_in(&m->random, -1, 1), dy = fv_uniform_in(&m->random, -1, 1);
    for (int y = 0; y < a->height; y++)
        for (int x = 0; x < a->width; x++) {
            int now = !line ? share : (x - x0) * dx + (y - y0) * dy > 0 ? 256 : 0;
            size_t at = 3 * ((size_t)y * (size_t)a->width + (size_t)x);
            for (size_t c = at; c < at + 3; c++) a->rgb[c] = (uint8_t)((a->rgb[c] * (256 - now) + b->rgb[c] * now) / 256);
        }
}

fv_status fv_ground_varied(fv_image **out, fv_maker *m, int width, int height, int shrink, fv_error *err) {
    fv_image *other;
    FV_TRY(photograph(out, m, width, height, shrink, 0.6, 1.8, err));
    if (fv_maker_chance(m, 0.3)) return FV_OK; /* as it is, but for its contrast */
    recolour(*out, m);
    fv_status status = photograph(&other, m, width, height, shrink, 0.6, 1.8, err);
    if (status == FV_OK) {
        recolour(other, m);
        strew(other, m);
        join(*out, other, m);
    } else {
        fv_image_free(*out);
        *out = NULL;
    }
    fv_image_free(other);
    return status;
}

fv_status fv_ground_make(fv_image **out, fv_maker *m, int width, int height, fv_error *err) {
    double third = fv_uniform(&m->random);
    bool varied = fv_maker_is(m, "ground", "varied");
    bool plain = fv_maker_is(m, "ground", "plain") || ((fv_maker_is(m, "ground", "mixed") || varied) && third < 1.0 / 3);
    if (plain) return fv_ground_plain(out, m, width, height, err);
    return varied ? fv_ground_varied(out, m, width, height, 4, err) : fv_ground_photograph(out, m, width, height, 4, err);
}
