#include "rl/rewards/compare.h"

#include "core/text.h"
#include "rl/text/python.h"

double fv_compare_text(fv_span given, fv_span right) { return fv_span_same(fv_py_strip(given), fv_py_strip(right)); }

static bool has(fv_span list, fv_span item) {
    fv_span one;
    while (fv_py_item(&list, &one, ','))
        if (fv_span_same(fv_py_strip(one), item)) return true;
    return false;
}

/* SophiaVL-R1 (verl/utils/reward_score/math.py, choices_compute_score), with the key as the list of letters that it is declared to be. A letter named twice counts twice. */
double fv_compare_letters(fv_span given, fv_span right) {
    fv_span rest = given, item;
    int n = 0, m = 0;
    bool all = true;
    while (fv_py_item(&rest, &item, ',')) {
        all &= has(right, fv_py_strip(item));
        n++;
    }
    for (rest = right; fv_py_item(&rest, &item, ',');) m++;
    return all && n == m;
}

/* Items before this one are another's: how often `item` stands in list before `end`. */
static bool earlier(fv_span list, fv_span item, const char *end) {
    fv_span one;
    while (fv_py_item(&list, &one, ',') && one.text < end)
        if (fv_span_same(fv_py_strip(one), item)) return true;
    return false;
}

/* Different items of a list; `within`: all of them are in that list. */
static int different(fv_span list, fv_span within, bool *all) {
    fv_span rest = list, item;
    int n = 0;
    *all = true;
    while (fv_py_item(&rest, &item, ',')) {
        n += !earlier(list, fv_py_strip(item), item.text);
        *all &= has(within, fv_py_strip(item));
    }
    return n;
}

static void without_blanks(fv_text *out, fv_span s) {
    for (size_t i = 0; i < s.size; i++)
        if (s.text[i] != ' ') fv_text_char(out, s.text[i]);
}

/* TW-GRPO (src/open_r1/grpo.py, accuracy_reward): |answer| / |key| if the answer's options are among the key's. Nothing at all is an option that no key has. */
double fv_compare_subset(fv_span given, fv_span right) {
    fv_text a = {0}, b = {0};
    bool among, unused;
    without_blanks(&a, given);
    without_blanks(&b, right);
    fv_span x = fv_span_of(a.data ? a.data : ""), y = fv_span_of(b.data ? b.data : "");
    double n = different(x, y, &among), m = different(y, y, &unused);
    fv_text_clear(&a);
    fv_text_clear(&b);
    return among ? n / m : 0;
}

/* The same file's origin_accuracy_reward: all of the key, or nothing. */
double fv_compare_whole_set(fv_span given, fv_span right) { return fv_compare_subset(given, right) >= 1; }
