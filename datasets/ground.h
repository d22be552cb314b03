/* What a scene stands on: plain colours, photographs, and mixtures of photographs that no camera has seen. */
#ifndef FV_DATASETS_GROUND_H
#define FV_DATASETS_GROUND_H

#include "datasets/maker.h"

/* width x height of a photograph, cut out at random, shrunk by a whole number of at most `shrink` (averaged), perhaps mirrored; in training also with
 * another brightness and contrast. width, height <= 480. */
fv_status fv_ground_photograph(fv_image **out, fv_maker *m, int width, int height, int shrink, fv_error *err);
/* One colour, dark, light or between, sometimes running into another. */
fv_status fv_ground_plain(fv_image **out, fv_maker *m, int width, int height, fv_error *err);
/* Photographs of more contrast than fv_ground_photograph's, which are nearly all flatter than those of tests; two of three are mixtures: two photographs
 * with their channels exchanged or inverted, one shining through the other or ending at a line, the second strewn with discs, boxes, lines and letters of
 * any colour. A model that has seen thirteen flat photographs takes a fourteenth's towers and cups for plates (docs/tiny-vl.md). */
fv_status fv_ground_varied(fv_image **out, fv_maker *m, int width, int height, int shrink, fv_error *err);

/* As this option says; mixed: one in three is plain, the others are photographs; varied: one in three is plain, the others are mixtures. */
#define FV_GROUND_OPTION "ground=mixed|plain|photo|varied"
fv_status fv_ground_make(fv_image **out, fv_maker *m, int width, int height, fv_error *err);

#endif
