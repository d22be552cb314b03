/* The photographs that tasks are drawn on: embedded in the program, so that they are there wherever it runs. Their origins and
 * licences: datasets/photographs/LICENSES.md. */
#ifndef FV_DATASETS_PHOTOGRAPHS_H
#define FV_DATASETS_PHOTOGRAPHS_H

#include "vision/image.h"

#include <stdbool.h>

/* How many there are for training, or for tests alone. */
int fv_photograph_count(bool test);
/* The name of number `index` (0..count-1) of that kind: "coffee". */
const char *fv_photograph_name(bool test, int index);
/* The picture: RGB, the shorter side 480, the longer 480..640. Decoded when first asked for, then kept for the life of the program: it is
 * shared by all threads and must not be changed or freed. */
fv_status fv_photograph(const fv_image **out, bool test, int index, fv_error *err);

#endif
