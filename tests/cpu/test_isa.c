/* Which table a process gets: by processor, by FOVEA_ISA, and with what words when it can't be had. */
#include "core/ops.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

static void every_name_finds_its_table(void **state) {
    (void)state;
    const fv_ops *all[3], *found;
    int n = fv_ops_cpu_all(all, 3);
    assert_in_range(n, 1, 3);
    for (int i = 0; i < n; i++) {
        assert_int_equal(strncmp(all[i]->name, "cpu-", 4), 0);
        setenv("FOVEA_ISA", all[i]->name + 4, 1);
        assert_int_equal(fv_ops_find(&found, "cpu", NULL, NULL), FV_OK);
        assert_ptr_equal(found, all[i]);
    }
    unsetenv("FOVEA_ISA");
    assert_int_equal(fv_ops_find(&found, "cpu", NULL, NULL), FV_OK);
    assert_ptr_equal(found, all[0]);
    assert_string_equal(all[n - 1]->name, "cpu-scalar");
    assert_int_equal(fv_ops_cpu_all(all, 1), 1);
}

static void tables_have_no_hole(void **state) {
    (void)state;
    const fv_ops *all[3];
    for (int i = 0, n = fv_ops_cpu_all(all, 3); i < n; i++) {
        void (*slot[sizeof(fv_ops) / sizeof(void (*)(void))])(void);
        memcpy(slot, all[i], sizeof slot);
        for (size_t s = 2; s < FV_COUNT(slot); s++) assert_true(slot[s] != NULL); /* after the name and the device */
    }
}

static void refusals_name_what_there_is(void **state) {
    (void)state;
    const fv_ops *found;
    fv_error err;
    setenv("FOVEA_ISA", "sse2", 1);
    assert_int_equal(fv_ops_find(&found, "cpu", NULL, &err), FV_BAD_USAGE);
    assert_null(found);
    assert_string_equal(err.text, "FOVEA_ISA must be scalar, avx2 or avx512, got sse2");
    unsetenv("FOVEA_ISA");
    assert_int_equal(fv_ops_find(&found, "tpu", NULL, &err), FV_BAD_USAGE);
    assert_string_equal(err.text, "device must be cpu or cuda, got tpu");
    assert_int_equal(fv_ops_find(&found, "cpu", "f16", &err), FV_BAD_USAGE);
    assert_string_equal(err.text, "precision must be f32 or bf16, got f16");
    setenv("FOVEA_ISA", "avx2", 1);
    assert_int_equal(fv_ops_find(&found, "cpu", "bf16", &err), FV_UNSUPPORTED);
    assert_null(found);
    assert_string_equal(err.text, "precision=bf16: FOVEA_ISA=avx2 has no dot products of bf16; leave it unset, or use precision=f32");
    unsetenv("FOVEA_ISA");
    if (!__builtin_cpu_supports("avx512bf16")) {
        assert_int_equal(fv_ops_find(&found, "cpu", "bf16", &err), FV_UNSUPPORTED);
        assert_non_null(strstr(err.text, "this processor has no dot products of bf16"));
    }
    assert_int_equal(fv_ops_find(&found, "cpu", "f32", &err), FV_OK);
}

static void memory_is_cleared_and_copied(void **state) {
    (void)state;
    const fv_ops *ops;
    assert_int_equal(fv_ops_find(&ops, "cpu", NULL, NULL), FV_OK);
    static const size_t sizes[] = { 0, 1, 100, (size_t)5 << 20 };
    for (size_t i = 0; i < FV_COUNT(sizes); i++) {
        void *data;
        assert_int_equal(ops->alloc(&data, sizes[i], NULL), FV_OK);
        assert_int_equal((uintptr_t)data % 64, 0);
        for (size_t b = 0; b < sizes[i]; b++) assert_int_equal(((char *)data)[b], 0);
        ops->free(data);
    }
    void *data;
    char in[] = "0123456789", out[sizeof in];
    assert_int_equal(ops->alloc(&data, sizeof in, NULL), FV_OK);
    ops->upload(data, in, sizeof in);
    ops->download(out, data, sizeof in);
    assert_string_equal(out, in);
    ops->free(data);
    fv_error err;
    assert_int_equal(ops->alloc(&data, SIZE_MAX - 1, &err), FV_NO_MEMORY);
    assert_null(data);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_name_finds_its_table),
        cmocka_unit_test(tables_have_no_hole),
        cmocka_unit_test(refusals_name_what_there_is),
        cmocka_unit_test(memory_is_cleared_and_copied),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
