/* What a term reads of a response: its text without special tokens, and the turns of an episode. */
#ifndef FV_RL_REWARDS_READING_H
#define FV_RL_REWARDS_READING_H

#include "rl/part.h"
#include "rl/text/edit.h"

/* Appends the text without the special tokens of Qwen's tokenizers (decode(skip_special_tokens=True)); tags like <tool_call> are none of these. */
void fv_read_plain(fv_text *out, const char *text);

typedef struct {
    char **text;      /* owned */
    bool *assistant;  /* [count] who wrote it: the assistant, or the environment */
    int count;
} fv_turns;

/* The messages of an episode, from the assistant's first on: the row's `turns` (a list of messages) if it has them, else the response cut at <|im_start|> and
 * <|im_end|>, which begins with an assistant's text. Content that is a list counts as its texts. */
fv_status fv_turns_open(fv_turns *out, const fv_response *r, fv_error *err);
void fv_turns_close(fv_turns *t);

/* Appends what `which` names (the response, its last turn, or the second pass's answer), without special tokens, cleaned: none; dollars: without $; tags: without white space
 * around < > and /. *there: the response has it. */
#define FV_READ_LIMITS "text: [response, last_turn, description_response], clean: [none, dollars, tags]"
fv_status fv_read_text(fv_text *out, const char *which, const char *clean, const fv_response *r, bool *there, fv_error *err);

/* r->error: "responses.jsonl:3: accuracy needs `answer`". */
void fv_response_lacks(fv_response *r, const fv_use *u, const char *what);

/* The same of what a judge says: r->unjudged, and a judge may be asked. */
void fv_response_unjudged(fv_response *r, const fv_use *u, const char *what);

/* The row's `solution` as it is, else its answer; NULL if it has none. */
const char *fv_response_solution(const fv_response *r);
/* A text of the row by name, or NULL. */
const char *fv_response_field(const fv_response *r, const char *field);

#endif
