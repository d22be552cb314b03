/* M. Porter, An algorithm for suffix stripping, Program 14(3), 1980; and nltk's changes: irregular words, short words in -ies and -ied keep an e, y becomes i only
 * behind a consonant that is not the first letter, -alli before -(a)bli, -logi counts its l to the stem, vowel-consonant words of two letters end in "cvc". */
#include "rl/text/porter.h"

#include <stdbool.h>
#include <string.h>

typedef struct {
    char *w;
    size_t n, room;
} word;

static const char *const irregular[][2] = {{"sky", "sky"}, {"skies", "sky"}, {"dying", "die"}, {"lying", "lie"}, {"tying", "tie"}, {"news", "news"},
                                           {"innings", "inning"}, {"inning", "inning"}, {"outings", "outing"}, {"outing", "outing"}, {"cannings", "canning"},
                                           {"canning", "canning"}, {"howe", "howe"}, {"proceed", "proceed"}, {"exceed", "exceed"}, {"succeed", "succeed"}};

/* A letter other than a, e, i, o, u, and other than y behind a consonant. Digits count as consonants. */
static bool consonant(const char *w, size_t i) {
    bool c = true;
    size_t start = i;
    while (start > 0 && w[start] == 'y') start--; /* a run of y alternates */
    for (size_t k = start; k <= i; k++) c = strchr("aeiou", w[k]) ? false : w[k] == 'y' ? k == 0 || !c : true;
    return c;
}

/* How often a vowel is followed by a consonant in the first n letters: Porter's m. */
static int measure(const char *w, size_t n) {
    int m = 0;
    for (size_t i = 1; i < n; i++) m += !consonant(w, i - 1) && consonant(w, i);
    return m;
}

static bool has_vowel(const char *w, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (!consonant(w, i)) return true;
    return false;
}

static bool double_consonant(const char *w, size_t n) { return n >= 2 && w[n - 1] == w[n - 2] && consonant(w, n - 1); }

static bool ends_cvc(const char *w, size_t n) {
    if (n == 2) return !consonant(w, 0) && consonant(w, 1);
    return n >= 3 && consonant(w, n - 3) && !consonant(w, n - 2) && consonant(w, n - 1) && !strchr("wxy", w[n - 1]);
}

static bool ends(const word *x, const char *suffix) {
    size_t k = strlen(suffix);
    return k <= x->n && !memcmp(x->w + x->n - k, suffix, k);
}

static void put(word *x, size_t cut, const char *with) {
    size_t k = strlen(with);
    x->n -= cut;
    if (x->n + k >= x->room) return;
    memcpy(x->w + x->n, with, k);
    x->n += k;
}

typedef struct {
    const char *suffix, *with;
} rule;

/* The first rule whose suffix is there: applied if the stem's measure is more than `least`. */
static void apply(word *x, const rule *rules, size_t count, int least) {
    for (size_t i = 0; i < count; i++) {
        if (!ends(x, rules[i].suffix)) continue;
        size_t k = strlen(rules[i].suffix);
        size_t stem = x->n - k + !strcmp(rules[i].suffix, "logi"); /* the l is the stem's */
        bool ion = !strcmp(rules[i].suffix, "ion");                /* only behind s and t */
        if (measure(x->w, stem) > least && (!ion || (stem && strchr("st", x->w[stem - 1])))) put(x, k, rules[i].with);
        return;
    }
}

static void step_1a(word *x) {
    if (ends(x, "ies")) put(x, 3, x->n == 4 ? "ie" : "i");
    else if (ends(x, "sses")) put(x, 2, "");
    else if (ends(x, "s") && !ends(x, "ss")) put(x, 1, "");
}

static void step_1b(word *x) {
    if (ends(x, "ied")) {
        put(x, 3, x->n == 4 ? "ie" : "i");
        return;
    }
    if (ends(x, "eed")) {
        if (measure(x->w, x->n - 3) > 0) put(x, 1, "");
        return;
    }
    if (ends(x, "ed") && has_vowel(x->w, x->n - 2)) put(x, 2, "");
    else if (ends(x, "ing") && has_vowel(x->w, x->n - 3)) put(x, 3, "");
    else return;
    if (ends(x, "at") || ends(x, "bl") || ends(x, "iz")) put(x, 0, "e");
    else if (double_consonant(x->w, x->n)) {
        if (!strchr("lsz", x->w[x->n - 1])) x->n--;
    } else if (measure(x->w, x->n) == 1 && ends_cvc(x->w, x->n)) put(x, 0, "e");
}

static void step_1c(word *x) {
    if (ends(x, "y") && x->n > 2 && consonant(x->w, x->n - 2)) x->w[x->n - 1] = 'i';
}

static void step_2(word *x) {
    static const rule rules[] = {{"ational", "ate"}, {"tional", "tion"}, {"enci", "ence"}, {"anci", "ance"}, {"izer", "ize"}, {"bli", "ble"},
                                 {"alli", "al"}, {"entli", "ent"}, {"eli", "e"}, {"ousli", "ous"}, {"ization", "ize"}, {"ation", "ate"},
                                 {"ator", "ate"}, {"alism", "al"}, {"iveness", "ive"}, {"fulness", "ful"}, {"ousness", "ous"}, {"aliti", "al"},
                                 {"iviti", "ive"}, {"biliti", "ble"}, {"fulli", "ful"}, {"logi", "log"}};
    while (ends(x, "alli") && measure(x->w, x->n - 4) > 0) put(x, 2, "");
    apply(x, rules, sizeof rules / sizeof *rules, 0);
}

static void step_3(word *x) {
    static const rule rules[] = {{"icate", "ic"}, {"ative", ""}, {"alize", "al"}, {"iciti", "ic"}, {"ical", "ic"}, {"ful", ""}, {"ness", ""}};
    apply(x, rules, sizeof rules / sizeof *rules, 0);
}

static void step_4(word *x) {
    static const rule rules[] = {{"al", ""}, {"ance", ""}, {"ence", ""}, {"er", ""}, {"ic", ""}, {"able", ""}, {"ible", ""}, {"ant", ""}, {"ement", ""},
                                 {"ment", ""}, {"ent", ""}, {"ion", ""}, {"ou", ""}, {"ism", ""}, {"ate", ""}, {"iti", ""}, {"ous", ""}, {"ive", ""}, {"ize", ""}};
    apply(x, rules, sizeof rules / sizeof *rules, 1);
}

static void step_5(word *x) {
    if (ends(x, "e")) {
        int m = measure(x->w, x->n - 1);
        if (m > 1 || (m == 1 && !ends_cvc(x->w, x->n - 1))) x->n--;
    }
    if (ends(x, "ll") && measure(x->w, x->n - 1) > 1) x->n--;
}

size_t fv_porter_stem(char *w, size_t size, size_t room) {
    word x = {w, size, room};
    for (size_t i = 0; i < sizeof irregular / sizeof *irregular; i++)
        if (strlen(irregular[i][0]) == size && !memcmp(w, irregular[i][0], size)) {
            put(&x, size, irregular[i][1]);
            return x.n;
        }
    if (size <= 2) return size;
    step_1a(&x);
    step_1b(&x);
    step_1c(&x);
    step_2(&x);
    step_3(&x);
    step_4(&x);
    step_5(&x);
    return x.n;
}
