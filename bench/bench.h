/* The project's benches, as one list. A bench prints lines of what was measured beside a bar that was measured in the same run: a limit of the machine
 * (memory bandwidth, rate of fused multiply-adds), or the same work done in another way. `fovea bench` runs them; bench/matmul.c, which needs OpenBLAS, is a
 * program of its own. */
#ifndef FV_BENCH_BENCH_H
#define FV_BENCH_BENCH_H

#include "language/prompt.h"
#include "rl/engine/tree.h"

typedef struct {
    const char *model;  /* a Hugging Face folder; NULL: random weights of a preset that suits the bench */
    const char *video;  /* a file, for benches of videos */
    const char *device, *precision; /* NULL: "cpu", "f32" */
    int threads;        /* 0: all */
    int steps;          /* that are timed; 0: the bench's own number */
    uint64_t seed;
} fv_bench_options;

/* What a bench has to say. */
typedef struct {
    void (*line)(void *context, const char *what, double ours, double bar); /* of each figure: larger is better, both in the same unit */
    void *context;
    json_t *facts; /* {}: further figures for --json */
} fv_bench_out;

typedef struct {
    const char *name, *summary;
    bool of_video; /* needs a file */
    fv_status (*run)(const fv_bench_options *o, fv_bench_out *out, fv_error *err);
} fv_bench;
const fv_bench *fv_benches(int *count);
const fv_bench *fv_bench_find(const char *name); /* NULL: none of this name */

/* What a bench runs on: a model in a slot, threads, memory. */
typedef struct {
    fv_model *model;
    const fv_ops *ops;
    fv_pool *pool;
    fv_arena *scratch, *arena;
    fv_slot *slot;
} fv_bench_rig;
/* preset: of fv_model_init, where no model is given; train: the slot has masters and moments, else weights stay in the type of their file. */
fv_status fv_bench_open(fv_bench_rig *r, const fv_bench_options *o, const char *preset, bool train, fv_error *err);
void fv_bench_close(fv_bench_rig *r);

/* What is asked: a picture of 224 x 224 (the caller's) and a question about it. */
fv_status fv_bench_wants_tower(const fv_model *m, fv_error *err);
fv_status fv_bench_picture(fv_image **out, uint64_t seed, fv_error *err);
fv_status fv_bench_prompt(fv_prompt *out, const fv_model *m, fv_image *picture, fv_error *err);

/* Forward and backward of the paths to `leaves`, one log-prob as much worth as another; gradients are added to the slot's. rows (may be NULL): of the pass. */
fv_status fv_bench_learn(fv_bench_rig *r, const fv_tree *t, const int *leaves, int count, int64_t *rows, fv_error *err);

/* Multiply-adds of a token: through the decoder's matrices, and through the projection. */
double fv_bench_body(const fv_model *m);
double fv_bench_head(const fv_model *m);

/* Limits of the machine: bytes per second that the exec's threads read from 256 MB (a card: that it clears, or reads from two such, whichever is more), and operations
 * per second of the table's own matrix product at its best shape (on a processor operands stay in the first cache; a card is filled). */
double fv_bench_bandwidth(const fv_ops *ops, fv_exec exec);
double fv_bench_fma(const fv_ops *ops, fv_exec exec);

/* The list's. */
fv_status fv_bench_decode(const fv_bench_options *o, fv_bench_out *out, fv_error *err);
fv_status fv_bench_grpo(const fv_bench_options *o, fv_bench_out *out, fv_error *err);
fv_status fv_bench_sft(const fv_bench_options *o, fv_bench_out *out, fv_error *err);
fv_status fv_bench_tree(const fv_bench_options *o, fv_bench_out *out, fv_error *err);
fv_status fv_bench_video(const fv_bench_options *o, fv_bench_out *out, fv_error *err);

double fv_bench_median(double *values, int count); /* sorts them */

#endif
