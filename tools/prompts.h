/* What an environment tells the model about its tools, by the name of the style. */
#ifndef FV_TOOLS_PROMPTS_H
#define FV_TOOLS_PROMPTS_H

#include "tools/canvas.h"
#include "tools/registry.h"

typedef struct {
    const char *name;   /* "deepeyes" */
    const char *source; /* where the wording is from and under which licence */
    /* Appends the description of the tools; NULL: nothing is said. corner: the first picture's lower right one in the model's coordinates, NULL: it isn't known. */
    void (*describe)(fv_text *out, const fv_tool *const *tools, int count, const fv_point *corner);
    bool hint;          /* whether the hint is given unless the recipe says otherwise */
    bool actions;       /* for calls as actions (tools/actions.h), else for <tool_call> */
    bool whole;         /* it is all of the system text, with a question of its own form (fv_action_question); a row with a system text has them already */
} fv_tool_prompt;

/* NULL if there is none of that name for calls of that form; *names (may be NULL) says which there are: "a, b or none". */
const fv_tool_prompt *fv_tool_prompt_find(const char *name, bool actions, const char **names);

/* The line on the form of a turn with <tool_call>. */
extern const char fv_tool_hint[];

#endif
