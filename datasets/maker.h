/* What every generator is written with: its options, its randomness, and a row that grows turn by turn. */
#ifndef FV_DATASETS_MAKER_H
#define FV_DATASETS_MAKER_H

#include "core/random.h"
#include "datasets/generator.h"

#include <stdbool.h>

/* A row in the making. Lives on the generator's stack from fv_maker_begin to fv_maker_end. */
typedef struct {
    const fv_generator *generator;
    const fv_generator_how *how;
    fv_random random;       /* the row's own stream: a function of (seed, split, generator, number) */
    bool test;              /* split "test": only photographs that training never sees */
    int turns;              /* option turns: 0 as many as the task has, 1 a prompt without its answer */
    int view;               /* option view: the side in pixels of what the model sees; 0 where the task has no pictures */
    int asked, repeats;     /* questions so far; those that were asked before and left out */
    fv_row *row;
    json_t *messages, *content; /* content: parts of the user's turn that is being put together */
    char answer[512];
    const char *kind, *problem_type;
    int tolerance;
    bool failed;            /* memory ran out on the way; fv_maker_end says so */
} fv_maker;

/* Options in a generator's list are "NAME=DEFAULT" with blanks between: a number "size=448", a range "plates=4..6" of which each row draws
 * a value, or words "mode=rl|sft" of which the first is the default. Behind numbers stands what is allowed: "plates=4..6[1..8]".
 * Options are given as JSON: a number or a text that reads like the default ("3", "3..5", "sft"). Unknown names and values that are not
 * allowed are refused here, with the remedy, whichever row is asked for. On failure nothing is left to be freed. */
fv_status fv_maker_begin(fv_maker *m, const fv_generator *g, const fv_generator_how *how, int64_t index, fv_error *err);

/* Options by name, checked by begin. A range is drawn from: each call is a new draw. */
int fv_maker_int(fv_maker *m, const char *name);
double fv_maker_number(fv_maker *m, const char *name);
bool fv_maker_is(const fv_maker *m, const char *name, const char *word); /* an option of words */

static inline int fv_clamp_int(int x, int low, int high) { return x < low ? low : x > high ? high : x; }

/* ---- randomness in the words of a task ---- */
bool fv_maker_chance(fv_maker *m, double probability);
const char *fv_maker_pick(fv_maker *m, const char *const *phrases, int count);

/* ---- the conversation ---- */

/* Gives a picture to the row (NULL counts as out of memory) and returns its number k, for "#k". The row frees it. */
int fv_maker_picture(fv_maker *m, fv_image *im);
/* Adds to the user's turn picture k, seen at view x view pixels. */
void fv_maker_show(fv_maker *m, int k);
/* Adds a clip of pictures k .. k + count - 1, of view x view pixels themselves. It has no limits: min_pixels and max_pixels mean a frame to Qwen2.5-VL's
 * processor and all frames together to Qwen3-VL's, so that no number says the same to both. */
void fv_maker_show_clip(fv_maker *m, int k, int count);
/* Adds text to the user's turn. */
void fv_maker_say(fv_maker *m, const char *format, ...) FV_PRINTF(2, 3);
/* Whether the row wants one more question; natural: how many the task has by itself. False as well when only repetitions come. */
bool fv_maker_wants(const fv_maker *m, int natural);

/* How an answer is scored, beside "answer" in the row. */
typedef struct {
    const char *kind;         /* what is asked, for tables: "color-digit"; the row's category is "GENERATOR/KIND" */
    const char *problem_type; /* "free-form" (exact text), "numerical", "place" and "box" (each number within tolerance) */
    int tolerance;            /* pixels of the view */
} fv_asked;
/* Ends the user's turn with a question and adds the answer as the assistant's turn (but not with turns=1: there the row ends with the question). A
 * question that the row has already is left out. */
void fv_maker_ask(fv_maker *m, fv_asked asked, const char *question, const char *answer);
/* The same with the pieces apart, for rows of another form (trajectories): closes the user's turn; an assistant's turn; what is right. */
void fv_maker_close_turn(fv_maker *m);
void fv_maker_reply(fv_maker *m, const char *text);
void fv_maker_right(fv_maker *m, fv_asked asked, const char *answer);

/* The user's turn with which an environment answers a tool call: picture k, as tools/calls.h writes it. */
fv_status fv_maker_respond(fv_maker *m, int k, fv_error *err);

extern const char *const fv_maker_zoom_tool; /* "image_zoom_in_tool" */

/* The row's env: that tool, with boxes in pixels of the view, told in few words. */
void fv_maker_zooms(fv_maker *m);

/* Appends a zoom's call to `out`. box: a list of four numbers, stolen. Returns the call's arguments, the caller's. */
json_t *fv_maker_zoom(fv_maker *m, fv_text *out, json_t *box);

/* Any other field of the row. Steals value. */
void fv_maker_set(fv_maker *m, const char *field, json_t *value);

/* Finishes the row if status is FV_OK, else frees it and passes status on. */
fv_status fv_maker_end(fv_maker *m, fv_status status, fv_row **out, fv_error *err);

/* ---- the generators (datasets/generators/, one a file), in the order of the list ---- */
#define FV_GENERATOR_MAP(X)                                                                                                                 \
    X(visual_search) X(transcribe) X(describe) X(ask) X(locate) X(zoomed) X(count) X(relation) X(line) X(maze) X(dots) X(mark) X(chart) X(clip) \
    X(several) X(reason) X(words)
#define X(name) extern const fv_generator fv_generator_##name;
FV_GENERATOR_MAP(X)
#undef X

#endif
