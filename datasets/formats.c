#include "datasets/formats.h"

#include "datasets/media.h"
#include "datasets/options.h"

#include <stdio.h>
#include <string.h>

static fv_status fv_no_memory(const char *place, fv_error *err) {
    return fv_fail(err, FV_NO_MEMORY, "%s: out of memory", place);
}

static const char *fv_string(const json_t *object, const char *key) {
    return json_string_value(json_object_get(object, key));
}

/* ---- checking messages ---------------------------------------------------------------------------------------------- */

static fv_status fv_check_part(const json_t *part, const char *place, const char *field, fv_error *err) {
    static const char *const types[] = {"text", "image", "image_url", "video", "video_url"};
    const char *type = fv_media_type(part);
    if (type == NULL) return fv_fail(err, FV_BAD_DATA, "%s: %s must be an object with a \"type\"", place, field);
    bool known = false;
    for (size_t i = 0; i < FV_COUNT(types); i++) known |= strcmp(type, types[i]) == 0;
    if (!known) return fv_fail(err, FV_BAD_DATA, "%s: %s.type must be text, image, image_url, video or video_url, got \"%.40s\"", place, field, type);
    if (strcmp(type, "text") == 0 && fv_string(part, "text") == NULL) return fv_fail(err, FV_BAD_DATA, "%s: %s.text must be a text", place, field);
    return FV_OK;
}

static fv_status fv_check_message(const json_t *message, const char *place, size_t index, fv_error *err) {
    static const char *const roles[] = {"system", "developer", "user", "assistant", "tool"};
    if (!json_is_object(message)) return fv_fail(err, FV_BAD_DATA, "%s: messages[%zu] must be an object", place, index);
    const char *role = fv_string(message, "role");
    bool known = false;
    for (size_t i = 0; role != NULL && i < FV_COUNT(roles); i++) known |= strcmp(role, roles[i]) == 0;
    if (!known)
        return fv_fail(err, FV_BAD_DATA, "%s: messages[%zu].role must be system, user, assistant or tool, got \"%.40s\"", place, index, role ? role : "nothing");
    const json_t *weight = strcmp(role, "assistant") == 0 ? json_object_get(message, "weight") : NULL;
    if (fv_json_bit(weight, 1) < 0)
        return fv_fail(err, FV_BAD_DATA, "%s: messages[%zu].weight must be 0 or 1", place, index);
    const json_t *content = json_object_get(message, "content");
    bool may_be_empty = strcmp(role, "assistant") == 0 && (json_object_get(message, "tool_calls") != NULL || json_object_get(message, "reasoning_content") != NULL);
    if (json_is_string(content) || (may_be_empty && (content == NULL || json_is_null(content)))) return FV_OK;
    if (!json_is_array(content)) return fv_fail(err, FV_BAD_DATA, "%s: messages[%zu].content must be a text or a list of parts", place, index);
    for (size_t i = 0; i < json_array_size(content); i++) {
        char field[96];
        snprintf(field, sizeof field, "messages[%zu].content[%zu]", index, i);
        FV_TRY(fv_check_part(json_array_get(content, i), place, field, err));
    }
    return FV_OK;
}

static fv_status fv_check_messages(const json_t *messages, const char *place, fv_error *err) {
    if (json_array_size(messages) == 0) return fv_fail(err, FV_BAD_DATA, "%s: messages must be a list with at least one message", place);
    for (size_t i = 0; i < json_array_size(messages); i++) FV_TRY(fv_check_message(json_array_get(messages, i), place, i, err));
    return FV_OK;
}

/* ---- one function a format: *out is a new list of messages, in which media are still marks ----------------------------- */

static json_t *fv_message(const char *role, json_t *content) {
    return json_pack("{s:s, s:o}", "role", role, "content", content);
}

/* Appends what is a text, or a list of messages. */
static fv_status fv_append_turns(json_t *messages, const json_t *turns, const char *role, const char *field, const char *place, fv_error *err) {
    int failed = 0;
    if (json_is_string(turns)) failed = json_array_append_new(messages, fv_message(role, json_incref((json_t *)turns)));
    else if (json_is_array(turns))
        for (size_t i = 0; i < json_array_size(turns); i++) failed |= json_array_append_new(messages, json_copy(json_array_get(turns, i))); /* placing changes them */
    else return fv_fail(err, FV_BAD_DATA, "%s: %s must be a list of messages or a text", place, field);
    return failed ? fv_no_memory(place, err) : FV_OK;
}

static fv_status fv_from_prompt(json_t *messages, const json_t *row, const char *place, fv_error *err) {
    const json_t *completion = json_object_get(row, "completion");
    FV_TRY(fv_append_turns(messages, json_object_get(row, "prompt"), "user", "prompt", place, err));
    if (completion == NULL || json_is_null(completion)) return FV_OK;
    return fv_append_turns(messages, completion, "assistant", "completion", place, err);
}

/* Who speaks in LLaVA's, ShareGPT's and LLaMA-Factory's conversations. */
static const char *fv_speaker(const char *name) {
    static const char *const speakers[][2] = {{"human", "user"},   {"user", "user"},           {"gpt", "assistant"}, {"assistant", "assistant"}, {"model", "assistant"},
                                              {"bot", "assistant"}, {"function_call", "assistant"}, {"system", "system"}, {"tool", "tool"},           {"observation", "tool"}};
    for (size_t i = 0; name != NULL && i < FV_COUNT(speakers); i++)
        if (strcmp(name, speakers[i][0]) == 0) return speakers[i][1];
    return NULL;
}

/* LLaMA-Factory's turn of calls: {"name", "arguments"} as text, or a list of them. */
static fv_status fv_append_calls(json_t *messages, const char *text, const char *place, size_t turn, fv_error *err) {
    json_t *calls = json_loads(text, JSON_REJECT_DUPLICATES, NULL), *list = json_array();
    if (json_is_object(calls)) calls = json_pack("[o]", calls);
    bool good = json_array_size(calls) > 0;
    int failed = list == NULL;
    for (size_t i = 0; i < json_array_size(calls) && good; i++) {
        json_t *call = json_array_get(calls, i);
        good = fv_string(call, "name") != NULL && json_is_object(json_object_get(call, "arguments"));
        if (good) failed |= json_array_append_new(list, json_pack("{s:s, s:O}", "type", "function", "function", call));
    }
    json_decref(calls);
    if (good) failed |= json_array_append_new(messages, json_pack("{s:s, s:s, s:O}", "role", "assistant", "content", "", "tool_calls", list));
    json_decref(list);
    if (!good) return fv_fail(err, FV_BAD_DATA, "%s: conversations[%zu].value of a function_call must be {\"name\", \"arguments\": {}} or a list of such, got \"%.40s\"", place, turn, text);
    return failed ? fv_no_memory(place, err) : FV_OK;
}

static fv_status fv_from_conversations(json_t *messages, const json_t *row, const char *place, fv_error *err) {
    const json_t *turns = json_object_get(row, "conversations");
    if (json_array_size(turns) == 0) return fv_fail(err, FV_BAD_DATA, "%s: conversations must be a list with at least one turn", place);
    const char *system = fv_string(row, "system");
    int failed = system != NULL && system[0] != '\0' ? json_array_append_new(messages, fv_message("system", json_string(system))) : 0;
    for (size_t i = 0; i < json_array_size(turns); i++) {
        const json_t *turn = json_array_get(turns, i);
        const char *from = fv_string(turn, "from") ? fv_string(turn, "from") : fv_string(turn, "role");
        json_t *value = json_object_get(turn, "value") ? json_object_get(turn, "value") : json_object_get(turn, "content");
        const char *role = fv_speaker(from);
        if (role == NULL)
            return fv_fail(err, FV_BAD_DATA, "%s: conversations[%zu].from must be human, gpt, system or tool, got \"%.40s\"", place, i, from ? from : "nothing");
        if (!json_is_string(value) && !json_is_array(value)) return fv_fail(err, FV_BAD_DATA, "%s: conversations[%zu].value must be a text", place, i);
        if (strcmp(from, "function_call") == 0 && json_is_string(value)) {
            FV_TRY(fv_append_calls(messages, json_string_value(value), place, i, err));
            continue;
        }
        failed |= json_array_append_new(messages, fv_message(role, json_incref(value)));
    }
    return failed ? fv_no_memory(place, err) : FV_OK;
}

/* Text, then the options, one a line. What a system says around it (think, answer in tags) is its recipe's. Rows with a `process` (Video-R1's and SophiaVL-R1's thinking) also
 * have what there is to learn from: it, and the solution (src/r1-v/src/open_r1/sft_video.py of Video-R1). */
static fv_status fv_from_problem(json_t *messages, const json_t *row, const char *place, fv_error *err) {
    const char *field = fv_json_find(row, "problem") != NULL ? "problem" : "question";
    const char *problem = fv_string(row, field), *process = fv_string(row, "process"), *solution = fv_string(row, "solution");
    if (problem == NULL) return fv_fail(err, FV_BAD_DATA, "%s: %s must be a text", place, field);
    fv_text text = {0};
    fv_text_add(&text, problem);
    fv_status s = fv_options_write(&text, row, place, err);
    if (s != FV_OK) {
        fv_text_clear(&text);
        return s;
    }
    json_t *message = text.failed ? NULL : fv_message("user", json_string(text.size ? text.data : ""));
    fv_text_clear(&text);
    int failed = json_array_append_new(messages, message);
    if (process != NULL && process[0] != '\0' && solution != NULL) failed |= json_array_append_new(messages, fv_message("assistant", json_sprintf("%s\n%s", process, solution)));
    return failed ? fv_no_memory(place, err) : FV_OK;
}

static fv_status fv_check_input_ids(const json_t *row, const char *place, fv_error *err) {
    const json_t *ids = json_object_get(row, "input_ids");
    if (json_array_size(ids) == 0) return fv_fail(err, FV_BAD_DATA, "%s: input_ids must be a list of token ids", place);
    for (size_t i = 0; i < json_array_size(ids); i++) {
        const json_t *id = json_array_get(ids, i);
        if (!json_is_integer(id) || json_integer_value(id) < 0 || json_integer_value(id) > INT32_MAX)
            return fv_fail(err, FV_BAD_DATA, "%s: input_ids[%zu] must be an integer from 0 to %d", place, i, INT32_MAX);
    }
    return FV_OK;
}

/* ---- all of them ---------------------------------------------------------------------------------------------------- */

static const struct {
    const char *field;
    fv_status (*read)(json_t *messages, const json_t *row, const char *place, fv_error *err);
} fv_formats[] = {{"prompt", fv_from_prompt}, {"conversations", fv_from_conversations}, {"problem", fv_from_problem}, {"question", fv_from_problem}};

/* *out: a new list of messages as the row's format has them; NULL for rows of tokens. */
static fv_status fv_read_messages(json_t **out, const json_t *row, const char *place, fv_error *err) {
    json_t *messages = json_object_get(row, "messages");
    *out = NULL;
    if (fv_json_find(row, "input_ids") != NULL) return fv_check_input_ids(row, place, err);
    if (messages != NULL && !json_is_null(messages)) {
        FV_TRY(fv_check_messages(messages, place, err));
        *out = json_incref(messages);
        return FV_OK;
    }
    for (size_t i = 0; i < FV_COUNT(fv_formats); i++) {
        const json_t *value = json_object_get(row, fv_formats[i].field);
        if (value == NULL || json_is_null(value)) continue;
        messages = json_array();
        fv_status s = messages == NULL ? fv_no_memory(place, err) : fv_formats[i].read(messages, row, place, err);
        if (s == FV_OK) s = fv_check_messages(messages, place, err);
        if (s == FV_OK) *out = messages;
        else json_decref(messages);
        return s;
    }
    return fv_fail(err, FV_BAD_DATA, "%s: a row needs messages, prompt, conversations, problem or input_ids", place);
}

/* DeepEyes' rows name an environment, and an empty name is none (verl/workers/agent/parallel_env.py, reset); which one a name stands for is the recipe's to say. */
static fv_status fv_read_env_name(json_t *row, const char *place, fv_error *err) {
    const json_t *name = json_object_get(row, "env_name");
    bool empty = json_is_null(name) || (json_is_string(name) && json_string_length(name) == 0);
    if (!empty || json_object_get(row, "env") != NULL) return FV_OK;
    return json_object_set_new(row, "env", json_null()) == 0 ? FV_OK : fv_no_memory(place, err);
}

/* Fields beside the conversation that change what is asked. `tools` may be JSON as text, as TRL and LLaMA-Factory have it. */
static fv_status fv_check_beside(json_t *row, const char *place, fv_error *err) {
    const json_t *tools = fv_json_find(row, "tools"), *env = fv_json_find(row, "env");
    if (env != NULL && !json_is_object(env) && !json_is_false(env))
        return fv_fail(err, FV_BAD_DATA, "%s: env must be an object ({\"tools\": [\"image_zoom_in_tool\"]}), or null for none", place);
    FV_TRY(fv_read_env_name(row, place, err));
    if (json_is_string(tools)) {
        const char *text = json_string_value(tools);
        json_t *list = text[strspn(text, " \t\r\n")] != '\0' ? json_loads(text, 0, NULL) : json_array();
        if (!json_is_array(list)) {
            json_decref(list);
            return fv_fail(err, FV_BAD_DATA, "%s: tools must be a list of JSON schemas, or such a list as text", place);
        }
        return json_object_set_new(row, "tools", list) == 0 ? FV_OK : fv_no_memory(place, err);
    }
    return tools == NULL || json_is_array(tools) ? FV_OK : fv_fail(err, FV_BAD_DATA, "%s: tools must be a list of JSON schemas", place);
}

fv_status fv_format_row(json_t *row, const char *place, fv_error *err) {
    if (!json_is_object(row)) return fv_fail(err, FV_BAD_DATA, "%s: a row must be an object", place);
    FV_TRY(fv_check_beside(row, place, err));
    bool own = json_is_array(json_object_get(row, "messages"));
    json_t *messages;
    FV_TRY(fv_read_messages(&messages, row, place, err));
    if (messages == NULL) return FV_OK;
    fv_media_list media = {.place = place};
    fv_status s = fv_media_collect(&media, row, place, err);
    /* A text that only talks about "<image>" is left alone where no format says that it is a mark. */
    media.lenient = own && json_array_size(media.parts[FV_MEDIA_IMAGE]) + json_array_size(media.parts[FV_MEDIA_VIDEO]) == 0;
    if (s == FV_OK) s = fv_media_place(&media, messages, err);
    if (s == FV_OK && json_object_set(row, "messages", messages) != 0) s = fv_no_memory(place, err);
    json_decref(messages);
    fv_media_clear(&media);
    return s;
}
