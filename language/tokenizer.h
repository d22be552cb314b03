/* Byte-level BPE from tokenizer.json: added tokens are cut out first, then NFC, the file's regex (PCRE2), merges (HF facts 10). Gives the ids of
 * the `tokenizers` library (figures: docs/text.md). */
#ifndef FV_LANGUAGE_TOKENIZER_H
#define FV_LANGUAGE_TOKENIZER_H

#include "core/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct fv_tokenizer fv_tokenizer;

/* A growing list of ids, owned by the caller. Starts as {0}. */
typedef struct {
    int32_t *ids;
    int count, room;
} fv_ids;
fv_status fv_ids_add(fv_ids *l, int32_t id, fv_error *err);
void fv_ids_clear(fv_ids *l);

/* Opens a tokenizer.json. On FV_OK *out is the caller's; it is immutable. A broken file is FV_BAD_MODEL; a model, normalizer, pre-tokenizer or flag
 * that Qwen's files do not have is FV_UNSUPPORTED, named with its value. */
fv_status fv_tokenizer_open(fv_tokenizer **out, const char *path, fv_error *err);
void fv_tokenizer_close(fv_tokenizer *t);
int fv_tokenizer_size(const fv_tokenizer *t);                                   /* highest id + 1 */

/* Appends the ids of `text` (UTF-8; invalid bytes are encoded as U+FFFD and counted in *replaced where given). Thread-safe. */
fv_status fv_tokenizer_encode(const fv_tokenizer *t, const char *text, size_t length, fv_ids *out, int *replaced, fv_error *err);
/* The text of ids, special tokens kept unless skip_special; malloc'ed. Bytes that are no UTF-8 become U+FFFD. */
fv_status fv_tokenizer_decode(const fv_tokenizer *t, const int32_t *ids, int count, bool skip_special, char **out, fv_error *err);
int fv_tokenizer_id(const fv_tokenizer *t, const char *added);                  /* of an added token, or -1 */
const char *fv_tokenizer_bytes(const fv_tokenizer *t, int32_t id, size_t *length); /* a token's raw bytes; NULL if there is none */
bool fv_tokenizer_is_special(const fv_tokenizer *t, int32_t id);
bool fv_tokenizer_is_added(const fv_tokenizer *t, int32_t id);

#endif
