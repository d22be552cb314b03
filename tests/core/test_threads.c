#include "core/arena.h"
#include "core/threads.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Every index once, contiguous pieces of at least the grain, workers numbered from 0. */
typedef struct {
    int hits[1000];
    atomic_int pieces, highest_worker;
    atomic_llong shortest;
} cover;

static void mark_range(void *context, int64_t begin, int64_t end, int worker) {
    cover *c = context;
    for (int64_t i = begin; i < end; i++) c->hits[i]++;
    atomic_fetch_add(&c->pieces, 1);
    int highest = atomic_load(&c->highest_worker);
    while (worker > highest && !atomic_compare_exchange_weak(&c->highest_worker, &highest, worker)) {}
    long long seen = atomic_load(&c->shortest);
    while (end - begin < seen && !atomic_compare_exchange_weak(&c->shortest, &seen, end - begin)) {}
}

static void parallel_covers_the_range(void **state) {
    (void)state;
    for (int threads = 1; threads <= 5; threads++) {
        fv_pool *p;
        assert_int_equal(fv_pool_open(&p, threads, NULL), FV_OK);
        assert_int_equal(fv_pool_threads(p), threads);
        for (int n = 0; n <= 1000; n = n * 3 + 1) {
            for (int grain = 1; grain <= 256; grain *= 16) {
                cover c = { 0 };
                atomic_store(&c.shortest, 1000000);
                fv_parallel(p, n, grain, mark_range, &c);
                for (int i = 0; i < 1000; i++) assert_int_equal(c.hits[i], i < n);
                if (n >= grain) assert_true(atomic_load(&c.shortest) >= grain);
                int pieces = n / grain < threads ? n / grain : threads;
                if (n > 0) assert_int_equal(atomic_load(&c.pieces), pieces > 1 ? pieces : 1);
                assert_true(atomic_load(&c.highest_worker) < threads);
            }
        }
        fv_pool_close(p);
    }
}

static void no_pool_is_one_thread(void **state) {
    (void)state;
    cover c = { 0 };
    atomic_store(&c.shortest, 1000000);
    fv_parallel(NULL, 777, 1, mark_range, &c);
    assert_int_equal(atomic_load(&c.shortest), 777);
    assert_int_equal(fv_pool_threads(NULL), 1);
}

/* Plain memory written by all before a join is read by one after it: ThreadSanitizer's view of the pool. */
static void sum_previous(void *context, int64_t begin, int64_t end, int worker) {
    (void)worker;
    int64_t *v = context;
    for (int64_t i = begin; i < end; i++) v[i]++;
}

static void joins_order_memory(void **state) {
    (void)state;
    fv_pool *p;
    assert_int_equal(fv_pool_open(&p, 3, NULL), FV_OK);
    int64_t v[64] = { 0 };
    for (int round = 0; round < 2000; round++) {
        fv_parallel(p, 64 - round % 7, 1, sum_previous, v);
        assert_int_equal(v[0], round + 1);
        if (round % 500 == 499) usleep(2000); /* so that the workers sleep in between */
    }
    fv_pool_close(p);
}

static void pool_names_the_bad_number(void **state) {
    (void)state;
    fv_pool *p;
    fv_error e;
    assert_int_equal(fv_pool_open(&p, -3, &e), FV_BAD_USAGE);
    assert_null(p);
    assert_non_null(strstr(e.text, "-3"));
    fv_pool_close(NULL);
    assert_int_equal(fv_pool_open(&p, 0, NULL), FV_OK);
    assert_true(fv_pool_threads(p) >= 1);
    fv_pool_close(p);
}

static void count_up(void *context) { atomic_fetch_add((atomic_int *)context, 1); }

static void jobs_all_run(void **state) {
    (void)state;
    for (int threads = 1; threads <= 3; threads++) {
        fv_jobs *j;
        atomic_int done = 0;
        assert_int_equal(fv_jobs_open(&j, threads, NULL), FV_OK);
        for (int i = 0; i < 100; i++) assert_int_equal(fv_jobs_add(j, count_up, &done, NULL), FV_OK);
        fv_jobs_wait(j);
        assert_int_equal(atomic_load(&done), 100);
        for (int i = 0; i < 50; i++) assert_int_equal(fv_jobs_add(j, count_up, &done, NULL), FV_OK);
        fv_jobs_close(j); /* finishes what is queued */
        assert_int_equal(atomic_load(&done), 150);
    }
}

static void arena_pieces_stay(void **state) {
    (void)state;
    fv_arena *a = fv_arena_new(1000);
    assert_non_null(a);
    char *first = fv_arena_take(a, 100);
    memset(first, 1, 100);
    fv_arena_mark mark = fv_arena_here(a);
    for (int i = 0; i < 40; i++) {
        char *p = fv_arena_zero(a, 777);
        assert_int_equal((uintptr_t)p % 64, 0);
        for (int k = 0; k < 777; k++) assert_int_equal(p[k], 0);
        memset(p, 2, 777);
    }
    char *big = fv_arena_take(a, 5 << 20); /* larger than any chunk so far */
    memset(big, 3, 5 << 20);
    assert_true(fv_arena_peak(a) >= (5 << 20) + 40 * 777 + 100);
    assert_true(fv_arena_peak(a) <= (5 << 20) + 40 * 832 + 128);
    fv_arena_release(a, mark);
    char *again = fv_arena_take(a, 10);
    assert_ptr_equal(again, first + 128);
    assert_int_equal(first[99], 1);
    fv_arena_reset(a);
    assert_ptr_equal(fv_arena_take(a, 1), first);
    fv_arena_free(a);
    fv_arena_free(NULL);
}

static size_t taken, given;

static fv_status take_counted(void **out, size_t bytes, fv_error *err) {
    if (bytes > 1 << 20) return fv_fail(err, FV_NO_MEMORY, "%zu bytes are too many", bytes);
    taken++;
    *out = malloc(bytes);
    return *out ? FV_OK : fv_fail(err, FV_NO_MEMORY, "out of memory");
}

static void give_counted(void *data) {
    given++;
    free(data);
}

/* Numbers lie on a side of their own; what gives one side back gives the other back as well. */
static void arena_has_two_sides(void **state) {
    (void)state;
    fv_arena *a = fv_arena_new_over(take_counted, give_counted, 4096);
    assert_non_null(a);
    float *first = FV_NUMBERS(a, 100);
    char *here = fv_arena_take(a, 10);
    fv_arena_mark mark = fv_arena_here(a);
    float *second = FV_NUMBERS(a, 5);
    assert_ptr_equal(second, first + 112); /* pieces are 64 bytes apart: nothing of the host's is in between */
    for (int i = 0; i < 40; i++) memset(FV_NUMBERS(a, 1000), 1, 4000);
    assert_true(fv_arena_peak(a) >= 40 * 4000 && fv_arena_peak(a) <= 40 * 4032 + 512);
    fv_arena_release(a, mark);
    assert_ptr_equal(FV_NUMBERS(a, 5), second);
    assert_true((char *)fv_arena_take(a, 1) > here);
    fv_arena_reset(a);
    assert_ptr_equal(FV_NUMBERS(a, 1), first);
    memset(fv_arena_numbers(a, 900 << 10), 2, 900 << 10); /* twice the last chunk would be too much: just this then */
    fv_arena_free(a);
    assert_true(taken > 2 && taken == given);
}

/* The same takes after a reset get the same places: nothing new is asked of the system. */
static void arena_is_stable_after_the_first_step(void **state) {
    (void)state;
    fv_arena *a = fv_arena_new(0);
    void *seen[30];
    for (int step = 0; step < 3; step++) {
        fv_arena_reset(a);
        for (int i = 0; i < 30; i++) {
            void *p = fv_arena_take(a, (size_t)(i % 7 + 1) << 18);
            if (step) assert_ptr_equal(p, seen[i]);
            seen[i] = p;
        }
    }
    fv_arena_free(a);
}

static jmp_buf out_of_memory;
static size_t asked;

static void leave(size_t bytes, const char *why) {
    asked = bytes;
    assert_non_null(strstr(why, "memory"));
    longjmp(out_of_memory, 1);
}

static void arena_exhaustion_is_handled(void **state) {
    (void)state;
    fv_arena *a = fv_arena_new(0);
    const size_t much[] = {SIZE_MAX - 10, SIZE_MAX / 2};
    fv_arena_on_exhaustion(leave);
    for (size_t i = 0; i < FV_COUNT(much); i++) {
        if (!setjmp(out_of_memory)) fv_arena_take(a, much[i]);
        assert_true(asked == much[i]);
    }
    fv_arena_on_exhaustion(NULL);
    assert_non_null(fv_arena_take(a, 100)); /* still usable */
    fv_arena_free(a);
}

/* A device with so much memory, of which addresses are enough. */
static size_t room;

static fv_status take_of_room(void **out, size_t bytes, fv_error *err) {
    if (bytes > room) return fv_fail(err, FV_NO_MEMORY, "out of memory");
    room -= bytes;
    *out = malloc(1);
    return FV_OK;
}

/* Pieces of `bytes` until there are no more: how many bytes they are. */
static size_t fill(fv_arena *a, size_t bytes) {
    volatile size_t all = 0;
    fv_arena_on_exhaustion(leave);
    if (!setjmp(out_of_memory))
        for (;; all += bytes) fv_arena_numbers(a, bytes);
    fv_arena_on_exhaustion(NULL);
    return all;
}

/* A device's memory can nearly all be used, whatever the pieces, although chunks are large while there is room. */
static void arena_uses_a_devices_last_memory(void **state) {
    (void)state;
    static const size_t pieces[] = {(size_t)1 << 20, (size_t)16 << 20, (size_t)100 << 20};
    for (size_t i = 0; i < FV_COUNT(pieces); i++) {
        const size_t all = (size_t)40000 << 20;
        room = all;
        fv_arena *a = fv_arena_new_over(take_of_room, free, FV_ARENA_PASS);
        size_t used = fill(a, pieces[i]);
        assert_true(used <= all && used >= all - all / 8);
        assert_true(room < pieces[i] || room < all / 100);
        assert_true(fv_arena_held(a) == all - room);
        fv_arena_free(a);
    }
}

/* Before that no more is taken than a quarter above what is used, and what does not fit at the ends of chunks. */
static void arena_of_a_device_grows_by_quarters(void **state) {
    (void)state;
    room = SIZE_MAX;
    fv_arena *a = fv_arena_new_over(take_of_room, free, FV_ARENA_SCRATCH);
    for (size_t used = 1; used <= 4000; used++) {
        fv_arena_numbers(a, (size_t)1 << 20);
        assert_true(fv_arena_held(a) <= (used + used / 4 + 32) << 20);
    }
    fv_arena_free(a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parallel_covers_the_range),
        cmocka_unit_test(no_pool_is_one_thread),
        cmocka_unit_test(joins_order_memory),
        cmocka_unit_test(pool_names_the_bad_number),
        cmocka_unit_test(jobs_all_run),
        cmocka_unit_test(arena_pieces_stay), cmocka_unit_test(arena_has_two_sides),
        cmocka_unit_test(arena_is_stable_after_the_first_step),
        cmocka_unit_test(arena_exhaustion_is_handled),
        cmocka_unit_test(arena_uses_a_devices_last_memory),
        cmocka_unit_test(arena_of_a_device_grows_by_quarters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
