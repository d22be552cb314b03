/* Writing a conversation: the text with its spans and media, and the few things that all formats share. Complaints name the field
 * ("messages[2].content must be a text, got 3"), status FV_BAD_DATA. The first one is kept; what follows does nothing. */
#ifndef FV_LANGUAGE_CHAT_PARTS_H
#define FV_LANGUAGE_CHAT_PARTS_H

#include "language/chat.h"

typedef struct {
    const json_t *messages;
    const fv_chat_options *options;
    fv_text text;
    fv_chat_text *out; /* spans and media */
    bool learn;        /* what is being written is an assistant's */
    fv_status status;
    fv_error *err;
} fv_chat_writer;

/* A format writes all messages; the caller has checked that there is at least one, that each is an object with a role, and takes the
 * text afterwards. */
typedef void fv_chat_format(fv_chat_writer *w);
extern fv_chat_format fv_chat_write_vl;             /* Qwen2-VL, Qwen2.5-VL */
extern fv_chat_format fv_chat_write_qwen2_5;
extern fv_chat_format fv_chat_write_qwen3;
extern fv_chat_format fv_chat_write_qwen3_instruct; /* without thoughts: Qwen3-Instruct-2507 */
extern fv_chat_format fv_chat_write_qwen3_vl;
extern fv_chat_format fv_chat_write_qwen3_vl_thinking;

void fv_chat_add(fv_chat_writer *w, const char *text);
void fv_chat_add_bytes(fv_chat_writer *w, const char *text, size_t size);
void fv_chat_add_json(fv_chat_writer *w, const json_t *value); /* as the templates' tojson */
void fv_chat_begin_learning(fv_chat_writer *w);
void fv_chat_end_learning(fv_chat_writer *w);

/* FV_BAD_DATA: "messages[I]FIELD RULE, got VALUE"; field "" or ".content". */
void fv_chat_complain(fv_chat_writer *w, size_t message, const char *field, const char *rule, const json_t *value);

/* A field of message i; NULL where it is missing or null (transformers drops nulls before a template sees them). */
const json_t *fv_chat_field(const fv_chat_writer *w, size_t i, const char *key);
bool fv_chat_is_role(const fv_chat_writer *w, size_t i, const char *role); /* false past the end */

/* A list of content parts: texts, and placeholders with their parts noted as media; `media` false leaves pictures and clips out. */
void fv_chat_add_parts(fv_chat_writer *w, size_t i, const json_t *parts, bool media);

#endif
