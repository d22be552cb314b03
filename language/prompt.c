#include "language/prompt.h"

#include "core/text.h"

#include <stdlib.h>
#include <string.h>

static const char image_pad[] = "<|image_pad|>", video_pad[] = "<|video_pad|>";

void fv_prompt_clear(fv_prompt *p) {
    for (int i = 0; i < p->picture_count; i++) fv_picture_drop(p->pictures[i]);
    free(p->pictures);
    free(p->picture_at);
    free(p->mask);
    fv_ids_clear(&p->tokens);
    *p = (fv_prompt){0};
}

/* ---- pictures ----------------------------------------------------------------------------------------------------- */

static fv_status load_pictures(const fv_model *m, const json_t *const *parts, int count, const fv_media *media, fv_prompt *out, fv_error *err) {
    out->pictures = calloc((size_t)count + 1, sizeof(fv_picture *));
    out->picture_at = calloc((size_t)count + 1, sizeof(int));
    if (out->pictures == NULL || out->picture_at == NULL) return fv_fail(err, FV_NO_MEMORY, "no memory for %d pictures", count);
    for (int i = 0; i < count; i++) {
        FV_TRY(fv_picture_load(m, parts[i], media, &out->pictures[i], err));
        out->picture_count++;
    }
    return FV_OK;
}

/* Where placeholders stand in the finished tokens: each picture takes the next ones of its kind. */
static fv_status place_pictures(const fv_model *m, fv_prompt *p, fv_error *err) {
    const fv_config *c = &m->config;
    int at = 0;
    if (!c->has_vision) return FV_OK;
    for (int k = 0; k < p->picture_count; k++) {
        int need = fv_patches_tokens(p->pictures[k]->patches, c->vision.merge), have = 0;
        int32_t wanted = p->pictures[k]->video ? c->video_token : c->image_token;
        for (; at < p->tokens.count && have < need; at++) {
            if (p->tokens.ids[at] != c->image_token && p->tokens.ids[at] != c->video_token) continue;
            if (p->tokens.ids[at] != wanted) break;
            if (have++ == 0) p->picture_at[k] = at;
        }
        if (have < need)
            return fv_fail(err, FV_BAD_DATA, "picture %d of %d (%s of %d tokens) has %d placeholders", k + 1, p->picture_count,
                           p->pictures[k]->video ? "a clip" : "an image", need, have);
    }
    for (; at < p->tokens.count; at++)
        if (p->tokens.ids[at] == c->image_token || p->tokens.ids[at] == c->video_token)
            return fv_fail(err, FV_BAD_DATA, "token %d is a placeholder without a picture (there are %d)", at, p->picture_count);
    return FV_OK;
}

/* ---- text with placeholders --------------------------------------------------------------------------------------- */

typedef struct {
    const fv_model *m;
    fv_prompt *out;
    int mask_room;
    int picture, run; /* whose placeholder comes next, and which of its runs */
    fv_error *err;
} fv_making;

/* Runs of placeholders that a picture has: see fv_positions. */
static int runs_of(const fv_making *k, const fv_picture *p) {
    return p->video && k->m->config.family == FV_QWEN3_VL ? p->patches->grid[0] : 1;
}

/* The next placeholder in s, or NULL. */
static const char *find_placeholder(const char *s, const char *end, bool *video) {
    const char *image = memmem(s, (size_t)(end - s), image_pad, strlen(image_pad)), *clip = memmem(s, (size_t)(end - s), video_pad, strlen(video_pad));
    *video = image == NULL || (clip != NULL && clip < image);
    return *video ? clip : image;
}

/* The rendered text has one placeholder a picture, in the same order; one that a user wrote has none. */
static fv_status check_placeholders(const fv_making *k, const char *text, fv_error *err) {
    const char *end = text + strlen(text);
    bool video;
    int found = 0;
    for (const char *s = text; (s = find_placeholder(s, end, &video)) != NULL; s += strlen(image_pad), found++)
        if (found < k->out->picture_count && k->out->pictures[found]->video != video)
            return fv_fail(err, FV_BAD_DATA, "placeholder %d is %s, but that is %s", found + 1, video ? video_pad : image_pad, video ? "a picture" : "a clip");
    if (found == k->out->picture_count) return FV_OK;
    return fv_fail(err, FV_BAD_DATA, "the text has %d placeholders for %d pictures (a literal %s or %s in it counts as one)", found, k->out->picture_count,
                   image_pad, video_pad);
}

/* Qwen3-VL writes the time of each pair of frames before it, in place of the clip's one placeholder and the tokens around it, as
 * transformers 4.57 did when these models were trained (HF facts 9). The time is the mean of the pair's first and last frame. */
static void add_stamps(fv_text *out, const fv_picture *p, int temporal) {
    for (int t = 0; t < p->patches->grid[0]; t++) {
        int first = t * temporal, last = first + temporal - 1;
        if (last >= p->frame_count) last = p->frame_count - 1;
        fv_text_printf(out, "<%.1f seconds><|vision_start|>%s<|vision_end|>", (p->seconds[first] + p->seconds[last]) / 2, video_pad);
    }
}

static void add_stamped(fv_making *k, fv_text *out, const char *s, const char *end, int *picture) {
    static const char before[] = "<|vision_start|>", after[] = "<|vision_end|>";
    const size_t lead = sizeof before - 1, trail = sizeof after - 1;
    bool video;
    for (const char *found; (found = find_placeholder(s, end, &video)) != NULL;) {
        const fv_picture *p = k->out->pictures[(*picture)++];
        const char *rest = found + strlen(image_pad);
        if (video && k->m->config.family == FV_QWEN3_VL) {
            bool framed = (size_t)(found - s) >= lead && memcmp(found - lead, before, lead) == 0 && (size_t)(end - rest) >= trail && memcmp(rest, after, trail) == 0;
            fv_text_bytes(out, s, (size_t)(found - s) - (framed ? lead : 0));
            add_stamps(out, p, k->m->video.temporal);
            s = rest + (framed ? trail : 0);
        } else {
            fv_text_bytes(out, s, (size_t)(rest - s));
            s = rest;
        }
    }
    fv_text_bytes(out, s, (size_t)(end - s));
}

static fv_status add_token(fv_making *k, int32_t id, bool learn, int times) {
    fv_prompt *p = k->out;
    for (int i = 0; i < times; i++) {
        FV_TRY(fv_ids_add(&p->tokens, id, k->err));
        if (p->tokens.count > k->mask_room) {
            uint8_t *grown = realloc(p->mask, (size_t)p->tokens.room);
            if (grown == NULL) return fv_fail(k->err, FV_NO_MEMORY, "no memory for a mask of %d tokens", p->tokens.room);
            p->mask = grown, k->mask_room = p->tokens.room;
        }
        p->mask[p->tokens.count - 1] = learn;
    }
    return FV_OK;
}

/* How many tokens stand for the placeholder that comes now. */
static int next_run(fv_making *k) {
    if (k->picture >= k->out->picture_count) return 1;
    const fv_picture *p = k->out->pictures[k->picture];
    int runs = runs_of(k, p), tokens = fv_patches_tokens(p->patches, k->m->config.vision.merge) / runs;
    if (++k->run == runs) k->picture++, k->run = 0;
    return tokens;
}

/* Tokenises one piece of text, whose ends no word crosses. The first `head` bytes (ASCII) are not learned: a token that begins in them
 * is not, whatever else it holds. */
static fv_status add_piece(fv_making *k, const char *text, size_t size, size_t head, bool learn) {
    const fv_config *c = &k->m->config;
    fv_ids ids = {0};
    fv_status status = fv_tokenizer_encode(k->m->tokenizer, text, size, &ids, NULL, k->err);
    size_t at = 0, length;
    for (int i = 0; i < ids.count && status == FV_OK; i++) {
        bool placeholder = c->has_vision && (ids.ids[i] == c->image_token || ids.ids[i] == c->video_token);
        status = add_token(k, ids.ids[i], learn && at >= head, placeholder ? next_run(k) : 1);
        fv_tokenizer_bytes(k->m->tokenizer, ids.ids[i], &length);
        at += length;
    }
    fv_ids_clear(&ids);
    return status;
}

/* Pieces end where added tokens begin or end, so that tokens are those of the whole text: an assistant's turn goes together with its
 * "<|im_start|>assistant\n", whose newline may be one token with newlines that follow. */
static fv_status add_spans(fv_making *k, const char *text, const fv_chat_span *spans, int count) {
    const size_t head = sizeof "<|im_start|>assistant\n" - 1;
    for (int i = 0; i < count; i++) {
        size_t begin = spans[i].begin, end = spans[i].end;
        if (spans[i].turn) begin -= head;
        else if (i + 1 < count && spans[i + 1].turn) end -= head;
        FV_TRY(add_piece(k, text + begin, end - begin, spans[i].turn ? head : 0, spans[i].learn));
    }
    return FV_OK;
}

/* Text and spans, with pictures loaded: stamps, tokens, places. `spans` is changed to the stamped text's. */
static fv_status make_tokens(fv_making *k, const char *text, fv_chat_span *spans, int count) {
    bool vision = k->m->config.has_vision;
    fv_text stamped = {0};
    int picture = 0;
    if (vision) FV_TRY(check_placeholders(k, text, k->err));
    for (int i = 0; i < count && vision; i++) {
        const char *begin = text + spans[i].begin, *end = text + spans[i].end;
        spans[i].begin = stamped.size;
        add_stamped(k, &stamped, begin, end, &picture);
        spans[i].end = stamped.size;
    }
    fv_status status = stamped.failed ? fv_fail(k->err, FV_NO_MEMORY, "no memory for a prompt") : FV_OK;
    if (status == FV_OK) status = add_spans(k, vision ? stamped.data : text, spans, count);
    fv_text_clear(&stamped);
    return status == FV_OK ? place_pictures(k->m, k->out, k->err) : status;
}

/* ---- the three ways to a prompt ----------------------------------------------------------------------------------- */

fv_status fv_prompt_make(const fv_model *m, const json_t *messages, const fv_chat_options *options, const fv_media *media, fv_prompt *out, fv_error *err) {
    *out = (fv_prompt){0};
    fv_chat_text text;
    FV_TRY(fv_chat_render(m->chat, messages, options, &text, err));
    fv_making making = {.m = m, .out = out, .err = err};
    fv_status status = load_pictures(m, text.media, text.media_count, media, out, err);
    if (status == FV_OK) status = make_tokens(&making, text.text, text.spans, text.span_count);
    fv_chat_text_clear(&text);
    if (status != FV_OK) fv_prompt_clear(out);
    return status;
}

fv_status fv_prompt_text(const fv_model *m, const char *text, const json_t *const *parts, int part_count, const fv_media *media, fv_prompt *out, fv_error *err) {
    *out = (fv_prompt){0};
    fv_making making = {.m = m, .out = out, .err = err};
    fv_chat_span all = {.begin = 0, .end = strlen(text)};
    fv_status status = load_pictures(m, parts, part_count, media, out, err);
    if (status == FV_OK) status = make_tokens(&making, text, &all, all.end > 0);
    if (status != FV_OK) fv_prompt_clear(out);
    return status;
}

fv_status fv_prompt_ids(const fv_model *m, const int32_t *ids, const uint8_t *mask, int count, const json_t *const *parts, int part_count, const fv_media *media,
                        fv_prompt *out, fv_error *err) {
    *out = (fv_prompt){0};
    fv_making making = {.m = m, .out = out, .err = err};
    fv_status status = load_pictures(m, parts, part_count, media, out, err);
    for (int i = 0; i < count && status == FV_OK; i++) {
        if (ids[i] < 0 || ids[i] >= m->config.text.vocabulary)
            status = fv_fail(err, FV_BAD_DATA, "input_ids[%d] must be 0..%d, got %d", i, m->config.text.vocabulary - 1, ids[i]);
        else status = add_token(&making, ids[i], mask != NULL && mask[i], 1);
    }
    if (status == FV_OK) status = place_pictures(m, out, err);
    if (status != FV_OK) fv_prompt_clear(out);
    return status;
}
