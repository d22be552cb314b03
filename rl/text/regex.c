#define PCRE2_CODE_UNIT_WIDTH 8
#include "rl/text/regex.h"

#include <pcre2.h>
#include <stdlib.h>

struct fv_regex {
    pcre2_code *code;
    pcre2_match_data *match;
};

fv_regex *fv_regex_new(const char *pattern) {
    int error;
    PCRE2_SIZE place;
    fv_regex *r = calloc(1, sizeof *r);
    if (!r) return NULL;
    r->code = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED, PCRE2_UTF | PCRE2_UCP | PCRE2_MATCH_INVALID_UTF, &error, &place, NULL);
    r->match = r->code ? pcre2_match_data_create_from_pattern(r->code, NULL) : NULL;
    if (r->match) return r;
    fv_regex_free(r);
    return NULL;
}

void fv_regex_free(fv_regex *r) {
    if (!r) return;
    pcre2_match_data_free(r->match);
    pcre2_code_free(r->code);
    free(r);
}

bool fv_regex_find(const fv_regex *r, fv_span text, size_t from, fv_span *group, int count) {
    int n = r && from <= text.size ? pcre2_match(r->code, (PCRE2_SPTR)(text.text ? text.text : ""), text.size, from, 0, r->match, NULL) : -1;
    if (n < 0) return false;
    const PCRE2_SIZE *place = pcre2_get_ovector_pointer(r->match);
    for (int k = 0; k < count; k++) {
        bool taken = k < n && place[2 * k] != PCRE2_UNSET;
        group[k] = taken ? (fv_span){text.text + place[2 * k], place[2 * k + 1] - place[2 * k]} : (fv_span){0};
    }
    return true;
}

bool fv_regex_in(const char *pattern, fv_span text, fv_span *group, int count) {
    fv_regex *r = fv_regex_new(pattern);
    bool found = fv_regex_find(r, text, 0, group, count);
    fv_regex_free(r);
    return found;
}
