/* Video-MME (arXiv 2405.21075), as the two harnesses score it. A row's `answer` is a letter A to D. */
#include "rl/protocols/mcq.h"
#include "rl/text/regex.h"

#include <string.h>

#define FACETS {"duration", "domain", "sub_category", "task_type"}

static const char lacks[] = "an `answer`, a letter";

static char right_letter(const json_t *row) {
    fv_span s = fv_row_span(row, "answer");
    return s.size == 1 && s.text[0] >= 'A' && s.text[0] <= 'D' ? s.text[0] : 0;
}

static const char *mark_lmms(fv_mark *m, fv_span text, const json_t *row) {
    char right = right_letter(row);
    if (!right) return lacks;
    fv_mark_letter(m, fv_mcq_lmms(text, 4), right);
    return NULL;
}

const fv_protocol fv_protocol_videomme_lmms = {.name = "videomme@lmms",
                                               .doc = "mcq@lmms among A to D",
                                               .fields = "answer (a letter); duration, domain, sub_category, task_type, videoID",
                                               .source = FV_SOURCE_LMMS "videomme/utils.py",
                                               .facets = FACETS,
                                               .cluster = "videoID",
                                               .read = fv_read_lmms,
                                               .mark = mark_lmms};

/* VLMEvalKit: phrases are deleted one after the other, then the first capital A to D anywhere counts, inside of words as well. Four of the phrases run together two
 * and two, since commas are missing in the source, so that "Best option: C" is B, of "Best". */
static char first_capital(fv_span text) {
    static const char *const phrases[] = {"The best answer is", "The correct answer is", "The answer is", "The answer", "The best option isThe correct option is",
                                          "Best answer:Best option:", "Answer:", "Option:"};
    fv_text t = {0};
    char letter = 0;
    fv_edit_set(&t, fv_py_strip(text));
    for (size_t i = 0; i < FV_COUNT(phrases); i++) fv_edit_replace(&t, phrases[i], "");
    for (size_t i = 0; i < t.size && !letter; i++)
        if (t.data[i] >= 'A' && t.data[i] <= 'D') letter = t.data[i];
    fv_text_clear(&t);
    return letter;
}

/* Where there is none: can_infer with options read from the question's further lines, "A." in the first of them and so on. */
static char inferred(fv_span text, const json_t *row) {
    fv_options o = {0};
    fv_span lines = fv_row_span(row, "question"), line;
    bool more = lines.text && fv_py_item(&lines, &line, '\n');
    for (int i = 0; more && i < FV_OPTIONS && fv_py_item(&lines, &line, '\n'); i++) {
        const char *at = fv_py_find(line, (const char[]){(char)('A' + i), '.', 0});
        if (!at) continue;
        o.count = i + 1;
        o.text[i] = fv_py_strip_of((fv_span){at + 2, line.size - (size_t)(at - line.text) - 2}, ". \n");
    }
    return fv_mcq_kit(text, &o);
}

static const char *mark_kit(fv_mark *m, fv_span text, const json_t *row) {
    char right = right_letter(row), given = first_capital(text);
    if (!right) return lacks;
    fv_mark_letter(m, given ? given : inferred(text, row), right);
    return NULL;
}

const fv_protocol fv_protocol_videomme_kit = {.name = "videomme@kit",
                                              .doc = "after \"The best answer is\" and the like are deleted, the first capital A to D, inside of words as well; else mcq@kit with the options "
                                                     "that stand in `question`",
                                              .fields = "answer (a letter); duration, domain, sub_category, task_type, videoID",
                                              .source = FV_SOURCE_KIT "dataset/utils/videomme.py",
                                              .facets = FACETS,
                                              .cluster = "videoID",
                                              .read = fv_read_turn,
                                              .mark = mark_kit};
