/* What a judge is asked: a text file (recipes/judges/), filled in. Lines that begin with "#" before the first heading say where the words are from; then
 * [system] (may be left out) and [user], each followed by its text as it is. In it, {question}, {answer} (the right one) and {given} (what is judged) are replaced, and
 * {images} by the pictures of the question; other braces stay. */
#ifndef FV_RL_JUDGE_PROMPT_H
#define FV_RL_JUDGE_PROMPT_H

#include "core/json.h"

typedef struct {
    char *system, *user; /* owned; system NULL: none */
} fv_judge_prompt;

/* FV_BAD_RECIPE where the file is not of that form. */
fv_status fv_judge_prompt_read(fv_judge_prompt *out, const char *path, fv_error *err);
void fv_judge_prompt_clear(fv_judge_prompt *p);

typedef struct {
    const char *question, *answer, *given; /* NULL: "" */
    int images;                            /* pictures "#0", "#1", ... */
} fv_judge_values;

/* Messages (language/chat.h), the caller's; NULL: out of memory. Special tokens of chat formats are taken out of the values: nobody's answer may speak as somebody else. */
json_t *fv_judge_prompt_fill(const fv_judge_prompt *p, const fv_judge_values *values);

/* What a row asked: verl's extra_info.question, which has none of the recipe's words around it, else the text of the last user turn, else (rows of tokens, of responses) its
 * `problem` or `question`. */
void fv_judge_add_asked(fv_text *out, const json_t *row);

#endif
