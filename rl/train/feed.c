#include "rl/train/feed.h"

#include "datasets/media.h"
#include "rl/recipe/ask.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* Environments by their configuration: rows that say the same share one. */
typedef struct known_env {
    struct known_env *next;
    json_t *config;
    fv_env *env;
} known_env;

/* A row that is expected. */
typedef struct {
    fv_feed *feed;
    int64_t index;
    fv_sample sample;
    bool ready; /* and not handed out yet */
} expected;

struct fv_feed {
    const fv_model *model;
    const fv_dataset *data;
    fv_pool *pool;
    fv_feed_options options;
    json_t *default_env, *ask;
    pthread_mutex_t lock;
    known_env *envs;
    fv_jobs *jobs;      /* NULL: nothing is read ahead */
    expected *expected; /* [expected_count] */
    int expected_count;
};

void fv_sample_clear(fv_sample *s) {
    fv_row_free(s->row);
    fv_prompt_clear(&s->prompt);
    memset(s, 0, sizeof *s);
}

void fv_sample_clear_prompt(fv_sample *s) {
    s->row = NULL;
    fv_sample_clear(s);
}

fv_status fv_feed_open(fv_feed **out, const fv_model *model, const fv_dataset *data, fv_pool *pool, const fv_feed_options *options, fv_error *err) {
    *out = NULL;
    fv_feed *f = calloc(1, sizeof *f);
    if (!f) return fv_fail(err, FV_NO_MEMORY, "reading data: out of memory");
    f->model = model;
    f->data = data;
    f->pool = pool;
    f->options = *options;
    f->default_env = options->env ? json_deep_copy(options->env) : NULL;
    f->ask = options->ask ? json_deep_copy(options->ask) : NULL;
    pthread_mutex_init(&f->lock, NULL);
    *out = f;
    fv_status s = options->ahead ? fv_jobs_open(&f->jobs, fv_pool_threads(pool), err) : FV_OK;
    if (s == FV_OK) return FV_OK;
    fv_feed_close(f);
    *out = NULL;
    return s;
}

/* What was expected and never asked for. */
static void forget(fv_feed *f) {
    if (f->jobs) fv_jobs_wait(f->jobs);
    for (int i = 0; i < f->expected_count; i++)
        if (f->expected[i].ready) fv_sample_clear(&f->expected[i].sample);
    free(f->expected);
    f->expected = NULL;
    f->expected_count = 0;
}

void fv_feed_close(fv_feed *f) {
    if (!f) return;
    forget(f);
    fv_jobs_close(f->jobs);
    for (known_env *e = f->envs, *next; e; e = next) {
        next = e->next;
        fv_env_close(e->env);
        json_decref(e->config);
        free(e);
    }
    json_decref(f->default_env);
    json_decref(f->ask);
    pthread_mutex_destroy(&f->lock);
    free(f);
}

static fv_status env_for(fv_feed *f, const json_t *config, const fv_env **out, fv_error *err) {
    fv_status s = FV_OK;
    pthread_mutex_lock(&f->lock); /* json_equal only reads; opening is rare */
    known_env *e = f->envs;
    while (e && !json_equal(e->config, config)) e = e->next;
    if (!e) {
        fv_env *env;
        s = fv_env_open(&env, config, f->model->image.patch * f->model->image.merge, err);
        if (s == FV_OK && (e = calloc(1, sizeof *e))) {
            *e = (known_env){f->envs, json_deep_copy(config), env};
            f->envs = e;
        } else if (s == FV_OK) {
            fv_env_close(env);
            s = fv_fail(err, FV_NO_MEMORY, "environment: out of memory");
        }
    }
    *out = e ? e->env : NULL;
    pthread_mutex_unlock(&f->lock);
    return s;
}

/* The messages up to the last one that is not the assistant's: where generation begins. */
static json_t *without_answer(const json_t *messages) {
    size_t n = json_array_size(messages);
    while (n > 0) {
        const char *role = json_string_value(json_object_get(json_array_get(messages, n - 1), "role"));
        if (!role || strcmp(role, "assistant")) break;
        n--;
    }
    json_t *out = json_array();
    for (size_t i = 0; i < n; i++) json_array_append(out, json_array_get(messages, i));
    return out;
}

/* ---- Rows of tokens, as rollouts write them ---- */

static fv_status read_mask(const json_t *row, size_t count, uint8_t *mask, fv_error *err) {
    const json_t *list = json_object_get(row, "loss_mask");
    if (!list || json_is_null(list)) return FV_OK;
    if (json_array_size(list) != count) return fv_fail(err, FV_BAD_DATA, "loss_mask must be a list of %zu numbers, as input_ids, got %zu", count, json_array_size(list));
    for (size_t i = 0; i < count; i++) {
        const json_t *m = json_array_get(list, i);
        if (!json_is_integer(m) || (json_integer_value(m) | 1) != 1) return fv_fail(err, FV_BAD_DATA, "loss_mask[%zu] must be 0 or 1", i);
        mask[i] = (uint8_t)json_integer_value(m);
    }
    return FV_OK;
}

/* The row's `images` as content parts: a list of new references in *out. */
static fv_status read_parts(const json_t *row, const char *place, json_t *out, fv_error *err) {
    const json_t *list = json_object_get(row, "images");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *entry = json_array_get(list, i);
        json_t *part;
        FV_TRY(fv_media_part(&part, entry, json_object_get(entry, "video") ? FV_MEDIA_VIDEO : FV_MEDIA_IMAGE, place, "images", err));
        if (json_array_append_new(out, part)) return fv_fail(err, FV_NO_MEMORY, "out of memory");
    }
    return FV_OK;
}

/* Keeps what comes before the first token that is learned: where generation begins. */
static void cut_answer(fv_prompt *p) {
    int n = 0;
    while (n < p->tokens.count && !p->mask[n]) n++;
    p->tokens.count = n;
    while (p->picture_count && p->picture_at[p->picture_count - 1] >= n) fv_picture_drop(p->pictures[--p->picture_count]);
}

static fv_status token_prompt(const fv_feed *f, const fv_row *row, fv_prompt *out, fv_error *err) {
    const json_t *ids = json_object_get(row->json, "input_ids");
    size_t n = json_array_size(ids);
    json_t *list = json_array();
    int32_t *tokens = calloc(n, sizeof *tokens);
    uint8_t *mask = calloc(n, 1);
    fv_status s = list && tokens && mask ? read_mask(row->json, n, mask, err) : fv_fail(err, FV_NO_MEMORY, "out of memory");
    if (s == FV_OK) s = read_parts(row->json, "row", list, err);
    size_t parts = json_array_size(list);
    const json_t **part = calloc(parts + 1, sizeof *part);
    if (s == FV_OK && !part) s = fv_fail(err, FV_NO_MEMORY, "out of memory");
    if (s == FV_OK) {
        for (size_t i = 0; i < n; i++) tokens[i] = (int32_t)json_integer_value(json_array_get(ids, i));
        for (size_t i = 0; i < parts; i++) part[i] = json_array_get(list, i);
        fv_media media = {.folder = row->folder, .images = row->images, .image_count = row->image_count};
        s = fv_prompt_ids(f->model, tokens, mask, (int)n, part, (int)parts, &media, out, err);
    }
    if (s == FV_OK && f->options.generate) cut_answer(out);
    free(part);
    free(mask);
    free(tokens);
    json_decref(list);
    return s;
}

/* ---- Rows of messages ---- */

/* The size of the first picture or frame of the messages, as tools have it, for texts that tell it; *found: there is one. It is decoded here once more. */
static fv_status first_size(const fv_feed *f, const json_t *messages, const fv_media *media, fv_frame_size *size, bool *found, fv_error *err) {
    *found = false;
    for (size_t i = 0; i < json_array_size(messages) && !*found; i++) {
        const json_t *content = json_object_get(json_array_get(messages, i), "content");
        for (size_t k = 0; k < json_array_size(content) && !*found; k++) {
            const json_t *part = json_array_get(content, k);
            const char *type = fv_media_type(part);
            fv_picture *p;
            if (!type || !strcmp(type, "text")) continue;
            FV_TRY(fv_picture_load(f->model, part, media, &p, err));
            const fv_image *im = p->video ? p->frames[0] : p->image;
            *size = (fv_frame_size){im->width, im->height, p->patches->view_width, p->patches->view_height};
            fv_picture_drop(p);
            *found = true;
        }
    }
    return FV_OK;
}

static fv_status message_prompt(fv_feed *f, fv_sample *s) {
    fv_error *err = &s->error;
    fv_media media = {.folder = s->row->folder, .images = s->row->images, .image_count = s->row->image_count};
    json_t *messages = f->options.generate ? without_answer(json_object_get(s->row->json, "messages")) : json_incref(json_object_get(s->row->json, "messages"));
    fv_status status = FV_OK;
    if (f->ask) {
        json_t *asked = fv_ask_messages(f->ask, s->row->json, messages);
        json_decref(messages);
        messages = asked;
        if (!messages) return fv_fail(err, FV_NO_MEMORY, "out of memory");
    }
    if (s->env) {
        json_t *told = NULL;
        fv_frame_size first;
        bool found = false;
        if (fv_env_tells_size(s->env)) status = first_size(f, messages, &media, &first, &found, err);
        if (status == FV_OK) status = fv_env_messages(s->env, messages, s->row->json, found ? &first : NULL, &told, err);
        json_decref(messages);
        messages = told;
    }
    const json_t *thinking = json_object_get(s->row->json, "enable_thinking");
    fv_chat_options chat = {.tools = json_object_get(s->row->json, "tools"), .generation_prompt = f->options.generate,
                            .thinking = json_is_true(thinking) ? 1 : json_is_false(thinking) ? -1 : 0};
    if (status == FV_OK) status = fv_prompt_make(f->model, messages, &chat, &media, &s->prompt, err);
    json_decref(messages);
    return status;
}

static fv_status prepare(fv_feed *f, fv_sample *s) {
    fv_error *err = &s->error;
    const json_t *own = json_object_get(s->row->json, "env"), *env = own ? own : f->default_env; /* null, or false, that is written out is none */
    if (json_is_object(env) && !f->options.no_tools) FV_TRY(env_for(f, env, &s->env, err));
    if (fv_json_find(s->row->json, "input_ids")) FV_TRY(token_prompt(f, s->row, &s->prompt, err));
    else FV_TRY(message_prompt(f, s));
    if (!s->prompt.tokens.count) return fv_fail(err, FV_BAD_DATA, "there are no tokens");
    int tokens = s->prompt.tokens.count, most = f->options.max_tokens;
    if (most && tokens > most) return fv_fail(err, FV_LIMIT, "%d tokens, more than max_tokens %d", tokens, most);
    if (most && f->options.generate && tokens == most) return fv_fail(err, FV_LIMIT, "%d tokens, all of max_tokens: there is no room for an answer", tokens);
    return FV_OK;
}

static void take_row(fv_feed *f, int64_t index, fv_sample *s) {
    memset(s, 0, sizeof *s);
    if (fv_dataset_row(f->data, index, &s->row, &s->error) != FV_OK) return;
    if (prepare(f, s) != FV_OK) fv_fail_in(&s->error, "%s", s->row->place ? s->row->place : s->row->id);
}

static void take_expected(void *context) {
    expected *e = context;
    take_row(e->feed, e->index, &e->sample);
    e->ready = true;
}

void fv_feed_expect(fv_feed *f, const int64_t *index, int count) {
    if (!f->jobs) return;
    forget(f);
    f->expected = calloc((size_t)count + 1, sizeof *f->expected);
    if (!f->expected) return; /* then they are read when they are asked for */
    fv_error err;
    for (int i = 0; i < count; i++) {
        f->expected[i] = (expected){.feed = f, .index = index[i]};
        f->expected_count = i + 1;
        if (fv_jobs_add(f->jobs, take_expected, &f->expected[i], &err) != FV_OK) return;
    }
}

static bool hand_out(fv_feed *f, int64_t index, fv_sample *s) {
    for (int i = 0; i < f->expected_count; i++) {
        expected *e = &f->expected[i];
        if (!e->ready || e->index != index) continue;
        *s = e->sample;
        e->ready = false;
        return true;
    }
    return false;
}

typedef struct {
    fv_feed *feed;
    const int64_t *index;
    fv_sample *samples;
    const bool *there; /* NULL: none is */
} taking;

static void take_some(void *context, int64_t begin, int64_t end, int worker) {
    (void)worker;
    taking *t = context;
    for (int64_t i = begin; i < end; i++)
        if (!t->there || !t->there[i]) take_row(t->feed, t->index[i], &t->samples[i]);
}

void fv_feed_take(fv_feed *f, const int64_t *index, int count, fv_sample *samples) {
    bool *there = f->expected_count ? calloc((size_t)count + 1, sizeof *there) : NULL;
    if (f->jobs) fv_jobs_wait(f->jobs);
    for (int i = 0; there && i < count; i++) there[i] = hand_out(f, index[i], &samples[i]);
    taking t = {f, index, samples, there};
    fv_parallel(f->pool, count, 1, take_some, &t);
    free(there);
}

int64_t fv_prompt_bytes(const fv_model *m, const fv_prompt *p) {
    int64_t sum = 0;
    for (int i = 0; i < p->picture_count; i++) {
        const fv_picture *pic = p->pictures[i];
        const fv_processor *how = pic->video ? &m->video : &m->image;
        sum += (int64_t)fv_patches_rows(pic->patches) * 3 * how->temporal * how->patch * how->patch * (int64_t)sizeof(float);
        if (pic->image) sum += (int64_t)pic->image->width * pic->image->height * 3;
        for (int k = 0; k < pic->frame_count; k++) sum += (int64_t)pic->frames[k]->width * pic->frames[k]->height * 3;
    }
    return sum;
}

int fv_feed_some(fv_feed *f, const int64_t *index, int count, fv_sample *samples) {
    int taken = 0, piece = 2 * fv_pool_threads(f->pool); /* enough to do for all threads, and little beyond the limit */
    int64_t held = 0, most = f->options.bytes ? f->options.bytes : FV_FEED_BYTES;
    while (taken < count && held < most) {
        int n = count - taken < piece ? count - taken : piece;
        fv_feed_take(f, index + taken, n, samples + taken);
        for (int i = 0; i < n; i++) held += fv_prompt_bytes(f->model, &samples[taken + i].prompt);
        taken += n;
    }
    return taken;
}

/* "<|im_start|>system ... <|im_end|>\n" */
int fv_prompt_system(const fv_model *m, const fv_prompt *p) {
    int start = fv_tokenizer_id(m->tokenizer, "<|im_start|>"), end = fv_tokenizer_id(m->tokenizer, "<|im_end|>");
    if (p->tokens.count < 3 || p->tokens.ids[0] != start) return 0;
    int limit = p->picture_count ? p->picture_at[0] : p->tokens.count;
    for (int i = 1; i + 1 < limit; i++) {
        if (p->mask[i]) return 0;
        if (p->tokens.ids[i] == end) return i + 2 < limit && p->tokens.ids[i + 2] == start ? i + 2 : 0;
    }
    return 0;
}

fv_status fv_tree_plant(fv_tree *t, const fv_model *m, const fv_prompt *p, int *leaf, fv_error *err) {
    int split = fv_prompt_system(m, p), root = -1;
    for (int i = 0; i < t->count && split && root < 0; i++) {
        const fv_segment *s = t->segments[i];
        if (s->parent < 0 && s->count == split && !memcmp(s->ids, p->tokens.ids, (size_t)split * sizeof *s->ids)) root = i;
    }
    if (split && root < 0) FV_TRY(fv_tree_add(t, -1, FV_BY_ENVIRONMENT, p, 0, split, &root, err));
    return fv_tree_add(t, root, FV_BY_ENVIRONMENT, p, split, p->tokens.count, leaf, err);
}
