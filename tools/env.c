/* The environment "tools": visual tools over the pictures of an episode. */
#include "tools/env.h"

#include "tools/actions.h"
#include "tools/prompts.h"
#include "tools/sketch.h"

#include <stdlib.h>
#include <string.h>

enum { FV_ENV_TOOLS = 16, FV_ENV_CALLS = 8, FV_MAZE_TURNS = 10 }; /* most tools of an environment; most calls of a turn that are run; more turns for ViLaSR's mazes */

struct fv_env {
    const fv_tool *tools[FV_ENV_TOOLS];
    int tool_count, max_turns;
    fv_space space;
    fv_crop_rules crop;
    const fv_tool_prompt *prompt;
    bool hint, all_calls, actions, errors_end;
};

struct fv_episode {
    const fv_env *env;
    int turns, max_turns; /* of the assistant, so far and at most */
    fv_sketch *sketch;    /* format "actions": what has been drawn; else NULL */
};

void fv_observation_clear(fv_observation *o) {
    json_decref(o->content);
    for (int i = 0; i < o->image_count; i++) fv_image_free(o->images[i]);
    free(o->images);
    *o = (fv_observation){.content = NULL};
}

/* ---- configuration -------------------------------------------------------------------------------------------------- */

static const fv_env_field fields[] = {
    {"name", "tools", "the built-in environment, the only one"},
    {"tools", "[image_zoom_in_tool]", "what may be called"},
    {"max_turns", "5", "1..100 turns of the assistant; the call of the last one is not run. With format actions a row that has a grid_size (ViLaSR's mazes) has 10 more"},
    {"coordinates", "view", "the space that the model writes in (tools/coords.h) | view (pixels of what it sees, as Qwen2.5-VL)|picture (pixels of the original)|thousand (0..1000 each way, as Qwen2-VL and Qwen3-VL)"},
    {"prompt", "deepeyes", "what the system text says of the tools (tools/prompts.c) | deepeyes|plain|compact|none, with format actions vilasr (its default)|actions|none"},
    {"hint", "true for deepeyes", "a line on the form of an answer after the question and in every observation"},
    {"calls", "last", "of several calls in a turn the last is run (DeepEyes), or each in turn (Hermes), at most 8 | last|all"},
    {"format", "tool_call", "<tool_call>{\"name\", \"arguments\"}</tool_call>, or ViLaSR's actions and fenced lists of items on any picture by its number (tools/actions.h), with the tools that draw boxes and lines | tool_call|actions"},
    {"errors", "answer", "a bad call is answered by what was wrong with it, or ends the episode (ViLaSR's release) | answer|end"},
    {"min_side", "30", "pixels that a zoom must have at least (tools/crop.h), 1..16384; with min_side_rule grow the default is the processor's factor"},
    {"min_side_rule", "refuse", "a smaller zoom is refused, or grown to that | refuse|grow"},
};

const fv_env_field *fv_env_fields(int *count) {
    *count = (int)FV_COUNT(fields);
    return fields;
}

static fv_status fv_check_keys(fv_json_at at, fv_error *err) {
    const char *known[FV_COUNT(fields)];
    for (size_t k = 0; k < FV_COUNT(fields); k++) known[k] = fields[k].name;
    void *i = json_object_iter((json_t *)at.root);
    for (; i != NULL; i = json_object_iter_next((json_t *)at.root, i)) {
        const char *key = json_object_iter_key(i);
        bool found = false;
        for (size_t k = 0; k < FV_COUNT(known); k++) found |= strcmp(key, known[k]) == 0;
        const char *near = found ? NULL : fv_suggest(key, known, FV_COUNT(known));
        if (!found) return fv_fail(err, at.status, "env: unknown field %.60s%s%s%s", key, near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
    }
    return FV_OK;
}

static fv_status fv_read_tools(fv_env *e, fv_json_at at, fv_error *err) {
    json_t *list;
    FV_TRY(fv_json_list_or(at, "tools", &list, err));
    e->tools[0] = fv_tool_find(e->actions ? "image_draw_boxes_tool" : "image_zoom_in_tool");
    e->tools[1] = fv_tool_find("image_draw_lines_tool");
    e->tool_count = list != NULL ? (int)json_array_size(list) : e->actions ? 2 : 1;
    if (e->tool_count < 1 || e->tool_count > FV_ENV_TOOLS) return fv_fail(err, at.status, "env: tools must name 1 to %d tools, got %d", FV_ENV_TOOLS, e->tool_count);
    for (int i = 0; i < (int)json_array_size(list); i++) {
        const char *name = json_string_value(json_array_get(list, (size_t)i));
        e->tools[i] = name == NULL ? NULL : fv_tool_find(name);
        if (e->tools[i] != NULL && (!e->actions || fv_action_of(e->tools[i]) != NULL)) continue;
        int count;
        const fv_tool *const *all = fv_tools(&count);
        fv_text names = {0};
        for (int k = 0; k < count; k++)
            if (!e->actions || fv_action_of(all[k]) != NULL) fv_text_printf(&names, "%s%s", names.size ? ", " : "", all[k]->name);
        fv_status s = fv_fail(err, at.status, "env: tools[%d] must be one of %s, got %.60s", i, names.failed ? "the known tools" : names.data, name ? name : "no name");
        fv_text_clear(&names);
        return s;
    }
    return FV_OK;
}

/* A field with one of two words; the first is the default. */
static fv_status fv_read_choice(fv_json_at at, const char *field, const char *first, const char *second, bool *is_second, fv_error *err) {
    const char *word;
    FV_TRY(fv_json_text_or(at, field, first, &word, err));
    *is_second = strcmp(word, second) == 0;
    return *is_second || strcmp(word, first) == 0 ? FV_OK : fv_fail(err, at.status, "env: %s must be %s or %s, got \"%.60s\"", field, first, second, word);
}

static fv_status fv_read_config(fv_env *e, fv_json_at at, int factor, fv_error *err) {
    const char *name, *space, *prompt, *prompts;
    int64_t turns, side;
    bool grow;
    FV_TRY(fv_check_keys(at, err));
    FV_TRY(fv_json_text_or(at, "name", "tools", &name, err));
    if (strcmp(name, "tools") != 0) return fv_fail(err, FV_UNSUPPORTED, "env: there is no environment \"%.60s\", only \"tools\"", name);
    FV_TRY(fv_read_choice(at, "format", "tool_call", "actions", &e->actions, err));
    FV_TRY(fv_read_choice(at, "errors", "answer", "end", &e->errors_end, err));
    FV_TRY(fv_read_tools(e, at, err));
    FV_TRY(fv_json_int_or(at, "max_turns", 1, 100, 5, &turns, err));
    e->max_turns = (int)turns;
    FV_TRY(fv_json_text_or(at, "coordinates", "view", &space, err));
    if (fv_space_parse(&e->space, space, err) != FV_OK) {
        if (err != NULL) err->status = at.status;
        fv_fail_in(err, "env");
        return at.status;
    }
    FV_TRY(fv_json_text_or(at, "prompt", e->actions ? "vilasr" : "deepeyes", &prompt, err));
    e->prompt = fv_tool_prompt_find(prompt, e->actions, &prompts);
    if (e->prompt == NULL) return fv_fail(err, at.status, "env: prompt must be %s, got \"%.60s\"", prompts, prompt);
    FV_TRY(fv_json_bool_or(at, "hint", e->prompt->hint, &e->hint, err));
    FV_TRY(fv_read_choice(at, "calls", "last", "all", &e->all_calls, err));
    FV_TRY(fv_read_choice(at, "min_side_rule", "refuse", "grow", &grow, err));
    FV_TRY(fv_json_int_or(at, "min_side", 1, 16384, grow ? factor : 30, &side, err));
    e->crop = (fv_crop_rules){grow ? FV_MIN_SIDE_GROW : FV_MIN_SIDE_REFUSE, (int)side};
    return FV_OK;
}

fv_status fv_env_open(fv_env **out, const json_t *config, int factor, fv_error *err) {
    *out = NULL;
    if (!json_is_object(config)) return fv_fail(err, FV_BAD_RECIPE, "env must be a map ({tools: [image_zoom_in_tool], max_turns: 3})");
    fv_env *e = calloc(1, sizeof *e);
    if (e == NULL) return fv_fail(err, FV_NO_MEMORY, "env: out of memory");
    fv_status s = fv_read_config(e, (fv_json_at){config, "env", FV_BAD_RECIPE}, factor, err);
    if (s == FV_OK) *out = e;
    else fv_env_close(e);
    return s;
}

void fv_env_close(fv_env *e) {
    free(e);
}

int fv_env_max_turns(const fv_env *e) {
    return e->max_turns;
}

/* ---- messages ------------------------------------------------------------------------------------------------------- */

/* A copy of a message whose text ends with `text`; content may be a string or a list of parts. */
static json_t *fv_message_with(const json_t *message, const char *text) {
    json_t *copy = json_copy((json_t *)message), *content = json_object_get(message, "content");
    json_t *longer = NULL;
    if (json_is_array(content)) {
        longer = json_copy(content);
        if (longer != NULL) json_array_append_new(longer, json_pack("{s:s, s:s}", "type", "text", "text", text));
    } else {
        longer = json_sprintf("%s%s", json_is_string(content) ? json_string_value(content) : "", text);
    }
    json_object_set_new(copy, "content", longer);
    return copy;
}

static const char *fv_role(const json_t *messages, size_t i) {
    const char *role = json_string_value(json_object_get(json_array_get(messages, i), "role"));
    return role == NULL ? "" : role;
}

/* The system text: an own turn in front, or the end of the one that is there. */
static fv_status fv_add_description(const fv_env *e, json_t *messages, const fv_point *corner, fv_error *err) {
    if (e->prompt->describe == NULL) return FV_OK;
    bool has_system = strcmp(fv_role(messages, 0), "system") == 0;
    fv_text text = {0};
    fv_text_add(&text, e->prompt->whole ? "" : has_system ? "\n\n" : "You are a helpful assistant.\n\n");
    e->prompt->describe(&text, e->tools, e->tool_count, corner);
    int failed = text.failed;
    if (!failed && has_system) failed = json_array_set_new(messages, 0, fv_message_with(json_array_get(messages, 0), text.data));
    else if (!failed) failed = json_array_insert_new(messages, 0, json_pack("{s:s, s:s}", "role", "system", "content", text.data));
    fv_text_clear(&text);
    return failed ? fv_fail(err, FV_NO_MEMORY, "env: out of memory") : FV_OK;
}

/* The form of the question, and the hint behind it. */
static fv_status fv_add_hint(const fv_env *e, json_t *messages, const json_t *row, const fv_point *corner, fv_error *err) {
    if (!e->hint && !e->prompt->whole) return FV_OK;
    size_t question = json_array_size(messages);
    for (size_t i = 0; i < json_array_size(messages) && strcmp(fv_role(messages, i), "assistant") != 0; i++)
        if (strcmp(fv_role(messages, i), "user") == 0) question = i;
    if (question == json_array_size(messages)) return FV_OK; /* no question, nowhere to hint */
    json_t *message = json_copy(json_array_get(messages, question));
    int failed = 0;
    if (e->prompt->whole) failed |= json_object_set_new(message, "content", fv_action_question(json_object_get(message, "content"), row, corner));
    if (!failed) failed |= json_array_set_new(messages, question, fv_message_with(message, !e->hint ? "" : e->actions ? fv_action_hint : fv_tool_hint));
    json_decref(message);
    return failed ? fv_fail(err, FV_NO_MEMORY, "env: out of memory") : FV_OK;
}

static bool says(const json_t *message, const char *word) {
    const json_t *content = json_object_get(message, "content"), *part;
    const char *text = json_string_value(content);
    bool found = text && strstr(text, word);
    size_t i;
    json_array_foreach(content, i, part) {
        text = json_string_value(json_object_get(part, "text"));
        found |= text && strstr(text, word);
    }
    return found;
}

/* An empty system text, which later messages of a chat have. */
static bool is_blank(const json_t *message) {
    const json_t *content = json_object_get(message, "content");
    return json_is_string(content) ? json_string_length(content) == 0 : json_array_size(content) == 0;
}

/* Whether a row's own `tools`, which the chat's format describes, has one of that name. */
static bool brings(const json_t *row, const char *name) {
    const json_t *tools = json_object_get(row, "tools"), *tool;
    size_t i;
    json_array_foreach(tools, i, tool) {
        const json_t *function = json_object_get(tool, "function");
        const char *given = json_string_value(json_object_get(function != NULL ? function : tool, "name"));
        if (given != NULL && strcmp(given, name) == 0) return true;
    }
    return false;
}

/* Whether the row brings all that there is to say: a system text that names every tool (DeepEyes' released rows) or `tools`, or any system text where the prompt would be all of it. */
static bool fv_is_told(const fv_env *e, const json_t *messages, const json_t *row) {
    bool system = strcmp(fv_role(messages, 0), "system") == 0;
    if (e->prompt->whole) return system && !is_blank(json_array_get(messages, 0));
    for (int i = 0; i < e->tool_count; i++) {
        const char *name = e->actions ? fv_action_of(e->tools[i])->name : e->tools[i]->name;
        if (!(system && says(json_array_get(messages, 0), name)) && !brings(row, name)) return false;
    }
    return e->tool_count > 0;
}

bool fv_env_tells_size(const fv_env *e) {
    return e->prompt->whole;
}

/* A picture's lower right corner in the model's coordinates. */
static fv_point fv_corner(const fv_env *e, fv_frame_size size) {
    fv_point p = {size.width, size.height};
    fv_point_from_picture(&p.x, &p.y, e->space, size);
    return p;
}

fv_status fv_env_messages(const fv_env *e, const json_t *messages, const json_t *row, const fv_frame_size *first, json_t **out, fv_error *err) {
    fv_point corner = first != NULL ? fv_corner(e, *first) : (fv_point){0, 0};
    *out = NULL;
    if (!json_is_array(messages)) return fv_fail(err, FV_BAD_DATA, "messages must be a list");
    json_t *copy = json_copy((json_t *)messages);
    if (copy == NULL) return fv_fail(err, FV_NO_MEMORY, "env: out of memory");
    bool told = fv_is_told(e, copy, row);
    fv_status s = told ? FV_OK : fv_add_description(e, copy, first != NULL ? &corner : NULL, err);
    if (s == FV_OK && !told) s = fv_add_hint(e, copy, row, first != NULL ? &corner : NULL, err);
    if (s == FV_OK) *out = copy;
    else json_decref(copy);
    return s;
}

/* ---- episodes ------------------------------------------------------------------------------------------------------- */

fv_status fv_env_reset(const fv_env *e, const json_t *row, uint64_t seed, fv_episode **out, fv_error *err) {
    (void)seed; /* the tools draw no numbers */
    const json_t *grid = json_object_get(row, "grid_size");
    fv_episode *ep = calloc(1, sizeof *ep);
    if (ep != NULL && e->actions) ep->sketch = fv_sketch_new();
    if (ep == NULL || (e->actions && ep->sketch == NULL)) {
        free(ep);
        return *out = NULL, fv_fail(err, FV_NO_MEMORY, "env: out of memory");
    }
    ep->env = e;
    ep->max_turns = e->max_turns + (e->actions && grid != NULL && !json_is_null(grid) ? FV_MAZE_TURNS : 0);
    *out = ep;
    return FV_OK;
}

void fv_episode_close(fv_episode *ep) {
    if (ep != NULL) fv_sketch_free(ep->sketch);
    free(ep);
}

static const fv_tool *fv_offered(const fv_env *e, const char *name) {
    for (int i = 0; i < e->tool_count; i++)
        if (strcmp(e->tools[i]->name, name) == 0) return e->tools[i];
    return NULL;
}

static fv_status fv_no_such_tool(const fv_env *e, const char *name, fv_error *err) {
    fv_fail(err, FV_TOOL, "there is no tool \"%.40s\", there is %s%s", name, e->tools[0]->name, e->tool_count > 1 ? " (and others)" : "");
    return FV_TOOL;
}

/* Runs one call. FV_TOOL: err is for the model. */
static fv_status fv_run_call(const fv_env *e, fv_span body, const fv_seen *seen, int seen_count, const fv_tool **tool, fv_tool_result *result, fv_error *err) {
    fv_call call;
    FV_TRY(fv_call_parse(&call, body, err));
    *tool = fv_offered(e, call.name);
    fv_tool_context context = {seen, seen_count, e->space, e->crop};
    fv_status s = *tool == NULL ? fv_no_such_tool(e, call.name, err) : (*tool)->run(&context, call.arguments, result, err);
    fv_call_clear(&call);
    return s;
}

static fv_status fv_observe_image(fv_observation *o, const fv_tool_result *result, const char *hint, fv_error *err) {
    char name[16];
    snprintf(name, sizeof name, "#%d", o->image_count);
    o->images[o->image_count++] = result->image;
    FV_TRY(fv_response_add(o->content, name, hint, err));
    json_t *part = json_array_get(o->content, json_array_size(o->content) - 2); /* the picture: text stands before and behind it */
    return json_object_set_new(part, "picture", json_integer(result->picture)) ? fv_fail(err, FV_NO_MEMORY, "observation: out of memory") : FV_OK;
}

/* "Error: what was wrong. Write a call like this: ...": only the example, which is ours, keeps its tags. */
static fv_status fv_observe_error(const fv_env *e, fv_observation *o, const fv_tool *tool, const char *why, const char *hint, fv_error *err) {
    if (tool == NULL) tool = e->tools[0];
    fv_text text = {0};
    fv_text_add(&text, "Error: ");
    fv_quote_add(&text, why, 400);
    fv_text_printf(&text, ". Write a call like this: <tool_call>{\"name\": \"%s\", \"arguments\": %s}</tool_call>%s", tool->name, tool->example, hint ? hint : "");
    fv_status s = text.failed ? fv_fail(err, FV_NO_MEMORY, "observation: out of memory") : fv_response_add(o->content, NULL, text.data, err);
    fv_text_clear(&text);
    return s;
}

/* Runs one call and adds its response to the observation and to the step's account. */
static fv_status fv_answer_call(const fv_env *e, fv_span body, const fv_seen *seen, int seen_count, fv_observation *o, fv_step *step, fv_error *err) {
    const fv_tool *tool = NULL;
    fv_tool_result result = {.image = NULL};
    fv_error why = {.status = FV_OK};
    fv_status s = fv_run_call(e, body, seen, seen_count, &tool, &result, &why);
    const char *hint = e->hint ? fv_tool_hint : NULL;
    if (tool != NULL) snprintf(step->tool, sizeof step->tool, "%s", tool->name);
    if (s == FV_OK || step->picture == 0) step->picture = result.picture; /* of several calls, the last one that came to something is shown */
    if (s == FV_OK) {
        step->has_box = result.has_box;
        step->box = result.box;
    }
    if (s == FV_OK) return fv_observe_image(o, &result, hint, err);
    if (s != FV_TOOL) return fv_fail(err, s, "%s", why.text);
    step->failures++;
    snprintf(step->error, sizeof step->error, "%.*s", (int)sizeof step->error - 1, why.text);
    return fv_observe_error(e, o, tool, why.text, hint, err);
}

static int fv_count_calls(const char *turn, fv_span *last) {
    int count = 0;
    while (fv_pair_next(last, &turn, "<tool_call>", "</tool_call>")) count++;
    return count;
}

static fv_status fv_answer_turn(const fv_env *e, const char *turn, fv_span last, const fv_seen *seen, int seen_count, fv_observation *o, fv_step *step, fv_error *err) {
    o->content = json_array();
    o->images = calloc(FV_ENV_CALLS, sizeof *o->images);
    if (o->content == NULL || o->images == NULL) return fv_fail(err, FV_NO_MEMORY, "observation: out of memory");
    if (!e->all_calls) return fv_answer_call(e, last, seen, seen_count, o, step, err);
    fv_span body;
    for (int i = 0; i < FV_ENV_CALLS && fv_pair_next(&body, &turn, "<tool_call>", "</tool_call>"); i++)
        FV_TRY(fv_answer_call(e, body, seen, seen_count, o, step, err));
    if (step->calls <= FV_ENV_CALLS) return FV_OK;
    step->failures += step->calls - FV_ENV_CALLS;
    snprintf(step->error, sizeof step->error, "only the first %d of the turn's %d calls were run", FV_ENV_CALLS, step->calls);
    return fv_observe_error(e, o, NULL, step->error, NULL, err);
}

/* ---- actions -------------------------------------------------------------------------------------------------------- */

/* Shows what was drawn: pictures first .. first + count - 1. */
static fv_status fv_show_drawn(const fv_episode *ep, const fv_drawn *drawn, int count, const fv_seen *seen, int first, fv_observation *o, fv_error *err) {
    const fv_env *e = ep->env;
    for (int i = 0; i < count; i++) {
        fv_point size = fv_corner(e, seen[drawn[i].from - 1].size);
        fv_action_picture p = {.k = i, .from = drawn[i].from, .number = first + i, .width = (int)size.x, .height = (int)size.y, .only = count == 1, .last = i + 1 == count,
                               .last_call = ep->turns + 1 >= ep->max_turns || first + i >= FV_SKETCH_PICTURES};
        FV_TRY(fv_action_show(o->content, &p, err));
    }
    return FV_OK;
}

/* "Error: what was wrong. Write a call like this: ...", as in the other format. */
static fv_status fv_refuse_action(const fv_env *e, fv_observation *o, const char *why, fv_error *err) {
    fv_text text = {0};
    fv_text_add(&text, "Error: ");
    fv_quote_add(&text, why, 400);
    fv_text_add(&text, ". Write a call like this:\n");
    fv_action_write(&text, fv_action_of(e->tools[0]), NULL);
    fv_text_char(&text, '\n');
    int failed = text.failed;
    if (!failed) failed = json_array_append_new(o->content, json_pack("{s:s, s:s}", "type", "text", "text", text.data));
    fv_text_clear(&text);
    return failed ? fv_fail(err, FV_NO_MEMORY, "observation: out of memory") : FV_OK;
}

/* Items of a tool that is not offered are none. */
static fv_status fv_check_offered(const fv_env *e, const json_t *items, fv_error *err) {
    for (size_t i = 0; i < json_array_size(items); i++) {
        const json_t *item = json_array_get(items, i);
        const char *name = json_object_get(item, "bbox_2d") ? "image_draw_boxes_tool" : json_object_get(item, "start_point_2d") ? "image_draw_lines_tool" : NULL;
        if (name != NULL && fv_offered(e, name) == NULL) return fv_fail(err, FV_TOOL, "there is no tool for item %zu, there is %s", i + 1, fv_action_of(e->tools[0])->name);
    }
    return FV_OK;
}

static fv_status fv_answer_action(fv_episode *ep, const char *turn, const fv_seen *seen, int seen_count, fv_observation *o, fv_step *step, fv_error *err) {
    const fv_env *e = ep->env;
    fv_drawn drawn[FV_SKETCH_PICTURES];
    json_t *items = NULL;
    fv_error why = {.status = FV_OK};
    int count = 0;
    o->content = json_array();
    o->images = calloc(FV_SKETCH_PICTURES, sizeof *o->images);
    if (o->content == NULL || o->images == NULL) return fv_fail(err, FV_NO_MEMORY, "observation: out of memory");
    fv_status s = fv_action_items(&items, turn, &why);
    if (s == FV_OK) s = fv_check_offered(e, items, &why);
    if (s == FV_OK) s = fv_sketch_draw(ep->sketch, items, seen, seen_count, e->space, drawn, &count, &why);
    json_decref(items);
    for (int i = 0; i < count; i++) {
        o->images[o->image_count++] = drawn[i].image;
        step->picture = drawn[i].from;
        snprintf(step->tool, sizeof step->tool, "%s", drawn[i].boxes ? "image_draw_boxes_tool" : "image_draw_lines_tool");
    }
    if (s == FV_OK) return fv_show_drawn(ep, drawn, count, seen, seen_count + 1, o, err);
    if (s != FV_TOOL) return fv_fail(err, s, "%s", why.text);
    step->failures = 1;
    snprintf(step->error, sizeof step->error, "%.*s", (int)sizeof step->error - 1, why.text);
    return fv_refuse_action(e, o, why.text, err);
}

/* ---- a step --------------------------------------------------------------------------------------------------------- */

fv_status fv_env_step(fv_episode *ep, const char *turn, const fv_seen *seen, int seen_count, fv_observation *observation, fv_step *step, fv_error *err) {
    *observation = (fv_observation){.content = NULL};
    *step = (fv_step){.calls = 0};
    ep->turns++;
    const fv_env *e = ep->env;
    fv_span last = {NULL, 0};
    step->calls = e->actions ? fv_action_calls(turn) : fv_count_calls(turn, &last);
    if (step->calls == 0 || (e->actions ? fv_action_answers(turn) : fv_turn_answer(NULL, turn))) {
        step->terminated = true;
        return FV_OK;
    }
    if (ep->turns >= ep->max_turns || (e->actions && seen_count >= FV_SKETCH_PICTURES)) {
        step->truncated = true;
        return FV_OK;
    }
    fv_status s = e->actions ? fv_answer_action(ep, turn, seen, seen_count, observation, step, err)
                             : fv_answer_turn(e, turn, last, seen, seen_count, observation, step, err);
    if (s != FV_OK || (e->errors_end && step->failures > 0)) fv_observation_clear(observation);
    return s;
}
