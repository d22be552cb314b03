/* Scenes that tasks ask about: plates with glyphs on plain grounds or photographs. Coordinates are pixels of the picture drawn. */
#ifndef FV_DATASETS_SCENE_H
#define FV_DATASETS_SCENE_H

#include "datasets/ground.h"
#include "tools/canvas.h"

/* Answers that are places count as right within this many pixels of a view of 112. */
#define FV_PLACE_TOLERANCE 7

/* Colours of plates: eight that stay apart on any ground, also four times smaller. */
enum { FV_PLATE_COLORS = 8, FV_PLATES_MAX = 12 };
const char *fv_plate_color_name(int color); /* red green blue yellow orange purple white black */
fv_color fv_plate_color(int color);

/* ---- plates --------------------------------------------------------------------------------------------------------- */

typedef struct {
    int color;
    fv_shape shape;
    double x, y, radius;
    char glyph;              /* '\0': none */
    double glyph_x, glyph_y; /* its centre */
    double cap;              /* its height */
    double degrees;          /* the glyph's turn */
    double ink;              /* 0..1: how strongly it stands out from its plate */
} fv_plate;

#define FV_DIGITS "0123456789"
#define FV_LETTERS "ABCDEFGHJKLMNPRSTUVWXYZ" /* without I, O and Q, which look like 1 and 0 */
char fv_scene_glyph(fv_maker *m, bool letters);
/* As the option glyphs=both|digits|letters|none says. */
char fv_scene_glyph_option(fv_maker *m);
/* Different colours (up to eight plates). */
void fv_scene_colors(fv_maker *m, fv_plate *plates, int n);
/* One of circle, square, triangle, diamond, star and cross. */
fv_shape fv_scene_shape(fv_maker *m);
/* Places n plates (their radius is set) at random so that there are `gap` pixels between them and to the border; fills in the glyphs' places.
 * Returns how many found room, which are the first ones. */
int fv_scene_place(fv_maker *m, fv_plate *plates, int n, double width, double height, double gap);
/* In order from left to right. */
void fv_scene_sort(fv_plate *plates, int n);
/* In the order of fv_plate_color's numbers; a scene's colours are distinct (up to eight plates). */
void fv_scene_sort_colors(fv_plate *plates, int n);
/* In reading order of the cells (below) that their middles lie in. */
void fv_scene_sort_cells(fv_plate *plates, int n, int view);
/* Draws a plate with a thin rim that sets it off from its ground, and its glyph; or one of the two. */
void fv_scene_draw(fv_image *im, const fv_plate *p);
void fv_scene_draw_plate(fv_image *im, const fv_plate *p);
void fv_scene_draw_glyph(fv_image *im, const fv_plate *p);
/* The plate's box (the rim included) in the picture. */
fv_box fv_plate_box(const fv_plate *p);
fv_box fv_plate_glyph_box(const fv_plate *p);

/* A scene as the view shows it, view x view: a ground (option ground) with plates of different colours in order from left to right, at least
 * 3 pixels apart along x. Reads plates (how many), radius (of a view of 112), glyphs=both|digits|letters|none, spread: cells puts each plate into a
 * cell of its own, off its middle by `jitter` pixels of a view of 112 (then several may share an x). */
#define FV_PLATES_OPTIONS "radius=10..16[5..24] glyphs=both|digits|letters|none " FV_GROUND_OPTION " view=112[56..448] turns=0[0..16] " \
                          "spread=free|cells jitter=2[0..12]"
/* A view is CELLS x CELLS cells, named by letters in reading order: 'a' is top left. */
enum { FV_CELLS = 4 };
char fv_scene_cell(const fv_plate *p, int view);
fv_status fv_scene_plates(fv_image **out, fv_plate plates[FV_PLATES_MAX], int *count, fv_maker *m, fv_error *err);

/* ---- the scene of visual-search, locate and zoomed -------------------------------------------------------------------- */

/* A glyph on its plate that vanishes in a view four times smaller (its cap 8..40 pixels; see scene.c). */
fv_status fv_scene_draw_vanishing(fv_image *im, fv_maker *m, const fv_plate *p, fv_error *err);

/* A photograph with plates whose glyphs are small: in a view four times smaller the plates are seen and the glyphs are not. */
typedef struct {
    fv_image *image;  /* size x size; goes to the row */
    fv_plate plates[FV_PLATES_MAX];
    int count, size;
} fv_search_scene;
/* size: the picture's side, as a rule fv_maker_int(m, "size"). Reads the options plates (how many; fewer if there is no room), plate (their size), digit
 * (the glyph's height) and ground: all three generators have them; glyphs=digits|letters|both where there is one. On failure there is no image. */
#define FV_SEARCH_OPTIONS "view=112[56..448] size=448[224..480] plates=4..6[1..8] plate=52..72[24..96] digit=12..13[8..40] ground=photo|varied"
fv_status fv_search_scene_make(fv_search_scene *s, fv_maker *m, int size, fv_error *err);

/* ---- texts ---------------------------------------------------------------------------------------------------------- */

/* "[12, 30, 48, 66]": a box in whole pixels of a view, from picture pixels scaled by `scale` (view / picture). */
enum { FV_BOX_TEXT = 48 };
void fv_box_text(char out[FV_BOX_TEXT], fv_box b, double scale, int view);
/* "34 80" */
void fv_place_text(char out[FV_BOX_TEXT], double x, double y, double scale);
/* A glyph in a row of glyphs, one token each: digits follow directly, letters after a blank ("3 K7 A"). Appends to `out` of `size` bytes. */
void fv_glyphs_append(char *out, size_t size, char glyph);
static inline const char *fv_glyph_word(char glyph) { return glyph >= '0' && glyph <= '9' ? "digit" : "letter"; }

#endif
