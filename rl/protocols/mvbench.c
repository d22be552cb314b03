/* MVBench (arXiv 2311.17005), as the two harnesses score it. A row's `answer` is the text of one of its `candidates`. */
#include "rl/protocols/mcq.h"
#include "rl/text/regex.h"

#include <string.h>

/* The numbers of the first and the last candidate that is the answer; -1: none. */
static int right_candidate(const fv_options *o, const json_t *row, int *last) {
    fv_span answer = fv_row_span(row, "answer");
    int first = -1;
    *last = -1;
    for (int i = 0; i < o->count; i++) {
        if (!answer.text || !fv_span_same(o->text[i], answer)) continue;
        if (first < 0) first = i;
        *last = i;
    }
    return first;
}

static const char lacks[] = "`candidates`, and an `answer` that is one of them";

/* ---- lmms-eval (mcq_acc) ---- */

/* VQA's clean-up of punctuation with its slips: whether a mark is dropped or becomes a blank is asked of the text as it came; a comma between digits anywhere drops all
 * marks; and re.UNICODE, given where the count goes, ends the dropping of full stops after 32. */
static void drop_punctuation(fv_text *t) {
    static const char marks[] = ";/[]\"{}()=+\\_-><@`,?!";
    fv_text in = {0};
    fv_span group;
    fv_edit_set(&in, fv_edit_span(t));
    bool comma = fv_regex_in("\\d,\\d", fv_edit_span(&in), &group, 1);
    for (const char *m = marks; *m; m++) {
        bool beside = fv_py_find(fv_edit_span(&in), (const char[]){*m, ' ', 0}) || fv_py_find(fv_edit_span(&in), (const char[]){' ', *m, 0});
        fv_edit_replace(t, (const char[]){*m, 0}, beside || comma ? "" : " ");
    }
    fv_text_clear(&in);
    fv_edit_swap(&in, t);
    fv_span s = fv_edit_span(&in);
    int dropped = 0, value;
    for (size_t i = 0; i < s.size; i++) {
        if (s.text[i] == '.' && dropped < 32 && !fv_py_digit(s.text + i + 1, s.size - i - 1, &value)) dropped++;
        else fv_text_char(t, s.text[i]);
    }
    t->failed |= in.failed;
    fv_text_clear(&in);
}

/* An answer as a capital letter A to E, wherever one stands alone (the article "a" too); without one, the text in lower case. */
static void read_letter(fv_text *out, fv_span answer) {
    fv_span group[2], s = fv_py_strip(answer);
    fv_edit_set(out, s);
    if (fv_regex_in("(?i)\\A([A-E])\\." FV_RE_SPACE "*(.+)$", s, group, 2)) {
        char letter = (char)(group[1].text[0] & ~0x20);
        fv_edit_set(out, (fv_span){&letter, 1});
        return;
    }
    fv_edit_replace(out, "\n", " ");
    fv_edit_replace(out, "\t", " ");
    drop_punctuation(out);
    s = fv_edit_span(out);
    for (const char *mark = "'\")("; *mark; mark++) s = fv_py_strip_of(s, (const char[]){*mark, 0});
    fv_edit_set(out, fv_py_strip(s));
    if (fv_regex_in("(?i)\\b([A-E])\\b", fv_edit_span(out), group, 2)) {
        char letter = (char)(group[1].text[0] & ~0x20);
        fv_edit_set(out, (fv_span){&letter, 1});
    } else {
        fv_edit_lower(out);
    }
}

/* Newer logs have the right letter alone. */
static int logged_letter(const json_t *row) {
    fv_span s = fv_row_span(row, "gt_answer");
    return s.size == 1 && s.text[0] >= 'A' && s.text[0] <= 'Z' ? s.text[0] - 'A' : -1;
}

static const char *mark_lmms(fv_mark *m, fv_span text, const json_t *row) {
    int last;
    fv_options o;
    fv_options_read(&o, row);
    int right = o.count ? right_candidate(&o, row, &last) : logged_letter(row);
    if (right < 0) return lacks;
    char letter = (char)('A' + right);
    read_letter(&m->right, (fv_span){&letter, 1}); /* from F on in lower case, as the response */
    read_letter(&m->extracted, text);
    m->score = fv_edit_same(&m->extracted, &m->right);
    m->left_out = !text.size;
    return NULL;
}

const fv_protocol fv_protocol_mvbench_lmms = {.name = "mvbench@lmms",
                                              .doc = "\"B. ..\", else the first letter A to E that stands alone, in either case (so \"a man\" is A); empty responses leave the mean",
                                              .fields = "candidates, answer (the text of one); task_type",
                                              .source = FV_SOURCE_LMMS "mvbench/utils.py",
                                              .facets = {"task_type"},
                                              .cluster = "video",
                                              .read = fv_read_lmms,
                                              .mark = mark_lmms};

/* ---- VLMEvalKit (check_ans_with_model, exact_matching) ---- */

/* The first word, in lower case and without full stops, lies in "(b)", so that nothing at all and a lone bracket are right; or "(b)" lies in the first word; or can_infer
 * says the letter. Failed requests score -1, which its table counts as right. */
static const char *mark_kit(fv_mark *m, fv_span text, const json_t *row) {
    int last;
    fv_options o;
    fv_options_read(&o, row);
    int right = right_candidate(&o, row, &last);
    if (right < 0) return lacks;
    fv_text word = {0}, bare = {0};
    fv_edit_set(&word, fv_py_before(fv_py_strip(text), " "));
    fv_edit_lower(&word);
    fv_edit_set(&bare, fv_edit_span(&word));
    fv_edit_replace(&bare, ".", "");
    const char wanted[] = {'(', (char)('a' + last), ')', 0};
    bool named = !bare.size || strstr(wanted, bare.data) || strstr(word.data, wanted);
    if (named || fv_py_find(text, FV_KIT_FAILED)) {
        fv_mark_letter(m, (char)('A' + right), (char)('A' + right));
        fv_edit_set(&m->extracted, fv_edit_span(&bare));
    } else {
        fv_mark_letter(m, fv_mcq_kit(text, &o), (char)('A' + right));
    }
    m->extracted.failed |= word.failed || bare.failed;
    fv_text_clear(&word);
    fv_text_clear(&bare);
    return NULL;
}

const fv_protocol fv_protocol_mvbench_kit = {.name = "mvbench@kit",
                                             .doc = "the first word without full stops lies in \"(b)\" (so an empty response is right), or \"(b)\" in it; else mcq@kit; failed requests are right",
                                             .fields = "candidates, answer (the text of one); task_type",
                                             .source = FV_SOURCE_KIT "dataset/utils/mvbench.py",
                                             .facets = {"task_type"},
                                             .cluster = "video",
                                             .read = fv_read_turn,
                                             .mark = mark_kit};
