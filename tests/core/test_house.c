/* The rules of the house that a compiler does not check: includes point down only, files and functions stay short, the
 * library neither exits nor prints, and nothing is left for later. Every offence is listed as file:line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "core/file.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LONGEST_FILE = 600, LONGEST_FUNCTION = 120 };

/* Who may include whom. include/ is the public face: it shows what rl/ may use. Folders that are not here (tests) are free. */
static const struct {
    const char *folder, *may_include;
    bool library;
} house[] = {
    {"core", "core", true},
    {"cpu", "core cpu", true},
    {"cuda", "core cuda", true},
    {"vision", "core vision", true},
    {"language", "core vision language", true},
    {"tools", "core vision tools", true},
    {"datasets", "core vision tools datasets", true},
    {"rl", "core vision language tools datasets rl", true},
    {"include", "core vision language tools datasets rl include", true},
    {"bench", "core vision language tools datasets rl include bench", false},
    {"cli", "core vision language tools datasets rl include bench cli", false},
};

/* The one place that knows the back ends by name. */
static const struct {
    const char *path, *include;
} exceptions[] = {{"core/backend.c", "cpu/cpu.h"}, {"core/backend.c", "cuda/cuda.h"}};

/* Words of the library that end the process or write to a terminal, and where one has a reason to be. */
static const struct {
    const char *word, *except;
} banned[] = {
    {"exit", ""},   {"abort", "core/arena.c"}, {"printf", ""},  {"vprintf", ""},
    {"puts", ""},   {"putchar", ""},           {"perror", ""},  {"stdout", ""},
    {"assert", ""}, {"system", ""},            {"stderr", "core/progress.c core/arena.c"},
};

static bool in_list(const char *list, const char *word, size_t size) {
    for (const char *at = list; *at;) {
        size_t n = strcspn(at, " ");
        if (n == size && strncmp(at, word, n) == 0) return true;
        at += n + (at[n] == ' ');
    }
    return false;
}

static bool ends_with(const char *text, const char *end) {
    size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

/* A copy with comments and the insides of literals blanked, line breaks kept. */
static char *code_only(const char *text, size_t size) {
    char *out = malloc(size + 1);
    assert_non_null(out);
    memcpy(out, text, size);
    out[size] = '\0';
    for (size_t i = 0; i < size;) {
        size_t end = i + 1;
        if (out[i] == '/' && out[i + 1] == '*') {
            const char *close = strstr(text + i + 2, "*/");
            end = close ? (size_t)(close - text) + 2 : size;
        } else if (out[i] == '/' && out[i + 1] == '/') {
            end = i + strcspn(text + i, "\n");
        } else if (out[i] == '"' || out[i] == '\'') {
            while (end < size && text[end] != text[i] && text[end] != '\n') end += text[end] == '\\' ? 2 : 1;
            if (end < size) end++;
            if (end > size) end = size;
        }
        for (size_t j = i; end > i + 1 && j < end; j++)
            if (out[j] != '\n') out[j] = ' ';
        i = end;
    }
    return out;
}

static int house_of(const char *path) {
    size_t n = strcspn(path, "/");
    for (int i = 0; i < (int)FV_COUNT(house); i++)
        if (strlen(house[i].folder) == n && strncmp(path, house[i].folder, n) == 0) return i;
    return -1;
}

static void check_include(fv_text *report, const char *path, int line, const char *raw, int home) {
    const char *open = strchr(raw, '"');
    size_t n = open ? strcspn(open + 1, "\"\n") : 0;
    if (!open || open - raw > (ptrdiff_t)strcspn(raw, "\n")) return; /* <system.h> */
    char name[200];
    snprintf(name, sizeof name, "%.*s", (int)n, open + 1);
    for (size_t i = 0; i < FV_COUNT(exceptions); i++)
        if (strcmp(exceptions[i].path, path) == 0 && strcmp(exceptions[i].include, name) == 0) return;
    size_t folder = strcspn(name, "/");
    if (!name[folder]) {
        if (strncmp(name, "stb_", 4) != 0) fv_text_printf(report, "%s:%d: \"%s\" must be named from the root\n", path, line, name);
    } else if (!in_list(house[home].may_include, name, folder)) {
        fv_text_printf(report, "%s:%d: %s/ must not include %s\n", path, line, house[home].folder, name);
    }
}

static void check_words(fv_text *report, const char *path, int line, const char *code, size_t size) {
    for (size_t i = 0; i < size;) {
        if (!isalnum((unsigned char)code[i]) && code[i] != '_') {
            i++;
            continue;
        }
        size_t n = 0;
        while (i + n < size && (isalnum((unsigned char)code[i + n]) || code[i + n] == '_')) n++;
        bool member = i > 0 && (code[i - 1] == '.' || code[i - 1] == '>'); /* ops->free is not free */
        for (size_t b = 0; b < FV_COUNT(banned) && !member; b++) {
            bool same = strlen(banned[b].word) == n && strncmp(code + i, banned[b].word, n) == 0;
            bool stream = strncmp(banned[b].word, "std", 3) == 0;
            if (same && (stream || code[i + n] == '(') && !in_list(banned[b].except, path, strlen(path)))
                fv_text_printf(report, "%s:%d: the library must not use %s\n", path, line, banned[b].word);
        }
        i += n;
    }
}

/* Functions by what stands in column 0: they begin with a line that has a "(" (and no "=" before it), open with a line that ends in "{",
 * and close with a "}". */
typedef struct {
    int start;
    bool open;
} function;

static void check_function(fv_text *report, const char *path, int line, const char *code, size_t size, function *f) {
    while (size > 0 && isspace((unsigned char)code[size - 1])) size--;
    if (size == 0) return;
    if (f->open) {
        if (code[0] != '}') return;
        int lines = line - f->start + 1;
        if (lines > LONGEST_FUNCTION) fv_text_printf(report, "%s:%d: a function of %d lines, at most %d\n", path, f->start, lines, LONGEST_FUNCTION);
        *f = (function){0};
        return;
    }
    const char *paren = memchr(code, '(', size), *equals = memchr(code, '=', size);
    if (isalpha((unsigned char)code[0]) && paren && (!equals || equals > paren)) f->start = line;
    if (!f->start) return;
    if (code[size - 1] == '{') f->open = true;
    else if (code[size - 1] == ';' || code[size - 1] == '}') f->start = 0; /* a declaration, or all of it on one line */
}

static void check_later(fv_text *report, const char *path, int line, const char *raw, size_t size) {
    static const char *const words[] = {"TO" "DO", "FIX" "ME", "XX" "X"};
    for (size_t w = 0; w < FV_COUNT(words); w++) {
        const char *at = memmem(raw, size, words[w], strlen(words[w]));
        if (at && (at == raw || !isalnum((unsigned char)at[-1])) && !isalnum((unsigned char)at[strlen(words[w])]))
            fv_text_printf(report, "%s:%d: %s\n", path, line, words[w]);
    }
}

/* One C file, by its path from the root. */
static void check_source(fv_text *report, const char *path, const char *text, size_t size) {
    int home = house_of(path), line = 1;
    bool borrowed = strncmp(fv_path_name(path), "stb_", 4) == 0; /* a library of others, as it came */
    char *code = code_only(text, size);
    function f = {0};
    for (size_t at = 0; at < size && !borrowed; line++) {
        size_t n = strcspn(text + at, "\n"), hash = at + strspn(code + at, " \t");
        if (home >= 0 && code[hash] == '#' && strncmp(code + hash + 1 + strspn(code + hash + 1, " "), "include", 7) == 0)
            check_include(report, path, line, text + hash, home);
        if (home >= 0 && house[home].library) check_words(report, path, line, code + at, n);
        check_function(report, path, line, code + at, n, &f);
        check_later(report, path, line, text + at, n);
        at += n + (text[at + n] == '\n');
    }
    if (line - 1 > LONGEST_FILE) fv_text_printf(report, "%s:%d: a file of more than %d lines\n", path, line - 1, LONGEST_FILE);
    free(code);
}

/* ---- The checks see what they are for ---- */

static void check_report(const char *path, const char *text, const char *want) {
    fv_text report = {0};
    fv_text_add(&report, "");
    check_source(&report, path, text, strlen(text));
    assert_string_equal(report.data, want);
    fv_text_clear(&report);
}

static void offences_are_seen(void **state) {
    (void)state;
    check_report("vision/a.c", "#include \"core/ops.h\"\n#  include \"language/model.h\"\n#include <stdio.h>\n", "vision/a.c:2: vision/ must not include language/model.h\n");
    check_report("core/a.c", "#include \"cpu/cpu.h\"\n", "core/a.c:1: core/ must not include cpu/cpu.h\n");
    check_report("core/backend.c", "#include \"cpu/cpu.h\"\n", "");
    check_report("core/backend.c", "#include \"cpu/simd.h\"\n", "core/backend.c:1: core/ must not include cpu/simd.h\n");
    check_report("rl/a.c", "#include \"cpu/kernels/linear.h\"\n#include \"cli/x.h\"\n",
                 "rl/a.c:1: rl/ must not include cpu/kernels/linear.h\nrl/a.c:2: rl/ must not include cli/x.h\n");
    check_report("cpu/a.c", "#include \"cuda/b.h\"\n", "cpu/a.c:1: cpu/ must not include cuda/b.h\n");
    check_report("tools/a.c", "#include \"draw.h\"\n#include \"stb_truetype.h\"\n", "tools/a.c:1: \"draw.h\" must be named from the root\n");
    check_report("tests/rl/a.c", "#include \"cpu/simd.h\"\n", "");
    check_report("vision/a.c", "/*\n#include \"rl/train/run.h\"\n*/\n", "");

    check_report("rl/a.c", "\nvoid f(void) {\n    printf(\"x\");\n    exit(1);\n}\n",
                 "rl/a.c:3: the library must not use printf\nrl/a.c:4: the library must not use exit\n");
    check_report("rl/a.c", "/* exit(1) */ const char *s = \"abort()\\\"exit(\"; // stdout\nint exited, at_exit(int), x = p->exit(2); _exit(3); snprintf(s, 1, 0);\n", "");
    check_report("cli/a.c", "void f(void) { printf(\"x\"); }\n", "");
    check_report("core/a.c", "FILE *f = stderr;\n", "core/a.c:1: the library must not use stderr\n");
    check_report("core/progress.c", "FILE *f = stderr;\n", "");
    check_report("core/a.c", "int a; /* " "TO" "DO: later */\nint b; // FIX" "MEs\n", "core/a.c:1: TO" "DO\n");
}

static void lengths_are_seen(void **state) {
    (void)state;
    fv_text t = {0};
    fv_text_add(&t, "static const int table[] = { /* f( */\n");
    for (int i = 0; i < 130; i++) fv_text_add(&t, "    1,\n");
    fv_text_add(&t, "};\nint declared(int a,\n             int b);\n");
    fv_text_add(&t, "static int f(int a,\n             int b) {\n"); /* line 135 */
    for (int i = 0; i < 117; i++) fv_text_add(&t, "    a++;\n");
    fv_text_add(&t, "}\n");
    check_report("core/a.c", t.data, ""); /* 120 lines */
    fv_text_add(&t, "int g(void) { return 1; }\nint h(void)\n{\n"); /* line 256 */
    for (int i = 0; i < 118; i++) fv_text_add(&t, "    g();\n");
    fv_text_add(&t, "}\n");
    check_report("core/a.c", t.data, "core/a.c:256: a function of 121 lines, at most 120\n");
    fv_text_rewind(&t);
    for (int i = 0; i < 601; i++) fv_text_add(&t, "int a;\n");
    check_report("tests/core/a.c", t.data, "tests/core/a.c:601: a file of more than 600 lines\n");
    check_report("tools/stb_big.h", t.data, "");
    fv_text_clear(&t);
}

/* ---- The house itself ---- */

static int sources;

static void walk(fv_text *report, const char *folder, const char *shown) {
    fv_names names;
    fv_error err;
    if (fv_folder_list(&names, folder, &err) != FV_OK) fail_msg("%s", err.text);
    for (size_t i = 0; i < names.count; i++) {
        const char *name = names.names[i];
        if (name[0] == '.' || strncmp(name, "build", 5) == 0 || strcmp(name, "data") == 0 || strcmp(name, "runs") == 0) continue;
        char *path = fv_path_join(folder, name), *from_root = fv_path_join(shown, name);
        assert_true(path && from_root);
        if (fv_folder_exists(path)) {
            walk(report, path, from_root);
        } else if (ends_with(name, ".c") || ends_with(name, ".h") || ends_with(name, ".cu") || ends_with(name, ".cuh")) {
            char *text;
            size_t size;
            if (fv_file_read(&text, &size, path, &err) != FV_OK) fail_msg("%s", err.text);
            check_source(report, from_root, text, size);
            free(text);
            sources++;
        }
        free(path);
        free(from_root);
    }
    fv_names_free(&names);
}

static void the_house_keeps_its_rules(void **state) {
    (void)state;
    fv_text report = {0};
    walk(&report, FOVEA_SOURCE, "");
    assert_true(sources > 30); /* the walk found the sources */
    if (report.size) fputs(report.data, stderr); /* whole: cmocka cuts its own messages */
    assert_int_equal(report.size, 0);
    fv_text_clear(&report);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(offences_are_seen),
        cmocka_unit_test(lengths_are_seen),
        cmocka_unit_test(the_house_keeps_its_rules),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
