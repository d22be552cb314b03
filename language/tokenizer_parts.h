/* The parts of a tokenizer, shared by the files that read (tokenizer_json.c) and use it (tokenizer.c). */
#ifndef FV_LANGUAGE_TOKENIZER_PARTS_H
#define FV_LANGUAGE_TOKENIZER_PARTS_H

#define PCRE2_CODE_UNIT_WIDTH 8
#include "core/json.h"
#include "language/bpe.h"

#include <pcre2.h>

enum { FV_TOKEN_ADDED = 1, FV_TOKEN_SPECIAL = 2 };

typedef struct {
    uint32_t start; /* in bytes */
    int32_t length; /* -1: no token has this id */
    uint8_t flags;
} fv_token;

/* Added tokens that are looked for in the same text: as given (`normalized` false), or after NFC. */
typedef struct {
    int32_t *ids; /* longest first */
    int count;
    bool first[256]; /* bytes that some token begins with */
} fv_added;

struct fv_tokenizer {
    int size;
    fv_token *tokens; /* [size] */
    uint8_t *bytes;   /* of all tokens, one after the other */
    size_t used, room;
    int32_t byte_id[256];
    fv_merges merges;
    bool nfc;
    pcre2_code *regex;
    fv_added plain, normalized;
};

/* Fills an all-zero *t from a parsed tokenizer.json; on failure it is left half filled, for fv_tokenizer_close. */
fv_status fv_tokenizer_of(fv_tokenizer *t, fv_json_at file, fv_error *err);

#endif
