/* Rows of other projects as conversations: whatever a row calls its question and its pictures, afterwards it has `messages`. */
#ifndef FV_DATASETS_FORMATS_H
#define FV_DATASETS_FORMATS_H

#include "core/json.h"

/* Gives `row` (an object, changed in place) its `messages`: a list of {"role", "content"} (but for rows of tokens) where pictures and videos are parts
 * {"type": "image", "image": PATH} and {"type": "video", "video": PATH} with their limits. All fields that it came with stay, `images`
 * and `videos` as they were. Told apart by their fields, in this order:
 *   input_ids              tokens: the row is left as it is (checked: a list of token ids)
 *   messages               ours, OpenAI's, transformers', TRL's (pictures in the parts, or in `images`)
 *   prompt                 verl, TRL: a list of messages or a text; with `completion`, both in a row
 *   conversations          LLaVA, ShareGPT: {"from", "value"} or {"role", "content"}
 *   problem or question    EasyR1 (`images`), Video-R1 and SophiaVL-R1 (`path` by `data_type`), ViLaSR (`image_path`): media, text, options a line each (datasets/options.h:
 *                          also lmms-eval's `candidates`, NExT-QA's a0 to a4, VLMEvalKit's A to D)
 * Marks <image> and <video> in texts become the pictures of `images`/`image`/`image_path` and `videos`/`video` in order, all of them;
 * without marks they stand before the first user turn's text.
 * `env_name`, DeepEyes' name of an environment, is none where it is empty: the row gets an `env` of null, unless it has one of its own.
 * FV_BAD_DATA: "train.jsonl:17: messages[0].content[1].image must be ...". */
fv_status fv_format_row(json_t *row, const char *place, fv_error *err);

#endif
