/* README.md and docs/ say what is so: docs/recipe.md is what the tables of fields, parts, generators and tools give, code on a page is code that tests run,
 * and the files and tests that pages name are there. FOVEA_WRITE_DOCS=1 writes docs/recipe.md instead of comparing it. */
#include "core/file.h"
#include "datasets/generator.h"
#include "rl/evaluate/protocol.h"
#include "rl/part.h"
#include "rl/recipe/recipe.h"
#include "tools/actions.h"
#include "tools/env.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ROOT FOVEA_SOURCE "/"

static char *contents(const char *path) {
    char *text;
    fv_error err = {0};
    if (fv_file_read(&text, NULL, path, &err) != FV_OK) fail_msg("%s", err.text);
    return text;
}

/* ---- docs/recipe.md --------------------------------------------------------------------------------------------------------- */

/* Text of a table's cell: '|' would end it, and '<' begin a tag. */
static void add_cell(fv_text *t, const char *text) {
    for (; *text; text++) {
        if (strchr("|<", *text)) fv_text_char(t, '\\');
        fv_text_char(t, *text);
    }
}

static void add_code(fv_text *t, const char *text) {
    fv_text_add(t, *text ? "`" : "-");
    add_cell(t, text);
    if (*text) fv_text_add(t, "`");
}

static const char *words_of(fv_field_kind kind) {
    static const char *const words[] = {[FV_FIELD_TEXT] = "text", [FV_FIELD_CHOICE] = "one of", [FV_FIELD_INT] = "whole number", [FV_FIELD_NUM] = "number",
                                        [FV_FIELD_SCHEDULE] = "number or schedule", [FV_FIELD_BOOL] = "true, false", [FV_FIELD_LIST] = "list", [FV_FIELD_SOURCE] = "source of rows",
                                        [FV_FIELD_ENV] = "mapping", [FV_FIELD_MAP] = "mapping", [FV_FIELD_PART] = "part", [FV_FIELD_PARTS] = "list of parts", [FV_FIELD_NAMES] = "list or text"};
    return words[kind];
}

static void add_field(fv_text *t, const fv_field *f) {
    fv_text_printf(t, "| `%s` | %s", f->path, words_of(f->kind));
    if (f->kind == FV_FIELD_INT || f->kind == FV_FIELD_NUM || f->kind == FV_FIELD_SCHEDULE) fv_text_printf(t, ", %.10g..%.10g", f->low, f->high);
    if (*f->choices) fv_text_add(t, f->kind == FV_FIELD_CHOICE ? " " : ": "), add_cell(t, f->choices);
    fv_text_add(t, " | ");
    add_code(t, f->fallback);
    fv_text_add(t, " | ");
    add_cell(t, f->help);
    fv_text_add(t, " |\n");
}

static void add_fields(fv_text *t, const char *title, int where) {
    int n;
    const fv_field *all = fv_recipe_fields(&n);
    fv_text_printf(t, "\n## %s\n\n| field | is | default | |\n|---|---|---|---|\n", title);
    for (int i = 0; i < n; i++)
        if (all[i].where & where) add_field(t, &all[i]);
}

static void add_parts(fv_text *t) {
    int n;
    const fv_part *const *all = fv_parts(&n);
    fv_text_add(t, "\n## Parts\n\nA part is chosen by name and takes its options beside it: `{term: exact, weight: 1.0, tolerance: 7}`. Options that are numbers may be schedules, and so may weights of terms. Overrides reach a part by its `name`, or by the part's own where the recipe begins with it: `stages.rl.reward.terms.exact.weight=0.5`; `=null` takes it out, as it takes out a whole stage: `stages.cold-start=null`. "
                   "The key is `term` for rewards, `rule` for shaping and token weights, `kind` for advantages and objectives, `filter` for filters.\n\n| | name | options and their defaults | limits | |\n|---|---|---|---|---|\n");
    for (int i = 0; i < n; i++) {
        fv_text_printf(t, "| %s | `%s` | ", fv_hook_name(all[i]->hook), all[i]->name);
        add_code(t, strcmp(all[i]->fields, "{}") ? all[i]->fields : "");
        fv_text_add(t, " | ");
        add_code(t, all[i]->limits ? all[i]->limits : "");
        fv_text_add(t, " | ");
        add_cell(t, all[i]->doc);
        fv_text_add(t, " |\n");
    }
}

static void add_generators(fv_text *t) {
    int n;
    const fv_generator *const *all = fv_generators(&n);
    fv_text_add(t, "\n## Generators\n\nA source of rows is a file (`{path: F, invert: 0.5}` inverts half of its questions, [papers/tw-grpo.md](papers/tw-grpo.md)), a generator (`{make: NAME, n: 10000, split: train, seed: 1}` and its own options), or a list of those, each with a `weight` "
                   "if wanted: a number, or a schedule of the stage's steps, which makes a curriculum (`weight: {linear: [0, 3]}`: none of its rows at first, then more and more). "
                   "`split: test` uses photographs that `train` never sees.\n\n| name | options and their defaults | |\n|---|---|---|\n");
    for (int i = 0; i < n; i++) {
        fv_text_printf(t, "| `%s` | ", all[i]->name);
        add_code(t, all[i]->options ? all[i]->options : "");
        fv_text_add(t, " | ");
        add_cell(t, all[i]->help);
        fv_text_add(t, " |\n");
    }
}

static void add_env(fv_text *t) {
    int n;
    const fv_env_field *all = fv_env_fields(&n);
    fv_text_add(t, "\n## Environments\n\n`env: {tools: [image_zoom_in_tool], max_turns: 3}`, of the recipe, a stage, or a row.\n\n| field | default | |\n|---|---|---|\n");
    for (int i = 0; i < n; i++) {
        fv_text_printf(t, "| `%s` | ", all[i].name);
        add_code(t, all[i].fallback);
        fv_text_add(t, " | ");
        add_cell(t, all[i].help);
        fv_text_add(t, " |\n");
    }
}

static void add_tools(fv_text *t) {
    int n;
    const fv_tool *const *all = fv_tools(&n);
    fv_text_add(t, "\n## Tools\n\nFor `env: {tools: [...]}`.\n\n| name | arguments, for example | |\n|---|---|---|\n");
    for (int i = 0; i < n; i++) fv_text_printf(t, "| `%s` | `%s` | %s |\n", all[i]->name, all[i]->example, all[i]->description);
    fv_text_add(t, "\nWith `env: {format: actions}` calls are ViLaSR's ([papers/vilasr.md](papers/vilasr.md)): an action and a fenced list of items, each on any picture by its number (`tools/actions.h`).\n\n"
                   "| name | action | an item, for example | |\n|---|---|---|---|\n");
    for (int i = 0; i < n; i++) {
        const fv_action *a = fv_action_of(all[i]);
        if (a) fv_text_printf(t, "| `%s` | `%s` | `%s` | %s |\n", a->tool, a->name, a->example, a->purpose);
    }
}

static void recipe_page_is_current(void **state) {
    (void)state;
    fv_text t = {0};
    fv_text_add(&t, "# Recipes\n\n<!-- Made from the program's own tables by tests/docs/test_pages.c (FOVEA_WRITE_DOCS=1); `fovea help recipe` prints them as well. -->\n\n"
                    "A recipe is a YAML file: fields of the recipe itself, and a list of `stages` that run one after the other, each with the weights and the optimizer's moments that the one before has left. `recipes/` has examples. Every field can be given on the "
                    "command line, by its path: `fovea train R.yaml seed=2 stages.rl.optim.lr=3e-5`; a field that one stage alone has needs no `stages.NAME.` in front. Unknown fields "
                    "and values out of range are errors, with file, line and a suggestion. A run folder keeps the recipe as resolved, every default written out.\n\n"
                    "A schedule is a number that changes over a stage's steps: `{linear: [from, to]}`, `{cosine: [from, to]}`, `{exponential: [from, steps]}` (falls to 1/e in so many steps), "
                    "`{constant: number}`. The learning rate has `optim.schedule` instead.\n");
    add_fields(&t, "The recipe itself", FV_TOP);
    add_fields(&t, "A stage with `kind: sft` (supervised)", FV_STAGE_SFT);
    add_fields(&t, "A stage with `kind: grpo` (reinforcement)", FV_STAGE_GRPO);
    add_fields(&t, "A stage with `kind: filter` (rejection sampling)", FV_STAGE_FILTER);
    add_parts(&t);
    add_generators(&t);
    add_env(&t);
    add_tools(&t);
    assert_false(t.failed);
    if (getenv("FOVEA_WRITE_DOCS")) {
        fv_error err = {0};
        if (fv_file_write(ROOT "docs/recipe.md", t.data, t.size, &err) != FV_OK) fail_msg("%s", err.text);
    }
    char *page = contents(ROOT "docs/recipe.md");
    if (strcmp(page, t.data)) fail_msg("docs/recipe.md is not what the tables say: FOVEA_WRITE_DOCS=1 docs_test_pages writes it anew");
    free(page);
    fv_text_clear(&t);
}

/* ---- all pages ---------------------------------------------------------------------------------------------------------------- */

typedef void page_check(fv_text *report, const char *name, const char *text);

static void check_page(page_check *check, fv_text *report, const char *page) {
    char path[600];
    snprintf(path, sizeof path, ROOT "%s", page);
    char *text = contents(path);
    check(report, page, text);
    free(text);
}

static void check_folder(page_check *check, fv_text *report, const char *folder) {
    fv_names names;
    fv_error err = {0};
    char path[512];
    snprintf(path, sizeof path, ROOT "%s", folder);
    if (fv_folder_list(&names, path, &err) != FV_OK) fail_msg("%s", err.text);
    for (size_t i = 0; i < names.count; i++) {
        if (!strstr(names.names[i], ".md")) continue;
        snprintf(path, sizeof path, "%s/%s", folder, names.names[i]);
        check_page(check, report, path);
    }
    fv_names_free(&names);
}

static void check_pages(page_check *check) {
    fv_text report = {0};
    fv_text_add(&report, "");
    check_page(check, &report, "README.md");
    check_folder(check, &report, "docs");
    check_folder(check, &report, "docs/papers");
    if (report.size) fail_msg("\n%s", report.data);
    fv_text_clear(&report);
}

/* A diff of tests/examples changes lines that are in the file that it names. */
static void check_diff(fv_text *report, const char *name, const char *diff) {
    char path[512];
    snprintf(path, sizeof path, ROOT "%.*s", (int)strcspn(diff + 4, "\n"), diff + 4);
    char *file = contents(path);
    for (const char *at = diff; at && *at; at = strchr(at, '\n') ? strchr(at, '\n') + 1 : NULL) {
        char line[512];
        snprintf(line, sizeof line, "%.*s", (int)strcspn(at, "\n"), at);
        if (line[0] == '-' && line[1] != '-' && !strstr(file, line + 1)) fv_text_printf(report, "%s: %s has no \"%s\"\n", name, path + strlen(ROOT), line + 1);
    }
    free(file);
}

/* Below a line "<!-- tests/examples/FILE -->" stands a block of code that is that file. */
static void check_code(fv_text *report, const char *name, const char *text) {
    for (const char *at = text; (at = strstr(at, "\n<!-- tests/examples/"));) {
        char path[512];
        at += strlen("\n<!-- ");
        snprintf(path, sizeof path, ROOT "%.*s", (int)strcspn(at, " "), at);
        char *file = contents(path);
        const char *block = strstr(at, "```"), *code = block ? strchr(block, '\n') + 1 : NULL, *end = code ? strstr(code, "```") : NULL;
        if (!end || (size_t)(end - code) != strlen(file) || strncmp(code, file, strlen(file))) fv_text_printf(report, "%s: the block is not %s\n", name, path + strlen(ROOT));
        if (strstr(path, ".diff")) check_diff(report, name, file);
        free(file);
    }
}

static void code_on_pages_is_tested(void **state) {
    (void)state;
    check_pages(check_code);
}

/* Names in the tree's folders; those in a run folder or a build are not there, nor are the files that docs/adding.md would add. */
static bool is_here(const char *path) {
    static const char *const examples[] = {"rl/rewards/brief.c", "tools/flip.c", "cpu/kernels/unit.c"};
    char folder[512];
    for (size_t i = 0; i < FV_COUNT(examples); i++)
        if (!strcmp(path, examples[i])) return false;
    snprintf(folder, sizeof folder, ROOT "%.*s", (int)strcspn(path, "/"), path);
    return fv_folder_exists(folder);
}

/* `folder/file.ext`, and `folder/file.c: function` for a test or function in it. */
static void check_name(fv_text *report, const char *name, const char *word) {
    static const char *const endings[] = {".c", ".h", ".md", ".py", ".yaml", ".cmake", ".txt", ".json", ".jinja"};
    char path[256], full[512];
    snprintf(path, sizeof path, "%.*s", (int)strcspn(word, ":"), word);
    bool file = path[0] != '\0' && path[strlen(path) - 1] == '/';
    for (size_t i = 0; i < FV_COUNT(endings); i++) file |= strlen(path) > strlen(endings[i]) && !strcmp(path + strlen(path) - strlen(endings[i]), endings[i]);
    if (!file || !strchr(path, '/') || strpbrk(path, " {}=$*<") || !is_here(path)) return;
    snprintf(full, sizeof full, ROOT "%s", path);
    if (!fv_file_exists(full) && !fv_folder_exists(full)) {
        fv_text_printf(report, "%s: there is no %s\n", name, path);
        return;
    }
    if (!strstr(word, ": ")) return;
    char *text = contents(full), call[160];
    snprintf(call, sizeof call, "%s(", strstr(word, ": ") + 2);
    if (!strstr(text, call)) fv_text_printf(report, "%s: %s has no %s\n", name, path, call);
    free(text);
}

static void check_names(fv_text *report, const char *name, const char *text) {
    bool code = false;
    for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n') {
        if (!strncmp(line, "```", 3)) code = !code;
        const char *end = line + strcspn(line, "\n");
        for (const char *open = code ? NULL : memchr(line, '`', (size_t)(end - line)), *close; open && (close = memchr(open + 1, '`', (size_t)(end - open - 1)));
             open = memchr(close + 1, '`', (size_t)(end - close - 1))) {
            char word[256];
            snprintf(word, sizeof word, "%.*s", (int)(close - open - 1), open + 1);
            check_name(report, name, word);
        }
    }
    for (const char *link = text; (link = strstr(link, "]("));) {
        char target[256], path[512];
        link += 2;
        snprintf(target, sizeof target, "%.*s", (int)strcspn(link, ")#"), link);
        if (!target[0] || strstr(target, "://")) continue;
        const char *slash = strrchr(name, '/');
        snprintf(path, sizeof path, ROOT "%.*s%s", slash ? (int)(slash + 1 - name) : 0, name, target);
        if (!fv_file_exists(path) && !fv_folder_exists(path)) fv_text_printf(report, "%s: a link to %s, which is not there\n", name, target);
    }
}

static void names_on_pages_exist(void **state) {
    (void)state;
    check_pages(check_names);
}

static void protocols_are_told(void **state) {
    (void)state;
    int n;
    const fv_protocol *const *all = fv_protocols(&n);
    char *page = contents(ROOT "docs/evaluation.md"), row[64];
    for (int i = 0; i < n; i++) {
        snprintf(row, sizeof row, "\n| `%s` |", all[i]->name);
        if (!strstr(page, row)) fail_msg("docs/evaluation.md has no row for %s", all[i]->name);
    }
    free(page);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(protocols_are_told),
        cmocka_unit_test(recipe_page_is_current),
        cmocka_unit_test(code_on_pages_is_tested),
        cmocka_unit_test(names_on_pages_exist),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
