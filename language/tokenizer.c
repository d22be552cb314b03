#include "language/tokenizer_parts.h"

#include "language/unicode.h"

#include <stdlib.h>
#include <string.h>

enum { LONGEST_TEXT = 1 << 28 };

/* ---- lists of ids ------------------------------------------------------------------------------------------------- */

fv_status fv_ids_add(fv_ids *l, int32_t id, fv_error *err) {
    if (l->count == l->room) {
        int room = l->room ? l->room * 2 : 64;
        int32_t *grown = l->room <= (1 << 29) ? realloc(l->ids, (size_t)room * sizeof *grown) : NULL;
        if (grown == NULL) return fv_fail(err, FV_NO_MEMORY, "no memory for %d token ids", room);
        l->ids = grown, l->room = room;
    }
    l->ids[l->count++] = id;
    return FV_OK;
}

void fv_ids_clear(fv_ids *l) {
    free(l->ids);
    *l = (fv_ids){0};
}

/* ---- opening ------------------------------------------------------------------------------------------------------ */

fv_status fv_tokenizer_open(fv_tokenizer **out, const char *path, fv_error *err) {
    *out = NULL;
    json_t *json;
    FV_TRY(fv_json_read(&json, path, FV_BAD_MODEL, err));
    fv_tokenizer *t = calloc(1, sizeof *t);
    fv_status status = t != NULL ? fv_tokenizer_of(t, (fv_json_at){.root = json, .place = path, .status = FV_BAD_MODEL}, err)
                                 : fv_fail(err, FV_NO_MEMORY, "%s: no memory for a tokenizer", path);
    json_decref(json);
    if (status == FV_OK) *out = t;
    else fv_tokenizer_close(t);
    return status;
}

void fv_tokenizer_close(fv_tokenizer *t) {
    if (t == NULL) return;
    pcre2_code_free(t->regex);
    fv_merges_free(&t->merges);
    free(t->plain.ids);
    free(t->normalized.ids);
    free(t->tokens);
    free(t->bytes);
    free(t);
}

/* ---- facts about tokens ------------------------------------------------------------------------------------------- */

int fv_tokenizer_size(const fv_tokenizer *t) {
    return t->size;
}

static const fv_token *token_at(const fv_tokenizer *t, int32_t id) {
    return id >= 0 && id < t->size && t->tokens[id].length >= 0 ? &t->tokens[id] : NULL;
}

const char *fv_tokenizer_bytes(const fv_tokenizer *t, int32_t id, size_t *length) {
    const fv_token *token = token_at(t, id);
    *length = token != NULL ? (size_t)token->length : 0;
    return token != NULL ? (const char *)t->bytes + token->start : NULL;
}

bool fv_tokenizer_is_special(const fv_tokenizer *t, int32_t id) {
    const fv_token *token = token_at(t, id);
    return token != NULL && (token->flags & FV_TOKEN_SPECIAL) != 0;
}

bool fv_tokenizer_is_added(const fv_tokenizer *t, int32_t id) {
    const fv_token *token = token_at(t, id);
    return token != NULL && (token->flags & FV_TOKEN_ADDED) != 0;
}

static int32_t id_in(const fv_tokenizer *t, const fv_added *list, const char *text, size_t length) {
    for (int i = 0; i < list->count; i++) {
        const fv_token *token = &t->tokens[list->ids[i]];
        if ((size_t)token->length == length && memcmp(t->bytes + token->start, text, length) == 0) return list->ids[i];
    }
    return -1;
}

int fv_tokenizer_id(const fv_tokenizer *t, const char *added) {
    int32_t id = id_in(t, &t->plain, added, strlen(added));
    return id >= 0 ? id : id_in(t, &t->normalized, added, strlen(added));
}

/* ---- encoding ----------------------------------------------------------------------------------------------------- */

typedef struct {
    const fv_tokenizer *t;
    fv_ids *out;
    fv_bpe_work bpe;
    pcre2_match_data *match;
    fv_error *err;
} fv_encoding;

/* The longest added token at s, or -1. */
static int32_t added_at(const fv_tokenizer *t, const fv_added *list, const char *s, size_t size) {
    if (!list->first[(uint8_t)s[0]]) return -1;
    for (int i = 0; i < list->count; i++) {
        const fv_token *token = &t->tokens[list->ids[i]];
        if ((size_t)token->length <= size && memcmp(s, t->bytes + token->start, (size_t)token->length) == 0) return list->ids[i];
    }
    return -1;
}

static fv_status encode_word(fv_encoding *e, const char *s, size_t size) {
    return fv_bpe_word(&e->t->merges, e->t->byte_id, (const uint8_t *)s, size, &e->bpe, e->out, e->err);
}

/* Matches are words, and so is what lies between them ("isolated"). */
static fv_status encode_words(fv_encoding *e, const char *s, size_t size) {
    size_t done = 0, from = 0;
    while (from < size) {
        int found = pcre2_match(e->t->regex, (PCRE2_SPTR)s, size, from, PCRE2_NO_UTF_CHECK, e->match, NULL);
        if (found == PCRE2_ERROR_NOMATCH) break;
        if (found < 0) return fv_fail(e->err, FV_LIMIT, "the tokenizer's expression gave up on a text of %zu bytes (PCRE2 error %d)", size, found);
        const size_t *span = pcre2_get_ovector_pointer(e->match);
        size_t begin = span[0], end = span[1];
        if (begin < done || end < begin) return fv_fail(e->err, FV_BAD_MODEL, "the tokenizer's expression must not match backwards");
        if (begin > done) FV_TRY(encode_word(e, s + done, begin - done));
        if (end > begin) FV_TRY(encode_word(e, s + begin, end - begin));
        done = end;
        from = end;
        if (end == begin && from < size) from += (size_t)fv_utf8_length(s + from, size - from); /* an empty match moves on */
    }
    return done < size ? encode_word(e, s + done, size - done) : FV_OK;
}

typedef fv_status fv_encode_rest(fv_encoding *e, const char *s, size_t size);

static fv_status cut_added(fv_encoding *e, const fv_added *list, const char *s, size_t size, fv_encode_rest *rest) {
    size_t done = 0;
    if (list->count > 0) {
        for (size_t i = 0; i < size; i++) {
            int32_t id = added_at(e->t, list, s + i, size - i);
            if (id < 0) continue;
            if (i > done) FV_TRY(rest(e, s + done, i - done));
            FV_TRY(fv_ids_add(e->out, id, e->err));
            done = i + (size_t)e->t->tokens[id].length;
            i = done - 1;
        }
    }
    return done < size ? rest(e, s + done, size - done) : FV_OK;
}

static fv_status encode_normalized(fv_encoding *e, const char *s, size_t size) {
    return cut_added(e, &e->t->normalized, s, size, encode_words);
}

static bool is_ascii(const char *s, size_t size) {
    for (size_t i = 0; i < size; i++)
        if ((uint8_t)s[i] >= 0x80) return false;
    return true;
}

/* NFC leaves ASCII alone. */
static fv_status encode_plain(fv_encoding *e, const char *s, size_t size) {
    if (!e->t->nfc || is_ascii(s, size)) return encode_normalized(e, s, size);
    fv_text composed = {0};
    fv_nfc(&composed, s, size);
    fv_status status = composed.failed ? fv_fail(e->err, FV_NO_MEMORY, "no memory to normalise a text of %zu bytes", size)
                                       : encode_normalized(e, composed.data, composed.size);
    fv_text_clear(&composed);
    return status;
}

fv_status fv_tokenizer_encode(const fv_tokenizer *t, const char *text, size_t length, fv_ids *out, int *replaced, fv_error *err) {
    if (replaced != NULL) *replaced = 0;
    if (length > LONGEST_TEXT) return fv_fail(err, FV_LIMIT, "a text must have at most %d bytes, has %zu", LONGEST_TEXT, length);
    fv_encoding e = {.t = t, .out = out, .err = err, .match = pcre2_match_data_create(1, NULL)};
    fv_text repaired = {0};
    fv_status status = FV_OK;
    if (fv_utf8_valid(text, length) != length) {
        int n = fv_utf8_repair(&repaired, text, length);
        if (replaced != NULL) *replaced = n;
        text = repaired.data, length = repaired.size;
    }
    if (e.match == NULL || repaired.failed) status = fv_fail(err, FV_NO_MEMORY, "no memory to tokenise a text of %zu bytes", length);
    if (status == FV_OK && length > 0) status = cut_added(&e, &t->plain, text, length, encode_plain);
    fv_text_clear(&repaired);
    pcre2_match_data_free(e.match);
    fv_bpe_work_free(&e.bpe);
    return status;
}

/* ---- decoding ----------------------------------------------------------------------------------------------------- */

fv_status fv_tokenizer_decode(const fv_tokenizer *t, const int32_t *ids, int count, bool skip_special, char **out, fv_error *err) {
    *out = NULL;
    fv_text raw = {0}, text = {0};
    for (int i = 0; i < count; i++) {
        size_t length;
        const char *bytes = fv_tokenizer_bytes(t, ids[i], &length);
        if (bytes != NULL && !(skip_special && fv_tokenizer_is_special(t, ids[i]))) fv_text_bytes(&raw, bytes, length);
    }
    if (raw.data != NULL) fv_utf8_repair(&text, raw.data, raw.size);
    if (raw.failed) text.failed = true;
    fv_text_clear(&raw);
    return fv_text_take(&text, out, NULL, err);
}
