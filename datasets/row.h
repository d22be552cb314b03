/* A sample, whatever format it came in: CLI.md's "A sample" after reading. */
#ifndef FV_DATASETS_ROW_H
#define FV_DATASETS_ROW_H

#include "core/json.h"
#include "vision/image.h"

typedef struct fv_row {
    char *id;                /* unique string, as given, or the row's number (from 0) */
    json_t *json;            /* owned: "messages" in every row that has no "input_ids"; answer, problem_type, options, env, tools, solution and all other fields as they came */
    fv_image **images;       /* pictures in memory (generated rows), "#k" in the messages; owned */
    int image_count;
    char *folder;            /* for relative paths; owned, NULL for generated rows */
    char *place;             /* "train.jsonl:17", for messages */
    char *answer;            /* owned, what fv_row_answer gives; NULL before fv_row_settle or if there is none */
} fv_row;

void fv_row_free(fv_row *r); /* NULL is fine */
const char *fv_row_text(const fv_row *r, const char *field);   /* a string field, or NULL */

/* The right answer as text: `answer`, else the inside of `solution`'s <answer> pair, else reward_model.ground_truth, else `solution` as it is; NULL if
 * there is none. Numbers are written so that they read back to the same bits ("8", "0.1"), lists and objects as JSON. Owned by r. */
const char *fv_row_answer(const fv_row *r);

/* Completes a row that was just made (fv_dataset_row does): notes the answer, makes lists of options that are texts (fv_options_unquote), writes the id into the JSON where it does not stand there as a text or a number. */
fv_status fv_row_settle(fv_row *r, fv_error *err);

#endif
