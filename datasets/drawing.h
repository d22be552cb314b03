/* Trajectories with drawings for generated rows. What the agent says goes through the environment that the row names, so that a cold start has the very turns and
 * pictures that rollouts have. */
#ifndef FV_DATASETS_DRAWING_H
#define FV_DATASETS_DRAWING_H

#include "datasets/maker.h"
#include "tools/canvas.h"
#include "tools/sketch.h"

/* The row's env: calls as actions (tools/actions.h), boxes and lines in pixels of the view, told in few words. */
void fv_maker_draws(fv_maker *m, int max_turns);

/* A trajectory under way. */
typedef struct {
    fv_maker *m;
    fv_env *env;
    fv_episode *episode;
    fv_seen seen[FV_SKETCH_PICTURES];
    int seen_count; /* which is the newest picture's number, too */
    int turns, max_turns;
} fv_drawing;

/* Begins where the user's turn has been closed; does fv_maker_draws. On failure there is nothing to end. */
fv_status fv_drawing_begin(fv_drawing *d, fv_maker *m, int max_turns, fv_error *err);
/* A turn that draws with `tool` (the registry's name), and what comes back. items: a list, stolen. FV_LIMIT if the environment doesn't take it. */
fv_status fv_drawing_act(fv_drawing *d, const char *thought, const char *tool, json_t *items, fv_error *err);
void fv_drawing_answer(fv_drawing *d, const char *thought, const char *answer);
void fv_drawing_end(fv_drawing *d);

/* Items on the newest picture; points and boxes in pixels of the view, rounded. New references. */
json_t *fv_drawing_box(const fv_drawing *d, fv_box b, const char *label);
json_t *fv_drawing_line(const fv_drawing *d, fv_point from, fv_point to, const char *label);

#endif
