/* What an environment tells the model about its tools, by the name of the style. */
#ifndef FV_TOOLS_PROMPTS_H
#define FV_TOOLS_PROMPTS_H

#include "tools/registry.h"

typedef struct {
    const char *name;   /* "deepeyes" */
    const char *source; /* where the wording is from and under which licence */
    /* Appends the description of the tools; NULL: nothing is said. */
    void (*describe)(fv_text *out, const fv_tool *const *tools, int count);
    bool hint;          /* whether the hint is given unless the recipe says otherwise */
} fv_tool_prompt;

const fv_tool_prompt *fv_tool_prompt_find(const char *name); /* NULL if there is none */

/* The line on the form of a turn. */
extern const char fv_tool_hint[];

#endif
