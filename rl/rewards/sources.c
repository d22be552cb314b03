#include "rl/rewards/sources.h"

#include "rl/text/python.h"
#include "rl/text/regex.h"

#include <stdio.h>
#include <string.h>

enum { LONGEST = 1000 }; /* characters: a longer answer is there to please the judge */

fv_source fv_sources_kind(fv_response *r, const fv_use *u) {
    static const struct {
        const char *name;
        fv_source kind;
    } sources[] = {{"vstar", FV_SOURCE_PERCEPTION},  {"vl_agent", FV_SOURCE_PERCEPTION},     {"chart", FV_SOURCE_PERCEPTION},
                   {"geoguessr", FV_SOURCE_PLACE}, {"thinklite_eureka", FV_SOURCE_MATH}, {"xince", FV_SOURCE_MATH}};
    const char *name = fv_response_field(r, "data_source");
    for (size_t i = 0; name && i < FV_COUNT(sources); i++)
        if (!strcmp(sources[i].name, name)) return sources[i].kind;
    if (!name) fv_response_lacks(r, u, "`data_source`");
    else if (!r->error[0]) snprintf(r->error, sizeof r->error, "%.100s: %s has no rule for data_source \"%.40s\"", r->place ? r->place : r->id, u->label, name);
    return FV_SOURCE_UNKNOWN;
}

fv_span fv_sources_behind_thinking(const char *text) { return fv_py_strip(fv_py_after_last(fv_span_of(text), "</think>")); }

/* The last of \boxed{..}, each up to its first closing brace, with something in it. */
static fv_span last_box(fv_span s, int *count) {
    fv_regex *r = fv_regex_new("\\\\boxed\\{([^}]+)\\}");
    fv_span g[2], last = {0};
    for (size_t at = 0; fv_regex_find(r, s, at, g, 2); at = (size_t)(g[0].text - s.text) + g[0].size) {
        last = g[1];
        ++*count;
    }
    fv_regex_free(r);
    return last;
}

fv_span fv_sources_answer(fv_source kind, const char *text, bool *formed) {
    fv_span answer = {0};
    int boxes = 0;
    if (kind == FV_SOURCE_MATH) {
        answer = last_box(fv_sources_behind_thinking(text), &boxes);
        *formed = boxes == 1;
        return answer;
    }
    if (kind == FV_SOURCE_PERCEPTION) answer = fv_py_strip(fv_py_before(fv_py_after_last(fv_span_of(text), "<answer>"), "</answer>"));
    else if (fv_py_pair(&answer, fv_sources_behind_thinking(text), "<answer>", "</answer>")) answer = fv_py_strip(answer);
    if (kind == FV_SOURCE_PLACE && !answer.size) answer.text = NULL;
    *formed = answer.text && fv_py_length(answer) < LONGEST;
    return answer;
}
