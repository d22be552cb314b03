/* What a run folder says, read back for people: nothing here comes from memory of the run. A file that is missing is left out, a line that is broken (a
 * killed run's last) is skipped, so that a run can be looked at while it goes on and after it was killed. */
#ifndef FV_RL_REPORT_RECORD_H
#define FV_RL_REPORT_RECORD_H

#include "core/json.h"
#include "core/yaml.h"

#include <stdbool.h>

/* metrics.jsonl by columns. values [rows]: NAN where a line has no such number. */
typedef struct {
    char *name;
    double *values;
} fv_column;

typedef struct {
    char *name, *kind;  /* kind: "sft", "grpo", "filter", "" if nobody says */
    double seconds;     /* of training and evaluating, NAN while it runs */
    size_t first, rows; /* its lines of the metrics: rows of the columns */
} fv_record_stage;

typedef struct {
    char *folder;
    char *recipe;          /* recipe.yaml as it is; "" if missing */
    fv_yaml *yaml;         /* the same, read; NULL if that fails */
    char *name;            /* of the run */
    double seconds;        /* of all of it; NAN if it has not ended */
    json_t *evaluations;   /* a list of objects, in order of time */
    fv_record_stage *stages;
    int stage_count;
    fv_column *columns;
    int column_count;
    size_t rows, capacity; /* lines of metrics.jsonl */
    size_t bad_rows;       /* rows of data that were skipped */
} fv_record;

/* Fails only when memory runs out. Close it in any case. */
fv_status fv_record_open(fv_record *out, const char *folder, fv_error *err);
void fv_record_close(fv_record *r);

const double *fv_record_column(const fv_record *r, const char *name); /* NULL if no line has it */
/* The mean of a column over rows [first, last), NAN if there is nothing. */
double fv_record_mean(const fv_record *r, const char *name, size_t first, size_t last);
/* The same over the first and the last tenth (at least a step) of a stage. */
void fv_record_ends(const fv_record *r, const fv_record_stage *s, const char *name, double *first, double *last);
/* A scalar of recipe.yaml as it is written there; NULL if it is missing. */
const char *fv_record_setting(const fv_record *r, const char *path);

/* An evaluation by itself (`fovea eval --out`): nothing was trained, whatever the recipe plans. */
bool fv_record_alone(const fv_record *r);
/* The stage that reinforcement began with: the first "grpo"; NULL without. */
const fv_record_stage *fv_record_rl(const fv_record *r);
/* The evaluation of `mode` that reinforcement is measured against (the last one before it, or the first of several without reinforcement), and the last one of
 * all. Borrowed. NULL where there is none; one evaluation alone is `before` with reinforcement after it, else `after`. */
const json_t *fv_record_before(const fv_record *r, const char *mode);
const json_t *fv_record_after(const fv_record *r, const char *mode);
/* The modes that were evaluated, in order of first use: *modes [up to limit], borrowed. Returns how many. */
int fv_record_modes(const fv_record *r, const char **modes, int limit);

/* The objects of a file of JSON lines, at most `limit` (0: all), as a list; what does not parse is skipped, a missing file is an empty list. NULL: no memory. */
json_t *fv_record_lines(const char *folder, const char *name, size_t limit);
/* A number of an object, NAN if it is missing or none; a text, or "". */
double fv_record_number(const json_t *object, const char *key);
const char *fv_record_text(const json_t *object, const char *key);

#endif
