/* What protocols read a response and a row by. */
#ifndef FV_RL_PROTOCOLS_READING_H
#define FV_RL_PROTOCOLS_READING_H

#include "datasets/options.h"
#include "rl/evaluate/protocol.h"
#include "rl/text/python.h"

/* The answer as `exact` finds it (fv_answer_find). */
void fv_read_answer(fv_text *out, const char *response);

/* The last assistant turn without its end-of-turn token; all else as it is. */
void fv_read_turn(fv_text *out, const char *response);

/* The same as lmms-eval hands it to a task (lmms_eval/api/reasoning.py, its default tags): <think> and <analysis> blocks cut out, what stands before a closing tag
 * without an opening one dropped, white space about the rest too. */
void fv_read_lmms(fv_text *out, const char *response);

/* A row's options in order. */
typedef struct {
    int count;
    fv_span text[FV_OPTIONS]; /* as the row has them; text NULL: a letter that is left out */
    char numbers[FV_OPTIONS][32]; /* of options that are numbers: spans point into it, so that a value is not copied */
} fv_options;

/* Those that fv_options_find finds; none: count 0. */
void fv_options_read(fv_options *o, const json_t *row);

/* The letter A..Z that a text begins with where nothing or one of . ) : stands behind it ("B", "(B) red", "B.", "B: red"), and the rest; 0: there is none. */
char fv_leading_letter(fv_span s, fv_span *rest);

/* The text of an option without the letter that stands before it ("A. red", "(A) red", "A: red" as option A: "red"). */
fv_span fv_option_text(const fv_options *o, int i);

/* The option that an answer says: by a letter before anything else (fv_leading_letter), else by its text and nothing more, whatever the case, a last full stop aside; -1: none or several. */
int fv_option_said(const fv_options *o, fv_span answer);

/* The number of the option that row's `answer` (or `label`, `ground_truth`, `solution`'s <answer> pair) says: a letter, with or without something behind it ("B", "(B)", "B. red"),
 * an option's text, or a whole number from 0; -1: none. */
int fv_options_right(const fv_options *o, const json_t *row);

/* A text or a whole number as text, appended; false: there is none. */
bool fv_row_word(fv_text *out, const json_t *row, const char *field);

/* A string field as a span; text NULL: there is none. */
fv_span fv_row_span(const json_t *row, const char *field);

/* score, extracted and right at once, for rules that compare letters (0: none was found). */
void fv_mark_letter(fv_mark *m, char given, char right);

#endif
