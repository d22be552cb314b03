/* What control groups leave: as a container sees its own, as batch systems and services nest them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "core/file.h"
#include "core/memory.h"

#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static char root[] = "/tmp/fovea-memory-XXXXXX";

static void put(const char *folder, const char *name, const char *text) {
    char path[300];
    fv_error err;
    snprintf(path, sizeof path, "%s/%s", root, folder);
    if (fv_folder_make(path, &err) != FV_OK) fail_msg("%s", err.text);
    snprintf(path, sizeof path, "%s/%s/%s", root, folder, name);
    if (fv_file_write(path, text, strlen(text), &err) != FV_OK) fail_msg("%s", err.text);
}

static int64_t limit_of(const char *groups, const char *below) {
    char path[300], sys[300];
    put("proc", "cgroup", groups);
    snprintf(path, sizeof path, "%s/proc/cgroup", root);
    snprintf(sys, sizeof sys, "%s/%s", root, below);
    return fv_memory_group_limit(path, sys);
}

static void groups_limit_memory(void **state) {
    (void)state;
    fv_error err;
    assert_non_null(mkdtemp(root));
    put("two/slurm/job/step", "memory.max", "max\n"); /* a step has what its job leaves */
    put("two/slurm/job", "memory.max", "5000\n");
    put("two/slurm", "memory.max", "9000\n");
    put("one/memory/a/b", "memory.limit_in_bytes", "700\n");
    put("one/memory", "memory.limit_in_bytes", "9223372036854771712\n");
    put("own", "memory.max", "300\n"); /* a container's */
    assert_true(limit_of("0::/slurm/job/step\n", "two") == 5000);
    assert_true(limit_of("0::/slurm\n", "two") == 9000);
    assert_true(limit_of("9:cpu:/a/b\n4:memory:/a/b\n0::/\n", "one") == 700);
    assert_true(limit_of("4:cpuacct,memory:/a/b\n", "one") == 700);
    assert_true(limit_of("9:cpu:/a/b\n", "one") > 1000000000000);
    assert_true(limit_of("0::/\n", "own") == 300);
    assert_true(limit_of("0::/outside/its/view\n", "own") == 300);
    assert_true(limit_of("nonsense\n:\n", "none") == INT64_MAX);
    assert_true(fv_memory_limit() > 1 << 20);
    assert_int_equal(fv_path_remove(root, &err), FV_OK);
}

enum { LARGE = 256 << 20 };

/* A process's peak is its own, and not that of a large one which started it. */
static void the_peak_is_of_this_process(void **state) {
    (void)state;
    char *large = malloc(LARGE), *const command[] = {"/proc/self/exe", "peak", NULL};
    pid_t child;
    int status;
    assert_non_null(large);
    for (int64_t i = 0; i < LARGE; i += 4096) ((volatile char *)large)[i] = 1;
    assert_true(fv_memory_peak() >= LARGE);
    assert_int_equal(posix_spawn(&child, command[0], NULL, NULL, command, environ), 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    free(large);
}

int main(int argc, char **argv) {
    if (argc > 1 && !strcmp(argv[1], "peak")) return fv_memory_peak() > 0 && fv_memory_peak() < LARGE / 2 ? 0 : 1;
    const struct CMUnitTest tests[] = {cmocka_unit_test(groups_limit_memory), cmocka_unit_test(the_peak_is_of_this_process)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
