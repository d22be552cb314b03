/* A judge behind a server: OpenAI's chat completions, as vLLM, SGLang, llama.cpp and others speak them. */
#include "rl/judge/judge.h"

#include "core/random.h"
#include "rl/judge/http.h"
#include "vision/source.h"

#include <stdlib.h>
#include <string.h>

typedef struct {
    fv_judge base;
    const fv_trainer *t;
    const json_t *how;        /* the recipe's `judge` */
    char *url;
    fv_question *questions;   /* being asked */
    int64_t step;
} judge_server;

/* ---- Requests ---- */

static void add_base64(fv_text *out, const uint8_t *bytes, size_t size) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < size; i += 3) {
        unsigned v = (unsigned)bytes[i] << 16 | (i + 1 < size ? (unsigned)bytes[i + 1] << 8 : 0) | (i + 2 < size ? bytes[i + 2] : 0);
        for (int k = 0; k < 4; k++) fv_text_char(out, i + (size_t)k > size ? '=' : digits[v >> (18 - 6 * k) & 63]);
    }
}

static fv_status add_picture(fv_text *out, const fv_picture *p, fv_error *err) {
    uint8_t *png;
    size_t size;
    FV_TRY(fv_image_encode_png(&png, &size, p->image, err));
    fv_text_add(out, "{\"type\": \"image_url\", \"image_url\": {\"url\": \"data:image/png;base64,");
    add_base64(out, png, size);
    fv_text_add(out, "\"}}");
    free(png);
    return FV_OK;
}

static fv_status add_content(fv_text *out, const json_t *content, const fv_question *q, fv_error *err) {
    if (!json_is_array(content)) return fv_json_dump(out, content, 0), FV_OK;
    for (size_t i = 0; i < json_array_size(content); i++) {
        const json_t *part = json_array_get(content, i);
        long k = fv_source_number(json_string_value(json_object_get(part, "image")));
        fv_text_add(out, i ? ", " : "[");
        if (k >= 0) FV_TRY(add_picture(out, q->pictures[k], err));
        else fv_json_dump(out, part, 0);
    }
    fv_text_char(out, ']');
    return FV_OK;
}

enum { ATTEMPT_BITS = 10 }; /* judge.tries is at most 1000 */

/* Each try has a seed of its own: a server that keeps to seeds would say again what could not be read. */
static fv_status compose(void *context, int item, int attempt, fv_text *out, fv_error *err) {
    const judge_server *j = context;
    const fv_question *q = &j->questions[item];
    uint64_t key = fv_random_key(j->t->seed, "judge", (uint64_t)j->step, (uint64_t)q->number);
    const char *model = fv_get_text(j->how, "model");
    fv_text_add(out, "{\"model\": ");
    fv_text_json(out, model, strlen(model));
    fv_text_add(out, ", \"temperature\": ");
    fv_text_f64(out, q->temperature);
    fv_text_printf(out, ", \"max_tokens\": %lld, \"seed\": %d, \"messages\": [", (long long)fv_get_int(j->how, "max_new_tokens"), (int)(key >> (33 + ATTEMPT_BITS)) << ATTEMPT_BITS | attempt);
    for (size_t i = 0; i < json_array_size(q->messages); i++) {
        const json_t *m = json_array_get(q->messages, i);
        fv_text_printf(out, "%s{\"role\": \"%s\", \"content\": ", i ? ", " : "", fv_get_text(m, "role"));
        FV_TRY(add_content(out, json_object_get(m, "content"), q, err));
        fv_text_char(out, '}');
    }
    fv_text_add(out, "]}");
    return out->failed ? fv_fail(err, FV_NO_MEMORY, "a judge's question: out of memory") : FV_OK;
}

/* ---- Answers ---- */

static fv_status hear(void *context, int item, const char *reply, size_t size, fv_error *err) {
    judge_server *j = context;
    json_t *root;
    FV_TRY(fv_json_parse(&root, reply, size, "reply", 1, FV_BAD_DATA, err));
    const json_t *message = json_object_get(json_array_get(json_object_get(root, "choices"), 0), "message");
    const char *text = json_string_value(json_object_get(message, "content"));
    fv_status s = text ? fv_question_hear(&j->questions[item], text, err) : fv_fail(err, FV_BAD_DATA, "the reply has no text at choices[0].message.content");
    json_decref(root);
    return s;
}

static fv_status ask(fv_judge *base, fv_question *questions, int count, int64_t step, int64_t budget, fv_error *err) {
    judge_server *j = (judge_server *)base;
    const char *name = fv_get_text(j->how, "key_env"), *key = name ? getenv(name) : NULL;
    fv_http_options o = {.url = j->url, .key = key && *key ? key : NULL, .parallel = (int)fv_get_int(j->how, "parallel"), .tries = (int)fv_get_int(j->how, "tries"),
                         .timeout = fv_get_num(j->how, "timeout"), .pause = fv_get_num(j->how, "pause"), .budget = budget};
    fv_http_result *results = calloc((size_t)count, sizeof *results);
    if (!results) return fv_fail(err, FV_NO_MEMORY, "judge: out of memory");
    j->questions = questions;
    j->step = step;
    fv_status s = fv_http_post_all(&o, &(fv_http_work){compose, hear, j}, count, results, err);
    for (int i = 0; i < count && s == FV_OK; i++) {
        questions[i].error = results[i].error;
        questions[i].requests = results[i].requests;
    }
    free(results);
    return s;
}

static void close_server(fv_judge *base) {
    free(((judge_server *)base)->url);
    free(base);
}

fv_status fv_judge_server(fv_judge **out, const fv_trainer *t, fv_error *err) {
    judge_server *j = calloc(1, sizeof *j);
    fv_text url = {0};
    *out = NULL;
    if (!j) return fv_fail(err, FV_NO_MEMORY, "judge: out of memory");
    *j = (judge_server){.base = {ask, close_server}, .t = t, .how = fv_get(t->recipe->json, "judge")};
    const char *given = fv_get_text(j->how, "url");
    size_t n = strlen(given);
    while (n && given[n - 1] == '/') n--;
    fv_text_bytes(&url, given, n);
    fv_text_add(&url, "/chat/completions");
    fv_status s = fv_text_take(&url, &j->url, NULL, err);
    if (s == FV_OK) *out = &j->base;
    else close_server(&j->base);
    return s;
}
