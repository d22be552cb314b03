#include "rl/rollout/rollout.h"

#include "core/random.h"
#include "vision/source.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* An episode under way. While a tool runs for it, it belongs to a worker thread; `ready` hands it back. */
typedef struct runner runner;
typedef struct {
    runner *all;
    fv_trajectory *t;
    const fv_sample *sample;
    fv_episode *episode;
    int response;             /* tokens after the prompt */
    char *turn;               /* text of the turn that the environment answers */
    fv_seen *seen;
    const fv_picture **pictures; /* [seen_count] what was seen, for the limits it was seen under */
    int seen_count;
    fv_observation observation;
    fv_step step;
    fv_prompt answer;         /* the observation as tokens */
    fv_error error;
    bool ready;
} episode;

struct runner {
    fv_rollout *out;
    fv_engine *engine;
    const fv_model *model;
    const fv_slot *slot;
    const fv_rollout_options *o;
    const bool *only;         /* [samples] which ones; NULL: all */
    bool goes_on;             /* prompts go below the trajectories' leaves */
    fv_jobs *tools;
    fv_prompt forced;
    episode *episodes;
    int *episode_of;          /* by segment that is being written; grown with the tree */
    int episode_of_room;
    int count, ended, away;   /* away: with a worker */
    pthread_mutex_t lock;
    pthread_cond_t back;
};

static fv_status ask_turn(runner *r, episode *ep, int parent, fv_error *err) {
    fv_trajectory *t = ep->t;
    int segment;
    FV_TRY(fv_tree_branch(r->out->tree, parent, 0, r->o->temperature, r->slot->version, &segment, err));
    if (t->turn_count == t->turn_room) {
        int room = t->turn_room ? 2 * t->turn_room : 4;
        fv_agent_turn *p = realloc(t->turns, (size_t)room * sizeof *p);
        if (!p) return fv_fail(err, FV_NO_MEMORY, "rollout: out of memory");
        t->turns = p;
        t->turn_room = room;
    }
    t->turns[t->turn_count++] = (fv_agent_turn){.segment = segment, .observation = -1};
    if (segment >= r->episode_of_room) {
        int room = 2 * segment + 64;
        int *p = realloc(r->episode_of, (size_t)room * sizeof *p);
        if (!p) return fv_fail(err, FV_NO_MEMORY, "rollout: out of memory");
        r->episode_of = p;
        r->episode_of_room = room;
    }
    r->episode_of[segment] = (int)(ep - r->episodes);
    int left = r->o->max_response ? r->o->max_response - ep->response : r->o->max_new_tokens;
    uint64_t number = (uint64_t)r->o->numbers[t->sample];
    fv_ask ask = {.segment = segment, .temperature = r->o->temperature, .top_p = r->o->top_p, .top_k = r->o->top_k,
                  .key = fv_random_key(r->o->seed, "sample", (uint64_t)r->o->step, number * 1024 + (uint64_t)t->member),
                  .max_new = left < r->o->max_new_tokens ? left : r->o->max_new_tokens, .max_total = r->o->max_tokens};
    return fv_engine_ask(r->engine, &ask, err);
}

static void end_episode(runner *r, episode *ep, const char *reason, bool truncated) {
    ep->t->stop_reason = reason;
    ep->t->truncated = truncated;
    fv_episode_close(ep->episode);
    ep->episode = NULL;
    r->ended++;
}

/* ---- What a worker does: the environment's answer, as tokens ---- */

static const fv_image *made_image(const episode *ep, const json_t *part) {
    long k = fv_source_number(json_string_value(json_object_get(part, "image")));
    return k >= 0 && k < ep->observation.image_count ? ep->observation.images[k] : NULL;
}

/* A picture that was made from one that was seen (the part's "picture", its number) is seen under the same limits. Of a clip's frame, or of a picture whose size was asked for, all of it is
 * seen in that size, and a part of it with as many pixels. */
static int limit_picture(const episode *ep, json_t *part) {
    json_int_t from = json_integer_value(json_object_get(part, "picture"));
    if (from < 1 || from > ep->seen_count) return 0;
    const fv_picture *p = ep->pictures[from - 1];
    const fv_image *image = made_image(ep, part), *frame = ep->seen[from - 1].image;
    bool sized = p->video || p->resized_height;
    int failed = 0;
    if (sized && image && image->width == frame->width && image->height == frame->height) {
        failed |= json_object_set_new(part, "resized_height", json_integer(p->patches->view_height));
        return failed | json_object_set_new(part, "resized_width", json_integer(p->patches->view_width));
    }
    int64_t area = (int64_t)p->patches->view_width * p->patches->view_height, least = sized ? area : p->min_pixels, most = sized ? area : p->max_pixels;
    if (least) failed |= json_object_set_new(part, "min_pixels", json_integer(least));
    if (most) failed |= json_object_set_new(part, "max_pixels", json_integer(most));
    return failed;
}

static fv_status answer_turn(runner *r, episode *ep) {
    fv_error *err = &ep->error;
    FV_TRY(fv_env_step(ep->episode, ep->turn, ep->seen, ep->seen_count, &ep->observation, &ep->step, err));
    if (ep->step.terminated || ep->step.truncated || !ep->observation.content) return FV_OK;
    fv_text text = {0};
    size_t n = json_array_size(ep->observation.content), parts = 0;
    int failed = 0;
    const json_t **media_parts = calloc(n ? n : 1, sizeof *media_parts);
    if (!media_parts) return fv_fail(err, FV_NO_MEMORY, "rollout: out of memory");
    fv_text_add(&text, "\n<|im_start|>user\n");
    for (size_t i = 0; i < n; i++) {
        json_t *part = json_array_get(ep->observation.content, i);
        if (json_object_get(part, "image")) {
            failed |= limit_picture(ep, part);
            fv_text_add(&text, "<|vision_start|><|image_pad|><|vision_end|>");
            media_parts[parts++] = part;
        } else if (json_string_value(json_object_get(part, "text"))) {
            fv_text_add(&text, json_string_value(json_object_get(part, "text")));
        }
    }
    bool thinks = !json_is_false(json_object_get(ep->sample->row->json, "enable_thinking"));
    fv_text_printf(&text, "<|im_end|>\n<|im_start|>assistant\n%s", fv_chat_opening(r->model->chat, thinks ? 0 : -1));
    fv_media media = {.images = ep->observation.images, .image_count = ep->observation.image_count};
    fv_status s = text.failed || failed ? fv_fail(err, FV_NO_MEMORY, "rollout: out of memory")
                              : fv_prompt_text(r->model, text.data, media_parts, (int)parts, &media, &ep->answer, err);
    free(media_parts);
    fv_text_clear(&text);
    return s;
}

static void work(void *context) {
    episode *ep = context;
    answer_turn(ep->all, ep);
    pthread_mutex_lock(&ep->all->lock);
    ep->ready = true;
    pthread_cond_signal(&ep->all->back);
    pthread_mutex_unlock(&ep->all->lock);
}

/* ---- The loop's side ---- */

static int count_images(const fv_segment *s) {
    int n = 0;
    for (int i = 0; i < s->picture_count; i++) n += s->pictures[i]->image ? 1 : s->pictures[i]->frame_count;
    return n;
}

/* The pictures on an episode's path, as its tools may use them: of a clip each frame is one. */
static fv_status list_seen(runner *r, episode *ep, int leaf, fv_error *err) {
    const fv_tree *tree = r->out->tree;
    int n = 0;
    for (int s = leaf; s >= 0; s = tree->segments[s]->parent) n += count_images(tree->segments[s]);
    fv_seen *p = realloc(ep->seen, (size_t)(n ? n : 1) * sizeof *p);
    if (p) ep->seen = p;
    const fv_picture **pictures = realloc(ep->pictures, (size_t)(n ? n : 1) * sizeof *pictures);
    if (pictures) ep->pictures = pictures;
    if (!p || !pictures) return fv_fail(err, FV_NO_MEMORY, "rollout: out of memory");
    ep->seen_count = n;
    for (int s = leaf; s >= 0; s = tree->segments[s]->parent)
        for (int i = tree->segments[s]->picture_count; i-- > 0;) {
            const fv_picture *pic = tree->segments[s]->pictures[i];
            for (int k = pic->image ? 1 : pic->frame_count; k-- > 0;) {
                const fv_image *im = pic->image ? pic->image : pic->frames[k];
                ep->pictures[--n] = pic;
                ep->seen[n] = (fv_seen){im, {im->width, im->height, pic->patches->view_width, pic->patches->view_height}};
            }
        }
    return FV_OK;
}

/* The text of a turn without its end-of-turn token. */
static fv_status turn_text(runner *r, int segment, char **out, fv_error *err) {
    const fv_segment *s = r->out->tree->segments[segment];
    int n = s->count;
    for (int i = 0; i < r->model->config.eos_count && n; i++)
        if (s->ids[n - 1] == r->model->config.eos[i]) {
            n--;
            break;
        }
    return fv_tokenizer_decode(r->model->tokenizer, s->ids, n, false, out, err);
}

static fv_status finish_turn(runner *r, const fv_done *d, fv_error *err) {
    episode *ep = &r->episodes[r->episode_of[d->segment]];
    int written = r->out->tree->segments[d->segment]->count;
    ep->t->leaf = d->segment;
    ep->t->tokens += written;
    ep->response += written;
    if (d->stop != FV_STOP_END) {
        end_episode(r, ep, fv_stop_name(d->stop), true);
        return FV_OK;
    }
    if (!ep->episode) {
        end_episode(r, ep, "end", false);
        return FV_OK;
    }
    free(ep->turn);
    ep->turn = NULL;
    FV_TRY(turn_text(r, d->segment, &ep->turn, err));
    FV_TRY(list_seen(r, ep, d->segment, err));
    ep->ready = false;
    r->away++;
    if (r->tools) return fv_jobs_add(r->tools, work, ep, err);
    work(ep);
    return FV_OK;
}

/* Puts the environment's answer into the tree and lets the agent go on. */
static fv_status take_answer(runner *r, episode *ep, fv_error *err) {
    fv_trajectory *t = ep->t;
    fv_agent_turn *turn = &t->turns[t->turn_count - 1];
    turn->step = ep->step;
    t->calls += ep->step.calls;
    t->failures += ep->step.failures;
    fv_observation_clear(&ep->observation);
    if (ep->error.status != FV_OK) {
        t->error = ep->error;
        end_episode(r, ep, "error", true);
    } else if (ep->step.terminated) {
        end_episode(r, ep, "answer", false);
    } else if (ep->step.truncated) {
        end_episode(r, ep, "turns", true);
    } else if (!ep->answer.tokens.count) {
        end_episode(r, ep, "environment", false);
    } else if ((r->o->max_response && ep->response + ep->answer.tokens.count >= r->o->max_response) ||
               (r->o->max_tokens && fv_tree_tokens(r->out->tree, t->leaf) + ep->answer.tokens.count >= r->o->max_tokens)) {
        end_episode(r, ep, "context", true);
    } else {
        FV_TRY(fv_tree_add(r->out->tree, t->leaf, FV_BY_ENVIRONMENT, &ep->answer, 0, ep->answer.tokens.count, &turn->observation, err));
        t->pictures += ep->answer.picture_count;
        ep->response += ep->answer.tokens.count;
        t->leaf = turn->observation;
        FV_TRY(ask_turn(r, ep, turn->observation, err));
    }
    fv_prompt_clear(&ep->answer);
    memset(&ep->answer, 0, sizeof ep->answer);
    return FV_OK;
}

/* Episodes whose tools are done, in their order; waits for one if there is nothing else to do. */
static fv_status take_answers(runner *r, fv_error *err) {
    for (;;) {
        bool any = false;
        for (int i = 0; i < r->count && r->away; i++) {
            episode *ep = &r->episodes[i];
            pthread_mutex_lock(&r->lock);
            bool ready = ep->ready;
            ep->ready = false;
            pthread_mutex_unlock(&r->lock);
            if (!ready) continue;
            r->away--;
            any = true;
            FV_TRY(take_answer(r, ep, err));
        }
        if (any || !r->away || fv_engine_active(r->engine)) return FV_OK;
        pthread_mutex_lock(&r->lock);
        bool waiting = true;
        while (waiting) {
            for (int i = 0; i < r->count; i++) waiting &= !r->episodes[i].ready;
            if (waiting) pthread_cond_wait(&r->back, &r->lock);
        }
        pthread_mutex_unlock(&r->lock);
    }
}

static fv_status begin_episode(runner *r, int number, int prompt, fv_error *err) {
    episode *ep = &r->episodes[number];
    fv_trajectory *t = &r->out->trajectories[number];
    *ep = (episode){.all = r, .t = t, .sample = &r->out->samples[t->sample]};
    t->prompt = t->leaf = prompt;
    if (ep->sample->env) {
        uint64_t seed = fv_random_key(r->o->seed, "environment", (uint64_t)r->o->step, (uint64_t)r->o->numbers[t->sample]);
        FV_TRY(fv_env_reset(ep->sample->env, ep->sample->row->json, seed, &ep->episode, err));
    }
    if (r->forced.tokens.count) {
        FV_TRY(fv_tree_add(r->out->tree, prompt, FV_BY_ENVIRONMENT, &r->forced, 0, r->forced.tokens.count, &t->leaf, err));
        ep->response = r->forced.tokens.count;
    }
    return ask_turn(r, ep, t->leaf, err);
}

static void free_trajectory(fv_trajectory *t) {
    free(t->turns);
    free(t->text);
}

static fv_status begin_all(runner *r, fv_error *err) {
    for (int i = 0; i < r->out->sample_count; i++) {
        fv_sample *s = &r->out->samples[i];
        if (r->only && !r->only[i]) {
            r->ended += r->o->group_size;
            continue;
        }
        int prompt = -1;
        if (s->prompt.tokens.count) memset(s->prompt.mask, 0, (size_t)s->prompt.tokens.count); /* earlier answers in a prompt are context: the policy did not write them */
        if (s->error.status == FV_OK && !r->goes_on) FV_TRY(fv_tree_plant(r->out->tree, r->model, &s->prompt, &prompt, err));
        for (int k = 0; k < r->o->group_size; k++) {
            int number = i * r->o->group_size + k;
            fv_trajectory *t = &r->out->trajectories[number];
            int leaf = t->leaf;
            free_trajectory(t);
            *t = (fv_trajectory){.sample = i, .member = k, .prompt = -1, .leaf = -1};
            if (s->error.status == FV_OK && r->goes_on)
                FV_TRY(fv_tree_add(r->out->tree, leaf, FV_BY_ENVIRONMENT, &s->prompt, 0, s->prompt.tokens.count, &prompt, err));
            if (prompt >= 0) {
                FV_TRY(begin_episode(r, number, prompt, err));
                continue;
            }
            t->error = s->error;
            t->stop_reason = "error";
            r->ended++;
        }
    }
    return FV_OK;
}

static fv_status collect_text(runner *r, fv_trajectory *t, fv_error *err) {
    if (t->leaf < 0 || t->text) return FV_OK;
    const fv_tree *tree = r->out->tree;
    int from = fv_tree_tokens(tree, t->prompt), total = fv_tree_tokens(tree, t->leaf) - from;
    int32_t *ids = malloc((size_t)(total ? total : 1) * sizeof *ids);
    if (!ids) return fv_fail(err, FV_NO_MEMORY, "rollout: out of memory");
    for (int s = t->leaf; s != t->prompt; s = tree->segments[s]->parent) {
        const fv_segment *part = tree->segments[s];
        if (part->count) memcpy(ids + part->start - from, part->ids, (size_t)part->count * sizeof *ids); /* an empty one has no ids */
    }
    fv_status s = fv_tokenizer_decode(r->model->tokenizer, ids, total, false, &t->text, err);
    free(ids);
    return s;
}

/* Ends what is under way; what was written stays. */
static void stop_all(runner *r) {
    fv_engine_drop(r->engine);
    if (r->tools) fv_jobs_wait(r->tools);
    for (int i = 0; i < r->count; i++) {
        fv_trajectory *t = &r->out->trajectories[i];
        if (t->stop_reason || !t->turn_count) continue;
        int segment = t->turns[t->turn_count - 1].segment;
        if (t->leaf != segment) { /* it was being written */
            t->leaf = segment;
            t->tokens += r->out->tree->segments[segment]->count;
        }
        end_episode(r, &r->episodes[i], "stopped", true);
    }
}

static fv_status run_all(runner *r, fv_rollout_watch *watch, void *context, fv_error *err) {
    FV_TRY(begin_all(r, err));
    fv_done *done = malloc((size_t)r->count * sizeof *done);
    if (!done) return fv_fail(err, FV_NO_MEMORY, "rollout: out of memory");
    fv_status s = FV_OK;
    while (s == FV_OK && r->ended < r->count) {
        if (r->o->stop && *r->o->stop) {
            stop_all(r);
            break;
        }
        int n = 0;
        s = fv_engine_step(r->engine, done, r->count, &n, err);
        for (int i = 0; i < n && s == FV_OK; i++) s = finish_turn(r, &done[i], err);
        if (s == FV_OK) s = take_answers(r, err);
        if (watch) watch(context, r->ended, r->count);
    }
    free(done);
    for (int i = 0; i < r->count && s == FV_OK; i++) s = collect_text(r, &r->out->trajectories[i], err);
    return s;
}

static void close_episodes(runner *r) {
    for (int i = 0; i < r->count && r->episodes; i++) {
        episode *ep = &r->episodes[i];
        fv_episode_close(ep->episode);
        fv_observation_clear(&ep->observation);
        fv_prompt_clear(&ep->answer);
        free(ep->turn);
        free(ep->seen);
        free(ep->pictures);
    }
    fv_prompt_clear(&r->forced);
    free(r->episodes);
    free(r->episode_of);
}

static fv_status run_runner(runner *r, fv_rollout_watch *watch, void *context, fv_error *err) {
    r->count = r->out->sample_count * r->o->group_size;
    r->episodes = calloc((size_t)r->count, sizeof *r->episodes);
    if (!r->episodes) return fv_fail(err, FV_NO_MEMORY, "rollout: out of memory");
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->back, NULL);
    fv_status s = r->o->forced ? fv_prompt_text(r->model, r->o->forced, NULL, 0, &(fv_media){0}, &r->forced, err) : FV_OK;
    if (!r->goes_on && !r->out->beside) fv_engine_begin(r->engine, r->out->tree);
    fv_engine_stats before = fv_engine_counts(r->engine);
    if (s == FV_OK) s = run_all(r, watch, context, err);
    if (r->tools) fv_jobs_wait(r->tools);
    close_episodes(r);
    pthread_cond_destroy(&r->back);
    pthread_mutex_destroy(&r->lock);
    fv_engine_stats now = fv_engine_counts(r->engine), *sum = &r->out->stats;
    sum->rows += now.rows - before.rows;
    sum->steps += now.steps - before.steps;
    sum->pictures += now.pictures - before.pictures;
    sum->fed_again += now.fed_again - before.fed_again;
    if (sum->peak_pages < now.peak_pages) sum->peak_pages = now.peak_pages;
    return s;
}

fv_status fv_rollout_run(fv_rollout *out, fv_engine *e, const fv_model *m, fv_slot *slot, fv_jobs *tools, fv_sample *samples, int sample_count,
                         const fv_rollout_options *options, fv_rollout_watch *watch, void *context, fv_error *err) {
    *out = (fv_rollout){.samples = samples, .sample_count = sample_count, .group_size = options->group_size};
    runner r = {.out = out, .engine = e, .model = m, .slot = slot, .o = options, .tools = tools};
    fv_status s = fv_tree_new(&out->tree, m, err);
    out->trajectories = calloc((size_t)sample_count * (size_t)options->group_size, sizeof *out->trajectories);
    if (s == FV_OK && !out->trajectories) s = fv_fail(err, FV_NO_MEMORY, "rollout: out of memory");
    if (s == FV_OK) s = run_runner(&r, watch, context, err);
    if (s != FV_OK) fv_rollout_clear(out);
    return s;
}

fv_status fv_rollout_beside(fv_rollout *out, const fv_rollout *first, fv_engine *e, const fv_model *m, fv_slot *slot, fv_jobs *tools, fv_sample *samples,
                            int sample_count, const bool *only, const fv_rollout_options *options, fv_error *err) {
    int group = options->group_size, count = sample_count * group;
    runner r = {.out = out, .engine = e, .model = m, .slot = slot, .o = options, .only = only, .tools = tools};
    if (!out->tree) {
        *out = (fv_rollout){.tree = first->tree, .beside = true, .samples = samples, .sample_count = sample_count, .group_size = group};
        out->trajectories = calloc((size_t)count, sizeof *out->trajectories);
        for (int i = 0; i < count && out->trajectories; i++) out->trajectories[i] = (fv_trajectory){.sample = i / group, .member = i % group, .prompt = -1, .leaf = -1};
    }
    fv_status s = out->trajectories ? run_runner(&r, NULL, NULL, err) : fv_fail(err, FV_NO_MEMORY, "rollout: out of memory");
    if (s != FV_OK) fv_rollout_clear(out);
    return s;
}

fv_status fv_rollout_again(fv_rollout *out, fv_engine *e, const fv_model *m, fv_slot *slot, fv_jobs *tools, const bool *again, const fv_rollout_options *options,
                           fv_error *err) {
    runner r = {.out = out, .engine = e, .model = m, .slot = slot, .o = options, .only = again, .tools = tools};
    return run_runner(&r, NULL, NULL, err);
}

fv_status fv_rollout_go_on(fv_rollout *out, fv_engine *e, const fv_model *m, fv_slot *slot, fv_jobs *tools, const fv_rollout_options *options,
                           fv_rollout_watch *watch, void *context, fv_error *err) {
    runner r = {.out = out, .engine = e, .model = m, .slot = slot, .o = options, .goes_on = true, .tools = tools};
    return run_runner(&r, watch, context, err);
}

void fv_rollout_clear(fv_rollout *r) {
    for (int i = 0; i < r->sample_count * r->group_size && r->trajectories; i++) free_trajectory(&r->trajectories[i]);
    free(r->trajectories);
    if (!r->beside) fv_tree_free(r->tree);
    memset(r, 0, sizeof *r);
}
