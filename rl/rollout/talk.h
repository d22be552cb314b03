/* A conversation between a person and an agent, with tools or without. It is one path of a trajectory tree that grows at its end, so nothing that was said is
 * computed again. Where the chat format leaves thoughts of earlier turns out (fv_chat_forgets), the path goes on beside the last answer, with what is left of it. */
#ifndef FV_RL_TALK_H
#define FV_RL_TALK_H

#include "rl/rollout/rollout.h"
#include "rl/session.h"

typedef struct fv_talk fv_talk;

typedef struct {
    const char *system;       /* system text; NULL: what the chat format has by default */
    const json_t *env;        /* the agent's environment (tools/env.h); NULL: none */
    int thinking;             /* as in fv_chat_options */
    float temperature, top_p; /* temperature 0: greedy */
    int max_new_tokens;       /* a turn of the agent */
    uint64_t seed;
    const volatile int *stop; /* not 0: the answer ends where it is; may be NULL */
} fv_talk_options;

/* Who hears the agent while it writes. Any may be NULL. */
typedef struct {
    void (*text)(void *context, const char *text, size_t size); /* whole characters; special tokens are left out */
    void (*step)(void *context, const fv_step *step);           /* it called a tool: the turn has ended, and what came of it is seen now */
    void *context;
} fv_talk_listener;

/* Over a session, which is borrowed, as are the texts of the options. */
fv_status fv_talk_open(fv_talk **out, fv_session *s, const fv_talk_options *options, fv_error *err);
void fv_talk_close(fv_talk *t);

/* Says `content`, a text or a list of content parts (paths are relative to the working folder), and lets the agent answer. *answer stays the talk's, until the
 * next call: its stop_reason is "stopped" where options.stop cut it short; what it wrote up to there is part of the conversation. On failure nothing was said:
 * FV_BAD_DATA for a picture that can't be read, FV_LIMIT where the conversation has no room left. Another failure ends the conversation, as fv_talk_reset. */
fv_status fv_talk_say(fv_talk *t, const json_t *content, const fv_talk_listener *listener, const fv_trajectory **answer, fv_error *err);

int fv_talk_tokens(const fv_talk *t);       /* of the conversation so far */
int64_t fv_talk_computed(const fv_talk *t); /* rows that the decoder was run over so far */
void fv_talk_reset(fv_talk *t);             /* forgets everything that was said */

#endif
