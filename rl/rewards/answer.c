/* The answer of a response against the right one: where it stands, and how it is compared, by the row's type of problem. */
#include "rl/recipe/recipe.h"
#include "rl/rewards/compare.h"
#include "rl/rewards/format.h"
#include "rl/rewards/reading.h"
#include "rl/text/mathruler.h"
#include "rl/text/mathverify.h"
#include "rl/text/python.h"

#include <math.h>
#include <string.h>

static double nothing(fv_span given, fv_span right) {
    (void)given, (void)right;
    return 0;
}

/* THE list: what `compare` and `by_type` may say. */
#define WAYS(X)                                                                                                        \
    X("none", nothing) X("text", fv_compare_text) X("letters", fv_compare_letters) X("subset", fv_compare_subset)      \
    X("whole-set", fv_compare_whole_set) X("mathruler", fv_compare_mathruler) X("rounded", fv_compare_rounded)         \
    X("relative", fv_compare_relative) X("regression", fv_compare_regression) X("words", fv_compare_words)             \
    X("words-exp", fv_compare_words_exp) X("rouge", fv_compare_rouge) X("iou", fv_compare_iou)                         \
    X("hit", fv_compare_hit) X("boxes", fv_compare_boxes)
#define WAY_LIMIT(name, function) name ", "

static const struct {
    const char *name;
    fv_compare *compare;
} ways[] = {
#define X(word, function) {word, function},
    WAYS(X)
#undef X
};

static fv_compare *find_way(const char *name) {
    for (size_t i = 0; i < FV_COUNT(ways); i++)
        if (name && !strcmp(ways[i].name, name)) return ways[i].compare;
    return NULL;
}

static fv_status check(const fv_use *u, fv_error *err) {
    const char *type, *names[FV_COUNT(ways)];
    json_t *way;
    for (size_t i = 0; i < FV_COUNT(ways); i++) names[i] = ways[i].name;
    json_object_foreach((json_t *)fv_get(u->options, "by_type"), type, way) {
        const char *name = json_string_value(way), *near = name ? fv_suggest(name, names, FV_COUNT(ways)) : NULL;
        if (find_way(name)) continue;
        if (near) return fv_fail(err, FV_BAD_RECIPE, "%s: by_type.%s: there is no way to compare called \"%s\"; did you mean \"%s\"?", u->label, type, name, near);
        return fv_fail(err, FV_BAD_RECIPE, "%s: by_type.%s: there is no way to compare called \"%s\"", u->label, type, name ? name : "");
    }
    return FV_OK;
}

/* ---- Reading ---- */

typedef struct {
    fv_text text;       /* what the answer is looked for in */
    fv_text right_text; /* what the right one is */
    fv_span given, right;
} reading;

/* pair: the inside of the first <answer> pair, or all; pair_only: or nothing; boxed: of the last \boxed{}. The right answer is read in the same way, but a plain
 * `answer` is itself. */
static bool read_answers(reading *d, const fv_use *u, const fv_response *r) {
    const char *find = fv_get_text(u->options, "find");
    bool boxed = !strcmp(find, "boxed"), only = !strcmp(find, "pair_only");
    const char *right = boxed ? r->answer : fv_response_solution(r);
    if (!right) return false;
    fv_text_add(&d->right_text, right);
    if (!strcmp(fv_get_text(u->options, "clean"), "dollars")) fv_edit_replace(&d->right_text, "$", "");
    d->given = fv_edit_span(&d->text);
    d->right = fv_edit_span(&d->right_text);
    if (boxed) {
        d->given = fv_mathruler_boxed(d->given);
        return true;
    }
    bool whole = !only || !fv_response_field(r, "solution");
    if (!fv_py_pair(&d->right, d->right, "<answer>", "</answer>") && !whole) d->right = fv_span_of("");
    if (!fv_py_pair(&d->given, d->given, "<answer>", "</answer>") && only) d->given = fv_span_of("");
    return true;
}

static fv_compare *way_for(const fv_use *u, const fv_response *r) {
    const json_t *by_type = fv_get(u->options, "by_type");
    const char *type = fv_response_field(r, "problem_type");
    if (!type) type = fv_response_field(r, "question_type");
    const char *way = type ? json_string_value(json_object_get(by_type, type)) : NULL;
    return find_way(way ? way : fv_get_text(u->options, "compare"));
}

static void judge(const fv_use *u, reading *d, fv_response *r, double *out) {
    const char *form = fv_get_text(u->options, "form");
    fv_compare *way = way_for(u, r);
    bool strip = fv_get_bool(u->options, "strip");
    *out = 0;
    if (*form && !fv_format_find(form)(fv_edit_span(&d->text))) return;
    if (fv_get_bool(u->options, "verify") && fv_math_verify(fv_edit_span(&d->text), fv_edit_span(&d->right_text))) {
        *out = 1;
        return;
    }
    *out = way(strip ? fv_py_strip(d->given) : d->given, strip ? fv_py_strip(d->right) : d->right);
    if (isnan(*out)) fv_response_lacks(r, u, "more memory");
}

static fv_status answer(const fv_use *u, fv_group *g, int term, const fv_moment *when, fv_error *err) {
    (void)when;
    for (int i = 0; i < g->count; i++) {
        fv_response *r = &g->items[i];
        reading d = {0};
        bool there = false;
        const char *text = fv_get_text(u->options, "text"), *clean = fv_get_text(u->options, "clean");
        fv_status s = fv_read_text(&d.text, text, clean, r, &there, err);
        if (s == FV_OK && !there) fv_response_lacks(r, u, !strcmp(text, "last_turn") ? "`response` or `turns`" : text);
        else if (s == FV_OK && !read_answers(&d, u, r)) fv_response_lacks(r, u, "an answer");
        else if (s == FV_OK && way_for(u, r) == nothing && !fv_response_field(r, "problem_type") && !fv_response_field(r, "question_type")) fv_response_lacks(r, u, "`problem_type`");
        else if (s == FV_OK) judge(u, &d, r, &r->terms[term]);
        if (d.text.failed || d.right_text.failed) fv_response_lacks(r, u, "more memory");
        fv_text_clear(&d.text);
        fv_text_clear(&d.right_text);
        FV_TRY(s);
    }
    return FV_OK;
}

const fv_part fv_part_reward_answer = {.name = "answer",
                                       .hook = FV_HOOK_REWARD,
                                       .doc = "the answer against the right one: `find` in `text`, cleaned, `compare`d (`by_type` of problem); 0 unless of `form`; "
                                              "verify: math-verify on all of the text first",
                                       .fields = "{text: response, clean: none, find: pair, strip: true, form: '', verify: false, compare: text, by_type: {}}",
                                       .limits = "{" FV_READ_LIMITS ", find: [pair, pair_only, boxed], form: [''" FV_FORMATS(FV_FORMAT_LIMIT) "], compare: [" WAYS(WAY_LIMIT) "]}",
                                       .scope = FV_SCOPE_ITEM,
                                       .check = check,
                                       .reward = answer};
