/* A run folder (CLI.md): recipe.yaml, metrics.jsonl, trajectories/, checkpoints/step-N/, summary.json, log.txt, report.html. Everything that has its final
 * name is whole; a killed run goes on from its last checkpoint, bit for bit. */
#ifndef FV_RL_RUN_H
#define FV_RL_RUN_H

#include "core/file.h"
#include "rl/recipe/recipe.h"

#include "language/model.h"

/* A policy's value head beside its model, under the names of TRL's and LLaMA-Factory's. */
#define FV_VALUE_HEAD "value_head.safetensors"
#define FV_VALUE_HEAD_WEIGHT "v_head.summary.weight"
#define FV_VALUE_HEAD_BIAS "v_head.summary.bias"

typedef struct fv_run {
    char *folder;
    fv_lines *metrics, *log, *evaluations, *bad_rows;
    int keep;
    int lock; /* a descriptor of the folder, locked as long as the run is open; -1: none */
} fv_run;

/* Opens recipe's `out`. A folder with an earlier run is moved aside (NAME.1, NAME.2 ...) unless `resume`; *moved (may be NULL) gets its new name, malloc'ed. FV_BAD_USAGE where the
 * folder is something else, or another process trains in it. */
fv_status fv_run_open(fv_run **out, const fv_recipe *recipe, bool resume, char **moved, fv_error *err);
void fv_run_close(fv_run *r);
fv_status fv_run_write_recipe(const fv_run *r, const fv_recipe *recipe, fv_error *err); /* recipe.yaml, once it is sure that the run goes by it */
/* Makes way for a new run or comparison: what is moved aside has to be an earlier one that nobody trains in. FV_BAD_USAGE. */
fv_status fv_run_make_way(const char *folder, char **moved, fv_error *err);
/* Gives a folder that has anything in it another name, NAME.1, NAME.2 ...: nothing that was there is lost. *moved (may be NULL) gets it, malloc'ed. */
fv_status fv_run_move_aside(const char *folder, char **moved, fv_error *err);

/* One step's metrics, in order of first use. Names are TRL's, verl's where TRL has none. */
typedef struct {
    const char *names[192];
    char own[64][64];      /* composed names */
    double values[192];
    int count, owned;
} fv_metrics;
void fv_metric(fv_metrics *m, const char *name, double value);                       /* `name` lives as long as m */
void fv_metric_named(fv_metrics *m, double value, const char *format, ...) FV_PRINTF(3, 4);
double fv_metric_get(const fv_metrics *m, const char *name);                         /* NAN if absent */

/* Appends {"step": .., "stage": .., metrics} to metrics.jsonl. */
fv_status fv_run_step(fv_run *r, int64_t step, const char *stage, const fv_metrics *m, fv_error *err);
void fv_run_log(fv_run *r, const char *format, ...) FV_PRINTF(2, 3); /* log.txt; a failing log loses only its line */
/* A row that could not be used, for bad_rows.jsonl. */
fv_status fv_run_bad_row(fv_run *r, const char *id, const fv_error *why, fv_error *err);

/* checkpoints/step-N: the model as a Hugging Face folder (with an adapter: that as a PEFT folder) and trainer_state/ (f32 masters, AdamW moments, `state` as JSON with the sizes of the logs added).
 * Older ones beyond `keep` are removed afterwards. */
fv_status fv_run_checkpoint(fv_run *r, int64_t step, const fv_model *m, const fv_slot *slot, fv_dtype save, json_t *state, fv_error *err);
/* A model's folder that appears whole, in place of an older one; keep: which is moved aside (NAME.1). */
fv_status fv_run_save_model(const char *path, const fv_model *m, const fv_slot *slot, fv_dtype save, bool keep, fv_error *err);
/* The newest whole checkpoint: fills the slot, cuts the logs back, *state is the caller's. *step -1: there is none. */
fv_status fv_run_restore(fv_run *r, fv_slot *slot, int64_t *step, json_t **state, fv_error *err);
/* Path of a file in the folder, malloc'ed. */
char *fv_run_path(const fv_run *r, const char *name);

#endif
