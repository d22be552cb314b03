#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "core/guard.h"

#include "core/arena.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

static void *volatile kept; /* keeps the compiler from leaving an allocation out */

static void *in_a_thread(void *arg) {
    kept = strdup("x");
    free(kept);
    return arg;
}

static void counts_every_kind(void **state) {
    (void)state;
    fv_guard_begin();
    assert_int_equal(fv_guard_end(), 0);

    fv_guard_begin();
    kept = malloc(8);
    kept = realloc(kept, 16);
    free(kept);
    kept = calloc(2, 8);
    free(kept);
    kept = aligned_alloc(64, 128);
    size_t offset = (size_t)kept % 64;
    free(kept);
    void *p = NULL;
    int rc = posix_memalign(&p, 64, 100);
    free(p);
    assert_int_equal(fv_guard_end(), 5);
    assert_int_equal(offset, 0);
    assert_int_equal(rc, 0);

    kept = malloc(8); /* not counted */
    free(kept);
    assert_int_equal(fv_guard_end(), 5);
}

static void counts_in_libraries_and_threads(void **state) {
    (void)state;
    pthread_t thread;
    fv_guard_begin();
    assert_int_equal(pthread_create(&thread, NULL, in_a_thread, NULL), 0);
    pthread_join(thread, NULL);
    assert_true(fv_guard_end() >= 1);
    char text[32];
    fv_guard_begin();
    snprintf(text, sizeof text, "%d", 7); /* needs no memory */
    assert_int_equal(fv_guard_end(), 0);
}

/* What an arena promises: after a first round and a reset, no more memory is asked for. */
static void a_warm_arena_allocates_nothing(void **state) {
    (void)state;
    fv_arena *a = fv_arena_new(0);
    for (int i = 0; i < 100; i++) fv_arena_take(a, 100000);
    fv_arena_reset(a);
    fv_guard_begin();
    for (int i = 0; i < 100; i++) fv_arena_take(a, 100000);
    assert_int_equal(fv_guard_end(), 0);
    fv_arena_free(a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_every_kind),
        cmocka_unit_test(counts_in_libraries_and_threads),
        cmocka_unit_test(a_warm_arena_allocates_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
