/* What a recipe asks around a row's question. */
#include "lesson.h"

#include "rl/recipe/ask.h"

static json_t *asked(const char *ask, const char *row) {
    json_t *how = json_loads(ask, 0, NULL), *in = json_loads(row, 0, NULL), *before = json_deep_copy(in), *out;
    assert_true(how && in);
    out = fv_ask_messages(how, in, json_object_get(in, "messages"));
    assert_non_null(out);
    assert_true(json_equal(in, before)); /* the row itself stays as it was: others read it */
    json_decref(how);
    json_decref(in);
    json_decref(before);
    return out;
}

static void expect(const char *ask, const char *row, const char *wanted) {
    json_t *got = asked(ask, row), *want = json_loads(wanted, 0, NULL);
    assert_non_null(want);
    if (!json_equal(got, want)) fail_msg("%s", json_dumps(got, JSON_COMPACT));
    json_decref(got);
    json_decref(want);
}

#define ASK "{\"text\": \"Look. {question} ({hint}{question})\", \"hints\": {\"numerical\": \"a {question} number\"}}"

static void the_question_stands_in_the_text(void **state) {
    (void)state;
    expect(ASK, "{\"messages\": [{\"role\": \"user\", \"content\": \"How many?\"}]}", "[{\"role\": \"user\", \"content\": \"Look. How many? (How many?)\"}]");
    expect(ASK, "{\"problem_type\": \"numerical\", \"messages\": [{\"role\": \"user\", \"content\": \"A {hint}?\"}]}", "[{\"role\": \"user\", \"content\": \"Look. A {hint}? (a {question} numberA {hint}?)\"}]");
    expect(ASK, "{\"problem_type\": \"OCR\", \"messages\": [{\"role\": \"user\", \"content\": \"\"}]}", "[{\"role\": \"user\", \"content\": \"Look.  ()\"}]");
}

/* Pictures stay where they are; a system's and later turns say what they said. */
static void the_rest_of_the_conversation_stays(void **state) {
    (void)state;
    expect("{\"text\": \"<{question}>\"}",
           "{\"messages\": [{\"role\": \"system\", \"content\": \"s\"}, {\"role\": \"user\", \"content\": [{\"type\": \"text\", \"text\": \"a\"}, {\"type\": \"image\", \"image\": \"1.png\"}, {\"type\": \"text\", "
           "\"text\": \"b\"}]}, {\"role\": \"assistant\", \"content\": \"c\"}, {\"role\": \"user\", \"content\": \"d\"}]}",
           "[{\"role\": \"system\", \"content\": \"s\"}, {\"role\": \"user\", \"content\": [{\"type\": \"text\", \"text\": \"<ab>\"}, {\"type\": \"image\", \"image\": \"1.png\"}]}, {\"role\": \"assistant\", "
           "\"content\": \"c\"}, {\"role\": \"user\", \"content\": \"d\"}]");
    expect("{\"text\": \"<{question}>\"}", "{\"messages\": [{\"role\": \"user\", \"content\": [{\"type\": \"image\", \"image\": \"1.png\"}]}]}",
           "[{\"role\": \"user\", \"content\": [{\"type\": \"image\", \"image\": \"1.png\"}, {\"type\": \"text\", \"text\": \"<>\"}]}]");
    expect("{\"text\": \"<{question}>\"}", "{\"messages\": [{\"role\": \"system\", \"content\": \"s\"}]}", "[{\"role\": \"system\", \"content\": \"s\"}]");
}

/* The prompts that four published recipes make of a row, from its file to its tokens. */
static void recipes_ask_as_their_systems_did(void **state) {
    (void)state;
    static const struct {
        const char *recipe, *asks, *ends;
    } cases[] = {{"vision-sr1", "Which one?\nA. one\n\nYou are tasked with", "</think> \\boxed{FINAL ANSWER here}.<|im_end|>\n<|im_start|>assistant\n"},
                 {"tw-grpo", "Which one?\nA. one  Output the thinking process", "in <answer> </answer> tags.<|im_end|>\n<|im_start|>assistant\n"},
                 {"video-r1", "Which one?\nA. one\nPlease think about this", "between the <answer> </answer> tags. Please provide only the single option letter (e.g., A, B, C, D, etc.) within the <answer> </answer> tags.<|im_end|>\n"},
                 {"sophiavl-r1", "Which one?\nA. one\nPlease think about this", "between the <answer> </answer> tags. Please provide only the single option letter (e.g., A, B, C, D, etc.) within the <answer> </answer> tags.<|im_end|>\n"}};
    small s;
    small_open(&s, SMALL_QWEN25, NULL, 1, false);
    small_write("asked.jsonl", "{\"problem\": \"Which one?\", \"options\": [\"A. one\"], \"images\": [\"a.png\"], \"problem_type\": \"multiple choice\", \"answer\": \"A\"}\n");
    json_t *spec = json_string(small_path("asked.jsonl"));
    fv_dataset *data;
    MUST(fv_dataset_open(&data, spec, 1, err));
    for (size_t i = 0; i < FV_COUNT(cases); i++) {
        char path[256], *text;
        fv_recipe *r;
        fv_feed *feed;
        fv_sample sample;
        snprintf(path, sizeof path, "%s/recipes/%s.yaml", FOVEA_SOURCE, cases[i].recipe);
        MUST(fv_recipe_open(&r, path, (const char *const[]){"data=x"}, 1, err));
        MUST(fv_feed_open(&feed, s.model, data, s.pool, &(fv_feed_options){.ask = fv_get(r->json, "ask"), .generate = true}, err));
        fv_feed_take(feed, (const int64_t[]){0}, 1, &sample);
        assert_int_equal(sample.error.status, FV_OK);
        MUST(fv_tokenizer_decode(s.model->tokenizer, sample.prompt.tokens.ids, sample.prompt.tokens.count, false, &text, err));
        if (!strstr(text, "user\n<|vision_start|>") || !strstr(text, cases[i].asks) || !strstr(text, cases[i].ends)) fail_msg("%s: %s", cases[i].recipe, text);
        free(text);
        fv_sample_clear(&sample);
        fv_feed_close(feed);
        fv_recipe_close(r);
    }
    fv_dataset_close(data);
    json_decref(spec);
    small_close(&s);
}

static void what_is_no_text_is_refused(void **state) {
    (void)state;
    static const char *const wrong[][2] = {{"ask: {text: Look}", "lesson.yaml:4: ask.text must be a text with {question}"}, {"ask: {hints: {a: b}}", "ask.text must be"},
                                           {"ask: {text: \"{question}\", hints: {a: [b]}}", "ask.hints.a must be a text"}};
    for (size_t i = 0; i < FV_COUNT(wrong); i++) {
        fv_recipe *r;
        fv_error why = {0};
        char text[256];
        snprintf(text, sizeof text, "name: x\nmodel: {init: tiny}\ndata: x\n%s\nstages: [{kind: sft}]\n", wrong[i][0]);
        assert_int_equal(fv_recipe_parse(&r, text, "lesson.yaml", NULL, 0, &why), FV_BAD_RECIPE);
        if (!strstr(why.text, wrong[i][1])) fail_msg("%s", why.text);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_question_stands_in_the_text), cmocka_unit_test(the_rest_of_the_conversation_stays), cmocka_unit_test(recipes_ask_as_their_systems_did),
                                       cmocka_unit_test(what_is_no_text_is_refused)};
    return cmocka_run_group_tests(tests, lesson_begin, small_end);
}
