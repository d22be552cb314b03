/* The two harnesses' own searches for an option's letter in free text. */
#ifndef FV_RL_PROTOCOLS_MCQ_H
#define FV_RL_PROTOCOLS_MCQ_H

#include "rl/protocols/reading.h"

/* lmms-eval's extract_mcq_answer (lmms_eval/tasks/_task_utils/mcq_extract.py) among the first `letters` letters; 0: none was found. */
char fv_mcq_lmms(fv_span text, int letters);

/* VLMEvalKit's can_infer (vlmeval/utils/matching_util.py) with no judge behind it: a letter, or 'Z' where it finds none or reads a refusal. */
char fv_mcq_kit(fv_span text, const fv_options *o);

#define FV_SOURCE_LMMS "lmms-eval 75571cfe, lmms_eval/tasks/"
#define FV_SOURCE_KIT "VLMEvalKit e8e78f05, vlmeval/"

/* What VLMEvalKit writes in place of a response that it could not get. */
#define FV_KIT_FAILED "Failed to obtain answer via API"

#endif
