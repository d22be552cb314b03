/* Looking at a file of rows: what is in it, and what is wrong with it. */
#ifndef FV_DATASETS_SURVEY_H
#define FV_DATASETS_SURVEY_H

#include "datasets/dataset.h"

typedef struct {
    int open;      /* pictures that are decoded, from the first on; the others must only exist. 0: 64 */
    int watch;     /* video files that are read to their end, likewise. 0: 16 */
    int show;      /* rows shown; 0: 3 */
    int problems;  /* problems kept as text; 0: 20. All are counted */
} fv_survey_options;

/* *out, the caller's: {"file", "n", "formats": {name: rows}, "fields": {name: rows}, "categories": {category, else problem_type: rows}, "answers" (rows that have one), "learn"
 * (rows with an assistant's turn), "pictures": {"named", "opened", "smallest": [w, h], "largest": [w, h]}, "videos", "problem_count", "problems": ["FILE:LINE: ..."],
 * "rows": [{"id", "question", "answer", "pictures": [name]}]}. Categories beyond 64 are counted under "...". Fails as fv_dataset_open does where there are no rows. */
fv_status fv_survey(json_t **out, const char *path, const fv_survey_options *options, fv_error *err);

#endif
