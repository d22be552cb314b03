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

/* ViLaSR's system text (AntResearchNLP/ViLaSR 61669c0, verl/utils/dataset_multimodal.py, Apache-2.0), word for word where both tools are offered and the size is known. */
static void fv_describe_vilasr(fv_text *out, const fv_tool *const *tools, int count, const fv_point *corner) {
    fv_text_add(out, "### Guidance:\nYou are a spatial reasoning assistant with access to two powerful visualization tools.\nYour task is to break down complex spatial problems and "
                     "iteratively refine your solution through visualization feedback.\n\n### Available tools:\nYou can use the following two tools to visualize. After each tool usage, you "
                     "must wait for and analyze the visualization feedback before proceeding.\n");
    for (int i = 0; i < count; i++) {
        bool boxes = strcmp(tools[i]->name, "image_draw_boxes_tool") == 0;
        fv_text_printf(out, "\n%d. **%s**\n- Purpose: %s\n- Input format: JSON\n```json\n[{\n    \"index\": i, # Image index\n%s}]\n```\n- Output: Generates %s of the i-th image\n", i + 1,
                       fv_action_of(tools[i])->name, boxes ? "Identifies and maps key items in the space" : "Plots movement or connections between points",
                       boxes ? "    \"bbox_2d\": [x1, y1, x2, y2],\n    \"label\": \"object name/description\"\n"
                             : "    \"start_point_2d\": [x1, y1],\n    \"end_point_2d\": [x2, y2],\n    \"label\": \"trace_description\"\n",
                       boxes ? "bounding boxes for visual inspection" : "visual paths for verification");
    }
    fv_text_add(out, "\n### Required Output Format:\nFor each reasoning step, you must structure your response as follows:\n<think> [Your detailed reasoning process] </think> Action: [");
    for (int i = 0; i < count; i++) fv_text_printf(out, "%s%s", i ? "/" : "", fv_action_of(tools[i])->name);
    fv_text_add(out, "]\n```json\n[JSON format coordinates]\n```\n\nAfter your reasoning and iteratively refine your solution through visualization feedback, you should arrive at a final answer "
                     "and structure your response as follows:\n<think> [Your detailed reasoning process] </think> Action: Answer\n<answer> [Your final answer] </answer>\n\n"
                     "### Please NOTE the following reasoning techniques:\n1. Initial Analysis\n   - Break down the spatial problem\n   - Plan your approach\n\n2. Iterative Reasoning for Each "
                     "Step\n   - Choose appropriate tool\n   - Provide absolute coordinates in JSON format");
    if (corner != NULL) fv_text_printf(out, " (The top-left corner of the image is (0, 0) and the bottom-right corner is (%.0f, %.0f))", corner->x, corner->y);
    fv_text_add(out, "\n   - Observe the visualization output\n   - Reflect on the visualization:\n     * Is the placement/path accurate?\n     * Does it align with your reasoning?\n"
                     "     * What adjustments are needed?\n   - Backtrack and Adjust:\n     * If errors found, backtrack to previous step to modify actions or decisions as needed");
}

/* Sources: the block of "plain" is the tools part of Qwen's chat templates (QwenLM, Apache-2.0). "deepeyes" follows the order of
 * DeepEyes' second prompt (Visual-Agent/DeepEyes, Apache-2.0): block, then an example, then a hint after the question; descriptions and hint are in our
 * words. "vilasr" is ViLaSR's own. "compact" and "actions" are ours, for small models. */
static const fv_tool_prompt fv_prompts[] = {
    {"deepeyes", "order of DeepEyes' prompt (arXiv 2505.14362; Apache-2.0), own words", fv_describe_deepeyes, true, false, false},
    {"plain", "tools block of Qwen's chat templates (Apache-2.0)", fv_describe_schemas, false, false, false},
    {"compact", "own", fv_describe_compact, false, false, false},
    {"none", "own", NULL, false, false, false},
    {"vilasr", "ViLaSR (arXiv 2506.09965), verl/utils/dataset_multimodal.py; Apache-2.0", fv_describe_vilasr, true, true, true},
    {"actions", "own", fv_describe_actions, false, true, false},
    {"none", "own", NULL, false, true, false},
};

const fv_tool_prompt *fv_tool_prompt_find(const char *name, bool actions, const char **names) {
    if (names != NULL) *names = actions ? "vilasr, actions or none" : "deepeyes, plain, compact or none";
    for (size_t i = 0; i < FV_COUNT(fv_prompts); i++)
        if (fv_prompts[i].actions == actions && strcmp(fv_prompts[i].name, name) == 0) return &fv_prompts[i];
    return NULL;
}
