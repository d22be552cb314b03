/* A sample, whatever format it came in: CLI.md's "A sample" after reading. */
#ifndef FV_DATASETS_ROW_H
#define FV_DATASETS_ROW_H

#include "core/json.h"
#include "vision/image.h"

typedef struct fv_row {
    char *id;                /* unique string, as given, or the row's number */
    json_t *json;            /* owned: "messages" in every row; answer, problem_type, options, env, tools, solution and all unknown fields as they came */
    fv_image **images;       /* pictures in memory (generated rows), "#k" in the messages; owned */
    int image_count;
    char *folder;            /* for relative paths; owned, NULL for generated rows */
    char *place;             /* "train.jsonl:17", for messages */
} fv_row;

void fv_row_free(fv_row *r);
const char *fv_row_text(const fv_row *r, const char *field);   /* a string field, or NULL */
/* The right answer: `answer`, else the inside of `solution`'s answer pair, else reward_model.ground_truth; NULL if there is none. Numbers are given as text (owned by r). */
const char *fv_row_answer(const fv_row *r);

#endif
