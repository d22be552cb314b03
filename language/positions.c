/* Positions for the decoder's rotary: Qwen2-VL's multimodal scheme (Wang et al. 2024, https://arxiv.org/abs/2409.12191, section 2.1) as HF facts 8 has it. */
#include "language/prompt.h"

/* Runs of placeholders of one picture: a Qwen3-VL clip has one for each time slot, everything else one. */
static int runs_of(const fv_config *c, const fv_picture *p) {
    return p->video && c->family == FV_QWEN3_VL ? p->patches->grid[0] : 1;
}

/* The time of slot t. Qwen2.5-VL counts in tokens_per_second: transformers multiplies in f32 and truncates. */
static int32_t time_of(const fv_config *c, const fv_picture *p, int t) {
    if (!p->video || c->family == FV_QWEN3_VL) return 0;
    if (c->family != FV_QWEN2_5_VL) return t;
    float interval = (float)c->tokens_per_second * (float)p->second_per_grid;
    return (int32_t)((float)t * interval);
}

/* Lays one run from position s: t, h, w of each merged patch. Returns the position that follows the largest one. */
static int32_t lay_run(const fv_config *c, const fv_picture *p, int32_t s, int tokens, int room, int32_t *out, int64_t stride) {
    int height = p->patches->grid[1] / c->vision.merge, width = p->patches->grid[2] / c->vision.merge;
    int32_t largest = s - 1;
    for (int i = 0; i < tokens && i < room; i++) {
        int32_t at[3] = {s + time_of(c, p, i / (height * width)), s + i / width % height, s + i % width};
        for (int axis = 0; axis < 3; axis++) {
            out[axis * stride + i] = at[axis];
            if (at[axis] > largest) largest = at[axis];
        }
    }
    return largest + 1;
}

void fv_positions(const fv_config *c, const int32_t *ids, int count, fv_picture *const *pictures, const int *at, int picture_count, int32_t *out,
                  int64_t stride, int32_t *next) {
    int picture = -1, run = 0; /* the picture whose runs are being laid */
    for (int i = 0; i < count;) {
        if (picture + 1 < picture_count && at[picture + 1] == i) picture++, run = 0;
        const fv_picture *p = picture >= 0 ? pictures[picture] : NULL;
        bool placeholder = ids[i] == c->image_token || ids[i] == c->video_token;
        if (p != NULL && placeholder && run < runs_of(c, p)) {
            int tokens = fv_patches_tokens(p->patches, c->vision.merge) / runs_of(c, p);
            *next = lay_run(c, p, *next, tokens, count - i, out + i, stride);
            i += tokens;
            run++;
        } else {
            for (int axis = 0; axis < 3; axis++) out[axis * stride + i] = *next;
            ++*next;
            i++;
        }
    }
}
