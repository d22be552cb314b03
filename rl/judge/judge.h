/* A judge answers questions about responses: a model in this process, run in batches by an engine; the policy itself, as it is or as the stage found it; or a server that speaks OpenAI's protocol. */
#ifndef FV_RL_JUDGE_H
#define FV_RL_JUDGE_H

#include "rl/part.h"
#include "rl/text/edit.h"
#include "rl/train/train.h"

/* One question, and what came of it. */
typedef struct {
    int number;                      /* of the response in its batch: what draws go by */
    const fv_use *use;               /* the term that asks; NULL: an evaluation's protocol, which is `label` and reads replies by `hears` */
    const fv_response *response;     /* of a term */
    const char *label;
    bool (*hears)(fv_span reply);
    json_t *messages;                /* owned by the asker; pictures are "#k" */
    const fv_picture *const *pictures; /* those of the question */
    int picture_count;
    double temperature;              /* of the answer; 0: greedy */
    char *reply;                     /* malloc'ed; NULL: none, and error says why */
    fv_error error;
    int requests;                    /* that it took */
} fv_question;

/* Keeps a text as the reply if who asks can read it; FV_BAD_DATA quotes it otherwise. */
fv_status fv_question_hear(fv_question *q, const char *text, fv_error *err);

typedef struct fv_judge fv_judge;
struct fv_judge {
    /* Answers all. A question that can't be answered has its error; the call fails only when nothing can go on. budget: requests that may still be sent. */
    fv_status (*ask)(fv_judge *j, fv_question *questions, int count, int64_t step, int64_t budget, fv_error *err);
    void (*close)(fv_judge *j);
};

/* FV_BAD_RECIPE where the recipe has no judge. */
fv_status fv_judge_wanted(const fv_recipe *r, fv_error *err);

/* By the recipe's `judge`: fv_judge_model where that is a folder, the policy or its reference, fv_judge_server where it is a URL. t and reference (of a recipe with
 * judge.reference) are borrowed. On failure *out is NULL. */
fv_status fv_judge_open(fv_judge **out, const fv_trainer *t, fv_slot *reference, fv_error *err);
void fv_judge_close(fv_judge *j); /* NULL is fine */

fv_status fv_judge_model(fv_judge **out, const fv_trainer *t, fv_slot *reference, fv_error *err);
fv_status fv_judge_server(fv_judge **out, const fv_trainer *t, fv_error *err);

#endif
