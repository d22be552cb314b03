/* V* Bench (arXiv 2312.14135) by lmms-eval: five patterns one after the other over the response in capitals, the first of which takes any A to D at the start, so that
 * "Based on .." is B and "A man .." is A. */
#include "rl/protocols/mcq.h"
#include "rl/text/regex.h"

static char letter_of(fv_span text) {
    static const char *const patterns[] = {"(?i)\\A([A-D])" FV_RE_SPACE "*[.)\\]]*", "(?i)(?:THE" FV_RE_SPACE "+)?(?:ANSWER|CHOICE|OPTION)(?:" FV_RE_SPACE "+IS)?(?:" FV_RE_SPACE "|:)+([A-D])",
                                           "(?i)\\(([A-D])\\)", "(?i)([A-D])" FV_RE_SPACE "*[.)\\]]", "(?i)(?:\\A|" FV_RE_SPACE ")([A-D])(?:" FV_RE_SPACE "|\\z)"};
    fv_span group[2];
    for (size_t i = 0; i < FV_COUNT(patterns); i++)
        if (fv_regex_in(patterns[i], text, group, 2)) return (char)(group[1].text[0] & ~0x20);
    char only = 0;
    int count = 0;
    for (size_t i = 0; i < text.size; i++) {
        char c = (char)(text.text[i] & ~0x20);
        if (c < 'A' || c > 'D') continue;
        only = c;
        count++;
    }
    return count == 1 ? only : 0;
}

static const char *mark(fv_mark *m, fv_span text, const json_t *row) {
    fv_span label = fv_row_span(row, json_object_get(row, "label") ? "label" : "answer");
    if (!label.text) return "a `label`";
    label = fv_py_strip(label);
    char right = label.size == 1 ? (char)(label.text[0] & ~0x20) : 0;
    if (right < 'A' || right > 'D') return "a `label` from A to D";
    fv_mark_letter(m, letter_of(fv_py_strip(text)), right);
    return NULL;
}

const fv_protocol fv_protocol_vstar_lmms = {.name = "vstar@lmms",
                                            .doc = "A to D at the start, also of a word; else behind answer, choice or option; else (B), B., alone; else the only one",
                                            .fields = "label (a letter); category",
                                            .source = FV_SOURCE_LMMS "vstar_bench/utils.py",
                                            .facets = {"category"},
                                            .read = fv_read_lmms,
                                            .mark = mark};
