/* The loop that every operation goes through. A case names its arrays and how to run forward and back; for each case:
 *   - PyTorch's numbers, forward and backward;
 *   - finite differences of a random projection, summed in double;
 *   - the same bits for every batch size, thread count and instruction set, also of gradients that several calls add up. */
#ifndef FV_TESTS_CPU_OP_LOOP_H
#define FV_TESTS_CPU_OP_LOOP_H

#include "core/ops.h"
#include "core/random.h"

#include <jansson.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* SEEN is input that wants a gradient, once a row or once altogether (WHOLE); RESULT has a gradient coming in; KEPT has none. */
typedef enum { NONE, SEEN, WHOLE, RESULT, KEPT, CONSTANT, INTEGER } role;

typedef struct {
    const char *name;
    role role;
    int64_t size;       /* numbers a row; altogether for WHOLE */
    int32_t low, high;  /* INTEGER: drawn from [low, high) */
} field;

enum { FIELDS = 8, MAX_THREADS = 3, MAX_TABLES = 4, ROWS = 64 };

typedef struct bag {
    const struct op_case *c;
    const fv_ops *ops;
    fv_exec exec;
    int64_t rows;
    float *data[FIELDS], *grad[FIELDS];
    int32_t *ints[FIELDS];
} bag;

typedef struct op_case {
    const char *name;
    field fields[FIELDS];
    void (*forward)(bag *b), (*back)(bag *b);
    fv_activation f;
} op_case;

static inline int find(const bag *b, const char *name) {
    for (int i = 0; i < FIELDS && b->c->fields[i].name; i++)
        if (strcmp(b->c->fields[i].name, name) == 0) return i;
    fail_msg("%s has no field %s", b->c->name, name);
    return 0;
}

static inline fv_view view_of(const bag *b, float *data, int i) {
    const field *f = &b->c->fields[i];
    return f->role == WHOLE ? fv_vec(data, f->size) : fv_mat(data, b->rows, f->size);
}

static inline fv_view V(const bag *b, const char *name) { return view_of(b, b->data[find(b, name)], find(b, name)); }
static inline fv_view D(const bag *b, const char *name) { return view_of(b, b->grad[find(b, name)], find(b, name)); }
static inline fv_view I(const bag *b, const char *name) {
    int i = find(b, name);
    return fv_ints(b->ints[i], b->rows * b->c->fields[i].size);
}
static inline fv_view table_of(fv_view v, int64_t cols) { return fv_mat(fv_f32(v), fv_elements(v) / cols, cols); }

/* ---- bags of numbers ------------------------------------------------------------------------------------------------------- */

static struct {
    const fv_ops *ops[MAX_TABLES];
    int tables;
    fv_exec exec[MAX_THREADS + 1]; /* by the number of threads */
} fixture;

static inline int64_t count_of(const bag *b, int i) { return b->c->fields[i].size * (b->c->fields[i].role == WHOLE ? 1 : b->rows); }

static inline bag new_bag(const op_case *c, int64_t rows) {
    bag b = {.c = c, .ops = fixture.ops[0], .exec = fixture.exec[1], .rows = rows};
    for (int i = 0; i < FIELDS && c->fields[i].name; i++) {
        size_t n = (size_t)count_of(&b, i);
        if (c->fields[i].role == INTEGER) b.ints[i] = calloc(n, sizeof(int32_t));
        else b.data[i] = calloc(n, sizeof(float)), b.grad[i] = calloc(n, sizeof(float));
    }
    return b;
}

static inline void free_bag(bag *b) {
    for (int i = 0; i < FIELDS; i++) free(b->data[i]), free(b->grad[i]), free(b->ints[i]);
}

static inline void fill_random(bag *b) {
    for (int i = 0; i < FIELDS && b->c->fields[i].name; i++) {
        const field *f = &b->c->fields[i];
        fv_random r = fv_random_stream(fv_random_key(1, b->c->name, (uint64_t)i, 0));
        for (int64_t k = 0; k < count_of(b, i); k++) {
            if (f->role == INTEGER) b->ints[i][k] = f->low + (int32_t)fv_below(&r, f->high - f->low);
            if (f->role == SEEN || f->role == WHOLE) b->data[i][k] = (float)fv_normal(&r);
            if (f->role == CONSTANT) b->data[i][k] = (float)fv_uniform_in(&r, 0.5, 1.5);
            if (f->role == RESULT) b->grad[i][k] = (float)fv_normal(&r);
        }
    }
}

/* Rows [first, first + rows) of a bag, in the same memory. */
static inline bag rows_of(const bag *b, int64_t first, int64_t rows) {
    bag s = *b;
    s.rows = rows;
    for (int i = 0; i < FIELDS && b->c->fields[i].name; i++) {
        if (b->c->fields[i].role == WHOLE) continue;
        int64_t skip = first * b->c->fields[i].size;
        if (b->ints[i]) s.ints[i] += skip;
        else s.data[i] += skip, s.grad[i] += skip;
    }
    return s;
}

static inline bool is_input(role r) { return r == SEEN || r == WHOLE; }

static inline void clear_gradients(bag *b) {
    for (int i = 0; i < FIELDS && b->c->fields[i].name; i++)
        if (is_input(b->c->fields[i].role)) memset(b->grad[i], 0, (size_t)count_of(b, i) * sizeof(float));
}

/* ---- checks ---------------------------------------------------------------------------------------------------------------- */

static inline json_t *numbers(json_t *entry, const char *prefix, const char *name, int64_t count) {
    char key[40];
    snprintf(key, sizeof key, "%s%s", prefix, name);
    json_t *list = json_object_get(entry, key);
    assert_int_equal(json_array_size(list), count);
    return list;
}

/* Within 1e-5 of the list's largest number: f32 over chains of up to some hundred terms, against float64. */
static inline void compare(const bag *b, json_t *entry, const char *prefix, int i, const float *got) {
    int64_t n = count_of(b, i);
    json_t *want = numbers(entry, prefix, b->c->fields[i].name, n);
    double largest = 1;
    for (int64_t k = 0; k < n; k++) largest = fmax(largest, fabs(json_number_value(json_array_get(want, (size_t)k))));
    for (int64_t k = 0; k < n; k++) {
        double w = json_number_value(json_array_get(want, (size_t)k));
        if (!(fabs(got[k] - w) <= 1e-5 * largest))
            fail_msg("%s on %s: %s%s[%d] is %.9g, PyTorch has %.9g", b->c->name, b->ops->name, prefix, b->c->fields[i].name, (int)k, got[k], w);
    }
}

static inline void check_pytorch(const op_case *c, json_t *entry) {
    bag b = new_bag(c, json_integer_value(json_object_get(entry, "rows")));
    for (int i = 0; i < FIELDS && c->fields[i].name; i++) {
        role role_of = c->fields[i].role;
        if (role_of == KEPT) continue;
        json_t *list = numbers(entry, role_of == RESULT ? "d" : "", c->fields[i].name, count_of(&b, i));
        for (int64_t k = 0; k < count_of(&b, i); k++) {
            double x = json_number_value(json_array_get(list, (size_t)k));
            if (role_of == INTEGER) b.ints[i][k] = (int32_t)x;
            else *(role_of == RESULT ? b.grad[i] + k : b.data[i] + k) = (float)x;
        }
    }
    for (int t = 0; t < fixture.tables; t++) {
        b.ops = fixture.ops[t];
        clear_gradients(&b);
        c->forward(&b);
        c->back(&b);
        for (int i = 0; i < FIELDS && c->fields[i].name; i++) {
            if (c->fields[i].role == RESULT) compare(&b, entry, "", i, b.data[i]);
            if (is_input(c->fields[i].role)) compare(&b, entry, "d", i, b.grad[i]);
        }
    }
    free_bag(&b);
}

static inline double projection(bag *b) {
    b->c->forward(b);
    double sum = 0;
    for (int i = 0; i < FIELDS && b->c->fields[i].name; i++)
        for (int64_t k = 0; b->c->fields[i].role == RESULT && k < count_of(b, i); k++) sum += (double)b->data[i][k] * b->grad[i][k];
    return sum;
}

/* Central differences with step 1/128: its error h^2 f'''/6 and f32's noise eps |f| / h are both some 1e-5 of the projection. */
static inline void check_differences(const op_case *c) {
    const float step = 0x1p-7f;
    bag b = new_bag(c, 4);
    fill_random(&b);
    c->forward(&b);
    c->back(&b);
    for (int i = 0; i < FIELDS && c->fields[i].name; i++)
        for (int64_t k = 0; is_input(c->fields[i].role) && k < count_of(&b, i); k++) {
            float at = b.data[i][k];
            b.data[i][k] = at + step;
            double up = projection(&b);
            b.data[i][k] = at - step;
            double slope = (up - projection(&b)) / (2 * (double)step);
            b.data[i][k] = at;
            if (!(fabs(slope - b.grad[i][k]) <= 2e-3 * (1 + fabs(slope))))
                fail_msg("%s: d%s[%d] is %.9g, differences give %.9g", c->name, c->fields[i].name, (int)k, b.grad[i][k], slope);
        }
    free_bag(&b);
}

static inline void same_bits(const bag *got, const bag *want, int threads, int64_t batch) {
    for (int i = 0; i < FIELDS && got->c->fields[i].name; i++) {
        role r = got->c->fields[i].role;
        const float *a = is_input(r) ? got->grad[i] : got->data[i], *b = is_input(r) ? want->grad[i] : want->data[i];
        if (r == CONSTANT || r == INTEGER || memcmp(a, b, (size_t)count_of(got, i) * sizeof(float)) == 0) continue;
        int64_t k = 0;
        while (memcmp(a + k, b + k, sizeof(float)) == 0) k++;
        fail_msg("%s on %s, %d threads, %d rows at once: %s%s[%d] is %a, not %a", got->c->name, got->ops->name, threads, (int)batch,
                 is_input(r) ? "d" : "", got->c->fields[i].name, (int)k, (double)a[k], (double)b[k]);
    }
}

static inline void check_bits(const op_case *c) {
    static const int64_t batches[] = {1, 2, 7, 64};
    bag want = new_bag(c, ROWS), got = new_bag(c, ROWS);
    fill_random(&want);
    fill_random(&got);
    c->forward(&want);
    c->back(&want);
    for (int t = 0; t < fixture.tables; t++)
        for (int threads = 1; threads <= MAX_THREADS; threads++)
            for (size_t s = 0; s < FV_COUNT(batches); s++) {
                clear_gradients(&got);
                got.ops = fixture.ops[t];
                got.exec = fixture.exec[threads];
                for (int64_t r = 0; r < ROWS; r += batches[s]) {
                    bag part = rows_of(&got, r, ROWS - r < batches[s] ? ROWS - r : batches[s]);
                    c->forward(&part);
                    c->back(&part);
                }
                same_bits(&got, &want, threads, batches[s]);
            }
    free_bag(&want);
    free_bag(&got);
}

static inline int open_fixture(void **state) {
    (void)state;
    fixture.tables = fv_ops_cpu_all(fixture.ops, MAX_TABLES);
    for (int threads = 1; threads <= MAX_THREADS; threads++) {
        fixture.exec[threads].scratch = fv_arena_new(0);
        if (fv_pool_open(&fixture.exec[threads].pool, threads, NULL) != FV_OK) return -1;
    }
    return fixture.tables > 0 ? 0 : -1;
}

static inline int close_fixture(void **state) {
    (void)state;
    for (int threads = 1; threads <= MAX_THREADS; threads++) {
        fv_pool_close(fixture.exec[threads].pool);
        fv_arena_free(fixture.exec[threads].scratch);
    }
    return 0;
}

#endif
