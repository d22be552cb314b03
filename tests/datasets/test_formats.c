#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "datasets/formats.h"

#include <stdio.h>
#include <string.h>

/* The messages of a row, in a short form: "user: <image a.png>text | assistant: ..."; limits and other keys of parts in brackets. */
static char *short_form(const json_t *row) {
    static char text[4096];
    fv_text t = {0};
    const json_t *messages = json_object_get(row, "messages");
    for (size_t i = 0; i < json_array_size(messages); i++) {
        const json_t *m = json_array_get(messages, i), *content = json_object_get(m, "content");
        fv_text_printf(&t, "%s%s: %s", i ? " | " : "", json_string_value(json_object_get(m, "role")), json_is_string(content) ? json_string_value(content) : "");
        for (size_t k = 0; k < json_array_size(content); k++) {
            const json_t *part = json_array_get(content, k);
            const char *type = json_string_value(json_object_get(part, "type"));
            if (strcmp(type, "text") == 0) {
                fv_text_printf(&t, "'%s'", json_string_value(json_object_get(part, "text")));
                continue;
            }
            fv_text_printf(&t, "<%s ", type);
            fv_json_dump(&t, json_object_get(part, type), 0);
            if (json_object_size(part) > 2) fv_text_printf(&t, " +%zu", json_object_size(part) - 2);
            fv_text_add(&t, ">");
        }
    }
    snprintf(text, sizeof text, "%s", t.data ? t.data : "");
    fv_text_clear(&t);
    return text;
}

static void becomes(const char *row, const char *want) {
    fv_error err = {.text = ""};
    json_t *json = json_loads(row, 0, NULL);
    if (json == NULL) fail_msg("not JSON: %s", row);
    json_t *before = json_deep_copy(json);
    if (fv_format_row(json, "a.jsonl:7", &err) != FV_OK) fail_msg("%s", err.text);
    assert_string_equal(short_form(json), want);
    const char *key;
    json_t *value;
    json_object_foreach(before, key, value) if (strcmp(key, "messages") != 0) assert_true(json_equal(value, json_object_get(json, key)));
    json_decref(before);
    json_decref(json);
}

static void refused(const char *row, const char *why) {
    fv_error err = {.text = ""};
    json_t *json = json_loads(row, JSON_DECODE_ANY, NULL);
    assert_int_equal(fv_format_row(json, "a.jsonl:7", &err), FV_BAD_DATA);
    if (strncmp(err.text, "a.jsonl:7: ", 11) != 0 || strstr(err.text, why) == NULL) fail_msg("%s: %s", row, err.text);
    json_decref(json);
}

static void own_messages(void **state) {
    (void)state;
    becomes("{\"messages\": [{\"role\": \"user\", \"content\": [{\"image\": \"a.png\", \"max_pixels\": 3136}, {\"text\": \"What?\"}, {\"image_url\": {\"url\": \"b.png\"}}, {\"image\": {\"bytes\": null, \"path\": \"c.png\"}}]}], \"input_ids\": null}",
            "user: <image \"a.png\" +1>'What?'<image \"b.png\"><image \"c.png\">"); /* parts that say by their fields what they are */
    becomes("{\"messages\": [{\"role\": \"user\", \"content\": \"What does <image> mean?\"}]}", "user: What does <image> mean?");
    becomes("{\"messages\": [{\"role\": \"system\", \"content\": \"s\"}, {\"role\": \"user\", \"content\": [{\"type\": \"image\", \"image\": \"a.png\", \"max_pixels\": 784}, "
            "{\"type\": \"text\", \"text\": \"?\"}]}]}",
            "system: s | user: <image \"a.png\" +1>'?'");
    /* OpenAI's and transformers' other spellings */
    becomes("{\"messages\": [{\"role\": \"user\", \"content\": [{\"type\": \"image_url\", \"image_url\": {\"url\": \"data:x\", \"detail\": \"low\"}}, {\"type\": \"image\", \"url\": "
            "\"http://b\"}, {\"type\": \"image\", \"path\": \"c.png\"}, {\"type\": \"video\", \"video\": [\"1.png\", \"2.png\"], \"fps\": 2}]}]}",
            "user: <image \"data:x\"><image \"http://b\"><image \"c.png\"><video [\"1.png\", \"2.png\"] +1>");
    becomes("{\"messages\": [{\"role\": \"user\", \"content\": \"q\"}, {\"role\": \"assistant\", \"content\": null, \"tool_calls\": [{\"function\": {\"name\": \"f\", \"arguments\": "
            "{\"x\": null}}}]}, {\"role\": \"tool\", \"content\": \"r\"}]}",
            "user: q | assistant:  | tool: r");
    /* TRL: empty parts, or no parts at all, and the pictures beside them */
    becomes("{\"messages\": [{\"role\": \"user\", \"content\": [{\"type\": \"image\"}, {\"type\": \"text\", \"text\": \"?\"}]}], \"images\": [\"a.png\"]}", "user: <image \"a.png\">'?'");
    becomes("{\"messages\": [{\"role\": \"system\", \"content\": \"s\"}, {\"role\": \"user\", \"content\": \"?\"}], \"images\": [{\"bytes\": \"QUJD\", \"path\": \"gone.png\"}]}",
            "system: s | user: <image \"data:image/unknown;base64,QUJD\">'?'");
    becomes("{\"messages\": [{\"role\": \"user\", \"content\": [{\"type\": \"image\", \"image\": \"a.png\"}]}], \"images\": [\"a.png\", \"b.png\"]}", "user: <image \"a.png\">");
}

static void verl_and_trl_prompts(void **state) {
    (void)state;
    becomes("{\"prompt\": [{\"role\": \"system\", \"content\": \"s\"}, {\"role\": \"user\", \"content\": \"<image>\\nfirst <image> last\"}], \"images\": [{\"path\": \"a.png\"}, "
            "{\"url\": \"b.png\", \"min_pixels\": 9}], \"reward_model\": {\"ground_truth\": \"8\"}, \"extra_info\": {\"index\": 3}}",
            "system: s | user: <image \"a.png\">'\nfirst '<image \"b.png\" +1>' last'");
    becomes("{\"prompt\": [{\"role\": \"user\", \"content\": \"<video>What?\"}], \"videos\": [{\"type\": \"video\", \"video\": \"file:///v.mp4\", \"nframes\": 8}], \"images\": null}",
            "user: <video \"file:///v.mp4\" +1>'What?'");
    becomes("{\"prompt\": \"2 + 2?\", \"completion\": \"4\"}", "user: 2 + 2? | assistant: 4");
    becomes("{\"prompt\": [{\"role\": \"user\", \"content\": \"q\"}], \"completion\": [{\"role\": \"assistant\", \"content\": \"r\"}]}", "user: q | assistant: r");
}

static void conversations(void **state) {
    (void)state;
    becomes("{\"image\": \"coco/1.jpg\", \"conversations\": [{\"from\": \"human\", \"value\": \"<image>\\nWhat is it?\"}, {\"from\": \"gpt\", \"value\": \"A cup.\"}]}",
            "user: <image \"coco/1.jpg\">'\nWhat is it?' | assistant: A cup.");
    becomes("{\"images\": [\"1.jpg\", \"2.jpg\"], \"system\": \"s\", \"conversations\": [{\"from\": \"human\", \"value\": \"<image>a\"}, {\"from\": \"gpt\", \"value\": \"b\"}, {\"from\": "
            "\"human\", \"value\": \"<image>c\"}, {\"from\": \"observation\", \"value\": \"d\"}]}",
            "system: s | user: <image \"1.jpg\">'a' | assistant: b | user: <image \"2.jpg\">'c' | tool: d");
    becomes("{\"videos\": [{\"bytes\": \"QUJD\", \"path\": \"v.mp4\"}], \"problem\": \"What moves?\"}", "user: <video \"data:video/unknown;base64,QUJD\">'What moves?'");
    becomes("{\"video\": \"v.mp4\", \"conversations\": [{\"role\": \"user\", \"content\": \"What moves?\"}]}", "user: <video \"v.mp4\">'What moves?'");
    becomes("{\"image\": \"\", \"conversations\": [{\"from\": \"human\", \"value\": \"Hello\"}]}", "user: Hello");
}

static void problems(void **state) {
    (void)state;
    becomes("{\"problem_id\": 3, \"problem\": \"What happens?\", \"data_type\": \"video\", \"problem_type\": \"multiple choice\", \"options\": [\"A. it falls\", \"B. it rises\"], "
            "\"solution\": \"<answer>B</answer>\", \"path\": \"./CLEVRER/1.mp4\"}",
            "user: <video \"./CLEVRER/1.mp4\">'What happens?\nA. it falls\nB. it rises'");
    becomes("{\"problem\": \"<image>How many?\", \"data_type\": \"image\", \"options\": [], \"path\": \"a.png\"}", "user: <image \"a.png\">'How many?'");
    becomes("{\"problem\": \"1 + 1?\", \"data_type\": \"text\", \"path\": \"\"}", "user: 1 + 1?");
    /* options by other names, and without their letters */
    becomes("{\"question\": \"Where?\", \"options\": [\"hall\", \"yard\"], \"answer\": \"yard\"}", "user: Where?\nhall\nyard");
    becomes("{\"question\": \"Where?\", \"options\": [\"hall\", \"yard\"], \"answer\": \"(B)\"}", "user: Where?\nA. hall\nB. yard");
    becomes("{\"question\": \"Where?\", \"options\": [\"(A) hall\", \"(B) yard\"], \"answer\": \"B\"}", "user: Where?\n(A) hall\n(B) yard");
    becomes("{\"question\": \"Where?\", \"candidates\": [\"hall\", \"yard\"], \"answer\": \"yard\", \"video\": \"1.mp4\"}", "user: <video \"1.mp4\">'Where?\nA. hall\nB. yard'");
    becomes("{\"question\": \"How many?\", \"choices\": {\"A\": 3, \"B\": 4.5, \"D\": \"none\"}}", "user: How many?\nA. 3\nB. 4.5\nD. none");
    becomes("{\"question\": \"How many?\", \"N\": 10, \"T\": 300, \"A\": \"7\", \"answer\": \"7\"}", "user: How many?"); /* fields that are none */
    becomes("{\"question\": \"What?\", \"choices\": [{\"choice_id\": 0, \"choice\": \"x\"}]}", "user: What?");
    becomes("{\"question\": \"What?\", \"options\": [\"A red\", \"B blue\"], \"answer\": \"B\"}", "user: What?\nA red\nB blue");
    becomes("{\"question\": \"Why?\", \"a0\": \"to eat\", \"a1\": \"to run\", \"answer\": 1}", "user: Why?\nA. to eat\nB. to run");
    becomes("{\"question\": \"Why?\", \"A\": \"A. to eat\", \"B\": \"to run\", \"answer\": \"B\"}", "user: Why?\nA. to eat\nB. to run");
    becomes("{\"problem\": \"Compare <image> and <image>.\", \"answer\": \"same\", \"images\": [\"a.png\", \"b.png\"]}", "user: 'Compare '<image \"a.png\">' and '<image \"b.png\">'.'");
    becomes("{\"question\": \"Where?\", \"image_path\": [\"a.png\", \"b.png\"], \"data_type\": \"maze\"}", "user: <image \"a.png\"><image \"b.png\">'Where?'");
}

static void tokens_pass_through(void **state) {
    (void)state;
    const char *row = "{\"input_ids\": [1, 2, 3], \"messages\": [], \"images\": [{\"image\": \"a.png\", \"max_pixels\": 784}]}";
    json_t *json = json_loads(row, 0, NULL), *same = json_loads(row, 0, NULL);
    assert_int_equal(fv_format_row(json, "a", NULL), FV_OK);
    assert_true(json_equal(json, same));
    json_decref(json);
    json_decref(same);
    refused("{\"input_ids\": [1, -2]}", "input_ids[1] must be an integer from 0 to");
    refused("{\"input_ids\": [1, 2.0]}", "input_ids[1]");
    refused("{\"input_ids\": []}", "input_ids must be a list");
}

/* Forms that a field's own meaning has to be read from. */
static void other_forms(void **state) {
    (void)state;
    becomes("{\"problem\": null, \"question\": \"Q?\"}", "user: Q?");
    becomes("{\"problem\": \"Q?\", \"process\": \"<think>so</think>\", \"solution\": \"<answer>5</answer>\"}", "user: Q? | assistant: <think>so</think>\n<answer>5</answer>");
    becomes("{\"problem\": \"Q?\", \"process\": \"\", \"solution\": \"<answer>5</answer>\"}", "user: Q?");
    becomes("{\"video\": \"v.mp4\", \"conversations\": [{\"from\": \"human\", \"value\": \"<image>\\nWhat?\"}, {\"from\": \"gpt\", \"value\": \"A cup.\"}]}",
            "user: <video \"v.mp4\">'\nWhat?' | assistant: A cup."); /* LLaVA-Video */
    becomes("{\"messages\": [{\"role\": \"user\", \"content\": [{\"type\": \"image\", \"base64\": \"AAAA\"}, {\"type\": \"image\", \"image\": \"data:image;base64,AAAA\"}]}]}",
            "user: <image \"data:image/unknown;base64,AAAA\"><image \"data:image;base64,AAAA\">");
    json_t *row = json_loads("{\"tools\": \"[{\\\"type\\\": \\\"function\\\"}]\", \"conversations\": [{\"from\": \"human\", \"value\": \"q\"}, {\"from\": \"function_call\", \"value\": "
                             "\"{\\\"name\\\": \\\"w\\\", \\\"arguments\\\": {\\\"a\\\": 1}}\"}, {\"from\": \"observation\", \"value\": \"o\"}]}", 0, NULL);
    assert_int_equal(fv_format_row(row, "a.jsonl:7", NULL), FV_OK);
    json_t *want = json_loads("[{\"role\": \"user\", \"content\": \"q\"}, {\"role\": \"assistant\", \"content\": \"\", \"tool_calls\": [{\"type\": \"function\", \"function\": {\"name\": \"w\", "
                              "\"arguments\": {\"a\": 1}}}]}, {\"role\": \"tool\", \"content\": \"o\"}]", 0, NULL);
    assert_true(json_equal(json_object_get(row, "messages"), want));
    assert_int_equal(json_array_size(json_object_get(row, "tools")), 1);
    json_decref(want);
    json_decref(row);
    refused("{\"problem\": \"x\", \"tools\": 7}", "tools must be a list");
    refused("{\"problem\": \"x\", \"tools\": \"zoom\"}", "tools must be a list of JSON schemas, or such a list as text");
    refused("{\"problem\": \"x\", \"env\": \"zoom\"}", "env must be an object");
    refused("{\"problem\": \"x\", \"env\": true}", "env must be an object");
    refused("{\"conversations\": [{\"from\": \"function_call\", \"value\": \"w(1)\"}]}", "conversations[0].value of a function_call must be");
}

/* An environment's name that is empty is none, unless the row has an environment of its own. */
static void environments(void **state) {
    (void)state;
    static const struct {
        const char *fields, *env; /* what `env` is afterwards; NULL: it is not there */
    } cases[] = {{"\"env_name\": \"\"", "null"},    {"\"env_name\": null", "null"}, {"\"env_name\": \"visual_toolbox_v2\"", NULL}, {"\"answer\": \"x\"", NULL},
                 {"\"env\": null", "null"},         {"\"env\": false", "false"},    {"\"env_name\": \"\", \"env\": {\"max_turns\": 2}", "{\"max_turns\": 2}"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[256];
        snprintf(text, sizeof text, "{\"prompt\": [{\"role\": \"user\", \"content\": \"q\"}], %s}", cases[i].fields);
        json_t *row = json_loads(text, 0, NULL), *want = cases[i].env ? json_loads(cases[i].env, JSON_DECODE_ANY, NULL) : NULL;
        assert_int_equal(fv_format_row(row, "a.jsonl:7", NULL), FV_OK);
        assert_true(want ? json_equal(json_object_get(row, "env"), want) : !json_object_get(row, "env"));
        json_decref(want);
        json_decref(row);
    }
}

static void what_is_wrong(void **state) {
    (void)state;
    refused("[1]", "a row must be an object");
    refused("{\"text\": \"x\"}", "a row needs messages, prompt, conversations, problem or input_ids");
    refused("{\"messages\": []}", "messages must be a list with at least one message");
    refused("{\"messages\": \"x\"}", "messages must be a list");
    refused("{\"messages\": [3]}", "messages[0] must be an object");
    refused("{\"messages\": [{\"content\": \"x\"}]}", "messages[0].role must be system, user, assistant or tool, got \"nothing\"");
    refused("{\"messages\": [{\"role\": \"human\", \"content\": \"x\"}]}", "messages[0].role");
    refused("{\"messages\": [{\"role\": \"user\"}]}", "messages[0].content must be a text or a list of parts");
    refused("{\"messages\": [{\"role\": \"user\", \"content\": [\"x\"]}]}", "messages[0].content[0] must be an object with a \"type\"");
    refused("{\"messages\": [{\"role\": \"user\", \"content\": [{\"type\": \"audio\"}]}]}", "messages[0].content[0].type must be text, image");
    refused("{\"messages\": [{\"role\": \"user\", \"content\": [{\"type\": \"text\", \"text\": 3}]}]}", "messages[0].content[0].text must be a text");
    refused("{\"messages\": [{\"role\": \"user\", \"content\": \"x\"}, {\"role\": \"user\", \"content\": [{\"type\": \"text\", \"text\": \"y\"}, {\"type\": \"image\", \"image\": 3}]}]}",
            "messages[1].content[1].image must be a path, a URL or an object");
    refused("{\"messages\": [{\"role\": \"user\", \"content\": [{\"type\": \"image\"}]}]}", "messages[0].content[0] asks for image number 1, but the row has 0");
    refused("{\"prompt\": 3}", "prompt must be a list of messages or a text");
    refused("{\"prompt\": \"x<image>\"}", "messages[0].content asks for image number 1");
    refused("{\"prompt\": [{\"role\": \"user\", \"content\": \"<image>\"}], \"images\": [\"a\", \"b\"]}", "the row has 2 images, but its text has only 1 <image> marks");
    refused("{\"prompt\": [{\"role\": \"user\", \"content\": \"x\"}], \"images\": [\"a\", {\"bytes\": 3}]}", "images[1] must be a path");
    refused("{\"conversations\": []}", "conversations must be a list");
    refused("{\"conversations\": [{\"from\": \"me\", \"value\": \"x\"}]}", "conversations[0].from must be human, gpt, system or tool, got \"me\"");
    refused("{\"conversations\": [{\"from\": \"gpt\"}]}", "conversations[0].value must be a text");
    refused("{\"conversations\": [{\"from\": \"gpt\", \"value\": \"x\"}], \"image\": \"a\"}", "no user turn");
    refused("{\"problem\": 3}", "problem must be a text");
    refused("{\"problem\": \"x\", \"options\": \"A\"}", "options must be a list");
    refused("{\"problem\": \"x\", \"options\": [\"A. b\", {}]}", "options[1] must be a text");
    refused("{\"problem\": \"x\", \"data_type\": \"image\"}", "data_type is image, but there is no path");
    refused("{\"problem\": \"x\", \"data_type\": \"sound\", \"path\": \"a\"}", "data_type must be image, video or text");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(own_messages), cmocka_unit_test(verl_and_trl_prompts), cmocka_unit_test(conversations),
        cmocka_unit_test(problems),     cmocka_unit_test(tokens_pass_through),  cmocka_unit_test(what_is_wrong), cmocka_unit_test(other_forms), cmocka_unit_test(environments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
