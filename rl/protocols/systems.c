/* Published systems' own evaluations: what their released scripts print of their models' answers. The rewards that their recipes pay are others (rl/rewards/). */
#include "rl/protocols/reading.h"
#include "rl/rewards/compare.h"
#include "rl/rewards/format.h"
#include "rl/text/mathruler.h"
#include "rl/text/regex.h"

#include <math.h>
#include <string.h>

typedef enum { MULTIPLE_CHOICE, NUMERICAL, REGRESSION, OTHER } problem;

static problem problem_of(const json_t *row) {
    static const char *const names[] = {"multiple choice", "numerical", "regression"};
    fv_span type = fv_row_span(row, fv_json_find(row, "problem_type") ? "problem_type" : "question_type");
    for (size_t i = 0; i < FV_COUNT(names); i++)
        if (fv_span_same(type, fv_span_of(names[i]))) return (problem)i;
    return OTHER;
}

/* The inside of the first <answer> pair, stripped; else `miss`. */
static fv_span answer_in(fv_span text, fv_span miss) {
    fv_span inside;
    return fv_py_pair(&inside, text, "<answer>", "</answer>") ? fv_py_strip(inside) : miss;
}

/* What stands behind the first `mark`; false: there is none. */
static bool part_after(fv_span *out, fv_span s, const char *mark) {
    const char *at = fv_py_find(s, mark);
    if (!at) return false;
    at += strlen(mark);
    *out = (fv_span){at, s.size - (size_t)(at - s.text)};
    return true;
}

/* Mean relative accuracy in f32 over torch.arange(0.5, 0.975, 0.05), whose values are start + k * step in doubles, rounded once; `equal`: an error of just the bound is within it. */
static double relative(fv_span given, fv_span right, bool equal) {
    double x, y;
    if (!fv_edit_number(given, &x) || !fv_edit_number(right, &y)) return 0;
    float a = (float)x, b = (float)y, error = fabsf(a - b) / (fabsf(b) + 1e-8f);
    int within = 0;
    for (int k = 0; k < 10; k++) {
        float bound = 1.0f - (float)(0.5 + 0.05 * k);
        within += equal ? error <= bound : error < bound;
    }
    return (float)within / 10.0f;
}

static fv_span right_text(const json_t *row) {
    fv_span s = fv_row_span(row, "solution");
    if (!s.text) s = fv_row_span(row, "answer");
    return s.text ? s : fv_row_span(row, "answer_text");
}

/* Both answers, kept in m. */
static void keep(fv_mark *m, fv_span given, fv_span right) {
    fv_edit_set(&m->extracted, given);
    fv_edit_set(&m->right, right);
}

/* Means of what the script averages apart: choices and numbers in one, regression in the other. */
static void split_means(fv_mark *m, problem p) { m->metrics[p == REGRESSION] = m->score; }

static const char *mark_video_r1(fv_mark *m, fv_span text, const json_t *row) {
    fv_span given = answer_in(text, fv_span_of("")), solution = right_text(row);
    problem p = problem_of(row);
    if (!solution.text || !json_object_get(row, "problem_type")) return "`solution` and `problem_type`";
    if (!given.size) given = text;
    fv_span right = answer_in(solution, json_object_get(row, "solution") ? fv_span_of("") : solution);
    keep(m, given, right);
    if (p == MULTIPLE_CHOICE) m->score = fv_compare_text(given, right);
    else if (p == NUMERICAL) m->score = fv_compare_rounded(given, right);
    else if (p == REGRESSION) m->score = relative(given, right, false);
    split_means(m, p);
    return NULL;
}

const fv_protocol fv_protocol_video_r1 = {.name = "video-r1",
                                          .doc = "the <answer> pair, else all: choices equal as text, numbers after rounding to two places, regression by mean relative accuracy, others wrong",
                                          .fields = "solution (with its <answer> pair; or answer), problem_type",
                                          .source = "Video-R1 59d65c34, src/eval_bench.py",
                                          .facets = {"problem_type"},
                                          .metrics = {"mean_acc", "mean_mra"},
                                          .read = fv_read_turn,
                                          .mark = mark_video_r1};

static int lower_first(fv_span s) {
    s = fv_py_strip(s);
    if (!s.size) return -1;
    return s.text[0] >= 'A' && s.text[0] <= 'Z' ? s.text[0] + 32 : (unsigned char)s.text[0];
}

/* ViLaSR's script ends with an error where a choice is empty; here that is wrong. */
static const char *mark_vilasr(fv_mark *m, fv_span text, const json_t *row) {
    fv_span given = answer_in(text, text), answer = right_text(row);
    problem p = problem_of(row);
    if (!answer.text || !(json_object_get(row, "problem_type") || json_object_get(row, "question_type"))) return "an `answer` and a `problem_type`";
    if (fv_span_same(fv_row_span(row, "problem_type"), fv_span_of("vci"))) return "another `problem_type`: its rule for camera movements (vci) is not there";
    fv_span right = answer_in(answer, answer);
    keep(m, given, right);
    if (p == MULTIPLE_CHOICE) m->score = lower_first(given) >= 0 && lower_first(given) == lower_first(right);
    else if (p == NUMERICAL) m->score = fv_compare_rounded(given, right);
    else if (p == REGRESSION) m->score = relative(given, right, true);
    return NULL;
}

const fv_protocol fv_protocol_vilasr = {.name = "vilasr",
                                        .doc = "the <answer> pair, else all: choices by their first character, numbers after rounding to two places, regression by mean relative accuracy, others wrong",
                                        .fields = "answer, problem_type or question_type",
                                        .source = "ViLaSR 61669c02, eval/evaluate.py",
                                        .facets = {"problem_type", "original_question_type"},
                                        .read = fv_read_turn,
                                        .mark = mark_vilasr};

/* TW-GRPO averages whole answers (strict) and shares of the key (partial), and src/eval/eval_clevrer.py keys of one letter and of several apart. */
static void mark_letters(fv_mark *m, fv_span given, fv_span right) {
    keep(m, given, answer_in(right, fv_py_strip(right)));
    double partial = fv_compare_subset(fv_edit_span(&m->extracted), fv_edit_span(&m->right));
    m->score = partial == 1;
    m->metrics[0] = partial;
    m->category = fv_py_find(fv_edit_span(&m->right), ",") ? "multiple_choice" : "single_choice";
}

/* Without a pair, letters behind "answer". */
static const char *mark_tw_grpo(fv_mark *m, fv_span text, const json_t *row) {
    fv_span right = right_text(row), group[2] = {{0}}, miss = fv_span_of("");
    if (!right.text) return "a `solution`";
    if (fv_regex_in("(?:answer|Answer|ANSWER)(?:" FV_RE_SPACE "|:)+([A-Z](?:" FV_RE_SPACE "*," FV_RE_SPACE "*[A-Z])*)", text, group, 2)) miss = fv_py_strip(group[1]);
    mark_letters(m, answer_in(text, miss), right);
    return NULL;
}

const fv_protocol fv_protocol_tw_grpo = {.name = "tw-grpo",
                                         .doc = "the <answer> pair, else letters behind \"answer\": right if all of the key and nothing else is named; partial: the share of the key",
                                         .fields = "solution (letters with commas between)",
                                         .source = "TW-GRPO aa529ffc, src/eval/eval_general_videor1.py",
                                         .metrics = {"partial_accuracy"},
                                         .read = fv_read_turn,
                                         .mark = mark_tw_grpo};

/* A model that was not trained is asked for the letter alone, and all that it says is its answer. */
static const char *mark_tw_grpo_zeroshot(fv_mark *m, fv_span text, const json_t *row) {
    fv_span right = right_text(row);
    if (!right.text) return "a `solution`";
    mark_letters(m, fv_py_strip(text), right);
    return NULL;
}

const fv_protocol fv_protocol_tw_grpo_zeroshot = {.name = "tw-grpo-zeroshot",
                                                  .doc = "the whole response, stripped: right if all of the key and nothing else is named; partial: the share of the key",
                                                  .fields = "solution (letters with commas between)",
                                                  .source = "TW-GRPO aa529ffc, src/eval/eval_general_zeroshot.py",
                                                  .metrics = {"partial_accuracy"},
                                                  .read = fv_read_turn,
                                                  .mark = mark_tw_grpo_zeroshot};

/* DeepEyes' V* rows have the right option as A and its text as `answer`. */
static const char *mark_deepeyes(fv_mark *m, fv_span text, const json_t *row) {
    static const char box[] = "\\boxed{";
    fv_span answer = fv_row_span(row, fv_json_find(row, "answer_text") ? "answer_text" : "answer"), reply = fv_py_strip(fv_row_span(row, "judge_text")), inside;
    if (!answer.text) return "an `answer`, the right option's text";
    fv_text_add(&m->right, "A. ");
    fv_text_bytes(&m->right, answer.text, answer.size);
    bool pair = fv_py_find(text, "</answer>") && fv_py_find(text, "<answer>");
    if (pair && part_after(&inside, text, "<answer>")) text = fv_py_strip(fv_py_before(fv_py_before(inside, "<answer>"), "</answer>"));
    if (part_after(&inside, text, box)) text = fv_py_before(fv_py_before(inside, box), "}");
    fv_edit_set(&m->extracted, text);
    size_t n = fv_py_length(text);
    if (n == 1) m->score = fv_span_same(text, fv_span_of("A"));
    else if (n == 2 && fv_py_find(text, ".")) m->score = fv_py_find(text, "A") != NULL;
    else if (m->right.data && fv_py_find(text, m->right.data)) m->score = 1;
    else if (!reply.text) return "`judge_text`: a judge's 1 or 0 for an answer that is neither a letter nor holds the right option";
    else if (fv_py_find(reply, "Judgement:")) m->score = fv_py_find(fv_py_after_last(reply, "Judgement:"), "1") != NULL;
    else m->score = fv_span_same(reply, fv_span_of("1"));
    return NULL;
}

/* Less than its script takes, where what says neither counts as wrong. */
static bool hears_deepeyes(fv_span reply) {
    reply = fv_py_strip(reply);
    if (!fv_py_find(reply, "Judgement:")) return fv_span_same(reply, fv_span_of("1")) || fv_span_same(reply, fv_span_of("0"));
    reply = fv_py_after_last(reply, "Judgement:");
    return fv_py_find(reply, "1") || fv_py_find(reply, "0");
}

const fv_protocol fv_protocol_deepeyes = {.name = "deepeyes",
                                          .doc = "the <answer> pair, then \\boxed{}: A alone or A. is right, or \"A. \" and the right option's text within it; else the judge",
                                          .fields = "answer (the right option's text, which is A); judge_text for longer answers",
                                          .source = "DeepEyes 6c5e7967, eval/judge_result.py",
                                          .facets = {"test_type"},
                                          .read = fv_read_turn,
                                          .mark = mark_deepeyes,
                                          .hears = hears_deepeyes};

static const char *mark_vision_sr1(fv_mark *m, fv_span text, const json_t *row) {
    if (!fv_row_word(&m->right, row, "answer")) return "an `answer`";
    fv_edit_set(&m->extracted, fv_mathruler_boxed(text));
    m->score = fv_mathruler_grade(fv_edit_span(&m->extracted), fv_edit_span(&m->right));
    return NULL;
}

const fv_protocol fv_protocol_vision_sr1 = {.name = "vision-sr1",
                                            .doc = "the inside of the last \\boxed{} by mathruler's grade_answer (its rule-based table; the judged one is another)",
                                            .fields = "answer; file_name (the data set)",
                                            .source = "Vision-SR1 4480e080, Evaluation/eval_result.py",
                                            .facets = {"file_name"},
                                            .read = fv_read_turn,
                                            .mark = mark_vision_sr1};

/* SophiaVL-R1 publishes VLMEvalKit's numbers; its own code validates by the outcome reward, which is this. */
static const char *mark_sophiavl_r1(fv_mark *m, fv_span text, const json_t *row) {
    static const struct {
        const char *type;
        fv_compare *compare;
    } ways[] = {{"multiple choice", fv_compare_letters}, {"OCR", fv_compare_words_exp}, {"free-form", fv_compare_rouge}, {"text", fv_compare_rouge}};
    fv_span right = right_text(row), inside;
    const char *type = json_string_value(json_object_get(row, "problem_type"));
    if (!right.text || !type) return "a `solution` and `problem_type`";
    fv_compare *compare = fv_compare_mathruler;
    for (size_t i = 0; i < FV_COUNT(ways); i++)
        if (!strcmp(type, ways[i].type)) compare = ways[i].compare;
    keep(m, text, right);
    fv_edit_replace(&m->extracted, "$", "");
    fv_edit_replace(&m->right, "$", "");
    bool formed = fv_format_find("think-then-answer")(fv_edit_span(&m->extracted));
    if (fv_py_pair(&inside, fv_edit_span(&m->extracted), "<answer>", "</answer>")) fv_edit_set(&m->extracted, inside);
    if (fv_py_pair(&inside, fv_edit_span(&m->right), "<answer>", "</answer>")) fv_edit_set(&m->right, inside);
    m->score = formed ? compare(fv_edit_span(&m->extracted), fv_edit_span(&m->right)) : 0;
    if (isnan(m->score)) m->extracted.failed = true;
    return NULL;
}

const fv_protocol fv_protocol_sophiavl_r1 = {.name = "sophiavl-r1",
                                             .doc = "0 unless <think>, </think>, <answer>, </answer> come in order; the pair without $, by problem_type: mathruler, letters, exp(-WER), ROUGE",
                                             .fields = "solution (or answer), problem_type",
                                             .source = "SophiaVL-R1 a8184947, verl/utils/reward_score/math.py",
                                             .facets = {"problem_type"},
                                             .read = fv_read_turn,
                                             .mark = mark_sophiavl_r1};
