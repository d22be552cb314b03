/* tokenizer.json of the `tokenizers` library, as far as Qwen's files go: everything else is refused by name. */
#include "language/tokenizer_parts.h"

#include "language/unicode.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_IDS = 1 << 22, LONGEST_PATTERN = 1 << 16, ALPHABET = 256 + 68 };

static fv_status unsupported(fv_json_at at, const char *field, const char *rule, fv_error *err) {
    at.status = FV_UNSUPPORTED;
    return fv_json_wrong(at, field, rule, err);
}

static bool is_type(const json_t *object, const char *type) {
    const char *name = json_string_value(json_object_get(object, "type"));
    return name != NULL && strcmp(name, type) == 0;
}

/* ---- bytes and the characters that stand for them ------------------------------------------------------------------ */

/* GPT-2's alphabet: printable bytes of Latin-1 stand for themselves, the 68 others for U+0100 and on, in order. */
static void make_alphabet(int16_t byte_of[ALPHABET]) {
    int next = 256;
    for (int c = 0; c < ALPHABET; c++) byte_of[c] = -1;
    for (int b = 0; b < 256; b++) {
        bool printable = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
        byte_of[printable ? b : next++] = (int16_t)b;
    }
}

/* The bytes that a token's text stands for; false if it has characters outside of the alphabet. out has room for the text. */
static bool to_bytes(const int16_t byte_of[ALPHABET], const char *text, size_t size, uint8_t *out, size_t *length) {
    *length = 0;
    for (size_t i = 0; i < size;) {
        int n = fv_utf8_length(text + i, size - i);
        const uint8_t *s = (const uint8_t *)text + i;
        int c = n == 1 ? s[0] : n == 2 ? (s[0] & 31) << 6 | (s[1] & 63) : ALPHABET;
        if (c >= ALPHABET || byte_of[c] < 0) return false;
        out[(*length)++] = (uint8_t)byte_of[c];
        i += (size_t)n;
    }
    return true;
}

/* ---- tokens ------------------------------------------------------------------------------------------------------- */

static fv_status set_token(fv_tokenizer *t, int32_t id, const void *bytes, size_t length, int flags, fv_error *err) {
    if (t->bytes == NULL || t->used + length > t->room) { /* also for a first token of no bytes */
        size_t room = (t->used + length) * 2 + 4096;
        uint8_t *grown = room < UINT32_MAX ? realloc(t->bytes, room) : NULL;
        if (grown == NULL) return fv_fail(err, FV_NO_MEMORY, "no memory for the vocabulary");
        t->bytes = grown, t->room = room;
    }
    memcpy(t->bytes + t->used, bytes, length);
    t->tokens[id] = (fv_token){.start = (uint32_t)t->used, .length = (int32_t)length, .flags = (uint8_t)flags};
    t->used += length;
    return FV_OK;
}

static fv_status find_size(fv_tokenizer *t, fv_json_at file, json_t *vocab, json_t *added, fv_error *err) {
    int64_t highest = -1;
    const char *key;
    json_t *id;
    json_object_foreach(vocab, key, id) {
        if (!json_is_integer(id) || json_integer_value(id) < 0 || json_integer_value(id) >= MOST_IDS)
            return fv_fail(err, FV_BAD_MODEL, "%s: model.vocab: the id of \"%s\" must be 0..%d", file.place, key, MOST_IDS - 1);
        if (json_integer_value(id) > highest) highest = json_integer_value(id);
    }
    for (size_t i = 0; i < json_array_size(added); i++) {
        int64_t value;
        fv_json_at at = {.root = json_array_get(added, i), .place = file.place, .status = FV_BAD_MODEL};
        if (!json_is_object(at.root)) return fv_fail(err, FV_BAD_MODEL, "%s: added_tokens[%zu] must be an object", file.place, i);
        FV_TRY(fv_json_int(at, "id", 0, MOST_IDS - 1, &value, err));
        if (value > highest) highest = value;
    }
    t->size = (int)(highest + 1);
    t->tokens = malloc((size_t)(t->size ? t->size : 1) * sizeof *t->tokens);
    if (t->tokens == NULL) return fv_fail(err, FV_NO_MEMORY, "%s: no memory for %d tokens", file.place, t->size);
    for (int i = 0; i < t->size; i++) t->tokens[i] = (fv_token){.length = -1};
    return FV_OK;
}

static fv_status read_vocabulary(fv_tokenizer *t, fv_json_at file, json_t *vocab, fv_error *err) {
    int16_t byte_of[ALPHABET];
    make_alphabet(byte_of);
    for (int b = 0; b < 256; b++) t->byte_id[b] = -1;
    const char *key;
    json_t *value;
    json_object_foreach(vocab, key, value) {
        int32_t id = (int32_t)json_integer_value(value);
        size_t size = strlen(key), length;
        if (t->tokens[id].length >= 0) return fv_fail(err, FV_BAD_MODEL, "%s: model.vocab: \"%s\" has id %d, as another token has", file.place, key, id);
        uint8_t *bytes = malloc(size + 1);
        if (bytes == NULL) return fv_fail(err, FV_NO_MEMORY, "%s: no memory for a token of %zu bytes", file.place, size);
        bool spelled = to_bytes(byte_of, key, size, bytes, &length);
        fv_status status = spelled ? set_token(t, id, bytes, length, 0, err) : set_token(t, id, key, size, 0, err);
        if (spelled && length == 1) t->byte_id[bytes[0]] = id;
        free(bytes);
        FV_TRY(status);
    }
    for (int b = 0; b < 256; b++)
        if (t->byte_id[b] < 0) return fv_fail(err, FV_UNSUPPORTED, "%s: model.vocab must have a token for every byte, lacks 0x%02x", file.place, (unsigned)b);
    return FV_OK;
}

static int by_length(const void *a, const void *b, void *context) {
    const fv_tokenizer *t = context;
    const int32_t *x = a, *y = b;
    int32_t lx = t->tokens[*x].length, ly = t->tokens[*y].length;
    return lx != ly ? (lx < ly) - (lx > ly) : (*x > *y) - (*x < *y);
}

static fv_status read_added_token(fv_tokenizer *t, fv_json_at at, fv_error *err) {
    const char *content;
    int64_t id;
    bool special, normalized, off;
    FV_TRY(fv_json_text(at, "content", &content, err));
    FV_TRY(fv_json_int(at, "id", 0, MOST_IDS - 1, &id, err));
    FV_TRY(fv_json_bool_or(at, "special", false, &special, err));
    FV_TRY(fv_json_bool_or(at, "normalized", !special, &normalized, err));
    static const char *const flags[] = {"single_word", "lstrip", "rstrip"};
    for (size_t i = 0; i < FV_COUNT(flags); i++) {
        FV_TRY(fv_json_bool_or(at, flags[i], false, &off, err));
        if (off) return unsupported(at, flags[i], "must be false", err);
    }
    if (content[0] == '\0') return fv_json_wrong(at, "content", "must not be empty", err);
    FV_TRY(set_token(t, (int32_t)id, content, strlen(content), FV_TOKEN_ADDED | (special ? FV_TOKEN_SPECIAL : 0), err));
    fv_added *list = normalized && t->nfc ? &t->normalized : &t->plain;
    list->ids[list->count++] = (int32_t)id;
    list->first[(uint8_t)content[0]] = true;
    return FV_OK;
}

static fv_status read_added(fv_tokenizer *t, fv_json_at file, json_t *added, fv_error *err) {
    size_t n = json_array_size(added);
    t->plain.ids = calloc(n + 1, sizeof *t->plain.ids);
    t->normalized.ids = calloc(n + 1, sizeof *t->normalized.ids);
    if (t->plain.ids == NULL || t->normalized.ids == NULL) return fv_fail(err, FV_NO_MEMORY, "%s: no memory for %zu added tokens", file.place, n);
    for (size_t i = 0; i < n; i++)
        FV_TRY(read_added_token(t, (fv_json_at){.root = json_array_get(added, i), .place = file.place, .status = FV_BAD_MODEL}, err));
    qsort_r(t->plain.ids, (size_t)t->plain.count, sizeof(int32_t), by_length, t);
    qsort_r(t->normalized.ids, (size_t)t->normalized.count, sizeof(int32_t), by_length, t);
    return FV_OK;
}

/* ---- merges ------------------------------------------------------------------------------------------------------- */

static int32_t id_of(const json_t *vocab, const char *text, size_t size) {
    const json_t *id = json_object_getn(vocab, text, size);
    return id != NULL ? (int32_t)json_integer_value(id) : -1;
}

/* "a b" or ["a", "b"]. A merge's result is the token spelled by both. */
static fv_status read_merge(fv_tokenizer *t, fv_json_at file, const json_t *vocab, const json_t *merge, int rank, fv_text *both, fv_error *err) {
    const char *left = NULL, *right = NULL;
    size_t left_size = 0;
    if (json_is_string(merge)) {
        left = json_string_value(merge);
        const char *space = strchr(left, ' ');
        if (space != NULL) left_size = (size_t)(space - left), right = space + 1;
    } else if (json_array_size(merge) == 2) {
        left = json_string_value(json_array_get(merge, 0)), right = json_string_value(json_array_get(merge, 1));
        if (left != NULL) left_size = strlen(left);
    }
    if (left == NULL || right == NULL) return fv_fail(err, FV_BAD_MODEL, "%s: model.merges[%d] must be \"a b\" or [\"a\", \"b\"]", file.place, rank);
    fv_text_rewind(both);
    fv_text_bytes(both, left, left_size);
    fv_text_add(both, right);
    if (both->failed) return fv_fail(err, FV_NO_MEMORY, "%s: no memory for merges", file.place);
    int32_t a = id_of(vocab, left, left_size), b = id_of(vocab, right, strlen(right)), ab = id_of(vocab, both->data ? both->data : "", both->size);
    if (a < 0 || b < 0 || ab < 0)
        return fv_fail(err, FV_BAD_MODEL, "%s: model.merges[%d]: \"%.*s\", \"%s\" and both together must be in model.vocab", file.place, rank, (int)left_size,
                       left, right);
    fv_merges_put(&t->merges, a, b, rank, ab);
    return FV_OK;
}

static fv_status read_merges(fv_tokenizer *t, fv_json_at file, const json_t *vocab, const json_t *merges, fv_error *err) {
    size_t n = json_array_size(merges);
    FV_TRY(fv_merges_new(&t->merges, n, err));
    fv_text both = {0};
    fv_status status = FV_OK;
    for (size_t i = 0; i < n && status == FV_OK; i++) status = read_merge(t, file, vocab, json_array_get(merges, i), (int)i, &both, err);
    fv_text_clear(&both);
    return status;
}

/* ---- the way of a text to words ----------------------------------------------------------------------------------- */

static fv_status check_model(fv_json_at file, fv_error *err) {
    if (!is_type(fv_json_find(file.root, "model"), "BPE")) return unsupported(file, "model.type", "must be BPE", err);
    static const char *const empty[] = {"model.continuing_subword_prefix", "model.end_of_word_suffix"}; /* unk_token: every byte is known */
    for (size_t i = 0; i < FV_COUNT(empty); i++) {
        const char *text;
        FV_TRY(fv_json_text_or(file, empty[i], "", &text, err));
        if (text[0] != '\0') return unsupported(file, empty[i], "must be empty", err);
    }
    static const char *const off[] = {"model.byte_fallback", "model.ignore_merges"};
    for (size_t i = 0; i < FV_COUNT(off); i++) {
        bool on;
        FV_TRY(fv_json_bool_or(file, off[i], false, &on, err));
        if (on) return unsupported(file, off[i], "must be false", err);
    }
    double dropout;
    FV_TRY(fv_json_num_or(file, "model.dropout", 0, &dropout, err));
    return dropout == 0 ? FV_OK : unsupported(file, "model.dropout", "must be 0", err);
}

static fv_status read_normalizer(fv_tokenizer *t, fv_json_at file, fv_error *err) {
    const json_t *normalizer = fv_json_find(file.root, "normalizer");
    if (is_type(normalizer, "Sequence") && json_array_size(json_object_get(normalizer, "normalizers")) == 1)
        normalizer = json_array_get(json_object_get(normalizer, "normalizers"), 0);
    t->nfc = is_type(normalizer, "NFC");
    return normalizer == NULL || t->nfc ? FV_OK : unsupported(file, "normalizer", "must be NFC or null", err);
}

/* The byte-level step renames bytes and nothing else: no space put in front, no expression of its own. */
static bool only_renames(const json_t *step) {
    return is_type(step, "ByteLevel") && !json_is_true(json_object_get(step, "add_prefix_space")) && json_is_false(json_object_get(step, "use_regex"));
}

/* A category with what newer versions of Unicode added to it. */
static void add_category(fv_text *out, char category, bool in_class) {
    fv_text_printf(out, in_class ? "\\p{%c}%s" : "[\\p{%c}%s]", category, fv_unicode_added(category));
}

/* The expressions of `tokenizers` in PCRE2's words: \s is the property White_Space (PCRE2's has U+180E as well, which is no space any more), and categories
 * are those of a newer Unicode. */
static void translate_pattern(fv_text *out, const char *pattern) {
    bool in_class = false;
    for (const char *p = pattern; *p != '\0'; p++) {
        if (p[0] != '\\' || p[1] == '\0') {
            in_class = *p == '[' || (in_class && *p != ']');
            fv_text_char(out, *p);
            continue;
        }
        p++;
        if (*p == 's') fv_text_add(out, "\\p{WSpace}");
        else if (*p == 'S') fv_text_add(out, "\\P{WSpace}");
        else if (p[0] == 'p' && p[1] == '{' && p[2] != '\0' && p[3] == '}' && fv_unicode_added(p[2])) add_category(out, p[2], in_class), p += 3;
        else fv_text_char(out, '\\'), fv_text_char(out, *p);
    }
}

static fv_status compile_pattern(fv_tokenizer *t, fv_json_at file, const char *pattern, fv_error *err) {
    if (strlen(pattern) > LONGEST_PATTERN) return fv_fail(err, FV_UNSUPPORTED, "%s: pre_tokenizer's pattern is longer than %d bytes", file.place, LONGEST_PATTERN);
    fv_text text = {0};
    translate_pattern(&text, pattern);
    int code = 0;
    size_t at = 0;
    if (text.data != NULL && !text.failed)
        t->regex = pcre2_compile((PCRE2_SPTR)text.data, text.size, PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C, &code, &at, NULL);
    fv_text_clear(&text);
    if (t->regex == NULL) {
        char why[200] = "empty, or no memory";
        if (code != 0) pcre2_get_error_message(code, (PCRE2_UCHAR *)why, sizeof why);
        return fv_fail(err, FV_BAD_MODEL, "%s: pre_tokenizer's pattern: %s (at %zu)", file.place, why, at);
    }
    pcre2_jit_compile(t->regex, PCRE2_JIT_COMPLETE); /* where there is no JIT, the interpreter finds the same */
    return FV_OK;
}

/* What a ByteLevel that is alone splits by: GPT-2's expression. */
static const char gpt2[] = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

static fv_status read_pre_tokenizer(fv_tokenizer *t, fv_json_at file, fv_error *err) {
    const json_t *pre = fv_json_find(file.root, "pre_tokenizer");
    const json_t *steps = json_object_get(pre, "pretokenizers");
    if (is_type(pre, "ByteLevel") && !json_is_true(json_object_get(pre, "add_prefix_space")) && !json_is_false(json_object_get(pre, "use_regex")))
        return compile_pattern(t, file, gpt2, err);
    if (!is_type(pre, "Sequence") || json_array_size(steps) != 2)
        return unsupported(file, "pre_tokenizer", "must be a Sequence of Split and ByteLevel", err);
    const json_t *split = json_array_get(steps, 0);
    const char *behavior = json_string_value(json_object_get(split, "behavior"));
    const char *pattern = json_string_value(json_object_get(json_object_get(split, "pattern"), "Regex"));
    if (!is_type(split, "Split") || behavior == NULL || strcmp(behavior, "Isolated") != 0 || json_is_true(json_object_get(split, "invert")) || pattern == NULL)
        return unsupported(file, "pre_tokenizer", "must begin with a Split by a Regex, Isolated, not inverted", err);
    if (!only_renames(json_array_get(steps, 1))) return unsupported(file, "pre_tokenizer", "must be ByteLevel without prefix space and regex", err);
    return compile_pattern(t, file, pattern, err);
}

/* Does it leave the tokens as they are? ByteLevel moves offsets only; a template (transformers 5 writes one) may name the sequence alone. */
static bool adds_nothing(const json_t *post) {
    bool nothing = post == NULL || is_type(post, "ByteLevel");
    if (is_type(post, "TemplateProcessing")) {
        const json_t *single = json_object_get(post, "single");
        nothing = json_array_size(single) == 1 && json_object_get(json_array_get(single, 0), "Sequence") != NULL;
    } else if (is_type(post, "Sequence")) {
        size_t i;
        json_t *step, *steps = json_object_get(post, "processors");
        nothing = true;
        json_array_foreach(steps, i, step) nothing = nothing && !is_type(step, "Sequence") && adds_nothing(step);
    }
    return nothing;
}

static fv_status check_ends(fv_json_at file, fv_error *err) {
    if (!adds_nothing(fv_json_find(file.root, "post_processor")))
        return unsupported(file, "post_processor", "must be null, ByteLevel, or a template that adds no token", err);
    if (!is_type(fv_json_find(file.root, "decoder"), "ByteLevel")) return unsupported(file, "decoder", "must be ByteLevel", err);
    return FV_OK;
}

fv_status fv_tokenizer_of(fv_tokenizer *t, fv_json_at file, fv_error *err) {
    json_t *vocab, *merges, *added;
    if (!json_is_object(file.root)) return fv_fail(err, FV_BAD_MODEL, "%s: must be an object", file.place);
    FV_TRY(check_model(file, err));
    FV_TRY(read_normalizer(t, file, err));
    FV_TRY(read_pre_tokenizer(t, file, err));
    FV_TRY(check_ends(file, err));
    FV_TRY(fv_json_object(file, "model.vocab", &vocab, err));
    FV_TRY(fv_json_list(file, "model.merges", &merges, err));
    FV_TRY(fv_json_list_or(file, "added_tokens", &added, err));
    FV_TRY(find_size(t, file, vocab, added, err));
    FV_TRY(read_vocabulary(t, file, vocab, err));
    FV_TRY(read_added(t, file, added, err));
    return read_merges(t, file, vocab, merges, err);
}
