/* Tool calls as models write them, and what comes back: <tool_call>{"name": ..., "arguments": {...}}</tool_call> (the form of Hermes, Qwen and
 * DeepEyes), <answer>...</answer>, <tool_response>...</tool_response>. Reading never fails on the caller: whatever a model writes becomes a
 * call or a text that says what was wrong with it (FV_TOOL). */
#ifndef FV_TOOLS_CALLS_H
#define FV_TOOLS_CALLS_H

#include "core/json.h"

/* A piece of somebody else's text; not NUL-terminated. */
typedef struct {
    const char *text;
    size_t size;
} fv_span;

/* The inside of the first complete `open`...`close` pair at or after *cursor, which then moves behind the pair. False, with *cursor untouched, if
 * there is none. Pairs do not nest: from the first opening to the first closing after it, as the regular expression open(.*?)close finds. */
bool fv_pair_next(fv_span *out, const char **cursor, const char *open, const char *close);

/* The line at *at without its break (those of Python's splitlines that models write: \n, \r\n, \r, \v, \f); *at moves behind it. */
fv_span fv_line_next(const char **at);

/* True if the last <answer> pair of the turn has anything but blanks in it; *answer (may be NULL) is its inside. */
bool fv_turn_answer(fv_span *answer, const char *turn);

typedef struct {
    char name[64];
    json_t *arguments; /* an object, owned */
} fv_call;
void fv_call_clear(fv_call *c);

/* Reads the inside of a <tool_call> pair: strict JSON, an object with a "name" and "arguments" as an object or as a string that holds one.
 * FV_TOOL with a text for the model otherwise. */
fv_status fv_call_parse(fv_call *out, fv_span body, fv_error *err);

/* Appends <tool_call>\n{"name": ..., "arguments": ...}\n</tool_call>, as the models' templates write it. */
void fv_call_write(fv_text *out, const char *name, const json_t *arguments);

/* Appends an observation to a list of content parts: "<tool_response>", the picture if `image` ("#1", a path), `text` if any, "</tool_response>".
 * Environments answer with it, and generators write cold-start trajectories with it, so that both are the same tokens. */
fv_status fv_response_add(json_t *content, const char *image, const char *text, fv_error *err);

/* Appends text that may quote a model: cut to `most` bytes, angle brackets as round ones, so that no quoted tag or special token takes effect. */
void fv_quote_add(fv_text *out, const char *text, size_t most);

#endif
