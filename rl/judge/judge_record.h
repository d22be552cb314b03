/* What a run's judge said: judgements.jsonl in its folder, a line a question. These are recorded inputs: a run that goes on from a checkpoint asks nothing again that was
 * asked after it, so it ends as it would have, whatever the judge says by then. So the file is never cut back, as the other logs are. */
#ifndef FV_RL_JUDGE_RECORD_H
#define FV_RL_JUDGE_RECORD_H

#include "rl/judge/judge.h"

typedef struct fv_judge_record fv_judge_record;

/* Reads what is there of steps from `step` on (of the run, 1-based), and appends to it. A last line that was cut by a crash goes. */
fv_status fv_judge_record_open(fv_judge_record **out, const char *path, int64_t step, fv_error *err);
void fv_judge_record_close(fv_judge_record *r); /* NULL is fine */

/* Forgets what was said at earlier steps. */
void fv_judge_record_step(fv_judge_record *r, int64_t step);
/* What stands there: {"reply": TEXT} or {"error": WHY}, with "requests"; NULL: it was not asked. key: of the question, within its step. Lives until the next step. */
const json_t *fv_judge_record_find(const fv_judge_record *r, int64_t step, uint64_t key);
/* A question with its reply or error; id: of its row. */
fv_status fv_judge_record_add(fv_judge_record *r, int64_t step, uint64_t key, const char *id, const fv_question *q, fv_error *err);

int64_t fv_judge_record_requests(const fv_judge_record *r); /* of the whole run */
bool fv_judge_record_answered(const fv_judge_record *r);    /* there is a reply in it, of any step */

#endif
