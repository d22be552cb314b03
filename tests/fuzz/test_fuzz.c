/* Replays the corpus of every target of fuzz.h and mutates it, the same way each time: nothing may crash (build with FOVEA_SANITIZE to see more).
 * FOVEA_FUZZ=10000 makes that many mutations of each target. */
#include "tests/fuzz/fuzz.c"
#include "tests/fuzz/mutate.h"

#include "core/file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

enum { USUAL_ROUNDS = 300, MOST_SEEDS = 64 };

static size_t read_corpus(const char *name, fuzz_seed *seeds) {
    char folder[512], path[1024];
    fv_error err = {0};
    fv_names names;
    snprintf(folder, sizeof folder, FOVEA_SOURCE "/tests/fuzz/corpus/%s", name);
    if (fv_folder_list(&names, folder, &err) != FV_OK) fail_msg("%s", err.text);
    assert_in_range(names.count, 3, MOST_SEEDS);
    for (size_t i = 0; i < names.count; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, names.names[i]);
        if (fv_file_read(&seeds[i].data, &seeds[i].size, path, &err) != FV_OK) fail_msg("%s", err.text);
        assert_true(seeds[i].size > 0);
    }
    size_t count = names.count;
    fv_names_free(&names);
    return count;
}

/* The length in front of a safetensors header is made right again, or else hardly a mutation would come further than it. */
static void mend_length(uint8_t *p, size_t size) {
    size_t end = size;
    while (end > 9 && p[end - 1] != '}') end--;
    for (size_t i = 0; i < 8 && size > 8; i++) p[i] = (uint8_t)((uint64_t)(end - 8) >> 8 * i);
}

static void survive(const char *name, bool (*target)(const uint8_t *data, size_t size)) {
    fuzz_seed seeds[MOST_SEEDS];
    size_t count = read_corpus(name, seeds);
    for (size_t i = 0; i < count; i++) target((const uint8_t *)seeds[i].data, seeds[i].size);
    target((const uint8_t *)"", 0); /* nothing at all, which is no seed */
    const char *asked = getenv("FOVEA_FUZZ");
    long rounds = asked ? strtol(asked, NULL, 10) : USUAL_ROUNDS;
    long understood = 0;
    uint64_t state = 1;
    for (long r = 0; r < rounds; r++) {
        size_t size = 0;
        uint8_t *p = fuzz_mutate(&seeds[(size_t)r % count], &seeds[fuzz_next(&state) % count], &size, &state);
        assert_non_null(p);
        if (strcmp(name, "safetensors") == 0 && fuzz_next(&state) % 4) mend_length(p, size);
        understood += target(p, size);
        free(p);
    }
    print_message("%s: %ld mutations of %zu files, %ld of them still understood\n", name, rounds, count, understood);
    assert_true(understood * 50 >= rounds); /* or hardly one would come further than the first test of its reader */
    for (size_t i = 0; i < count; i++) free(seeds[i].data);
}

#define X(name)                                                                                                        \
    static void name##_survives(void **state) {                                                                        \
        (void)state;                                                                                                   \
        survive(#name, fuzz_##name);                                                                                   \
    }
FUZZ_TARGETS(X)
#undef X

int main(void) {
    const struct CMUnitTest tests[] = {
#define X(name) cmocka_unit_test(name##_survives),
        FUZZ_TARGETS(X)
#undef X
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
