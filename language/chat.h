/* Chat format: OpenAI/transformers messages to text with placeholders (HF facts 11). The known templates are written out in C, chosen by the
 * template's hash; an unknown one is named and the family's is used. */
#ifndef FV_LANGUAGE_CHAT_H
#define FV_LANGUAGE_CHAT_H

#include "core/error.h"
#include "core/json.h"
#include "language/config.h"

typedef struct fv_chat fv_chat;

/* Finds the folder's template: chat_template.jinja, else chat_template.json, else tokenizer_config.json. On FV_OK *out is the caller's. */
fv_status fv_chat_open(fv_chat **out, const char *folder, fv_family family, fv_error *err);
void fv_chat_close(fv_chat *c);
const char *fv_chat_note(const fv_chat *c); /* "" or a warning: "chat template differs from the known ones (hash ...)" */

/* Are thoughts of turns before the last question left out? So does Qwen3's format. */
bool fv_chat_forgets(const fv_chat *c);
/* What the format begins an answer with, after "<|im_start|>assistant\n": "", "<think>\n" (Thinking models), or Qwen3's empty thoughts where
 * `thinking` (of fv_chat_options) is off. Once the answer is an earlier turn, it is there no more. */
const char *fv_chat_opening(const fv_chat *c, int thinking);

typedef struct {
    const json_t *tools;        /* list of JSON schemas, or NULL */
    bool generation_prompt;     /* end with "<|im_start|>assistant\n" and the format's opening */
    bool no_opening;            /* without the latter */
    int thinking;               /* Qwen3's enable_thinking: 0 default, 1 on, -1 off */
} fv_chat_options;

/* What a conversation becomes: text whose spans say who wrote them, and its pictures and clips in order of appearance. */
typedef struct {
    size_t begin, end;          /* bytes of text */
    bool turn;                  /* an assistant's: after "<|im_start|>assistant\n" up to and with "<|im_end|>" */
    bool learn;                 /* loss_mask 1: such a turn, unless its weight is 0 */
} fv_chat_span;
typedef struct {
    char *text;                 /* with one <|image_pad|> or <|video_pad|> for each medium, owned */
    fv_chat_span *spans;        /* cover the text, ascending, owned */
    int span_count;
    const json_t **media;       /* the content parts (borrowed from messages), in order of placeholders, owned list */
    int media_count;
} fv_chat_text;

/* messages: a list of objects with `role`, `content` (a text or a list of parts), `tool_calls`, `reasoning_content`, `weight` (0 or 1; 0: an assistant's turn that is not learned,
 * as OpenAI's fine-tuning has it; null: it is not there). On FV_OK *out is the
 * caller's (fv_chat_text_clear); else it is {0} and err names the field: FV_BAD_DATA "messages[2].content must be a text, got 3". */
fv_status fv_chat_render(const fv_chat *c, const json_t *messages, const fv_chat_options *options, fv_chat_text *out, fv_error *err);
void fv_chat_text_clear(fv_chat_text *t);

#endif
