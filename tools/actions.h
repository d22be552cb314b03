/* Turns as ViLaSR's agents write them (arXiv 2506.09965; AntResearchNLP/ViLaSR 61669c0): "<think>..</think> Action: NAME", a fenced list of what is drawn where, and
 * at last "Action: Answer" with an <answer> pair. And what they are told: the picture that a drawing made, its number and its size. */
#ifndef FV_TOOLS_ACTIONS_H
#define FV_TOOLS_ACTIONS_H

#include "tools/calls.h"
#include "tools/canvas.h"
#include "tools/registry.h"

/* A tool under the name that it has in this format. */
typedef struct {
    const char *name;    /* "Object Mapper" */
    const char *tool;    /* the registry's: "image_draw_boxes_tool" */
    const char *purpose; /* one sentence for the model */
    const char *example; /* an item */
} fv_action;
const fv_action *fv_action_of(const fv_tool *t); /* NULL: the tool is not offered in this format */

/* Both tags of an answer stand in the turn: the episode is over (the release's rule). */
bool fv_action_answers(const char *turn);
/* A fenced list (a line "```json") begins in the turn. */
bool fv_action_calls(const char *turn);
/* The items of all fenced lists of the turn, read as Python reads them; a list ends at the next fence, else at </think>, else with the turn. Lists that
 * can't be read are passed over. *out is the caller's; FV_TOOL if the turn is too long. */
fv_status fv_action_items(json_t **out, const char *turn, fv_error *err);

/* Appends "Action: Object Mapper", a line break, and a fenced list: "[{...}]"; NULL: one with the example. */
void fv_action_write(fv_text *out, const fv_action *a, const char *list);

/* Appends to an observation picture k of it ("#k"), which was made from picture `from` and has `number`, of width x height as the model counts. Of several
 * the last one says how to go on; last_call: it says that the answer must come. */
typedef struct {
    int k, from, number, width, height;
    bool only, last, last_call; /* the only picture of the observation; its last one */
} fv_action_picture;
fv_status fv_action_show(json_t *content, const fv_action_picture *p, fv_error *err);

/* A question's content in the form of the release (verl/utils/dataset_multimodal.py): pictures, a heading, the text, and what kind of answer is wanted by the row's
 * problem_type or question_type (row may be NULL). Of several pictures each is followed by its number, and its size where corner is known (the first picture's
 * lower right one in the model's coordinates; they are taken to be alike); of one the number follows the text; clips are not numbered. A new
 * reference; NULL when out of memory. */
json_t *fv_action_question(const json_t *content, const json_t *row, const fv_point *corner);

/* The line after the question. */
extern const char fv_action_hint[];

#endif
