#include "rl/train/needs.h"

#include "core/memory.h"
#include "core/random.h"
#include "rl/engine/engine.h"
#include "rl/evaluate/evaluate.h"
#include "rl/pipeline.h"
#include "rl/train/curriculum.h"
#include "rl/train/needs_model.h"
#include "rl/train/others.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* At most so many of a stage's first rows are looked at, and no further one after so many seconds: clips take long to decode. */
enum { PROBES = 12, VIEWS = 64 };
static const double PATIENCE = 0.2;

enum { OBSERVATION_TEXT = 32 }; /* tokens around an observation's picture, about */

static const char *const names[] = {
#define X(name, text, sft, roll) text,
    FV_NEEDS_MAP(X)
#undef X
};

double fv_needs_total(const fv_needs *n) {
    double sum = 0;
    for (int i = 0; i < FV_NEEDS_PARTS; i++) sum += n->bytes[i];
    return sum;
}

/* ---- What rows are like ---- */

typedef struct {
    int count;
    double system;               /* tokens of the system turn, which rows share (rl/train/feed.h: fv_tree_plant) */
    double tokens, longest;      /* mean and most of a row, beside it */
    double learned;              /* mean tokens with a loss */
    double bytes;                /* of a row's pictures */
    fv_patches views[VIEWS];     /* the rows' pictures, without pixels */
    int view_count;
    double view_tokens, view_bytes; /* of the largest one */
    int turns;
} row_facts;

static void add_row(row_facts *f, const fv_needs_model *m, const fv_sample *s) {
    const fv_prompt *p = &s->prompt;
    double bytes = (double)fv_prompt_bytes(m->model, p), system = fv_prompt_system(m->model, p), own = p->tokens.count - system;
    for (int k = 0; k < p->tokens.count; k++) f->learned += p->mask[k];
    f->system = fmax(f->system, system);
    f->tokens += own;
    f->longest = fmax(f->longest, own);
    f->bytes += bytes;
    for (int k = 0; k < p->picture_count && f->view_count < VIEWS; k++) {
        fv_patches *view = &f->views[f->view_count++];
        *view = *p->pictures[k]->patches;
        view->pixels = NULL;
        f->view_tokens = fmax(f->view_tokens, fv_patches_tokens(view, m->model->image.merge));
        f->view_bytes = fmax(f->view_bytes, bytes / p->picture_count);
    }
    int turns = s->env ? fv_env_max_turns(s->env) : 1;
    if (turns > f->turns) f->turns = turns;
    f->count++;
}

static void finish_rows(row_facts *f) {
    double n = f->count ? f->count : 1;
    f->tokens /= n;
    f->learned /= n;
    f->bytes /= n;
}

/* The rows that the first step will draw (where sources change their shares, rows of all of them), one after the other: their pictures are not held together. */
static fv_status read_rows(row_facts *out, const fv_needs_model *m, const json_t *spec, const fv_feed_options *options, int stage, fv_error *err) {
    fv_dataset *data;
    fv_feed *feed = NULL;
    uint64_t seed = (uint64_t)fv_get_int(m->recipe->json, "seed");
    FV_TRY(fv_curriculum_data(&data, spec, seed, err));
    fv_status s = fv_feed_open(&feed, m->model, data, m->pool, options, err);
    double start = fv_now();
    for (int i = 0; i < PROBES && s == FV_OK && (i == 0 || fv_now() - start < PATIENCE); i++) {
        fv_sample sample;
        int64_t index = fv_dataset_draw(data, fv_random_key(seed, "data", (uint64_t)stage, 0), i);
        fv_feed_take(feed, &index, 1, &sample);
        if (sample.error.status == FV_OK) add_row(out, m, &sample);
        fv_sample_clear(&sample);
    }
    finish_rows(out);
    fv_feed_close(feed);
    fv_dataset_close(data);
    return s;
}

/* False: they can't be read now (what an earlier stage will make, a model that is still to be made). */
static bool know_rows(row_facts *out, const fv_needs_model *m, const json_t *spec, const json_t *env, bool generate, int64_t max_tokens, int stage) {
    fv_error why;
    fv_feed_options options = {.env = env, .ask = fv_get(m->recipe->json, "ask"), .generate = generate, .max_tokens = (int)max_tokens};
    *out = (row_facts){.turns = 1};
    return m->made && spec && read_rows(out, m, spec, &options, stage, &why) == FV_OK && out->count > 0;
}

/* ---- Passes over so many rows ---- */

/* A pass of a stage's training (trained NULL: of nobody's) with `pictures` of the rows' views, in turn. All is linear in rows: more than MOST of them are reckoned with as so many and so many times as much. */
static fv_status run(fv_needs_model *m, const row_facts *f, double rows, double wanted, double pictures, const fv_stage *trained, double *bytes, fv_error *err) {
    static const double MOST = 65536;
    double times = fmax(rows / MOST, 1);
    int n = f->view_count ? (int)ceil(pictures / times) : 0;
    const fv_patches **list = malloc(((size_t)n + 1) * sizeof *list);
    if (!list) return fv_fail(err, FV_NO_MEMORY, "a pass to be measured: out of memory");
    for (int i = 0; i < n; i++) list[i] = &f->views[i % f->view_count];
    fv_needs_pass pass = {.rows = (int64_t)fmax(rows / times, 1), .wanted = (int64_t)(wanted / times), .pictures = list, .picture_count = n, .train = trained};
    pass.checkpoint = trained && fv_get_bool(trained->json, "optim.gradient_checkpointing");
    fv_status s = fv_needs_run(m, &pass, bytes, err);
    *bytes *= times;
    free(list);
    return s;
}

static double views_of_a_row(const row_facts *f) { return f->count ? (double)f->view_count / f->count : 0; }

/* ---- Rollouts ---- */

/* What is in one tree at once. */
typedef struct {
    double prompts, answers;   /* answers of all prompts */
    double system;             /* tokens of the turn above all prompts */
    double prompt, answer;     /* tokens at most: of a prompt, of all turns and observations below it */
    double views;              /* pictures in all */
    double rows;               /* tokens in all, at most */
    double segments;           /* below a prompt, of one answer */
} forest;

static void count_rows(forest *t) { t->rows = t->system + t->prompts * t->prompt + t->answers * t->answer; }

static forest plant(const row_facts *f, double prompts, double group, double max_new, double max_response) {
    double observations = f->turns - 1, seen = f->view_tokens + OBSERVATION_TEXT;
    forest t = {.prompts = prompts, .answers = prompts * group, .system = f->system, .prompt = f->longest, .segments = 1 + 2 * observations};
    t.answer = f->turns * max_new + observations * seen;
    if (max_response > 0 && t.answer > max_response) t.answer = max_response;
    t.views = prompts * views_of_a_row(f) + (f->view_count ? t.answers * observations : 0);
    count_rows(&t);
    return t;
}

/* How many pictures `rows` tokens of it have, where answers are half as long as they may be: in shorter ones pictures stand closer. */
static double views_in(const forest *t, double rows) { return fmin(t->views, t->views * rows / (t->rows - t->answers * t->answer / 2)); }

/* The page pool doubles (rl/engine/pages.c). A segment's first page may be a copy of the one that it begins in; its last one is partly filled. */
static double page_bytes(const fv_needs_model *m, const forest *t) {
    const fv_text_config *c = &m->model->config.text;
    double want = t->system / FV_PAGE + t->prompts * (t->prompt / FV_PAGE + 2) + t->answers * (t->answer / FV_PAGE + t->segments), pages = 64;
    while (pages < want) pages *= 2;
    fv_view keys = fv_page_view(m->ops.page_dtype(c->head_dim), NULL, 1, c->kv_heads, c->head_dim, true);
    return pages * 2 * (double)fv_bytes(keys) * c->layers;
}

/* The table of what the tower gave, with room for as much again (rl/engine/engine.c). */
static double embed_bytes(const fv_needs_model *m, const row_facts *f, const forest *t) {
    return 2 * t->views * f->view_tokens * m->model->config.text.hidden * (1 + m->model->config.vision.deepstack_count) * sizeof(float);
}

/* What products and attention gave, row by row (core/recording.h). */
static double record_bytes(const fv_needs_model *m, const fv_stage *stage, const forest *t) {
    const fv_text_config *c = &m->model->config.text;
    double q = (double)c->heads * c->head_dim, kv = (double)c->kv_heads * c->head_dim, most = (double)fv_train_record(stage), rows = 1024;
    double row = sizeof(float) * c->layers * (2 * q + 2 * kv + 2.0 * c->hidden + 3.0 * c->intermediate + 2.0 * c->heads);
    while (rows < t->rows) rows *= 2;
    return fmin(most, rows * row);
}

/* The same of the tower. */
static double seen_bytes(const fv_needs_model *m, const fv_stage *stage, const row_facts *f, const forest *t) {
    const fv_tower_config *c = &m->model->config.vision;
    double patches = t->views * f->view_tokens * c->merge * c->merge, most = (double)fv_train_record(stage) / FV_ENGINE_SEEN, rows = 1024;
    double row = sizeof(float) * (c->hidden + c->depth * (6.0 * c->hidden + 2.0 * c->heads + (c->gated ? 2.0 : 1.0) * c->intermediate));
    while (rows < patches) rows *= 2;
    return patches > 0 ? fmin(most, rows * row) : 0;
}

/* An engine over it: its arena, pages, and tables. */
static fv_status engine_bytes(fv_needs_model *m, const row_facts *f, const forest *t, double *arena, double *keys, fv_error *err) {
    double rows = fmin(fv_engine_rows(&m->ops), t->rows);
    FV_TRY(run(m, f, rows, 0, views_in(t, rows), NULL, arena, err));
    *keys = page_bytes(m, t) + embed_bytes(m, f, t);
    return FV_OK;
}

/* ---- Stages ---- */

typedef struct {
    fv_needs_model *m;
    fv_needs base;      /* what all stages have */
    double arena;       /* the trainer's, which keeps what an earlier stage asked for */
    fv_needs *out;
} reckoning;

static bool stage_rows(reckoning *k, const fv_stage *stage, row_facts *f) {
    const json_t *s = stage->json, *r = k->m->recipe->json;
    const json_t *spec = fv_get(s, "data") ? fv_get(s, "data") : fv_get(r, "data");
    bool known = know_rows(f, k->m, spec, fv_recipe_env(k->m->recipe, stage), stage->kind != FV_STAGE_SFT, fv_get_int(s, "max_tokens"), (int)(stage - k->m->recipe->stages));
    k->base.at_least |= !known;
    return known;
}

static void grow(double *most, double bytes) { *most = fmax(*most, bytes); }

/* Dropout of what an adapter's A sees: which numbers, what is left of them, and their gradient (core/pass_lora.c). */
static double dropout_bytes(const fv_needs_model *m, double rows) {
    const fv_lora *l = m->model->lora;
    return l && l->config.dropout > 0 ? 3 * sizeof(float) * rows * fmax(m->model->config.text.hidden, m->model->config.text.intermediate) : 0;
}

/* Rows of the next step are there beside this one's where they are read ahead (rl/train/feed.h). */
static double steps_held(const reckoning *k) { return strcmp(fv_get_text(k->m->recipe->json, "device"), "cpu") ? 2 : 1; }

static fv_status reckon_sft(reckoning *k, const fv_stage *stage, fv_needs *n, fv_error *err) {
    row_facts f;
    double batch = (double)fv_get_int(stage->json, "batch"), micro = (double)fv_get_int(stage->json, "optim.micro_tokens"), bytes;
    bool known = stage_rows(k, stage, &f);
    double most = known ? fmax(1, fmin(batch, (micro - f.system) / f.tokens)) : 1; /* conversations of a pass */
    double rows = known ? f.system + fmax(most * f.tokens, f.longest) : fmin(micro, batch);
    FV_TRY(run(k->m, &f, rows, ceil(most * f.learned), most * views_of_a_row(&f), stage, &bytes, err));
    grow(&k->arena, bytes + dropout_bytes(k->m, rows));
    n->bytes[FV_NEEDS_PICTURES] = steps_held(k) * batch * f.bytes;
    return FV_OK;
}

static void add_weights(fv_needs *n, const fv_needs_weights *w) {
    n->bytes[FV_NEEDS_WEIGHTS] += w->file + w->held;
    n->bytes[FV_NEEDS_OPTIMIZER] += w->optimizer;
    n->droppable += w->droppable;
    n->offloaded += w->offloaded;
}

/* What answers beside the trained ones take (rl/rollout/second_pass.h, rl/rollout/shuffled.h). A second pass reads a description that is as long as an answer may be. */
static void add_beside(forest *t, const fv_pipeline *parts) {
    double answers = t->answers;
    if (parts->needs & FV_NEED_SECOND_PASS) t->answers += 2 * answers;
    if (parts->needs & FV_NEED_SHUFFLED) {
        t->answers += answers / 2;
        t->prompts *= 2;
        t->views *= 2;
    }
    count_rows(t);
}

/* others: passes that score the same rows for the objectives, by models taken to be as wide as the policy. */
static fv_status reckon_updates(reckoning *k, const fv_stage *stage, const row_facts *f, const forest *t, int others, fv_error *err) {
    double micro = (double)fv_get_int(stage->json, "optim.micro_tokens"), bytes, more = 0;
    double rows = fmin(fmax(micro, t->system + t->prompt + t->answer), t->rows);
    FV_TRY(run(k->m, f, rows, 0, views_in(t, rows), stage, &bytes, err));
    if (others) FV_TRY(run(k->m, f, rows, 0, views_in(t, rows), NULL, &more, err));
    grow(&k->arena, bytes + others * more);
    return FV_OK;
}

static int count_others(const fv_pipeline *parts) {
    int n = (parts->needs & FV_NEED_REFERENCE) != 0;
    for (int i = 0; i < parts->objectives.count; i++) n += parts->objectives.uses[i].part->compares != NULL;
    return n;
}

static fv_status add_others(reckoning *k, const fv_pipeline *parts, fv_needs *n, fv_error *err) {
    fv_needs_weights w;
    const char *beside[] = {(parts->needs & FV_NEED_JUDGE) ? fv_get_text(k->m->recipe->json, "judge.path") : NULL,
                            fv_pipeline_compares(parts, FV_OTHER_TEACHER) ? fv_get_text(k->m->recipe->json, "teacher.path") : NULL};
    if (fv_others_reference(k->m->recipe, parts)) {
        FV_TRY(fv_needs_reference(k->m, &w, err));
        add_weights(n, &w);
    }
    for (size_t i = 0; i < FV_COUNT(beside); i++) {
        if (!beside[i]) continue;
        FV_TRY(fv_needs_folder(k->m, beside[i], &w, err));
        add_weights(n, &w);
    }
    return FV_OK;
}

static fv_status reckon_rollouts(reckoning *k, const fv_stage *stage, fv_needs *n, fv_error *err) {
    const json_t *s = stage->json;
    row_facts f;
    fv_pipeline *parts;
    double arena, keys;
    stage_rows(k, stage, &f);
    k->base.at_least |= fv_get_int(s, "dynamic_sampling") > 0; /* what replaced groups held is held until the step ends, and how many there will be nobody knows */
    forest t = plant(&f, (double)fv_get_int(s, "rollout.prompts"), (double)fv_get_int(s, "rollout.group_size"), (double)fv_get_int(s, "rollout.max_new_tokens"),
                     (double)fv_get_int(s, "rollout.max_response"));
    FV_TRY(fv_pipeline_open(&parts, s, err));
    fv_status status = add_others(k, parts, n, err);
    if (status == FV_OK && stage->kind == FV_STAGE_GRPO) status = reckon_updates(k, stage, &f, &t, count_others(parts), err);
    add_beside(&t, parts);
    fv_pipeline_close(parts);
    FV_TRY(status);
    FV_TRY(engine_bytes(k->m, &f, &t, &arena, &keys, err));
    n->bytes[FV_NEEDS_ACTIVATIONS] += arena;
    n->bytes[FV_NEEDS_KEYS] += keys + record_bytes(k->m, stage, &t) + seen_bytes(k->m, stage, &f, &t);
    n->bytes[FV_NEEDS_PICTURES] += steps_held(k) * t.prompts * f.bytes + (t.views - t.prompts * views_of_a_row(&f)) * f.view_bytes;
    return FV_OK;
}

/* Evaluations in a stage: an engine beside the stage's own, whose batch has been given back. */
static fv_status reckon_evaluation(reckoning *k, fv_needs *n, fv_error *err) {
    const json_t *r = k->m->recipe->json, *spec = fv_get(r, "eval_data");
    row_facts f;
    double arena, keys, rows = (double)fv_get_int(r, "evaluate.n");
    if (!spec || !json_array_size(fv_get(r, "evaluate.modes"))) return FV_OK;
    k->base.at_least |= !know_rows(&f, k->m, spec, fv_recipe_env(k->m->recipe, NULL), true, FV_EVALUATE_TOKENS, 0);
    if (rows == 0 || rows > FV_EVALUATE_ROWS) rows = FV_EVALUATE_ROWS;
    if (f.bytes > 0) rows = fmin(rows, ceil((double)FV_FEED_BYTES / f.bytes) + 2 * fv_pool_threads(k->m->pool));
    forest t = plant(&f, rows, 1, (double)fv_get_int(r, "evaluate.max_new_tokens"), 0);
    FV_TRY(engine_bytes(k->m, &f, &t, &arena, &keys, err));
    n->bytes[FV_NEEDS_ACTIVATIONS] += arena;
    n->bytes[FV_NEEDS_KEYS] += keys;
    n->bytes[FV_NEEDS_PICTURES] = rows * f.bytes + rows * (f.turns - 1) * f.view_bytes;
    return FV_OK;
}

static void keep_hungriest(reckoning *k, const fv_needs *n) {
    if (!k->out->stage || fv_needs_total(n) > fv_needs_total(k->out)) *k->out = *n;
}

static fv_status reckon_stage(reckoning *k, const fv_stage *stage, fv_error *err) {
    fv_needs n = k->base, evaluated;
    n.stage = stage;
    FV_TRY(fv_train_hold(k->m->policy, k->m->recipe, stage, err)); /* a pass has gradients of what this stage trains */
    FV_TRY(stage->kind == FV_STAGE_SFT ? reckon_sft(k, stage, &n, err) : reckon_rollouts(k, stage, &n, err));
    n.bytes[FV_NEEDS_ACTIVATIONS] += k->arena + fv_needs_scratch(k->m);
    evaluated = n;
    if (fv_recipe_evaluates(k->m->recipe, stage)) FV_TRY(reckon_evaluation(k, &evaluated, err));
    keep_hungriest(k, &n);
    keep_hungriest(k, &evaluated);
    return FV_OK;
}

fv_status fv_needs_find(fv_needs *out, const fv_recipe *recipe, fv_error *err) {
    fv_needs_model m;
    *out = (fv_needs){0};
    double program = (double)fv_memory_resident();
    FV_TRY(fv_needs_open(&m, recipe, err));
    reckoning k = {.m = &m, .out = out};
    fv_needs_weights w = fv_needs_policy(&m);
    add_weights(&k.base, &w);
    k.base.bytes[FV_NEEDS_PROGRAM] = program;
    k.base.card = m.ops.device != FV_CPU;
    k.base.limit = k.base.card ? (double)m.ops.room() : (double)fv_memory_limit();
    fv_status s = FV_OK;
    for (int i = 0; i < recipe->stage_count && s == FV_OK; i++) s = reckon_stage(&k, &recipe->stages[i], err);
    out->at_least = k.base.at_least;
    fv_needs_close(&m);
    if (s != FV_OK) *out = (fv_needs){0};
    return s;
}

/* ---- Saying it ---- */

/* One decimal of a number of tens, two below. */
static void add_gib(fv_text *t, double bytes) {
    double gib = bytes / (double)(1 << 30);
    fv_text_printf(t, gib < 9.995 ? "%.2f" : "%.1f", gib);
}

/* "3.12 GiB of 15.6: weights 0.41, optimizer 1.22". Nothing of less than half a hundredth is said. */
static void add_numbers(fv_text *t, const fv_needs *n) {
    add_gib(t, fv_needs_total(n));
    fv_text_add(t, " GiB");
    if (n->limit > 0) {
        fv_text_add(t, " of ");
        add_gib(t, n->limit);
    }
    const char *between = ": ";
    for (int i = 0; i < FV_NEEDS_PARTS; i++) {
        if (n->bytes[i] / (double)(1 << 30) < 0.005) continue;
        fv_text_printf(t, "%s%s ", between, names[i]);
        add_gib(t, n->bytes[i]);
        between = ", ";
    }
}

/* Answers may be as long as they are allowed to be, and usually are not. */
static const char *how_sure(const fv_needs *n) { return n->at_least ? "at least" : n->stage->kind == FV_STAGE_SFT ? "about" : "up to"; }

void fv_needs_text(fv_text *out, const fv_needs *n) {
    if (!n->stage) return;
    fv_text_printf(out, "  memory  needs %s ", how_sure(n));
    add_numbers(out, n);
    fv_text_printf(out, "; most in %s%s\n", n->stage->name, n->card ? n->offloaded > 0 ? ", on the card all but the program, pictures and moments" : ", on the card all but the program and pictures" : "");
}

/* Fields that make the large parts smaller: "optim.micro_tokens; rollout.prompts, rollout.group_size". */
static void add_advice(fv_text *t, const fv_needs *n) {
    static const struct {
        const char *sft, *roll;
    } advice[] = {
#define X(name, text, sft, roll) {sft, roll},
        FV_NEEDS_MAP(X)
#undef X
    };
    char prefix[128];
    const char *between = "";
    snprintf(prefix, sizeof prefix, "stages.%.100s.", n->stage->name);
    for (int i = 0; i < FV_NEEDS_PARTS; i++) {
        const char *what = n->stage->kind == FV_STAGE_SFT ? advice[i].sft : advice[i].roll;
        if (!what[0] || n->bytes[i] < 0.1 * fv_needs_total(n)) continue;
        bool own = !strncmp(what, "%s", 2);
        fv_text_printf(t, "%s%s%s", between, own ? prefix : "", own ? what + 2 : what);
        between = "; ";
    }
}

fv_status fv_needs_check(const fv_needs *n, const fv_recipe *recipe, fv_error *err) {
    double elsewhere = n->card ? n->bytes[FV_NEEDS_PROGRAM] + n->bytes[FV_NEEDS_PICTURES] + n->offloaded : n->droppable;
    if (!n->stage || n->limit <= 0 || fv_needs_total(n) - elsewhere <= n->limit) return FV_OK;
    fv_text t = {0}, advice = {0};
    add_numbers(&t, n);
    add_advice(&advice, n);
    fv_status s = fv_fail(err, FV_LIMIT, "%s: stage %s does not fit into %smemory, it needs %s %s. Less is needed with other values of: %s", recipe->file, n->stage->name, n->card ? "the card's " : "",
                          how_sure(n), t.data ? t.data : "", advice.data ? advice.data : "");
    fv_text_clear(&advice);
    fv_text_clear(&t);
    return s;
}
