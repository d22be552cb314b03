#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "core/yaml.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static fv_yaml *parsed(const char *text) {
    fv_yaml *root;
    fv_error err = {.text = ""};
    if (fv_yaml_parse(&root, text, strlen(text), "recipe.yaml", &err) != FV_OK) fail_msg("%s", err.text);
    return root;
}

static const char recipe[] = "name: example\n"
                             "seed: 1\n"
                             "model: {path: DIR}\n"
                             "lora:\n"
                             "stages:\n"
                             "  - name: cold-start\n"
                             "    optim: {lr: 1.0e-3, warmup: 30}\n"
                             "  - name: rl\n"
                             "    steps: 100\n";

static void lookups_and_lines(void **state) {
    (void)state;
    fv_yaml *root = parsed(recipe);
    int64_t n;
    double x;
    assert_string_equal(fv_yaml_word(fv_yaml_get(root, "name")), "example");
    assert_true(fv_yaml_int(fv_yaml_find(root, "stages.rl.steps"), &n));
    assert_int_equal(n, 100);
    assert_true(fv_yaml_num(fv_yaml_find(root, "stages.0.optim.lr"), &x));
    assert_true(x == 1e-3);
    assert_true(fv_yaml_is_null(fv_yaml_get(root, "lora")));
    assert_null(fv_yaml_find(root, "stages.2"));
    assert_null(fv_yaml_find(root, "stages.rl.steps.more"));
    assert_null(fv_yaml_find(root, ""));
    assert_null(fv_yaml_find(root, "stages..rl"));
    assert_null(fv_yaml_get(NULL, "x"));
    assert_int_equal(fv_yaml_find(root, "stages.rl.steps")->line, 9);
    fv_error err;
    assert_int_equal(fv_yaml_fail(fv_yaml_find(root, "stages.rl.steps"), &err, "steps must be at most %d", 7), FV_BAD_RECIPE);
    assert_string_equal(err.text, "recipe.yaml:9: steps must be at most 7");
    fv_yaml_free(root);
}

typedef struct {
    const char *text;
    char type; /* z null, b bool, i integer, n number that is no integer, t text */
    double value;
} scalar_case;

static void core_schema(void **state) {
    (void)state;
    static const scalar_case cases[] = {
        {"", 'z', 0}, {"~", 'z', 0}, {"null", 'z', 0}, {"NULL", 'z', 0}, {"nULL", 't', 0},
        {"true", 'b', 1}, {"FALSE", 'b', 0}, {"yes", 't', 0}, {"on", 't', 0}, {"\"true\"", 't', 0},
        {"0", 'i', 0}, {"-12", 'i', -12}, {"+3", 'i', 3}, {"007", 'i', 7}, {"0x1F", 'i', 31}, {"0o17", 'i', 15}, {"0x", 't', 0}, {"0o8", 't', 0},
        {"9223372036854775807", 'i', 9223372036854775807.0}, {"9223372036854775808", 'n', 9223372036854775808.0},
        {"1.0", 'n', 1}, {"1.", 'n', 1}, {".5", 'n', 0.5}, {"1e3", 'n', 1000}, {"1.0e-3", 'n', 0.001}, {"-.5E+2", 'n', -50},
        {".inf", 'n', INFINITY}, {"-.INF", 'n', -INFINITY}, {".", 't', 0}, {"1e", 't', 0}, {"1_000", 't', 0}, {"1.2.3", 't', 0}, {"0x1p3", 't', 0}, {"inf", 't', 0},
        {"'12'", 't', 0}, {"!!str 12", 't', 0}, {"! 12", 't', 0}, {"|-\n 12", 't', 0},
    };
    for (size_t i = 0; i < FV_COUNT(cases); i++) {
        fv_text t = {0};
        fv_text_printf(&t, "a: %s\n", cases[i].text);
        fv_yaml *root = parsed(t.data);
        const fv_yaml *node = fv_yaml_get(root, "a");
        bool b = false;
        int64_t n = 0;
        double x = 0;
        const char *s;
        char type = fv_yaml_is_null(node) ? 'z' : fv_yaml_bool(node, &b) ? 'b' : fv_yaml_int(node, &n) ? 'i' : fv_yaml_num(node, &x) ? 'n' : 't';
        if (type != cases[i].type) fail_msg("%s is %c", cases[i].text, type);
        assert_true(fv_yaml_text(node, &s) == (type == 't'));
        double got = type == 'b' ? b : type == 'i' ? (double)n : x;
        assert_true(got == cases[i].value);
        fv_yaml_free(root);
        fv_text_clear(&t);
    }
    fv_yaml *root = parsed("a: .nan");
    double x = 0;
    assert_true(fv_yaml_num(fv_yaml_get(root, "a"), &x) && x != x);
    fv_yaml_free(root);
}

static void check_error(const char *text, const char *want) {
    fv_yaml *root;
    fv_error err = {.text = "it was accepted"};
    fv_status status = fv_yaml_parse(&root, text, strlen(text), "r.yaml", &err);
    if (status != FV_BAD_RECIPE || !strstr(err.text, want)) fail_msg("%s lacks %s", err.text, want);
    assert_null(root);
}

static void refused(void **state) {
    (void)state;
    check_error("a: 1\nb: [1, 2\n", "r.yaml:3:1: not YAML: ");
    check_error("a: 1\nb: 2\na: 3\n", "r.yaml:3: this key is given twice: a");
    check_error("? [a]\n: 1\n", "r.yaml:1: a key must be a plain word");
    check_error("a: 1\n--- \nb: 1\n", "r.yaml:2: one file holds one document");
    check_error("a: !!python/object:os.system x\n", "r.yaml:1: tags are not supported");
    check_error("a: !mine [1]\n", "tags are not supported");
    check_error("a: *b\n", "r.yaml:1: no anchor before this alias: *b");
    check_error("a: &a [*a]\n", "no anchor before");
    check_error("a: \"x\\0y\"\n", "character 0");
    check_error("a: \x01\n", "r.yaml: not YAML: byte 3: control characters are not allowed");
    fv_text deep = {0};
    for (int i = 0; i < 100; i++) fv_text_char(&deep, '[');
    for (int i = 0; i < 100; i++) fv_text_char(&deep, ']');
    check_error(deep.data, "nested too deeply");
    fv_text_clear(&deep);
    /* each level nine times the last one */
    fv_text laughs = {0};
    fv_text_add(&laughs, "a0: &a0 [x]\n");
    for (int i = 1; i < 12; i++) {
        fv_text_printf(&laughs, "a%d: &a%d [", i, i);
        for (int j = 0; j < 9; j++) fv_text_printf(&laughs, "%s*a%d", j ? ", " : "", i - 1);
        fv_text_add(&laughs, "]\n");
    }
    check_error(laughs.data, "too large or too deep with the alias *a");
    fv_text_clear(&laughs);
    fv_error err;
    fv_yaml *root;
    assert_int_equal(fv_yaml_read(&root, "/nonexistent.yaml", &err), FV_IO);
}

static void aliases_are_copies(void **state) {
    (void)state;
    fv_yaml *root = parsed("a: &x {lr: 1}\nb: *x\n");
    fv_error err;
    int64_t n;
    assert_int_equal(fv_yaml_set(root, "b.lr=2", &err), FV_OK);
    assert_true(fv_yaml_int(fv_yaml_find(root, "a.lr"), &n) && n == 1);
    assert_true(fv_yaml_int(fv_yaml_find(root, "b.lr"), &n) && n == 2);
    for (int i = 0; i < 5; i++) { /* a copy can grow */
        char text[16] = "b.n?=1";
        text[3] = (char)('0' + i);
        assert_int_equal(fv_yaml_set(root, text, &err), FV_OK);
    }
    fv_yaml_free(root);
}

static void check_written(const fv_yaml *root, const char *want) {
    fv_text t = {0};
    fv_yaml_write(&t, root);
    assert_string_equal(t.data, want);
    fv_text_clear(&t);
}

/* A name goes before a first field, which is a call name only where there is none. */
static void elements_go_by_their_first_field(void **state) {
    (void)state;
    fv_yaml *root = parsed("terms: [{term: exact, name: accuracy}, {term: thinking, weight: 0}, {weight: 1, term: tool}, {}]\n");
    fv_error err = {.text = ""};
    if (fv_yaml_set(root, "terms.thinking.weight=0.3", &err) != FV_OK || fv_yaml_set(root, "terms.accuracy.weight=2", &err) != FV_OK) fail_msg("%s", err.text);
    check_written(root, "terms:\n"
                        "  - term: exact\n"
                        "    name: accuracy\n"
                        "    weight: 2\n"
                        "  - term: thinking\n"
                        "    weight: 0.3\n"
                        "  - weight: 1\n"
                        "    term: tool\n"
                        "  - {}\n");
    assert_int_equal(fv_yaml_set(root, "terms.exact.weight=2", &err), FV_BAD_USAGE);
    assert_non_null(strstr(err.text, "there is no exact, only accuracy, thinking, 1"));
    fv_yaml_free(root);
}

static void overrides(void **state) {
    (void)state;
    static const char *const fine[] = {
        "stages.rl.steps=20", "seed=7", "lora.r=16", "stages.0.optim={lr: {cosine: [1, 0]}}", "model.path=a=b", "new.deep.field=x", "name=", "stages.1.name=grpo",
    };
    fv_yaml *root = parsed(recipe);
    fv_error err = {.text = ""};
    for (size_t i = 0; i < FV_COUNT(fine); i++)
        if (fv_yaml_set(root, fine[i], &err) != FV_OK) fail_msg("%s", err.text);
    check_written(root, "name: null\n"
                        "seed: 7\n"
                        "model:\n"
                        "  path: a=b\n"
                        "lora:\n"
                        "  r: 16\n"
                        "stages:\n"
                        "  - name: cold-start\n"
                        "    optim:\n"
                        "      lr:\n"
                        "        cosine: [1, 0]\n"
                        "  - name: grpo\n"
                        "    steps: 20\n"
                        "new:\n"
                        "  deep:\n"
                        "    field: x\n");
    char place[100];
    fv_yaml_place(fv_yaml_get(root, "seed"), place, sizeof place);
    assert_string_equal(place, "override seed=7");
    static const struct {
        const char *assignment, *want;
    } bad[] = {
        {"steps", "override steps: write path.to.field=value"},
        {"=3", "override =3: write path.to.field=value"},
        {"a..b=3", "override a..b=3: a..b is no path of fields"},
        {"stages.grop.steps=3", "override stages.grop.steps=3: there is no grop; did you mean grpo?"},
        {"stages.5.steps=3", "override stages.5.steps=3: there is no 5, only cold-start, grpo"},
        {"stages.grpo.betas.3=1", NULL},
        {"seed.x=3", "override seed.x=3: there is no x below the value 7"},
        {"seed=[1", "override seed=[1:2:1: not YAML: "},
    };
    static const char *const out[] = {"stages.cold-start=null", "stages.0=", "stages.grpo=null"}; /* elements are taken out; the last one is no more */
    for (size_t i = 0; i < FV_COUNT(bad); i++) {
        fv_status status = fv_yaml_set(root, bad[i].assignment, &err);
        assert_int_equal(status, bad[i].want ? FV_BAD_USAGE : FV_OK);
        if (bad[i].want && !strstr(err.text, bad[i].want)) fail_msg("%s lacks %s", err.text, bad[i].want);
    }
    for (size_t i = 0; i < FV_COUNT(out); i++) {
        assert_int_equal(fv_yaml_set(root, out[i], &err), i < 2 ? FV_OK : FV_BAD_USAGE);
        assert_int_equal(fv_yaml_get(root, "stages")->count, i == 0);
    }
    fv_yaml_free(root);
}

static fv_yaml *built(void) {
    fv_yaml *root = fv_yaml_new(FV_YAML_MAPPING), *list = fv_yaml_new(FV_YAML_SEQUENCE), *item = fv_yaml_new(FV_YAML_MAPPING);
    fv_yaml_put(root, "i", fv_yaml_new_int(-3), NULL);
    fv_yaml_put(root, "x", fv_yaml_new_num(1e-5), NULL);
    fv_yaml_put(root, "one", fv_yaml_new_num(1), NULL);
    fv_yaml_put(root, "inf", fv_yaml_new_num(-INFINITY), NULL);
    fv_yaml_put(root, "b", fv_yaml_new_bool(true), NULL);
    fv_yaml_put(root, "none", fv_yaml_new(FV_YAML_SCALAR), NULL);
    fv_yaml_put(root, "true text", fv_yaml_new_text("true"), NULL);
    fv_yaml_put(root, "number text", fv_yaml_new_text("12"), NULL);
    fv_yaml_put(root, "yes text", fv_yaml_new_text("yes"), NULL);
    fv_yaml_put(root, "pattern", fv_yaml_new_text("visual.*"), NULL);
    fv_yaml_put(root, "star", fv_yaml_new_text("*.weight"), NULL);
    fv_yaml_put(root, "prompt", fv_yaml_new_text("Look: # here.\n\n  Then answer.\n"), NULL);
    fv_yaml_put(root, "trailing", fv_yaml_new_text("a \nb"), NULL);
    fv_yaml_put(root, "empty", fv_yaml_new_text(""), NULL);
    fv_yaml_append(list, fv_yaml_new_text("q_proj"), NULL);
    fv_yaml_append(list, fv_yaml_new_text("a, b"), NULL);
    fv_yaml_put(root, "list", list, NULL);
    list = fv_yaml_new(FV_YAML_SEQUENCE);
    fv_yaml_put(item, "prompt", fv_yaml_new_text("two\nlines"), NULL);
    fv_yaml_put(item, "sub", fv_yaml_new(FV_YAML_MAPPING), NULL);
    fv_yaml_append(list, item, NULL);
    fv_yaml_append(list, fv_yaml_new_int(1), NULL);
    fv_yaml_put(root, "mixed", list, NULL);
    fv_yaml_put(root, "i", fv_yaml_new_int(4), NULL); /* replaced where it was */
    return root;
}

static void writing(void **state) {
    (void)state;
    fv_yaml *root = built();
    static const char want[] = "i: 4\n"
                               "x: 1.0e-05\n"
                               "one: 1.0\n"
                               "inf: -.inf\n"
                               "b: true\n"
                               "none: null\n"
                               "true text: \"true\"\n"
                               "number text: \"12\"\n"
                               "yes text: \"yes\"\n"
                               "pattern: visual.*\n"
                               "star: \"*.weight\"\n"
                               "prompt: |\n"
                               "  Look: # here.\n"
                               "\n"
                               "    Then answer.\n"
                               "trailing: \"a \\nb\"\n"
                               "empty: \"\"\n"
                               "list: [q_proj, \"a, b\"]\n"
                               "mixed:\n"
                               "  - prompt: |-\n"
                               "      two\n"
                               "      lines\n"
                               "    sub: {}\n"
                               "  - 1\n";
    check_written(root, want);
    fv_yaml *again = parsed(want);
    check_written(again, want);
    fv_yaml *twin = fv_yaml_copy(again);
    check_written(twin, want);
    char shown[24];
    fv_yaml_show(fv_yaml_get(root, "mixed"), shown, sizeof shown);
    assert_string_equal(shown, "[{prompt: \"two\\nline...");
    fv_yaml_show(fv_yaml_get(root, "list"), shown, sizeof shown);
    assert_string_equal(shown, "[q_proj, \"a, b\"]");
    assert_int_equal(fv_yaml_put(root, "x", NULL, NULL), FV_NO_MEMORY);
    fv_yaml_free(twin);
    fv_yaml_free(again);
    fv_yaml_free(root);
}

/* Texts of awkward characters, at every kind of place, come back as they were. */
static void any_text_comes_back(void **state) {
    (void)state;
    static const char *const pieces[] = {" ",  "\n", "\t", ":", "#", "-", "a", "'", "\"", "\\", "{", "]", ",", "|", "%", "\xc3\xa9", "\xe2\x80\xa8",
                                         "\x7f", "1",  "~",  "\r", "?", "&", "*", "!", "---", "...", "\xef\xbb\xbf", "\xc2\x85", "true", "\n\n", "\n "};
    uint32_t seed = 1;
    for (int round = 0; round < 4000; round++) {
        char text[64] = "", key[64] = "";
        for (int i = 0; i < 7; i++) {
            seed = seed * 1664525u + 1013904223u;
            uint32_t pick = seed >> 16;
            if (pick % 5) strcat(i % 2 ? text : key, pieces[pick / 5 % FV_COUNT(pieces)]);
            if (pick % 3 == 0) strcat(text, pieces[pick / 7 % FV_COUNT(pieces)]);
        }
        fv_yaml *root = fv_yaml_new(FV_YAML_MAPPING), *list = fv_yaml_new(FV_YAML_SEQUENCE), *blocks = fv_yaml_new(FV_YAML_SEQUENCE);
        fv_yaml_append(list, fv_yaml_new_text(text), NULL);
        fv_yaml_append(blocks, fv_yaml_new_text(text), NULL);
        fv_yaml_append(blocks, fv_yaml_new_text("two\nlines"), NULL);
        fv_yaml_put(root, "list", list, NULL);
        fv_yaml_put(root, "blocks", blocks, NULL);
        fv_yaml_put(root, key, fv_yaml_new_text(text), NULL);
        fv_text t = {0};
        fv_yaml_write(&t, root);
        fv_yaml *back;
        fv_error err;
        if (fv_yaml_parse(&back, t.data, t.size, "back", &err) != FV_OK) fail_msg("%s\n%s", err.text, t.data);
        const char *found[3] = {"", "", ""};
        bool texts = fv_yaml_text(fv_yaml_get(back, key), &found[0]) && fv_yaml_text(fv_yaml_get(back, "list")->items[0], &found[1]) &&
                     fv_yaml_text(fv_yaml_get(back, "blocks")->items[0], &found[2]);
        for (int i = 0; i < 3; i++)
            if (!texts || strcmp(found[i], text) != 0) fail_msg("%d comes back differently:\n%s", i, t.data);
        fv_yaml_free(back);
        fv_yaml_free(root);
        fv_text_clear(&t);
    }
}

/* Damaged anywhere, a recipe is refused or read, and what was read can be changed and written. */
static void damaged_anywhere(void **state) {
    (void)state;
    static const char odd[] = "{}[]&*!|>'\"%@`:-?,# \n\t\x80\xff~<a1";
    uint32_t seed = 5;
    for (int round = 0; round < 5000; round++) {
        char *bad = strdup(recipe);
        size_t n = strlen(bad);
        for (int k = 0; k < 1 + round % 4; k++) {
            seed = seed * 1664525u + 1013904223u;
            bad[(seed >> 8) % n] = odd[(seed >> 20) % (sizeof odd - 1)];
        }
        fv_yaml *root;
        fv_error err;
        fv_text t = {0};
        if (fv_yaml_parse(&root, bad, n - (round % 5 == 0 ? seed >> 8 : 0) % n, "r.yaml", &err) == FV_OK) {
            fv_yaml_set(root, "stages.rl.steps=20", &err);
            fv_yaml_set(root, bad, &err);
            fv_yaml_write(&t, root);
            fv_yaml_free(root);
            if (fv_yaml_parse(&root, t.data, t.size, "back", &err) != FV_OK) fail_msg("%s\n%s", err.text, t.data);
        }
        fv_yaml_free(root);
        fv_text_clear(&t);
        free(bad);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lookups_and_lines), cmocka_unit_test(core_schema), cmocka_unit_test(refused),
        cmocka_unit_test(aliases_are_copies), cmocka_unit_test(elements_go_by_their_first_field), cmocka_unit_test(overrides),  cmocka_unit_test(writing),
        cmocka_unit_test(any_text_comes_back), cmocka_unit_test(damaged_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
