#include "tools/prompts.h"

#include <string.h>

const char fv_tool_hint[] = "\nThink first, call a tool if it helps, then answer. Use this form: <think>...</think> <tool_call>...</tool_call> (if a tool is needed) "
                            "<answer>...</answer>";

static void fv_example(fv_text *out, const fv_tool *t) {
    fv_text_printf(out, "<tool_call>\n{\"name\": \"%s\", \"arguments\": %s}\n</tool_call>", t->name, t->example);
}

/* Headings, tags and order are the Hermes block of Qwen's chat templates, so that models trained on those find what they know. */
static void fv_describe_schemas(fv_text *out, const fv_tool *const *tools, int count) {
    fv_text_add(out, "# Tools\n\nYou may call one or more functions to assist with the user query.\n\nYou are provided with function signatures within "
                     "<tools></tools> XML tags:\n<tools>");
    for (int i = 0; i < count; i++) {
        json_t *schema = fv_tool_schema(tools[i]);
        fv_text_char(out, '\n');
        if (schema == NULL) out->failed = true;
        else fv_json_dump(out, schema, 0);
        json_decref(schema);
    }
    fv_text_add(out, "\n</tools>\n\nFor each function call, return a json object with function name and arguments within <tool_call></tool_call> XML tags:\n"
                     "<tool_call>\n{\"name\": <function-name>, \"arguments\": <args-json-object>}\n</tool_call>");
}

static void fv_describe_deepeyes(fv_text *out, const fv_tool *const *tools, int count) {
    fv_describe_schemas(out, tools, count);
    fv_text_add(out, "\n\nFor example:\n");
    fv_example(out, tools[0]);
}

static void fv_describe_compact(fv_text *out, const fv_tool *const *tools, int count) {
    for (int i = 0; i < count; i++) {
        fv_text_printf(out, "%s%s Call:\n", i ? "\n" : "", tools[i]->description);
        fv_example(out, tools[i]);
    }
    fv_text_add(out, "\nThen answer: <answer>...</answer>");
}

/* Sources: the block of "plain" is the tools part of Qwen's chat templates (QwenLM, Apache-2.0). "deepeyes" follows the order of
 * DeepEyes' second prompt (Visual-Agent/DeepEyes, Apache-2.0): block, then an example, then a hint after the question; descriptions and hint are in our
 * words. "compact" is our own, for small models: under 60 words for one tool. */
static const fv_tool_prompt fv_prompts[] = {
    {"deepeyes", "order of DeepEyes' prompt (arXiv 2505.14362; Apache-2.0), own words", fv_describe_deepeyes, true},
    {"plain", "tools block of Qwen's chat templates (Apache-2.0)", fv_describe_schemas, false},
    {"compact", "own", fv_describe_compact, false},
    {"none", "own", NULL, false},
};

const fv_tool_prompt *fv_tool_prompt_find(const char *name) {
    for (size_t i = 0; i < FV_COUNT(fv_prompts); i++)
        if (strcmp(fv_prompts[i].name, name) == 0) return &fv_prompts[i];
    return NULL;
}
