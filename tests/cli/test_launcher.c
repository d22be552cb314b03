/* ./fovea, as far as it can be tried without a bare machine: it knows every package, and says what is missing. */
#include "tests/cli/program.h"

/* What CMakeLists.txt asks pkg-config for, the launcher looks for. */
static void every_library_has_a_package_and_a_probe(void **state) {
    (void)state;
    char *cmake = contents(FOVEA_SOURCE "/CMakeLists.txt"), *launcher = contents(FOVEA_SOURCE "/fovea"), *packages = contents(FOVEA_SOURCE "/packages.txt");
    static const char word[] = " REQUIRED IMPORTED_TARGET ";
    int modules = 0, probes = 0;
    for (const char *at = cmake; (at = strstr(at, word)); modules++) {
        char probe[128];
        at += strlen(word);
        snprintf(probe, sizeof probe, "pkg-config --exists %.*s ;;", (int)strcspn(at, ")"), at);
        if (!strstr(launcher, probe)) fail_msg("./fovea has no \"%s\"", probe);
    }
    for (char *line = strtok(packages, "\n"); line; line = strtok(NULL, "\n"), probes++) {
        char probe[128];
        snprintf(probe, sizeof probe, "\n    %s) ", line);
        if (!strstr(launcher, probe)) fail_msg("./fovea has no probe for %s", line);
    }
    assert_true(modules >= 6 && probes >= modules);
    free(cmake);
    free(launcher);
    free(packages);
}

static int run_copy(const char *path_first) {
    char command[512];
    snprintf(command, sizeof command, "PATH=%s:$PATH sh copy/fovea --version </dev/null >stdout 2>stderr", path_first);
    return WEXITSTATUS(system(command));
}

static void write_script(const char *path, const char *text) {
    write_file(path, text);
    assert_int_equal(chmod(path, 0755), 0);
}

/* Nobody special, no sudo: the line for apt-get, exit code 1, and nothing was built. */
static void missing_packages_are_named_without_root(void **state) {
    (void)state;
    assert_int_equal(fv_folder_make("copy", NULL), FV_OK);
    assert_int_equal(fv_folder_make("bin", NULL), FV_OK);
    assert_int_equal(fv_file_copy(FOVEA_SOURCE "/fovea", "copy/fovea", NULL), FV_OK);
    write_file("copy/packages.txt", "cmake\nno-such-package\n");
    write_script("bin/id", "#!/bin/sh\necho 1000\n");
    write_script("bin/sudo", "#!/bin/sh\nexit 1\n");
    write_script("bin/apt-get", "#!/bin/sh\ntouch called\n");
    assert_int_equal(run_copy("bin"), 1);
    assert_says("stderr", "apt-get install --no-install-recommends no-such-package");
    assert_false(fv_file_exists("called"));
}

/* With root: asked for without questions; when that fails, tried again after an update, and then given up with the line. */
static void packages_are_installed_with_root(void **state) {
    (void)state;
    write_script("bin/id", "#!/bin/sh\necho 0\n");
    write_script("bin/apt-get", "#!/bin/sh\necho \"$DEBIAN_FRONTEND $*\" >>called\nexit 100\n");
    assert_int_equal(run_copy("bin"), 1);
    assert_says("called", "noninteractive");
    assert_says("called", "install -y --no-install-recommends no-such-package");
    assert_says("called", " update");
    assert_says("stderr", "apt-get update && apt-get install --no-install-recommends no-such-package");
}

/* Where that succeeds it builds, and runs what was built; the second time nobody is asked for anything. */
static void what_was_installed_is_built_with(void **state) {
    (void)state;
    write_script("bin/apt-get", "#!/bin/sh\ncase \"$*\" in *' install '*) echo \"$*\" >>asked; touch installed ;; esac\n");
    write_script("bin/dpkg", "#!/bin/sh\n[ -e installed ]\n");
    write_script("bin/cmake", "#!/bin/sh\n[ \"$1\" = --build ] || exit 0\nprintf '#!/bin/sh\\necho built and called with $*\\n' >\"$2/fovea\"\nchmod +x \"$2/fovea\"\n");
    assert_int_equal(run_copy("bin"), 0);
    assert_says("asked", "install -y --no-install-recommends no-such-package");
    assert_says("stdout", "built and called with --version");
    assert_int_equal(remove("asked"), 0);
    assert_int_equal(run_copy("bin"), 0);
    assert_says("stdout", "built and called with --version");
    assert_false(fv_file_exists("asked"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_library_has_a_package_and_a_probe),
        cmocka_unit_test(missing_packages_are_named_without_root),
        cmocka_unit_test(packages_are_installed_with_root),
        cmocka_unit_test(what_was_installed_is_built_with),
    };
    return cmocka_run_group_tests(tests, enter_folder, leave_folder);
}
