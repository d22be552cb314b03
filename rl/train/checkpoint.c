/* checkpoints/step-N of a run: writing, finding, restoring. */
#include "rl/train/run.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const roles[] = {"master.", "m.", "v."};

/* data NULL where there is none: what is frozen has no state, Muon no v. */
static fv_view role_view(const fv_param *p, size_t role) {
    return !p->grad.data ? fv_none : role == 0 ? p->w : role == 1 ? p->m : p->v;
}

/* Trained parameters as tensors: master.NAME, m.NAME, v.NAME. Returns how many; names are malloc'ed. */
static size_t trainer_tensors(const fv_slot *s, fv_tensor *out) {
    size_t n = 0;
    for (size_t role = 0; role < FV_COUNT(roles); role++)
        for (int i = 0; i < s->count; i++) {
            const fv_param *p = &s->params[i];
            fv_view of = role_view(p, role);
            if (!of.data) continue;
            size_t length = strlen(roles[role]) + strlen(p->name) + 1;
            char *name = malloc(length);
            if (!name) return n;
            snprintf(name, length, "%s%s", roles[role], p->name);
            out[n++] = (fv_tensor){name, of};
        }
    return n;
}

static fv_status save_trainer(const fv_slot *s, const char *folder, fv_error *err) {
    fv_tensor *tensors = calloc(3 * (size_t)s->count, sizeof *tensors);
    if (!tensors) return fv_fail(err, FV_NO_MEMORY, "checkpoint: out of memory");
    size_t n = trainer_tensors(s, tensors);
    char *path = fv_path_join(folder, "optimizer.safetensors");
    fv_status status = fv_weights_save_from(path, tensors, n, FV_DTYPES, s->ops, err);
    free(path);
    for (size_t i = 0; i < n; i++) free((char *)tensors[i].name);
    free(tensors);
    return status;
}

/* How long the logs are by now goes into the state, so that a resumed run can cut them back to here. */
static fv_status save_state(const fv_run *r, const fv_slot *slot, const char *folder, json_t *state, fv_error *err) {
    json_object_set_new(state, "metrics_bytes", json_integer((json_int_t)fv_lines_size(r->metrics)));
    json_object_set_new(state, "evaluations_bytes", json_integer((json_int_t)fv_lines_size(r->evaluations)));
    json_object_set_new(state, "bad_rows_bytes", json_integer((json_int_t)fv_lines_size(r->bad_rows)));
    json_object_set_new(state, "version", json_integer((json_int_t)slot->version));
    json_object_set_new(state, "optimizer_steps", json_integer((json_int_t)slot->steps));
    json_t *missed = json_object(); /* by weight, where stages have held some */
    for (int i = 0; i < slot->count; i++)
        if (slot->params[i].missed) json_object_set_new(missed, slot->params[i].name, json_integer((json_int_t)slot->params[i].missed));
    json_object_set_new(state, "missed_steps", missed);
    return fv_json_save(state, folder, "state.json", err);
}

static long step_of(const char *name) {
    char *end;
    if (strncmp(name, "step-", 5)) return -1;
    long n = strtol(name + 5, &end, 10);
    return *end || end == name + 5 ? -1 : n;
}

/* Which checkpoints there are: -1, -1, 0 if none. */
typedef struct {
    long oldest, newest;
    int count;
} inventory;

static fv_status list_checkpoints(const fv_run *r, inventory *out, fv_error *err) {
    char *folder = fv_run_path(r, "checkpoints");
    fv_names names;
    fv_status s = fv_folder_list(&names, folder, err);
    free(folder);
    FV_TRY(s);
    *out = (inventory){-1, -1, 0};
    for (size_t i = 0; i < names.count; i++) {
        long n = step_of(names.names[i]);
        if (n < 0) continue;
        if (!out->count || n < out->oldest) out->oldest = n;
        if (n > out->newest) out->newest = n;
        out->count++;
    }
    fv_names_free(&names);
    return FV_OK;
}

static char *step_folder(const fv_run *r, long step) {
    char name[64];
    snprintf(name, sizeof name, "checkpoints/step-%ld", step);
    return fv_run_path(r, name);
}

/* Takes a folder away: it loses its name first, so that what has a name is whole even where the removal is interrupted. */
static fv_status retire(const char *path, fv_error *err) {
    char *temporary;
    FV_TRY(fv_folder_begin(&temporary, path, err));
    fv_status s = rename(path, temporary) ? fv_fail(err, FV_IO, "%s: can't be renamed: %s", path, strerror(errno)) : FV_OK;
    if (s == FV_OK) s = fv_path_remove(temporary, err);
    else fv_path_remove(temporary, NULL);
    free(temporary);
    return s;
}

static fv_status remove_old(const fv_run *r, fv_error *err) {
    inventory have;
    FV_TRY(list_checkpoints(r, &have, err));
    while (have.count > r->keep) {
        char *path = step_folder(r, have.oldest);
        fv_status s = retire(path, err);
        free(path);
        FV_TRY(s);
        FV_TRY(list_checkpoints(r, &have, err));
    }
    return FV_OK;
}

/* What was written into `temporary` becomes `path`, or is given up where s is an error. Frees temporary. */
static fv_status finish_folder(fv_status s, char *temporary, const char *path, fv_error *err) {
    if (s == FV_OK) s = fv_folder_replace(temporary, path, err);
    if (s != FV_OK && temporary) fv_path_remove(temporary, NULL);
    free(temporary);
    return s;
}

static fv_status save_head(const fv_slot *slot, const char *folder, fv_error *err) {
    if (slot->head < 0) return FV_OK;
    fv_tensor parts[2];
    for (int i = 0; i < 2; i++) parts[i] = (fv_tensor){slot->params[slot->head + i].name, slot->params[slot->head + i].w};
    char *path = fv_path_join(folder, FV_VALUE_HEAD);
    fv_status s = path ? fv_weights_save_from(path, parts, FV_COUNT(parts), FV_DTYPES, slot->ops, err) : fv_fail(err, FV_NO_MEMORY, "checkpoint: out of memory");
    free(path);
    return s;
}

fv_status fv_run_save_model(const char *path, const fv_model *m, const fv_slot *slot, fv_dtype save, bool keep, fv_error *err) {
    char *temporary = NULL;
    fv_status s = fv_folder_begin(&temporary, path, err);
    if (s == FV_OK) s = fv_model_save(m, slot, temporary, save, err);
    if (s == FV_OK) s = save_head(slot, temporary, err);
    if (s == FV_OK && keep) s = fv_run_move_aside(path, NULL, err); /* now that its tokenizer and other files have been copied, where the model came from there */
    return finish_folder(s, temporary, path, err);
}

fv_status fv_run_checkpoint(fv_run *r, int64_t step, const fv_model *m, const fv_slot *slot, fv_dtype save, json_t *state, fv_error *err) {
    FV_TRY(fv_lines_sync(r->metrics, err));
    FV_TRY(fv_lines_sync(r->evaluations, err));
    FV_TRY(fv_lines_sync(r->bad_rows, err));
    char *path = step_folder(r, (long)step), *temporary = NULL;
    fv_status s = fv_folder_begin(&temporary, path, err);
    if (s == FV_OK) s = fv_model_save(m, slot, temporary, save, err);
    if (s == FV_OK) s = save_head(slot, temporary, err);
    char *trainer = s == FV_OK ? fv_path_join(temporary, "trainer_state") : NULL;
    if (s == FV_OK) s = fv_folder_make(trainer, err);
    if (s == FV_OK) s = save_trainer(slot, trainer, err);
    if (s == FV_OK) s = save_state(r, slot, trainer, state, err);
    s = finish_folder(s, temporary, path, err);
    free(trainer);
    free(path);
    return s == FV_OK ? remove_old(r, err) : s;
}

static fv_status load_trainer(fv_slot *s, const char *folder, fv_error *err) {
    char *path = fv_path_join(folder, "optimizer.safetensors");
    fv_weights *w = NULL;
    fv_status status = fv_weights_open(&w, path, err);
    for (int i = 0; i < s->count && status == FV_OK; i++) {
        fv_param *p = &s->params[i];
        for (size_t role = 0; role < FV_COUNT(roles) && status == FV_OK; role++) {
            char name[512];
            fv_view to = role_view(p, role), from;
            if (!to.data) continue;
            snprintf(name, sizeof name, "%s%s", roles[role], p->name);
            status = fv_weights_get(w, name, &from, err);
            if (status == FV_OK && (from.dtype != FV_F32 || fv_elements(from) != fv_elements(to))) {
                char got[96], want[96];
                fv_shape_text(from, got);
                fv_shape_text(to, want);
                status = fv_fail(err, FV_BAD_MODEL, "%s: tensor %s must be F32 %s, got %s %s", path, name, want, fv_dtype_name(from.dtype), got);
            }
            if (status == FV_OK) s->ops->upload(to.data, from.data, fv_bytes(to));
        }
        p->stale = p->packed != NULL; /* weights that are read as they lie have none */
    }
    fv_weights_close(w);
    free(path);
    return status;
}

static fv_status cut_logs(fv_run *r, const json_t *state, fv_error *err) {
    FV_TRY(fv_lines_truncate(r->metrics, (uint64_t)fv_get_int(state, "metrics_bytes"), err));
    FV_TRY(fv_lines_truncate(r->evaluations, (uint64_t)fv_get_int(state, "evaluations_bytes"), err));
    return fv_lines_truncate(r->bad_rows, (uint64_t)fv_get_int(state, "bad_rows_bytes"), err);
}

fv_status fv_run_restore(fv_run *r, fv_slot *slot, int64_t *step, json_t **state, fv_error *err) {
    *step = -1;
    *state = NULL;
    inventory have;
    FV_TRY(list_checkpoints(r, &have, err));
    if (!have.count) { /* killed before its first checkpoint: from the start */
        FV_TRY(fv_lines_truncate(r->metrics, 0, err));
        FV_TRY(fv_lines_truncate(r->evaluations, 0, err));
        return fv_lines_truncate(r->bad_rows, 0, err);
    }
    char *path = step_folder(r, have.newest), *trainer = fv_path_join(path, "trainer_state"), *file = trainer ? fv_path_join(trainer, "state.json") : NULL;
    fv_status s = fv_json_read(state, file, FV_BAD_DATA, err);
    if (s == FV_OK) s = load_trainer(slot, trainer, err);
    if (s == FV_OK) s = cut_logs(r, *state, err);
    if (s == FV_OK) {
        slot->version = (uint64_t)fv_get_int(*state, "version");
        slot->steps = fv_get_int(*state, "optimizer_steps");
        const json_t *missed = json_object_get(*state, "missed_steps");
        for (int i = 0; i < slot->count; i++) slot->params[i].missed = json_integer_value(json_object_get(missed, slot->params[i].name));
        *step = have.newest;
    }
    free(path);
    free(trainer);
    free(file);
    return s == FV_OK ? remove_old(r, err) : s; /* the run may have been killed before it got to that */
}
