#include "rl/recipe/recipe.h"
#include "rl/rewards/reading.h"
#include "rl/text/python.h"

#include <stdlib.h>
#include <strings.h>

enum { LONGEST = 16 };

typedef struct {
    const fv_span *words;
    int n;
} gram;

static int compare(const void *a, const void *b) {
    const gram *x = a, *y = b;
    for (int k = 0; k < x->n; k++) {
        size_t n = x->words[k].size < y->words[k].size ? x->words[k].size : y->words[k].size;
        int c = strncasecmp(x->words[k].text, y->words[k].text, n);
        if (!c && x->words[k].size != y->words[k].size) c = x->words[k].size < y->words[k].size ? -1 : 1;
        if (c) return c;
    }
    return 0;
}

/* 1 - different n-grams / n-grams, of words without regard to case; 0 for a text of fewer words, -1 if memory ran out. */
static double repeated(const char *text, int n) {
    fv_span rest = fv_span_of(text), *words = malloc((rest.size + 1) * sizeof *words), word;
    int count = 0, different = 1;
    while (words && fv_py_word(&rest, &word)) words[count++] = word;
    int grams = count - n + 1;
    gram *g = grams > 0 ? malloc((size_t)grams * sizeof *g) : NULL;
    for (int i = 0; i < grams && g; i++) g[i] = (gram){words + i, n};
    if (g) qsort(g, (size_t)grams, sizeof *g, compare);
    for (int i = 1; i < grams && g; i++) different += compare(&g[i - 1], &g[i]) != 0;
    double out = !words || (grams > 0 && !g) ? -1 : grams > 0 ? 1 - (double)different / grams : 0;
    free(g);
    free(words);
    return out;
}

/* The repetition penalty of Open-R1 and TRL (arXiv 2502.03373, appendix; open_r1/rewards.py, get_repetition_penalty_reward): minus the share of n-grams that were there before. */
static fv_status repetition(const fv_use *u, fv_group *g, int term, const fv_moment *when, fv_error *err) {
    (void)err;
    int n = (int)fv_get_at(u->options, "n", when->step, when->steps);
    for (int i = 0; i < g->count; i++) {
        fv_response *r = &g->items[i];
        double share = r->text ? repeated(r->text, n < LONGEST ? n : LONGEST) : 0;
        if (!r->text) fv_response_lacks(r, u, "a response");
        else if (share < 0) fv_response_lacks(r, u, "more memory");
        else r->terms[term] = share > 0 ? -share : 0;
    }
    return FV_OK;
}

const fv_part fv_part_reward_repetition = {.name = "repetition",
                                           .hook = FV_HOOK_REWARD,
                                           .doc = "minus the share of runs of n words that the response had before",
                                           .fields = "{n: 3}",
                                           .limits = "{n: [1, 16]}",
                                           .scope = FV_SCOPE_ITEM,
                                           .reward = repetition};
