/* Mutates the fixtures, the same way each time, and decodes them: nothing may crash (build with FOVEA_SANITIZE to see more).
 * FOVEA_FUZZ=10000 makes that many of each format. */
#include "tests/fuzz/fuzz_image.c"
#include "tests/fuzz/mutate.h"
#include "tests/vision/check.h"

#include <string.h>

enum { USUAL_ROUNDS = 300 };

/* PNG checksums are mended, or else hardly a mutation would come further than libpng's first test. */
static void mend_png(uint8_t *p, size_t size) {
    for (size_t at = 8; at + 12 <= size;) {
        size_t n = (size_t)p[at] << 24 | (size_t)p[at + 1] << 16 | (size_t)p[at + 2] << 8 | p[at + 3];
        if (n > size - at - 12) return;
        uint32_t crc = crc32_of(p + at + 4, n + 4);
        for (size_t i = 0; i < 4; i++) p[at + 8 + n + i] = (uint8_t)(crc >> (24 - 8 * i));
        at += 12 + n;
    }
}

static void survive(const char *ending) {
    fv_error err;
    fv_names names;
    fuzz_seed seeds[64];
    size_t count = 0;
    OK(fv_folder_list(&names, DATA, &err));
    for (size_t i = 0; i < names.count && count < FV_COUNT(seeds); i++) {
        const char *dot = strrchr(names.names[i], '.');
        if (!dot || strcmp(dot, ending) != 0) continue;
        char path[1024];
        snprintf(path, sizeof path, DATA "%s", names.names[i]);
        OK(fv_file_read(&seeds[count].data, &seeds[count].size, path, &err));
        count++;
    }
    fv_names_free(&names);
    assert_true(count >= 10);
    const char *asked = getenv("FOVEA_FUZZ");
    long rounds = asked ? strtol(asked, NULL, 10) : USUAL_ROUNDS;
    uint64_t state = 1;
    for (long r = 0; r < rounds; r++) {
        size_t size = 0;
        uint8_t *p = fuzz_mutate(&seeds[(size_t)r % count], &seeds[fuzz_next(&state) % count], &size, &state);
        assert_non_null(p);
        if (strcmp(ending, ".png") == 0 && fuzz_next(&state) % 4) mend_png(p, size);
        LLVMFuzzerTestOneInput(p, size);
        free(p);
    }
    for (size_t i = 0; i < count; i++) free(seeds[i].data);
}

static void damaged_png(void **state) { (void)state, survive(".png"); }
static void damaged_jpeg(void **state) { (void)state, survive(".jpg"); }

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(damaged_png),
        cmocka_unit_test(damaged_jpeg),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
