/* Tower and decoder against transformers (tests/peers/tiny_models.py), and against themselves: decoding row by row, other instruction sets, other
 * numbers of threads, blocks run again. Tolerances: two honest f32 implementations of these models differ by 1e-6 in logits and 2e-6 in gradients
 * (HF facts 12); a wrong epsilon or activation shows as 1e-4, anything structural as 1e-1. */
#include "tests/language/tiny_model.h"

static const char *const fixtures[] = {"tiny_qwen2_vl", "tiny_qwen2_5_vl", "tiny_qwen3_vl", "tiny_qwen2", "tiny_qwen3"};
static const double tolerance = 1e-5;

static void forward_matches(tiny *t, const fv_tower_out *visual, fv_var *hidden, const char *name) {
    double embeds = visual->embeds ? tiny_error(visual->embeds->v, tiny_view(t, "embeds")) : 0;
    double last = tiny_error(hidden->v, tiny_view(t, "hidden_states"));
    for (int k = 0; k < t->config.vision.deepstack_count; k++) {
        char key[32];
        snprintf(key, sizeof key, "deepstack.%d", k);
        assert_true(tiny_error(visual->deepstack[k]->v, tiny_view(t, key)) < tolerance);
    }
    int head = fv_decoder_head(t->decoder);
    fv_view weight = t->slot->params[head].w, want = tiny_view(t, "logits");
    fv_view logits = fv_mat(FV_TAKE(t->arena, float, fv_elements(want)), fv_rows(want), fv_cols(want));
    t->slot->ops->linear(&t->slot->exec, &(fv_linear_map){.y = logits, .w = weight, .packed = fv_slot_packed(t->slot, head)}, 1, hidden->v);
    double logit = tiny_error(logits, want);
    print_message("%s: embeds %.1e, hidden states %.1e, logits %.1e\n", name, embeds, last, logit);
    assert_true(embeds < tolerance && last < tolerance && logit < tolerance);
}

static void gradients_match(tiny *t, const char *name) {
    double worst = 0;
    const char *where = "";
    for (int i = 0; i < t->count; i++) {
        char key[160];
        snprintf(key, sizeof key, "grad.%s", t->weights[i].name);
        double e = tiny_error(t->slot->params[i].grad, tiny_view(t, key));
        if (e > worst) worst = e, where = t->weights[i].name;
        if (e >= tolerance) print_message("%s: %.1e\n", key, e);
    }
    print_message("%s: gradients of %d weights %.1e, worst %s\n", name, t->count, worst, where);
    assert_true(worst < tolerance);
}

static void as_transformers(void **state) {
    (void)state;
    for (size_t f = 0; f < FV_COUNT(fixtures); f++) {
        tiny t;
        tiny_open(&t, fixtures[f], NULL, 2, true);
        fv_pass p = fv_pass_begin(t.slot, t.arena, true);
        fv_tower_out visual;
        fv_var *hidden = tiny_run_back(&t, &p, &visual);
        forward_matches(&t, &visual, hidden, fixtures[f]);
        gradients_match(&t, fixtures[f]);
        tiny_close(&t);
    }
}

/* Everything that a run leaves, in one buffer: hidden states, then all gradients. */
static float *leavings(const char *name, const char *isa, int threads, bool checkpoint, size_t *bytes) {
    tiny t;
    tiny_open(&t, name, isa, threads, true);
    fv_pass p = fv_pass_begin(t.slot, t.arena, true);
    p.checkpoint = checkpoint;
    fv_tower_out visual;
    fv_var *hidden = tiny_run_back(&t, &p, &visual);
    *bytes = fv_bytes(hidden->v) + sizeof(float) * (size_t)fv_slot_trained(t.slot);
    char *all = malloc(*bytes), *to = all;
    memcpy(to, hidden->v.data, fv_bytes(hidden->v));
    to += fv_bytes(hidden->v);
    for (int i = 0; i < t.count; i++) {
        memcpy(to, t.slot->params[i].grad.data, fv_bytes(t.slot->params[i].grad));
        to += fv_bytes(t.slot->params[i].grad);
    }
    tiny_close(&t);
    return (float *)(void *)all;
}

/* Bits don't depend on threads, on the instruction set, or on whether blocks are run again on the way back. */
static void same_bits_everywhere(void **state) {
    (void)state;
    const fv_ops *tables[4];
    int table_count = fv_ops_cpu_all(tables, 4);
    for (size_t f = 0; f < FV_COUNT(fixtures); f++) {
        size_t bytes, other;
        float *want = leavings(fixtures[f], tables[0]->name, 1, false, &bytes);
        for (int i = 0; i < table_count; i++)
            for (int checkpoint = 0; checkpoint < 2; checkpoint++) {
                float *got = leavings(fixtures[f], tables[i]->name, i + checkpoint + 1, checkpoint, &other);
                assert_int_equal(other, bytes);
                assert_memory_equal(got, want, bytes);
                free(got);
            }
        free(want);
    }
}

/* bf16 is a storage type: its weights are widened exactly where they are read, biases and tables, too; in packed copies, and as they lie. */
static void stored_in_bf16(void **state) {
    (void)state;
    for (size_t f = 0; f < FV_COUNT(fixtures); f++) {
        enum { IN_F32, PACKED, AS_THEY_LIE, WAYS };
        tiny t[WAYS];
        fv_view logits[WAYS];
        for (int way = 0; way < WAYS; way++) {
            tiny_open(&t[way], fixtures[f], NULL, 1, false);
            tiny_round(&t[way], way != IN_F32);
            tiny_reopen(&t[way], &(fv_slot_options){.name = "policy", .packed_most = way == AS_THEY_LIE ? 1 : 0});
            logits[way] = tiny_logits(&t[way], t[way].slot);
            assert_memory_equal(logits[way].data, logits[0].data, fv_bytes(logits[0]));
        }
        for (int way = 0; way < WAYS; way++) tiny_close(&t[way]);
    }
}

/* ---- decoding ---- */

/* A little tree: a prompt with pictures, and two answers. They part in the middle of a page. */
typedef struct {
    int parent, start, count, row;
    int32_t pages[8];
} segment;

enum { SEGMENTS = 3, FIRST = 20, SECOND = 7, POOL_PAGES = 12 };

typedef struct {
    segment s[SEGMENTS];
    int rows, prompt;
    int32_t *ids, *position;
} forest;

static forest plant(tiny *t) {
    fv_view ids = tiny_view(t, "input_ids"), position = tiny_view(t, "position_ids");
    forest f = {.prompt = (int)fv_elements(ids)};
    int n = f.prompt, next_page = 0;
    f.s[0] = (segment){.parent = -1, .count = n};
    f.s[1] = (segment){.start = n, .count = FIRST, .row = n};
    f.s[2] = (segment){.start = n, .count = SECOND, .row = n + FIRST};
    for (int s = 0; s < SEGMENTS; s++)
        for (int page = 0; page * FV_PAGE < f.s[s].start + f.s[s].count; page++)
            f.s[s].pages[page] = page < f.s[s].start / FV_PAGE ? f.s[0].pages[page] : next_page++;
    assert_true(next_page <= POOL_PAGES && n % FV_PAGE != 0);
    f.rows = n + FIRST + SECOND;
    f.ids = FV_TAKE(t->arena, int32_t, f.rows);
    f.position = FV_TAKE(t->arena, int32_t, 3 * f.rows);
    for (int s = 0; s < SEGMENTS; s++)
        for (int i = 0; i < f.s[s].count; i++) {
            int row = f.s[s].row + i;
            f.ids[row] = s ? (i * 7 + s) % 50 : fv_i32(ids)[i];
            for (int axis = 0; axis < 3; axis++)
                f.position[axis * f.rows + row] = s ? fv_i32(position)[n - 1] + 1 + i : fv_i32(position)[axis * n + i];
        }
    return f;
}

/* Rows [first, first + count) of segment s, as a batch over pages: `packed` in one go (all = true), or a part of one segment over the pool. */
static fv_batch forest_batch(tiny *t, const forest *f, const segment *s, int count, int first, int rows) {
    int writes_most = rows + SEGMENTS * FV_PAGE;
    int32_t *run_row = FV_TAKE(t->arena, int32_t, count + 1), *run_page = FV_TAKE(t->arena, int32_t, count + 1);
    int32_t *pages = FV_TAKE(t->arena, int32_t, 8 * count), *limit = FV_TAKE(t->arena, int32_t, rows);
    int32_t *row = FV_TAKE(t->arena, int32_t, writes_most), *slot = FV_TAKE(t->arena, int32_t, writes_most);
    int at = 0, listed = 0, writes = 0;
    for (int r = 0; r < count; r++) {
        run_row[r] = at;
        run_page[r] = listed;
        int from = count > 1 ? 0 : first, to = count > 1 ? s[r].count : first + rows;
        for (int page = 0; page * FV_PAGE < s[r].start + to; page++) pages[listed++] = s[r].pages[page];
        if (count > 1) /* packed: what a branch shares of a page is written to its own copy as well */
            for (int pos = s[r].start / FV_PAGE * FV_PAGE; pos < s[r].start; pos++) {
                row[writes] = pos;
                slot[writes++] = s[r].pages[pos / FV_PAGE] * FV_PAGE + pos % FV_PAGE;
            }
        for (int i = from; i < to; i++, at++) {
            int pos = s[r].start + i;
            limit[at] = pos + 1;
            row[writes] = at;
            slot[writes++] = s[r].pages[pos / FV_PAGE] * FV_PAGE + pos % FV_PAGE;
        }
    }
    run_row[count] = at;
    run_page[count] = listed;
    int32_t *position = FV_TAKE(t->arena, int32_t, 3 * rows);
    for (int axis = 0; axis < 3; axis++) memcpy(position + axis * rows, f->position + axis * f->rows + s->row + first, (size_t)rows * sizeof *position);
    fv_batch b = {.ids = fv_ints(f->ids + s->row + first, rows), .position = fv_ints(position, 3 * rows), .kv_row = fv_ints(row, writes),
                  .kv_slot = fv_ints(slot, writes), .pages = POOL_PAGES,
                  .plan = {.rows = rows, .runs = count, .run_row = run_row, .run_page = run_page, .pages = pages, .limit = limit}};
    b.position.rank = 2;
    b.position.shape[0] = 3;
    b.position.shape[1] = rows;
    return b;
}

/* The rows of `b`, which begin at row `from`, that hold pictures. */
static void give_pictures(tiny *t, fv_batch *b, const fv_tower_out *visual, int from, int rows) {
    int32_t *row = FV_TAKE(t->arena, int32_t, t->visual), *index = FV_TAKE(t->arena, int32_t, t->visual);
    int n = 0;
    for (int i = 0; i < t->visual; i++) {
        if (t->row[i] < from || t->row[i] >= from + rows) continue;
        row[n] = t->row[i] - from;
        index[n++] = t->index[i];
    }
    b->visual = visual;
    b->visual_row = fv_ints(row, n);
    b->visual_index = fv_ints(index, n);
}

static void make_pool(tiny *t, fv_view *keys, fv_view *values) {
    const fv_text_config *c = &t->config.text;
    for (int i = 0; i < c->layers; i++) {
        keys[i] = (fv_view){.dtype = FV_F32, .rank = 4, .shape = {POOL_PAGES, c->kv_heads, c->head_dim, FV_PAGE}};
        values[i] = (fv_view){.dtype = FV_F32, .rank = 4, .shape = {POOL_PAGES, c->kv_heads, FV_PAGE, c->head_dim}};
        keys[i].data = FV_ZERO(t->arena, float, fv_elements(keys[i]));
        values[i].data = FV_ZERO(t->arena, float, fv_elements(values[i]));
    }
}

/* A branch gets its own copy of the page in which it parts. */
static void copy_page(tiny *t, fv_view *pool, int to, int from) {
    for (int i = 0; i < t->config.text.layers; i++) {
        size_t page = fv_bytes(pool[i]) / POOL_PAGES;
        memcpy((char *)pool[i].data + (size_t)to * page, (char *)pool[i].data + (size_t)from * page, page);
    }
}

/* Row by row (the prompt in chunks of `chunk`) over a page pool, hidden states into `out` [rows, hidden]. */
static void decode(tiny *t, const forest *f, int chunk, float *out) {
    fv_view keys[8], values[8];
    make_pool(t, keys, values);
    fv_pass p = fv_pass_begin(t->slot, t->arena, false);
    fv_tower_out visual = tiny_see(t, &p);
    for (int s = 0; s < SEGMENTS; s++) {
        const segment *seg = &f->s[s];
        if (s) {
            int page = seg->start / FV_PAGE;
            copy_page(t, keys, seg->pages[page], f->s[0].pages[page]);
            copy_page(t, values, seg->pages[page], f->s[0].pages[page]);
        }
        for (int first = 0, rows; first < seg->count; first += rows) {
            rows = s ? 1 : chunk < seg->count - first ? chunk : seg->count - first;
            fv_arena_mark mark = fv_arena_here(t->arena);
            fv_batch b = forest_batch(t, f, seg, 1, first, rows);
            b.keys = keys;
            b.values = values;
            if (!s) give_pictures(t, &b, &visual, first, rows);
            fv_var *hidden = fv_decoder_forward(&p, t->decoder, &b);
            memcpy(out + (int64_t)(seg->row + first) * t->config.text.hidden, hidden->v.data, fv_bytes(hidden->v));
            fv_arena_release(t->arena, mark);
        }
    }
    if (p.error.status != FV_OK) fail_msg("%s", p.error.text);
}

/* The forward that samples is the forward that trains: bit for bit, whatever was in the batch, on every table. */
static void decoding_is_training(void **state) {
    (void)state;
    const fv_ops *tables[4];
    int table_count = fv_ops_cpu_all(tables, 4);
    for (int n = 0; n < (int)FV_COUNT(fixtures) * table_count; n++) {
        tiny t;
        tiny_open(&t, fixtures[n / table_count], tables[n % table_count]->name, 2, true);
        forest f = plant(&t);
        fv_pass p = fv_pass_begin(t.slot, t.arena, true);
        fv_tower_out visual = tiny_see(&t, &p);
        fv_batch b = forest_batch(&t, &f, f.s, SEGMENTS, 0, f.rows);
        give_pictures(&t, &b, &visual, 0, f.prompt);
        fv_var *packed = fv_decoder_forward(&p, t.decoder, &b);
        if (p.error.status != FV_OK) fail_msg("%s", p.error.text);
        float *rows = malloc(fv_bytes(packed->v));
        static const int chunks[] = {1, 5, 1000};
        for (size_t i = 0; i < FV_COUNT(chunks); i++) {
            decode(&t, &f, chunks[i], rows);
            assert_memory_equal(rows, packed->v.data, fv_bytes(packed->v));
        }
        free(rows);
        tiny_close(&t);
    }
}

/* A branch's copies of shared keys carry gradient back to the prompt: the tree's gradient is that of its two paths, run apart. */
static void add_path_gradient(tiny *t, const forest *f, int answer) {
    fv_pass p = fv_pass_begin(t->slot, t->arena, true);
    fv_tower_out visual = tiny_see(t, &p);
    segment s[2] = {f->s[0], f->s[answer]};
    forest path = {.rows = f->prompt + s[1].count, .prompt = f->prompt};
    path.ids = FV_TAKE(t->arena, int32_t, path.rows);
    path.position = FV_TAKE(t->arena, int32_t, 3 * path.rows);
    for (int r = 0; r < path.rows; r++) {
        int from = r < f->prompt ? r : r - f->prompt + s[1].row;
        path.ids[r] = f->ids[from];
        for (int axis = 0; axis < 3; axis++) path.position[axis * path.rows + r] = f->position[axis * f->rows + from];
    }
    s[1].row = f->prompt;
    fv_batch b = forest_batch(t, &path, s, 2, 0, path.rows);
    give_pictures(t, &b, &visual, 0, f->prompt);
    fv_var *hidden = fv_decoder_forward(&p, t->decoder, &b);
    for (int64_t i = (int64_t)f->prompt * t->config.text.hidden; i < fv_elements(hidden->v); i++) fv_f32(fv_grad(&p, hidden))[i] = 1;
    fv_pass_back(&p);
    if (p.error.status != FV_OK) fail_msg("%s", p.error.text);
}

static void tree_gradient_is_the_sum_of_paths(void **state) {
    (void)state;
    tiny tree, paths;
    tiny_open(&tree, "tiny_qwen3_vl", NULL, 2, true);
    tiny_open(&paths, "tiny_qwen3_vl", NULL, 2, true);
    forest f = plant(&tree);
    fv_pass p = fv_pass_begin(tree.slot, tree.arena, true);
    fv_tower_out visual = tiny_see(&tree, &p);
    fv_batch b = forest_batch(&tree, &f, f.s, SEGMENTS, 0, f.rows);
    give_pictures(&tree, &b, &visual, 0, f.prompt);
    fv_var *hidden = fv_decoder_forward(&p, tree.decoder, &b);
    for (int64_t i = (int64_t)f.prompt * tree.config.text.hidden; i < fv_elements(hidden->v); i++) fv_f32(fv_grad(&p, hidden))[i] = 1;
    fv_pass_back(&p);
    for (int answer = 1; answer < SEGMENTS; answer++) add_path_gradient(&paths, &f, answer);
    for (int i = 0; i < tree.count; i++) assert_true(tiny_error(tree.slot->params[i].grad, paths.slot->params[i].grad) < tolerance);
    tiny_close(&tree);
    tiny_close(&paths);
}

/* ---- taps and errors ---- */

typedef struct {
    int seen;
    int64_t rows;
} seen;

static void see(void *context, int layer, fv_view hidden) {
    seen *s = context;
    s->seen = s->seen * 10 + layer + 1;
    s->rows = fv_rows(hidden);
}

static void taps_see_layers(void **state) {
    (void)state;
    tiny t;
    tiny_open(&t, "tiny_qwen3_vl", NULL, 1, false);
    seen s = {0};
    fv_tap taps[] = {{.layer = 0, .see = see, .context = &s}, {.layer = 2, .see = see, .context = &s}};
    fv_pass p = fv_pass_begin(t.slot, t.arena, false);
    p.taps = taps;
    p.tap_count = 2;
    fv_batch batch = tiny_batch(&t, NULL);
    fv_decoder_forward(&p, t.decoder, &batch);
    assert_int_equal(s.seen, 13);
    assert_int_equal(s.rows, fv_elements(batch.ids));
    tiny_close(&t);
}

static void an_id_beyond_the_vocabulary_is_an_error(void **state) {
    (void)state;
    tiny t;
    tiny_open(&t, "tiny_qwen2_vl", NULL, 1, false);
    fv_pass p = fv_pass_begin(t.slot, t.arena, false);
    fv_batch batch = tiny_batch(&t, NULL);
    int32_t ids[64] = {0};
    batch.ids = fv_ints(ids, fv_elements(batch.ids));
    ids[3] = 97;
    fv_var *hidden = fv_decoder_forward(&p, t.decoder, &batch);
    assert_int_equal(p.error.status, FV_LIMIT);
    assert_non_null(strstr(p.error.text, "fv_embed: every index"));
    assert_int_equal(fv_rows(hidden->v), fv_elements(batch.ids));
    tiny_close(&t);
}

static void weights_are_checked(void **state) {
    (void)state;
    tiny t;
    tiny_open(&t, "tiny_qwen2_5_vl", NULL, 1, false);
    fv_decoder *d;
    fv_error err = {0};
    fv_text_config c = t.config.text;
    c.intermediate = 57;
    assert_int_equal(fv_decoder_open(&d, &c, t.weights, t.count, &err), FV_BAD_MODEL);
    assert_null(d);
    assert_string_equal(err.text, "weights: model.layers.0.mlp.gate_proj.weight must be [57, 48] as config.json has it, got [56, 48]");
    c = t.config.text;
    c.layers = 3;
    assert_int_equal(fv_decoder_open(&d, &c, t.weights, t.count, &err), FV_BAD_MODEL);
    assert_string_equal(err.text, "weights: no tensor model.layers.2.input_layernorm.weight");
    fv_tower *tower;
    fv_tower_config v = t.config.vision;
    v.patch_bias = true;
    assert_int_equal(fv_tower_open(&tower, &v, t.weights, t.count, &err), FV_BAD_MODEL);
    assert_string_equal(err.text, "weights: no tensor visual.patch_embed.proj.bias");
    tiny_close(&t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_transformers),
        cmocka_unit_test(same_bits_everywhere),
        cmocka_unit_test(stored_in_bf16),
        cmocka_unit_test(decoding_is_training),
        cmocka_unit_test(tree_gradient_is_the_sum_of_paths),
        cmocka_unit_test(taps_see_layers),
        cmocka_unit_test(an_id_beyond_the_vocabulary_is_an_error),
        cmocka_unit_test(weights_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
