/* What an agent acts in (Gymnasium's names): reset gives the first observation, step answers a turn. Environments are told apart by name; the built-in
 * one, "tools", offers visual tools over the episode's pictures. An environment is shared by threads, an episode belongs to one at a time. */
#ifndef FV_TOOLS_ENV_H
#define FV_TOOLS_ENV_H

#include "core/json.h"
#include "tools/coords.h"
#include "vision/image.h"

/* What comes back: chat content parts ({"type": "text"} and {"type": "image", "image": "#k"}), where #k is images[k]. */
typedef struct {
    json_t *content;     /* list, owned; NULL: nothing to say */
    fv_image **images;   /* owned */
    int image_count;
} fv_observation;
void fv_observation_clear(fv_observation *o);

/* A picture that the agent has seen so far, in order of appearance; index 1 is the first. */
typedef struct {
    const fv_image *image;
    fv_frame_size size;
} fv_seen;

/* What a step did, for rewards, metrics and reports. */
typedef struct {
    int calls, failures;         /* tool calls in the turn; those that got an error observation */
    char tool[64];               /* of the last call, "" if none */
    int picture;                 /* which picture it acted on (1-based), 0: none */
    fv_box box;                  /* in picture space, of a tool that cuts out what it looks at */
    bool has_box;
    char error[256];             /* "" or what was wrong */
    bool terminated, truncated;  /* the task is over; a limit was met */
} fv_step;

typedef struct fv_env fv_env;
typedef struct fv_episode fv_episode;

/* The fields of a recipe's or a row's `env`, for help and docs/recipe.md. */
typedef struct {
    const char *name, *fallback, *help;
} fv_env_field;
const fv_env_field *fv_env_fields(int *count);

/* config: an object with fields of that table; unknown ones and wrong values are FV_BAD_RECIPE ("env.max_turns must be ...").
 * factor: what the processor rounds sides to (patch * merge). *out may be shared by threads. */
fv_status fv_env_open(fv_env **out, const json_t *config, int factor, fv_error *err);
void fv_env_close(fv_env *e);
int fv_env_max_turns(const fv_env *e);

/* Whether the messages tell the size of the first picture. */
bool fv_env_tells_size(const fv_env *e);
/* The row's messages with what the environment has to say: the description of the tools at the end of the system text (which is made if there
 * is none), the hint at the end of the last user turn before the first assistant turn. Messages whose system text names all tools have been told, and stay as they
 * are. "vilasr" gives all of the system text and the form of the question, and leaves any messages with a system text as they are. row: the fields beside the messages, NULL: there are none. first: the first picture's size,
 * where fv_env_tells_size; NULL: it is not told. A new list; `messages` stays as it is. */
fv_status fv_env_messages(const fv_env *e, const json_t *messages, const json_t *row, const fv_frame_size *first, json_t **out, fv_error *err);

fv_status fv_env_reset(const fv_env *e, const json_t *row, uint64_t seed, fv_episode **out, fv_error *err);
/* Answers the policy's turn (text as decoded, special tokens kept, end-of-turn token stripped). An answer (a pair of <answer> tags that is not blank)
 * or a turn without a call ends the episode: terminated. With max_turns used up: truncated. Otherwise the observation is content parts
 * "<tool_response>", a picture, "</tool_response>"; a bad call is an observation that begins with "Error: ", not an error. To an action the observation is each
 * drawn picture and its number; a part's "picture" is the one that it was made from. An episode that goes no further has no observation.
 * seen: all pictures so far, also those of earlier observations; of a clip each frame. *observation and *step are filled anew; the former is the caller's. */
fv_status fv_env_step(fv_episode *ep, const char *turn, const fv_seen *seen, int seen_count, fv_observation *observation, fv_step *step, fv_error *err);
void fv_episode_close(fv_episode *ep);

#endif
