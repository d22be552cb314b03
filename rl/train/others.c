#include "rl/train/others.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- What is asked for ---- */

bool fv_others_reference(const fv_recipe *r, const fv_pipeline *p) {
    bool judges = (p->needs & FV_NEED_JUDGE) && fv_get_bool(r->json, "judge.reference");
    return judges || (p->needs & FV_NEED_REFERENCE) || fv_pipeline_compares(p, FV_OTHER_REFERENCE);
}

fv_status fv_others_teacher(bool *out, const fv_recipe *r, const fv_stage *stage, const fv_pipeline *p, fv_error *err) {
    *out = fv_pipeline_compares(p, FV_OTHER_TEACHER);
    if (!*out || fv_get_text(r->json, "teacher.path")) return FV_OK;
    return fv_fail(err, FV_BAD_RECIPE, "%s: stages.%s learns from a teacher, and there is none: give teacher: {path: FOLDER}", r->file, stage->name);
}

static bool same_view(const fv_config *a, const fv_config *b) {
    const fv_tower_config *x = &a->vision, *y = &b->vision;
    return a->has_vision == b->has_vision && (!a->has_vision || (a->family == b->family && x->patch == y->patch && x->merge == y->merge && x->temporal == y->temporal &&
                                                                 a->tokens_per_second == b->tokens_per_second && a->image_token == b->image_token && a->video_token == b->video_token));
}

/* Ids that both have are the same tokens. */
static int32_t first_other_token(const fv_tokenizer *a, const fv_tokenizer *b) {
    int32_t most = fv_tokenizer_size(a) < fv_tokenizer_size(b) ? fv_tokenizer_size(a) : fv_tokenizer_size(b);
    for (int32_t id = 0; id < most; id++) {
        size_t n = 0, m = 0;
        const char *x = fv_tokenizer_bytes(a, id, &n), *y = fv_tokenizer_bytes(b, id, &m);
        if (!x != !y || n != m || (x && memcmp(x, y, n) != 0)) return id;
    }
    return -1;
}

fv_status fv_others_fit(const fv_model *policy, const fv_model *teacher, const fv_recipe *r, fv_error *err) {
    const fv_config *a = &policy->config, *b = &teacher->config;
    if (!same_view(a, b))
        return fv_fail(err, FV_BAD_RECIPE, "%s: teacher.path %s is a %s whose pictures are laid out otherwise than the policy's (%s); a teacher is of the policy's family", r->file,
                       teacher->folder, b->model_type, a->model_type);
    if (a->has_vision && (memcmp(policy->image.mean, teacher->image.mean, sizeof policy->image.mean) != 0 || memcmp(policy->image.std, teacher->image.std, sizeof policy->image.std) != 0))
        return fv_fail(err, FV_BAD_RECIPE, "%s: teacher.path %s has other image_mean and image_std than the policy; it would see other pictures", r->file, teacher->folder);
    if (policy->tokenizer && fv_tokenizer_size(policy->tokenizer) > b->text.vocabulary)
        return fv_fail(err, FV_BAD_RECIPE, "%s: teacher.path %s has %d rows of vocabulary, and the policy has %d tokens; a teacher must be able to read what the policy writes", r->file,
                       teacher->folder, b->text.vocabulary, fv_tokenizer_size(policy->tokenizer));
    int32_t id = policy->tokenizer && teacher->tokenizer ? first_other_token(policy->tokenizer, teacher->tokenizer) : -1;
    if (id < 0) return FV_OK;
    return fv_fail(err, FV_BAD_RECIPE, "%s: teacher.path %s has another token %d than the policy; a teacher's tokens must be the policy's", r->file, teacher->folder, (int)id);
}

/* ---- Opening ---- */

/* Kept in the run folder, since a resumed run must have the same one. Of a policy with an adapter it is the model without it, as in TRL: the weights are there already. */
static fv_status open_reference(fv_others *o, const fv_stage *stage, int64_t from, fv_error *err) {
    const fv_trainer *t = o->t;
    fv_slot_options how = {.name = "reference", .lender = t->policy};
    if (t->model->lora) return fv_slot_open(&o->reference, t->ops, (fv_exec){t->pool, t->scratch}, t->model->weights, t->model->count, &how, err);
    char name[128];
    snprintf(name, sizeof name, "reference-%s", stage->name);
    char *folder = fv_run_path(t->run, name);
    fv_status s = from ? FV_OK : fv_run_save_model(folder, t->model, t->policy, FV_F32, false, err);
    if (s == FV_OK) s = fv_weights_open(&o->reference_file, folder, err);
    free(folder);
    FV_TRY(s);
    o->reference_weights = calloc((size_t)t->model->count, sizeof *o->reference_weights);
    if (!o->reference_weights) return fv_fail(err, FV_NO_MEMORY, "%s: out of memory", stage->name);
    for (int i = 0; i < t->model->count; i++) {
        o->reference_weights[i] = t->model->weights[i];
        FV_TRY(fv_weights_get(o->reference_file, t->model->weights[i].name, &o->reference_weights[i].view, err));
    }
    return fv_slot_open(&o->reference, t->ops, (fv_exec){t->pool, t->scratch}, o->reference_weights, t->model->count, &how, err);
}

static fv_status open_teacher(fv_others *o, fv_error *err) {
    const fv_trainer *t = o->t;
    FV_TRY(fv_model_open(&o->teacher_model, fv_get_text(t->recipe->json, "teacher.path"), err));
    FV_TRY(fv_others_fit(t->model, o->teacher_model, t->recipe, err));
    fv_slot_options how = {.name = "teacher", .adapter = fv_model_adapter(o->teacher_model)};
    return fv_slot_open(&o->teacher, t->ops, (fv_exec){t->pool, t->scratch}, o->teacher_model->weights, o->teacher_model->count, &how, err);
}

fv_status fv_others_open(fv_others *o, const fv_trainer *t, const fv_stage *stage, const fv_pipeline *p, int64_t from, fv_error *err) {
    bool teacher;
    *o = (fv_others){.t = t};
    FV_TRY(fv_others_teacher(&teacher, t->recipe, stage, p, err));
    if (fv_others_reference(t->recipe, p)) FV_TRY(open_reference(o, stage, from, err));
    return teacher ? open_teacher(o, err) : FV_OK;
}

void fv_others_close(fv_others *o) {
    fv_slot_close(o->teacher);
    fv_model_close(o->teacher_model);
    fv_slot_close(o->reference);
    free(o->reference_weights);
    fv_weights_close(o->reference_file);
    *o = (fv_others){0};
}

/* ---- Scoring ---- */

static fv_slot *slot_of(const fv_others *o, fv_other who) { return who == FV_OTHER_TEACHER ? o->teacher : who == FV_OTHER_REFERENCE ? o->reference : o->t->policy; }
static const fv_model *model_of(const fv_others *o, fv_other who) { return who == FV_OTHER_TEACHER ? o->teacher_model : o->t->model; }

fv_status fv_others_score(const fv_others *o, fv_other who, bool blind, const fv_tree *tree, const int *leaves, int count, const fv_targets *targets, fv_scored *out, fv_error *err) {
    const fv_model *m = model_of(o, who);
    fv_pass pass = fv_pass_begin(slot_of(o, who), o->t->arena, false);
    fv_targets same = *targets; /* rows are the same, since the paths are */
    same.logp = same.entropy = NULL;
    fv_pack pack;
    FV_TRY(fv_pack_make_scored(&pack, tree, leaves, count, m->image.merge, o->t->arena, err));
    if (blind) pack.picture_count = 0;
    *out = fv_pack_score(&pass, m, fv_pack_forward(&pass, m, &pack, NULL), &same);
    return pass.error.status == FV_OK ? FV_OK : fv_fail(err, pass.error.status, "scoring under the %s: %s", pass.slot->name, pass.error.text);
}

fv_distribution fv_others_distribution(const fv_others *o, fv_other who, const fv_scored *scored) {
    fv_slot *s = slot_of(o, who);
    int head = fv_decoder_head(model_of(o, who)->decoder);
    return (fv_distribution){.hidden = scored->hidden->v, .lse = scored->lse, .head = {s->params[head].w, fv_slot_packed(s, head)}};
}
