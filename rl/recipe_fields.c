#include "rl/recipe.h"

#define ANY (FV_STAGE_SFT | FV_STAGE_GRPO | FV_STAGE_FILTER)
#define TRAIN (FV_STAGE_SFT | FV_STAGE_GRPO)
#define ROLL (FV_STAGE_GRPO | FV_STAGE_FILTER)

/* THE table: checks, defaults, `fovea help recipe` and docs/recipe.md all come from it. A path that has children here is a mapping. */
static const fv_field fields[] = {
    {"name", FV_TOP, FV_FIELD_TEXT, 0, 0, "run", "", "what the run is called in reports"},
    {"seed", FV_TOP, FV_FIELD_INT, 0, 9e15, "1", "", "same seed, same run, whatever the thread count"},
    {"out", FV_TOP, FV_FIELD_TEXT, 0, 0, "", "", "the run folder; runs/NAME where left out"},
    {"threads", FV_TOP, FV_FIELD_INT, 0, 1024, "0", "", "0: all cores that the process may use"},
    {"device", FV_TOP, FV_FIELD_CHOICE, 0, 0, "cpu", "cpu|cuda", "where the model runs"},
    {"model.path", FV_TOP, FV_FIELD_TEXT, 0, 0, "", "", "a Hugging Face folder"},
    {"model.init", FV_TOP, FV_FIELD_TEXT, 0, 0, "", "", "instead of path: random weights of a preset (tiny, mid) or of a config.json"},
    {"freeze", FV_TOP, FV_FIELD_LIST, 0, 0, "[]", "", "name patterns of weights that are not trained: [visual.*]"},
    {"muon", FV_TOP, FV_FIELD_LIST, 0, 0, "[]", "", "name patterns of matrices that Muon updates, AdamW the rest: [visual.blocks.*, language_model.layers.*]"},
    {"data", FV_TOP | ANY, FV_FIELD_SOURCE, 0, 0, "", "", "rows: a file, {make: GENERATOR, n: N, split: train}, or a list of those with weights"},
    {"eval_data", FV_TOP, FV_FIELD_SOURCE, 0, 0, "", "", "rows for evaluations"},
    {"env", FV_TOP | ANY, FV_FIELD_ENV, 0, 0, "", "", "{tools: [image_zoom_in_tool], max_turns: 3}; a row's own env wins"},
    {"bad_rows", FV_TOP, FV_FIELD_CHOICE, 0, 0, "skip", "skip|stop", "a row that can't be read is recorded and skipped, or stops the run"},
    {"save", FV_TOP, FV_FIELD_CHOICE, 0, 0, "f32", "f32|bf16", "type of weights in checkpoints' model.safetensors (trainer_state keeps f32)"},
    {"export", FV_TOP, FV_FIELD_TEXT, 0, 0, "", "", "write the final model to this folder as well; an older model there is moved aside (NAME.1)"},
    {"evaluate.every", FV_TOP, FV_FIELD_INT, 0, 1e9, "0", "", "steps between evaluations in a stage; 0: at stage ends only"},
    {"evaluate.n", FV_TOP, FV_FIELD_INT, 0, 1e9, "0", "", "rows of eval_data to use; 0: all"},
    {"evaluate.modes", FV_TOP, FV_FIELD_LIST, 0, 0, "[greedy]", "", "sampled, greedy, no_tool (answer forced from the first view)"},
    {"evaluate.score", FV_TOP, FV_FIELD_PART, 0, 0, "{term: exact}", "reward", "the reward term that counts as accuracy"},
    {"evaluate.by", FV_TOP, FV_FIELD_TEXT, 0, 0, "problem_type", "", "row field that categories come from, else its category"},
    {"evaluate.max_new_tokens", FV_TOP, FV_FIELD_INT, 1, 1e6, "128", "", "tokens a turn in evaluations"},
    {"checkpoint.every", FV_TOP, FV_FIELD_INT, 0, 1e9, "0", "", "steps between checkpoints; 0: at stage ends only"},
    {"checkpoint.minutes", FV_TOP, FV_FIELD_NUM, 0, 1e6, "0", "", "also when so many minutes have gone by; 0: never (does not change a result)"},
    {"checkpoint.keep", FV_TOP, FV_FIELD_INT, 1, 1000, "2", "", "how many are kept"},
    {"report.samples", FV_TOP, FV_FIELD_INT, 0, 1000, "12", "", "held-out samples shown before and after in the report"},

    {"name", ANY, FV_FIELD_TEXT, 0, 0, "", "", "the stage's name; its kind where left out"},
    {"kind", ANY, FV_FIELD_CHOICE, 0, 0, "", "sft|grpo|filter", "what the stage does"},
    {"epochs", FV_STAGE_SFT, FV_FIELD_NUM, 0, 1e6, "1", "", "passes over the data, where steps is 0"},
    {"steps", ANY, FV_FIELD_INT, 0, 1e9, "0", "", "updates (filter: batches of prompts); 0: from epochs"},
    {"batch", FV_STAGE_SFT, FV_FIELD_INT, 1, 1e6, "32", "", "conversations an update"},
    {"max_tokens", ANY, FV_FIELD_INT, 16, 1e9, "32768", "", "context: longer conversations are skipped (sft) or end with stop_reason context"},
    {"stop_at", FV_STAGE_SFT, FV_FIELD_NUM, 0, 1000, "0", "", "end the stage early once the smoothed loss is below; 0: never"},
    {"optim.lr", TRAIN, FV_FIELD_NUM, 0, 10, "1.0e-5", "", "peak learning rate"},
    {"optim.warmup", TRAIN, FV_FIELD_INT, 0, 1e9, "0", "", "steps of linear warm-up from 0"},
    {"optim.schedule", TRAIN, FV_FIELD_CHOICE, 0, 0, "constant", "constant|linear|cosine", "after the warm-up, down to optim.final x lr"},
    {"optim.final", TRAIN, FV_FIELD_NUM, 0, 1, "0", "", "share of lr at the last step"},
    {"optim.weight_decay", TRAIN, FV_FIELD_NUM, 0, 10, "0", "", "decoupled, on matrices only"},
    {"optim.beta1", TRAIN, FV_FIELD_NUM, 0, 0.999999, "0.9", "", "AdamW"},
    {"optim.beta2", TRAIN, FV_FIELD_NUM, 0, 0.999999, "0.999", "", "AdamW"},
    {"optim.eps", TRAIN, FV_FIELD_NUM, 0, 1, "1.0e-8", "", "AdamW"},
    {"optim.muon_rate", TRAIN, FV_FIELD_NUM, 0.000001, 1e6, "1", "", "learning rate of the matrices that Muon updates, as a multiple of lr"},
    {"optim.clip", TRAIN, FV_FIELD_NUM, 0, 1e9, "1.0", "", "gradient norm is clipped to this; 0: not"},
    {"optim.micro_tokens", TRAIN, FV_FIELD_INT, 1, 1e9, "8192", "", "rows of one forward and backward; larger batches are accumulated"},

    {"rollout.prompts", ROLL, FV_FIELD_INT, 1, 1e6, "16", "", "groups a step"},
    {"rollout.group_size", ROLL, FV_FIELD_INT, 2, 1024, "8", "", "answers a prompt"},
    {"rollout.temperature", ROLL, FV_FIELD_SCHEDULE, 0, 100, "1.0", "", "of sampling"},
    {"rollout.top_p", ROLL, FV_FIELD_NUM, 0.0001, 1, "1.0", "", "nucleus; log-probs stay those of the whole vocabulary"},
    {"rollout.top_k", ROLL, FV_FIELD_INT, 0, 1e6, "0", "", "0: off"},
    {"rollout.max_new_tokens", ROLL, FV_FIELD_INT, 1, 1e6, "256", "", "tokens a turn"},
    {"rollout.max_response", ROLL, FV_FIELD_INT, 1, 1e9, "8192", "", "tokens of all turns and observations together"},
    {"rollout.show", ROLL, FV_FIELD_INT, 0, 1e6, "8", "", "trajectories written a step, with their pictures"},
    {"rollout.every", ROLL, FV_FIELD_INT, 1, 1e9, "10", "", "steps between such writings"},
    {"updates", FV_STAGE_GRPO, FV_FIELD_INT, 1, 1000, "1", "", "optimizer steps on each batch of rollouts (prompts are split evenly)"},
    {"verify", FV_STAGE_GRPO, FV_FIELD_INT, 0, 1e9, "1", "", "every so many steps all log-probs are computed again by an independent packed pass; 0: never"},
    {"dynamic_sampling", FV_STAGE_GRPO, FV_FIELD_INT, 0, 100, "0", "", "DAPO: up to so many further batches replace groups whose rewards are all equal"},
    {"reward.variant", ROLL, FV_FIELD_CHOICE, 0, 0, "released", "released|paper", "where a paper and its code differ"},
    {"reward.terms", ROLL, FV_FIELD_PARTS, 0, 0, "[{term: exact, weight: 1.0}]", "reward", "what is paid"},
    {"reward.shaping", FV_STAGE_GRPO, FV_FIELD_PARTS, 0, 0, "[]", "shaping", "rules over the summed reward of a group, in order"},
    {"advantage", FV_STAGE_GRPO, FV_FIELD_PART, 0, 0, "{kind: group}", "advantage", "from rewards to advantages"},
    {"weights", FV_STAGE_GRPO, FV_FIELD_PARTS, 0, 0, "[]", "weight", "token weights, multiplied"},
    {"objective", FV_STAGE_GRPO, FV_FIELD_PART, 0, 0, "{kind: grpo}", "objective", "what is minimised"},
    {"auxiliary", FV_STAGE_GRPO, FV_FIELD_PARTS, 0, 0, "[]", "objective", "further objectives, added"},
    {"keep", FV_STAGE_FILTER, FV_FIELD_PARTS, 0, 0, "[{filter: reward, at_least: 1.0}]", "filter", "which trajectories are kept as training rows"},
};

const fv_field *fv_recipe_fields(int *count) {
    *count = (int)FV_COUNT(fields);
    return fields;
}
