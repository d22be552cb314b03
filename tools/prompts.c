#include "tools/prompts.h"

#include "tools/actions.h"

#include <string.h>

const char fv_tool_hint[] = "\nThink first, call a tool if it helps, then answer. Use this form: <think>...</think> <tool_call>...</tool_call> (if a tool is needed) "
                            "<answer>...</answer>";

static void fv_example(fv_text *out, const fv_tool *t) {
    fv_text_printf(out, "<tool_call>\n{\"name\": \"%s\", \"arguments\": %s}\n</tool_call>", t->name, t->example);
}

/* Headings, tags and order are the Hermes block of Qwen's chat templates, so that models trained on those find what they know. */
static void fv_describe_schemas(fv_text *out, const fv_tool *const *tools, int count, const fv_point *corner) {
    (void)corner;
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

static void fv_describe_deepeyes(fv_text *out, const fv_tool *const *tools, int count, const fv_point *corner) {
    fv_describe_schemas(out, tools, count, corner);
    fv_text_add(out, "\n\nFor example:\n");
    fv_example(out, tools[0]);
}

static void fv_describe_compact(fv_text *out, const fv_tool *const *tools, int count, const fv_point *corner) {
    (void)corner;
    for (int i = 0; i < count; i++) {
        fv_text_printf(out, "%s%s Call:\n", i ? "\n" : "", tools[i]->description);
        fv_example(out, tools[i]);
    }
    fv_text_add(out, "\nThen answer: <answer>...</answer>");
}

/* Environments offer no tools in this format that have no action. */
static void fv_describe_actions(fv_text *out, const fv_tool *const *tools, int count, const fv_point *corner) {
    (void)corner;
    for (int i = 0; i < count; i++) {
        fv_text_printf(out, "%s%s Write:\n", i ? "\n" : "", fv_action_of(tools[i])->purpose);
        fv_action_write(out, fv_action_of(tools[i]), NULL);
    }
    fv_text_add(out, "\nThen answer:\nAction: Answer\n<answer>...</answer>");
}

static void fv_describe_vilasr(fv_text *out, const fv_tool *const *tools, int count, const fv_point *corner) {
    fv_text_add(out, "### Guidance:\nYou reason about space, and you can draw: take the problem apart, draw on the pictures, look at what you drew, and refine your solution by it.\n\n"
                     "### Available tools:\nAfter each use of a tool, wait for the new picture and look at it before you go on.\n");
    for (int i = 0; i < count; i++) {
        const fv_action *a = fv_action_of(tools[i]);
        fv_text_printf(out, "\n%d. **%s**\n- Purpose: %s\n- Input format: JSON, \"index\" is the picture's number\n```json\n[%s]\n```\n- Output: a new picture with the drawing\n",
                       i + 1, a->name, a->purpose, a->example);
    }
    fv_text_add(out, "\n### Required Output Format:\nEach step of your reasoning has this form:\n<think> [your reasoning] </think> Action: ");
    for (int i = 0; i < count; i++) fv_text_printf(out, "%s%s", i ? " or " : "", fv_action_of(tools[i])->name);
    fv_text_add(out, "\n```json\n[JSON with coordinates]\n```\n\nThe last one, when the drawings bear out your reasoning, has this form:\n<think> [your reasoning] </think> Action: Answer\n"
                     "<answer> [your answer] </answer>\n\n### Steps:\n1. Take the problem apart and plan.\n2. Choose a tool and give absolute coordinates");
    if (corner != NULL) fv_text_printf(out, " (the top-left corner of the image is (0, 0) and the bottom-right corner is (%.0f, %.0f))", corner->x, corner->y);
    fv_text_add(out, ".\n3. Look at the new picture: is the drawing where it should be, and does it agree with your reasoning?\n4. If not, go back: correct the drawing or the reasoning.");
}

/* Sources: the block of "plain" is the tools part of Qwen's chat templates (QwenLM, Apache-2.0). "deepeyes" follows the order of
 * DeepEyes' second prompt (Visual-Agent/DeepEyes, Apache-2.0): block, then an example, then a hint after the question; descriptions and hint are in our
 * words. "vilasr" follows the order of ViLaSR's (AntResearchNLP/ViLaSR 61669c0, verl/utils/dataset_multimodal.py) in our words; a row with the
 * original as its system text goes with "none". "compact" and "actions" are our own, for small models. */
static const fv_tool_prompt fv_prompts[] = {
    {"deepeyes", "order of DeepEyes' prompt (arXiv 2505.14362; Apache-2.0), own words", fv_describe_deepeyes, true, false, false},
    {"plain", "tools block of Qwen's chat templates (Apache-2.0)", fv_describe_schemas, false, false, false},
    {"compact", "own", fv_describe_compact, false, false, false},
    {"none", "own", NULL, false, false, false},
    {"vilasr", "order of ViLaSR's prompt (arXiv 2506.09965), own words", fv_describe_vilasr, true, true, true},
    {"actions", "own", fv_describe_actions, false, true, false},
    {"none", "own", NULL, false, true, false},
};

const fv_tool_prompt *fv_tool_prompt_find(const char *name, bool actions, const char **names) {
    if (names != NULL) *names = actions ? "vilasr, actions or none" : "deepeyes, plain, compact or none";
    for (size_t i = 0; i < FV_COUNT(fv_prompts); i++)
        if (fv_prompts[i].actions == actions && strcmp(fv_prompts[i].name, name) == 0) return &fv_prompts[i];
    return NULL;
}
