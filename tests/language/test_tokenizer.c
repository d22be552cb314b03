/* The tokenizer against `tokenizers`: data/tokenizer/cases.json is written by tests/peers/tokenizer.py, over models/tiny-vl/tokenizer.json. */
#include "core/file.h"
#include "core/json.h"
#include "core/threads.h"
#include "language/tokenizer.h"

#include <stdarg.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define TOKENIZER FOVEA_SOURCE "/models/tiny-vl/tokenizer.json"
#define CASES FOVEA_SOURCE "/tests/language/data/tokenizer/cases.json"

static fv_tokenizer *open_at(const char *path) {
    fv_tokenizer *t;
    fv_error err = {0};
    if (fv_tokenizer_open(&t, path, &err) != FV_OK) fail_msg("%s", err.text);
    return t;
}

static json_t *read_json(const char *path) {
    json_t *json;
    fv_error err = {0};
    if (fv_json_read(&json, path, FV_BAD_DATA, &err) != FV_OK) fail_msg("%s", err.text);
    return json;
}

static bool same_ids(const fv_tokenizer *t, const json_t *c) {
    const json_t *text = json_object_get(c, "text"), *want = json_object_get(c, "ids");
    fv_ids got = {0};
    fv_status status = fv_tokenizer_encode(t, json_string_value(text), json_string_length(text), &got, NULL, NULL);
    bool same = status == FV_OK && (size_t)got.count == json_array_size(want);
    for (int i = 0; i < got.count && same; i++) same = got.ids[i] == json_integer_value(json_array_get(want, (size_t)i));
    fv_ids_clear(&got);
    return same;
}

static void check_cases(const fv_tokenizer *t) {
    json_t *cases = read_json(CASES), *c;
    size_t i;
    assert_true(json_array_size(cases) > 200);
    json_array_foreach(cases, i, c)
        if (!same_ids(t, c)) fail_msg("case %zu: %s", i, json_string_value(json_object_get(c, "text")));
    json_decref(cases);
}

static void encodes_as_tokenizers(void **state) {
    (void)state;
    fv_tokenizer *t = open_at(TOKENIZER);
    check_cases(t);
    fv_tokenizer_close(t);
}

static void decodes_as_tokenizers(void **state) {
    (void)state;
    fv_tokenizer *t = open_at(TOKENIZER);
    json_t *cases = read_json(CASES), *c;
    size_t i;
    json_array_foreach(cases, i, c) {
        const json_t *ids = json_object_get(c, "ids");
        size_t n = json_array_size(ids);
        int32_t *list = malloc((n + 1) * sizeof *list);
        for (size_t k = 0; k < n; k++) list[k] = (int32_t)json_integer_value(json_array_get(ids, k));
        for (int skip = 0; skip < 2; skip++) {
            char *text;
            assert_int_equal(fv_tokenizer_decode(t, list, (int)n, skip, &text, NULL), FV_OK);
            assert_string_equal(text, json_string_value(json_object_get(c, skip ? "skipped" : "decoded")));
            free(text);
        }
        free(list);
    }
    json_decref(cases);
    fv_tokenizer_close(t);
}

/* tokenizer.json of `tokenizers` before 0.20 has merges as "a b". */
static void reads_merges_as_strings(void **state) {
    (void)state;
    json_t *json = read_json(TOKENIZER), *merges = json_object_get(json_object_get(json, "model"), "merges");
    for (size_t i = 0; i < json_array_size(merges); i++) {
        const json_t *pair = json_array_get(merges, i);
        json_array_set_new(merges, i, json_sprintf("%s %s", json_string_value(json_array_get(pair, 0)), json_string_value(json_array_get(pair, 1))));
    }
    char path[] = "/tmp/fovea-tokenizer-XXXXXX";
    close(mkstemp(path));
    assert_int_equal(json_dump_file(json, path, 0), 0);
    fv_tokenizer *t = open_at(path);
    check_cases(t);
    fv_tokenizer_close(t);
    remove(path);
    json_decref(json);
}

static void knows_its_tokens(void **state) {
    (void)state;
    fv_tokenizer *t = open_at(TOKENIZER);
    size_t length;
    int end = fv_tokenizer_id(t, "<|im_end|>"), think = fv_tokenizer_id(t, "<think>");
    assert_int_equal(fv_tokenizer_size(t), 704);
    assert_true(end > 0 && fv_tokenizer_is_special(t, end) && fv_tokenizer_is_added(t, end));
    assert_true(think > 0 && !fv_tokenizer_is_special(t, think) && fv_tokenizer_is_added(t, think));
    assert_memory_equal(fv_tokenizer_bytes(t, end, &length), "<|im_end|>", 10);
    assert_int_equal(length, 10);
    assert_int_equal(fv_tokenizer_id(t, "<|im_en"), -1);
    assert_null(fv_tokenizer_bytes(t, 704, &length));
    assert_null(fv_tokenizer_bytes(t, -1, &length));
    fv_tokenizer_close(t);
}

static void broken_bytes_become_replacement_characters(void **state) {
    (void)state;
    static const char broken[] = "a\xff\xe4\xbd" "b\xed\xa0\x80\xf0\x9f"; /* a stray byte; a cut character; a surrogate; a cut one */
    fv_tokenizer *t = open_at(TOKENIZER);
    fv_ids ids = {0};
    int replaced;
    char *text;
    assert_int_equal(fv_tokenizer_encode(t, broken, sizeof broken - 1, &ids, &replaced, NULL), FV_OK);
    assert_int_equal(replaced, 6); /* as Python's bytes.decode(errors="replace") */
    assert_int_equal(fv_tokenizer_decode(t, ids.ids, ids.count, false, &text, NULL), FV_OK);
    assert_string_equal(text, "a\xef\xbf\xbd\xef\xbf\xbd" "b\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
    free(text);
    fv_ids_clear(&ids);
    fv_tokenizer_close(t);
}

/* Half a megabyte of the same takes a tenth of a second; a step that is quadratic in the length of a word, a run of blanks or of marks would take hours. */
static void long_runs_are_no_trap(void **state) {
    (void)state;
    static const char *const runs[] = {"a", " ", "\n", " \t", "!", "<|im_", "\xcc\x95\xcc\xb4", "\xe1\x84\x80\xe1\x85\xa1"}; /* marks in bad order; Hangul in parts */
    enum { SIZE = 1 << 19 };
    fv_tokenizer *t = open_at(TOKENIZER);
    char *text = malloc(SIZE);
    assert_non_null(text);
    for (size_t i = 0; i < FV_COUNT(runs); i++) {
        size_t n = strlen(runs[i]), size = 0;
        for (; size + n < SIZE; size += n) memcpy(text + size, runs[i], n);
        text[size++] = 'x';
        fv_ids ids = {0};
        clock_t begin = clock();
        assert_int_equal(fv_tokenizer_encode(t, text, size, &ids, NULL, NULL), FV_OK);
        assert_true((clock() - begin) / CLOCKS_PER_SEC < 20);
        size_t bytes = 0, length;
        for (int k = 0; k < ids.count; k++) bytes += (fv_tokenizer_bytes(t, ids.ids[k], &length), length);
        assert_int_equal(bytes, i == 7 ? (size - 1) / 2 + 1 : size); /* two parts of three bytes are one syllable of three */
        fv_ids_clear(&ids);
    }
    free(text);
    fv_tokenizer_close(t);
}

typedef struct {
    const fv_tokenizer *t;
    const json_t *cases;
    bool same[8];
} sharing;

static void encode_all(void *context, int64_t begin, int64_t end, int worker) {
    (void)worker;
    sharing *s = context;
    for (int64_t k = begin; k < end; k++) {
        size_t i;
        const json_t *c;
        s->same[k] = true;
        json_array_foreach(s->cases, i, c) s->same[k] = same_ids(s->t, c) && s->same[k];
    }
}

static void threads_may_share_it(void **state) {
    (void)state;
    fv_pool *pool;
    sharing s = {.t = open_at(TOKENIZER), .cases = read_json(CASES)};
    assert_int_equal(fv_pool_open(&pool, 4, NULL), FV_OK);
    fv_parallel(pool, 8, 1, encode_all, &s);
    for (int k = 0; k < 8; k++) assert_true(s.same[k]);
    fv_pool_close(pool);
    json_decref((json_t *)s.cases);
    fv_tokenizer_close((fv_tokenizer *)s.t);
}

/* One field of the file changed: what opening it gives. `path` leads through objects; NULL value removes. */
static fv_tokenizer *opens(const char *path, const char *value, fv_status want, const char *says) {
    json_t *json = read_json(TOKENIZER), *at = json, *new = NULL;
    fv_error err = {0};
    char file[] = "/tmp/fovea-tokenizer-XXXXXX", key[64];
    const char *p = path;
    for (const char *dot; (dot = strchr(p, '.')) != NULL; p = dot + 1) {
        snprintf(key, sizeof key, "%.*s", (int)(dot - p), p);
        at = json_object_get(at, key);
    }
    if (value != NULL) assert_int_equal(fv_json_parse(&new, value, strlen(value), "value", 1, FV_BAD_DATA, &err), FV_OK);
    if (value != NULL) json_object_set_new(at, p, new);
    else json_object_del(at, p);
    close(mkstemp(file));
    assert_int_equal(json_dump_file(json, file, 0), 0);
    fv_tokenizer *t;
    fv_status status = fv_tokenizer_open(&t, file, &err);
    if (status != want || strstr(err.text, says) == NULL) fail_msg("%s = %s: %d %s", path, value, status, err.text);
    remove(file);
    json_decref(json);
    return t;
}

static void refuses(const char *path, const char *value, fv_status want, const char *says) { assert_null(opens(path, value, want, says)); }

/* Ways that change nothing: the template that transformers 5 writes, a name for what never is unknown. */
static void reads_what_transformers_saves(void **state) {
    (void)state;
    static const char *const posts[] = {"null", "{\"type\": \"TemplateProcessing\", \"single\": [{\"Sequence\": {\"id\": \"A\", \"type_id\": 0}}]}",
                                        "{\"type\": \"Sequence\", \"processors\": [{\"type\": \"ByteLevel\"}]}"};
    for (size_t i = 0; i < 4; i++) {
        fv_tokenizer *t = i < 3 ? opens("post_processor", posts[i], FV_OK, "") : opens("model.unk_token", "\"<|endoftext|>\"", FV_OK, "");
        check_cases(t);
        fv_tokenizer_close(t);
    }
}

/* A ByteLevel alone splits by GPT-2's expression, which differs from Qwen's in digits and ends of lines, not in words. */
static void splits_as_gpt2_where_bytes_are_alone(void **state) {
    (void)state;
    static const char text[] = " What's on the  plate?";
    fv_tokenizer *qwen = open_at(TOKENIZER), *gpt2 = opens("pre_tokenizer", "{\"type\": \"ByteLevel\", \"add_prefix_space\": false}", FV_OK, "");
    fv_ids a = {0}, b = {0};
    assert_int_equal(fv_tokenizer_encode(qwen, text, strlen(text), &a, NULL, NULL), FV_OK);
    assert_int_equal(fv_tokenizer_encode(gpt2, text, strlen(text), &b, NULL, NULL), FV_OK);
    assert_int_equal(a.count, b.count);
    assert_memory_equal(a.ids, b.ids, (size_t)a.count * sizeof *a.ids);
    fv_ids_clear(&a);
    fv_ids_clear(&b);
    fv_tokenizer_close(qwen);
    fv_tokenizer_close(gpt2);
}

static void refuses_what_it_does_not_know(void **state) {
    (void)state;
    refuses("model.type", "\"WordPiece\"", FV_UNSUPPORTED, "model.type must be BPE, got \"WordPiece\"");
    refuses("model.dropout", "0.1", FV_UNSUPPORTED, "model.dropout must be 0, got 0.1");
    refuses("model.byte_fallback", "true", FV_UNSUPPORTED, "model.byte_fallback");
    refuses("model.vocab", "{\"a\": 0}", FV_UNSUPPORTED, "a token for every byte");
    refuses("model.vocab", "{\"\\u07ff\": 0}", FV_UNSUPPORTED, "a token for every byte"); /* far outside of the alphabet */
    refuses("model.vocab", "{\"a\": -3}", FV_BAD_MODEL, "the id of \"a\"");
    refuses("model.vocab", "[]", FV_BAD_MODEL, "model.vocab must be an object");
    refuses("model.merges", "[[\"zq\", \"x\"]]", FV_BAD_MODEL, "model.merges[0]");
    refuses("model.merges", "[7]", FV_BAD_MODEL, "model.merges[0] must be");
    refuses("normalizer", "{\"type\": \"NFKC\"}", FV_UNSUPPORTED, "normalizer must be NFC or null");
    refuses("pre_tokenizer", "{\"type\": \"Whitespace\"}", FV_UNSUPPORTED, "pre_tokenizer must be a Sequence");
    refuses("pre_tokenizer", "{\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"Split\", \"pattern\": {\"Regex\": \"(\"}, \"behavior\": \"Isolated\"},"
                             " {\"type\": \"ByteLevel\", \"use_regex\": false}]}", FV_BAD_MODEL, "pattern: ");
    refuses("post_processor", "{\"type\": \"TemplateProcessing\"}", FV_UNSUPPORTED, "post_processor must be null, ByteLevel");
    refuses("post_processor", "{\"type\": \"TemplateProcessing\", \"single\": [{\"SpecialToken\": {\"id\": \"<s>\"}}, {\"Sequence\": {\"id\": \"A\"}}]}",
            FV_UNSUPPORTED, "adds no token");
    refuses("decoder", NULL, FV_UNSUPPORTED, "decoder must be ByteLevel");
    refuses("added_tokens", "[{\"id\": 5, \"content\": \"<x>\", \"lstrip\": true}]", FV_UNSUPPORTED, "lstrip must be false");
    refuses("added_tokens", "[{\"id\": 99999999, \"content\": \"<x>\"}]", FV_BAD_MODEL, "id must be");
    refuses("added_tokens", "[3]", FV_BAD_MODEL, "added_tokens[0] must be an object");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(encodes_as_tokenizers),  cmocka_unit_test(decodes_as_tokenizers),
        cmocka_unit_test(reads_merges_as_strings), cmocka_unit_test(knows_its_tokens),
        cmocka_unit_test(broken_bytes_become_replacement_characters), cmocka_unit_test(long_runs_are_no_trap), cmocka_unit_test(threads_may_share_it),
        cmocka_unit_test(refuses_what_it_does_not_know),
        cmocka_unit_test(reads_what_transformers_saves), cmocka_unit_test(splits_as_gpt2_where_bytes_are_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
