#include "datasets/maker.h"

#include "tools/calls.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- options -------------------------------------------------------------------------------------------------------- */

enum { WORD_SIZE = 48, OPTIONS_MAX = 24 };

/* One entry of a generator's list. */
typedef struct {
    char name[WORD_SIZE], value[WORD_SIZE * 2]; /* value: the default without its bounds, or all words */
    bool words, range;                          /* else a number */
    double low, high, least, most;              /* default; allowed */
} option;

/* "3", "3..5": how many numbers were read, 0 if it is something else. */
static int read_numbers(const char *text, double *low, double *high, const char **rest) {
    char *end;
    *low = *high = strtod(text, &end);
    if (end == text) return 0;
    *rest = end;
    /* "3..5": strtod takes "3." of it */
    bool cut = end[-1] == '.' && end[0] == '.';
    if (!cut && strncmp(end, "..", 2) != 0) return 1;
    const char *second = end + (cut ? 1 : 2);
    *high = strtod(second, &end);
    if (end == second) return 0;
    *rest = end;
    return 2;
}

/* Reads the entry at `list`, which is well formed (a test reads every generator's), and returns what is behind it, or NULL at the end. */
static const char *next_option(option *o, const char *list) {
    while (*list == ' ') list++;
    if (*list == '\0') return NULL;
    size_t name = strcspn(list, "="), all = strcspn(list, " ");
    memset(o, 0, sizeof *o);
    snprintf(o->name, sizeof o->name, "%.*s", (int)name, list);
    const char *value = list + name + 1, *rest = value;
    int numbers = read_numbers(value, &o->low, &o->high, &rest);
    o->words = numbers == 0;
    o->range = numbers == 2;
    if (!o->words && *rest == '[') read_numbers(rest + 1, &o->least, &o->most, &(const char *){NULL});
    snprintf(o->value, sizeof o->value, "%.*s", (int)(o->words ? all - name - 1 : (size_t)(rest - value)), value);
    return list + all;
}

static bool find_option(option *o, const fv_generator *g, const char *name) {
    for (const char *at = g->options; (at = next_option(o, at)) != NULL;)
        if (strcmp(o->name, name) == 0) return true;
    return false;
}

/* Whether `word` is one of "rl|sft|no_tool". */
static bool has_word(const char *words, const char *word) {
    size_t size = strlen(word);
    for (const char *at = words; *at; at += strcspn(at, "|"), at += *at == '|')
        if (strcspn(at, "|") == size && memcmp(at, word, size) == 0) return true;
    return false;
}

/* A given value as a span; false if it does not read as one. */
static bool read_span(const json_t *value, double *low, double *high) {
    const char *rest = "";
    if (json_is_number(value)) *low = *high = json_number_value(value);
    else if (!json_is_string(value) || read_numbers(json_string_value(value), low, high, &rest) == 0) return false;
    return *rest == '\0' && *low <= *high;
}

static fv_status check_value(const option *o, const fv_generator *g, const json_t *value, fv_error *err) {
    double low = 0, high = 0;
    fv_text text = {0};
    fv_json_dump(&text, value, 0);
    fv_status status = FV_OK;
    if (o->words && !(json_is_string(value) && has_word(o->value, json_string_value(value))))
        status = fv_fail(err, FV_BAD_RECIPE, "generator %s: %s must be one of %s, got %s", g->name, o->name, o->value, text.data ? text.data : "?");
    else if (!o->words && (!read_span(value, &low, &high) || low < o->least || high > o->most || (!o->range && low != high)))
        status = fv_fail(err, FV_BAD_RECIPE, "generator %s: %s must be %s%g..%g, got %s", g->name, o->name, o->range ? "a number or a range (\"2..4\") in " : "",
                         o->least, o->most, text.data ? text.data : "?");
    fv_text_clear(&text);
    return status;
}

static fv_status refuse_unknown(const fv_generator *g, const char *name, fv_error *err) {
    option entries[OPTIONS_MAX];
    const char *names[OPTIONS_MAX];
    size_t count = 0;
    for (const char *at = g->options; count < OPTIONS_MAX && (at = next_option(&entries[count], at)) != NULL; count++) names[count] = entries[count].name;
    const char *near = fv_suggest(name, names, count);
    return fv_fail(err, FV_BAD_RECIPE, "generator %s: unknown option \"%s\"%s%s%s (it has: %s)", g->name, name, near ? "; did you mean \"" : "", near ? near : "",
                   near ? "\"?" : "", g->options);
}

static fv_status check_options(const fv_generator *g, const json_t *options, fv_error *err) {
    if (options == NULL || json_is_null(options)) return FV_OK;
    if (!json_is_object(options)) return fv_fail(err, FV_BAD_RECIPE, "generator %s: options must be an object", g->name);
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)options, name, value) { /* jansson's macro wants it mutable, but only reads */
        option o;
        if (!find_option(&o, g, name)) return refuse_unknown(g, name, err);
        FV_TRY(check_value(&o, g, value, err));
    }
    return FV_OK;
}

static void option_span(const fv_maker *m, const char *name, double *low, double *high) {
    option o;
    *low = *high = 0;
    if (!find_option(&o, m->generator, name)) return;
    const json_t *given = json_object_get(m->how->options, name);
    if (given == NULL || !read_span(given, low, high)) *low = o.low, *high = o.high;
}

int fv_maker_int(fv_maker *m, const char *name) {
    double low, high;
    option_span(m, name, &low, &high);
    return (int)low + (int)fv_below(&m->random, (int64_t)((int)high - (int)low) + 1);
}

double fv_maker_number(fv_maker *m, const char *name) {
    double low, high;
    option_span(m, name, &low, &high);
    return fv_uniform_in(&m->random, low, high);
}

bool fv_maker_is(const fv_maker *m, const char *name, const char *word) {
    const json_t *given = json_object_get(m->how->options, name);
    if (given != NULL) return strcmp(json_string_value(given), word) == 0;
    option o;
    return find_option(&o, m->generator, name) && strcspn(o.value, "|") == strlen(word) && strncmp(o.value, word, strlen(word)) == 0;
}

bool fv_maker_chance(fv_maker *m, double probability) {
    return fv_uniform(&m->random) < probability;
}

const char *fv_maker_pick(fv_maker *m, const char *const *phrases, int count) {
    return phrases[fv_below(&m->random, count)];
}

/* ---- the row -------------------------------------------------------------------------------------------------------- */

static bool has_option(const fv_generator *g, const char *name) {
    option o;
    return find_option(&o, g, name);
}

fv_status fv_maker_begin(fv_maker *m, const fv_generator *g, const fv_generator_how *how, int64_t index, fv_error *err) {
    memset(m, 0, sizeof *m);
    bool test = strcmp(how->split, "test") == 0;
    if (!test && strcmp(how->split, "train") != 0) return fv_fail(err, FV_BAD_RECIPE, "generator %s: split must be train or test, got \"%s\"", g->name, how->split);
    FV_TRY(check_options(g, how->options, err));
    m->generator = g;
    m->how = how;
    m->test = test;
    uint64_t key = fv_random_key(how->seed, g->name, test, (uint64_t)index);
    m->random = fv_random_stream(key);
    m->turns = has_option(g, "turns") ? fv_maker_int(m, "turns") : 0;
    m->view = has_option(g, "view") ? fv_maker_int(m, "view") : 0;
    m->row = calloc(1, sizeof *m->row);
    if (m->row == NULL) return fv_fail(err, FV_NO_MEMORY, "generator %s: out of memory", g->name);
    char text[160];
    snprintf(text, sizeof text, "%s-%s-%llu-%lld", g->name, how->split, (unsigned long long)how->seed, (long long)index);
    m->row->id = strdup(text);
    snprintf(text, sizeof text, "generator %s, row %lld", g->name, (long long)index);
    m->row->place = strdup(text);
    m->row->json = json_object();
    m->messages = json_array();
    m->content = json_array();
    fv_maker_set(m, "id", json_string(m->row->id ? m->row->id : ""));
    fv_maker_set(m, "messages", json_incref(m->messages));
    m->failed |= m->row->id == NULL || m->row->place == NULL || m->content == NULL;
    return FV_OK;
}

const char *const fv_maker_zoom_tool = "image_zoom_in_tool";

void fv_maker_zooms(fv_maker *m) {
    fv_maker_set(m, "env", json_pack("{s[s], si, ss, ss}", "tools", fv_maker_zoom_tool, "max_turns", 3, "coordinates", "view", "prompt", "compact"));
}

json_t *fv_maker_zoom(fv_maker *m, fv_text *out, json_t *box) {
    json_t *arguments = json_pack("{so}", "bbox_2d", box);
    fv_call_write(out, fv_maker_zoom_tool, arguments);
    m->failed |= out->failed || arguments == NULL;
    return arguments;
}

void fv_maker_set(fv_maker *m, const char *field, json_t *value) {
    if (json_object_set_new(m->row->json, field, value) != 0) m->failed = true;
}

static void append(fv_maker *m, json_t *list, json_t *value) {
    if (json_array_append_new(list, value) != 0) m->failed = true;
}

int fv_maker_picture(fv_maker *m, fv_image *im) {
    fv_row *row = m->row;
    fv_image **images = realloc(row->images, (size_t)(row->image_count + 1) * sizeof *images);
    if (images == NULL || im == NULL) {
        if (images != NULL) row->images = images;
        fv_image_free(im);
        m->failed = true;
        return 0;
    }
    row->images = images;
    images[row->image_count] = im;
    return row->image_count++;
}

/* The limits of every picture that a row shows: exactly view x view, where it is square and view a multiple of the tower's block. */
static json_t *with_limits(const fv_maker *m, json_t *part) {
    if (m->view == 0) return part;
    json_int_t pixels = (json_int_t)m->view * m->view;
    json_object_set_new(part, "min_pixels", json_integer(pixels));
    json_object_set_new(part, "max_pixels", json_integer(pixels));
    return part;
}

void fv_maker_show(fv_maker *m, int k) {
    append(m, m->content, with_limits(m, json_pack("{ss, so}", "type", "image", "image", json_sprintf("#%d", k))));
}

void fv_maker_show_clip(fv_maker *m, int k, int count) {
    json_t *frames = json_array();
    for (int i = 0; i < count; i++) append(m, frames, json_sprintf("#%d", k + i));
    append(m, m->content, json_pack("{ss, so}", "type", "video", "video", frames));
}

void fv_maker_say(fv_maker *m, const char *format, ...) {
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    append(m, m->content, json_pack("{ss, ss}", "type", "text", "text", text));
}

void fv_maker_close_turn(fv_maker *m) {
    json_t *content = m->content, *only = json_array_get(content, 0);
    m->content = json_array();
    if (json_array_size(content) == 1 && json_object_get(only, "text") != NULL) { /* plain text is written as such */
        append(m, m->messages, json_pack("{ss, sO}", "role", "user", "content", json_object_get(only, "text")));
        json_decref(content);
    } else {
        append(m, m->messages, json_pack("{ss, so}", "role", "user", "content", content));
    }
}

void fv_maker_reply(fv_maker *m, const char *text) {
    append(m, m->messages, json_pack("{ss, ss}", "role", "assistant", "content", text));
}

void fv_maker_right(fv_maker *m, fv_asked asked, const char *answer) {
    m->asked++;
    m->kind = asked.kind;
    m->problem_type = asked.problem_type;
    m->tolerance = asked.tolerance;
    snprintf(m->answer, sizeof m->answer, "%s", answer);
}

/* Whether the row has this question already, so that its answer could be copied. */
static bool is_asked(const fv_maker *m, const char *question) {
    size_t i;
    json_t *message;
    json_array_foreach(m->messages, i, message) {
        const json_t *content = json_object_get(message, "content"), *last = json_array_get(content, json_array_size(content) - 1);
        const char *text = json_string_value(json_is_string(content) ? content : json_object_get(last, "text"));
        if (text != NULL && strcmp(text, question) == 0) return true;
    }
    return false;
}

void fv_maker_ask(fv_maker *m, fv_asked asked, const char *question, const char *answer) {
    if (is_asked(m, question)) {
        m->repeats++;
        return;
    }
    fv_maker_say(m, "%s", question);
    fv_maker_close_turn(m);
    fv_maker_right(m, asked, answer);
    if (m->turns != 1) fv_maker_reply(m, answer);
}

fv_status fv_maker_respond(fv_maker *m, int k, fv_error *err) {
    char name[16];
    snprintf(name, sizeof name, "#%d", k);
    FV_TRY(fv_response_add(m->content, name, NULL, err));
    for (size_t i = 0; i < json_array_size(m->content); i++) {
        json_t *part = json_array_get(m->content, i);
        if (json_object_get(part, "image") != NULL) with_limits(m, part);
    }
    fv_maker_close_turn(m);
    return FV_OK;
}

bool fv_maker_wants(const fv_maker *m, int natural) {
    enum { PATIENCE = 30 };
    return m->asked < (m->turns > 0 ? m->turns : natural) && m->repeats < PATIENCE;
}

fv_status fv_maker_end(fv_maker *m, fv_status status, fv_row **out, fv_error *err) {
    *out = NULL;
    if (status == FV_OK) {
        fv_maker_set(m, "answer", json_string(m->answer));
        fv_maker_set(m, "problem_type", json_string(m->problem_type));
        fv_maker_set(m, "category", json_sprintf("%s/%s", m->generator->name, m->kind));
        if (m->tolerance > 0) fv_maker_set(m, "tolerance", json_integer(m->tolerance));
        if (m->failed) status = fv_fail(err, FV_NO_MEMORY, "generator %s: out of memory", m->generator->name);
    }
    json_decref(m->messages);
    json_decref(m->content);
    if (status != FV_OK) fv_row_free(m->row);
    else *out = m->row;
    return status;
}
