#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "core/file.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <stdio.h>

/* Every test has an empty folder of its own, which is the working folder meanwhile. */
static char home[] = "/tmp/fovea-file-XXXXXX";

static int enter(void **state) {
    (void)state;
    strcpy(home + strlen(home) - 6, "XXXXXX");
    return mkdtemp(home) && chdir(home) == 0 ? 0 : -1;
}

static int leave(void **state) {
    (void)state;
    fv_file_inject(0, FV_INJECT_NOTHING);
    return chdir("/") == 0 && fv_path_remove(home, NULL) == FV_OK ? 0 : -1;
}

static void assert_file(const char *path, const char *want) {
    char *text;
    size_t size;
    assert_int_equal(fv_file_read(&text, &size, path, NULL), FV_OK);
    assert_string_equal(text, want);
    assert_int_equal(size, strlen(want));
    free(text);
}

static size_t entries(const char *folder) {
    fv_names names;
    assert_int_equal(fv_folder_list(&names, folder, NULL), FV_OK);
    size_t count = names.count;
    fv_names_free(&names);
    return count;
}

static void assert_path(char *got, const char *want) {
    assert_non_null(got);
    assert_string_equal(got, want);
    free(got);
}

static void paths(void **state) {
    (void)state;
    assert_path(fv_path_join("a", "b.png"), "a/b.png");
    assert_path(fv_path_join("a/", "b.png"), "a/b.png");
    assert_path(fv_path_join("", "b.png"), "b.png");
    assert_path(fv_path_join("a", "/b.png"), "/b.png");
    assert_null(fv_path_join(NULL, "b"));
    assert_path(fv_path_folder("a/b.png"), "a");
    assert_path(fv_path_folder("b.png"), ".");
    assert_path(fv_path_folder("/b.png"), "/");
    assert_path(fv_path_folder("a/b/"), "a");
    assert_path(fv_path_folder("b//"), ".");
    assert_path(fv_path_folder("/"), "/");
    assert_string_equal(fv_path_name("a/b.png"), "b.png");
    assert_path(fv_path_absolute("/a/./b/../c//d/"), "/a/c/d");
    assert_path(fv_path_absolute("/../.."), "/");
    char here[4096], want[4200];
    assert_non_null(getcwd(here, sizeof here));
    snprintf(want, sizeof want, "%s/x", here);
    assert_path(fv_path_absolute("y/../x"), want);
}

static void reading(void **state) {
    (void)state;
    fv_error err;
    char *text;
    assert_int_equal(fv_file_write("f", "one\0two", 7, &err), FV_OK);
    size_t size;
    assert_int_equal(fv_file_read(&text, &size, "f", &err), FV_OK);
    assert_int_equal(size, 7);
    assert_memory_equal(text, "one\0two", 8);
    free(text);
    fv_map map;
    assert_int_equal(fv_map_open(&map, "f", &err), FV_OK);
    assert_int_equal(map.size, 7);
    assert_memory_equal(map.data, "one\0two", 7);
    fv_map_close(&map);
    assert_int_equal(fv_file_write("empty", NULL, 0, &err), FV_OK);
    assert_int_equal(fv_map_open(&map, "empty", &err), FV_OK);
    assert_null(map.data);
    fv_map_close(&map);

    assert_int_equal(fv_file_read(&text, NULL, "missing", &err), FV_IO);
    assert_null(text);
    assert_string_equal(err.text, "missing: open: No such file or directory");
    assert_int_equal(fv_file_read(&text, NULL, ".", &err), FV_IO);
    assert_string_equal(err.text, ".: read: Is a directory");
    assert_int_equal(fv_map_open(&map, ".", &err), FV_IO);
    assert_string_equal(err.text, ".: read: Is a directory");
    assert_int_equal(fv_file_read(&text, NULL, NULL, &err), FV_NO_MEMORY);
}

static void folders(void **state) {
    (void)state;
    fv_error err;
    assert_int_equal(fv_folder_make("a/b//c", &err), FV_OK);
    assert_int_equal(fv_folder_make("a/b/c", &err), FV_OK);
    assert_true(fv_folder_exists("a/b/c"));
    assert_false(fv_file_exists("a/b/c"));
    assert_int_equal(fv_file_write("a/z", "", 0, &err), FV_OK);
    assert_int_equal(fv_file_write("a/B", "", 0, &err), FV_OK);
    fv_names names;
    assert_int_equal(fv_folder_list(&names, "a", &err), FV_OK);
    assert_int_equal(names.count, 3);
    assert_string_equal(names.names[0], "B");
    assert_string_equal(names.names[1], "b");
    assert_string_equal(names.names[2], "z");
    fv_names_free(&names);
    assert_int_equal(fv_folder_make("a/z/under-a-file", &err), FV_IO);
    assert_string_equal(err.text, "a/z: make folder: File exists");
    assert_int_equal(fv_folder_list(&names, "nothing", &err), FV_IO);

    assert_int_equal(symlink("../a", "a/link"), 0); /* removing must not follow it */
    assert_int_equal(fv_path_remove("a/link", &err), FV_OK);
    assert_true(fv_file_exists("a/z"));
    assert_int_equal(fv_path_remove("a", &err), FV_OK);
    assert_int_equal(entries("."), 0);
    assert_int_equal(fv_path_remove("a", &err), FV_OK);
}

static void whole_files(void **state) {
    (void)state;
    fv_error err;
    fv_out *o;
    static char big[200000];
    memset(big, 'x', sizeof big - 1);
    assert_int_equal(fv_out_open(&o, "f", &err), FV_OK);
    fv_out_printf(o, "%d", 7);
    assert_false(fv_file_exists("f")); /* not under its name before commit */
    assert_int_equal(fv_out_commit(o, &err), FV_OK);
    assert_file("f", "7");
    struct stat s;
    mode_t mask = umask(022);
    umask(mask);
    assert_int_equal(stat("f", &s), 0);
    assert_int_equal(s.st_mode & 0777, 0666 & ~mask);

    assert_int_equal(fv_out_open(&o, "f", &err), FV_OK); /* replaces; larger than the buffer */
    for (int i = 0; i < 3; i++) fv_out_write(o, big, sizeof big - 1);
    assert_int_equal(fv_out_commit(o, &err), FV_OK);
    char *text;
    size_t size;
    assert_int_equal(fv_file_read(&text, &size, "f", &err), FV_OK);
    assert_int_equal(size, 3 * (sizeof big - 1));
    free(text);

    assert_int_equal(fv_out_open(&o, "f", &err), FV_OK);
    fv_out_write(o, "no", 2);
    fv_out_abandon(o);
    assert_int_equal(entries("."), 1);
    assert_int_equal(fv_out_open(&o, "missing/f", &err), FV_IO);
    assert_string_equal(err.text, "missing/f: create: No such file or directory");
    assert_int_equal(fv_file_copy("f", "g", &err), FV_OK);
    assert_int_equal(entries("."), 2);

    fv_text failed = {.failed = true};
    assert_int_equal(fv_out_open(&o, "h", &err), FV_OK);
    fv_out_text(o, &failed);
    assert_true(fv_out_failed(o));
    assert_int_equal(fv_out_commit(o, &err), FV_NO_MEMORY);
    assert_int_equal(entries("."), 2);
}

/* What can't be replaced is written where it is: pipes and devices. A folder is refused before anything is computed. */
static void pipes_and_devices(void **state) {
    (void)state;
    fv_error err;
    struct stat s;
    char got[8] = "";
    assert_int_equal(mkfifo("pipe", 0600), 0);
    int reader = open("pipe", O_RDONLY | O_NONBLOCK);
    assert_true(reader >= 0);
    assert_int_equal(fv_file_write("pipe", "words", 5, &err), FV_OK);
    assert_int_equal(read(reader, got, sizeof got), 5);
    assert_string_equal(got, "words");
    close(reader);
    assert_int_equal(fv_file_write("/dev/full", "words", 5, &err), FV_IO);
    assert_string_equal(err.text, "/dev/full: write: No space left on device");
    assert_true(stat("/dev/full", &s) == 0 && S_ISCHR(s.st_mode));
    assert_int_equal(fv_file_write(".", "words", 5, &err), FV_IO);
    assert_int_equal(fv_file_write("f/", "words", 5, &err), FV_IO);
    assert_string_equal(err.text, "f/: write: a file's name is needed, this is a folder's");
    assert_int_equal(entries("."), 1);
}

static void lines(void **state) {
    (void)state;
    fv_error err;
    fv_lines *l;
    assert_int_equal(fv_lines_open(&l, "m.jsonl", &err), FV_OK);
    assert_int_equal(fv_lines_append(l, "{\"a\": 1}", 8, &err), FV_OK);
    uint64_t noted = fv_lines_size(l);
    assert_int_equal(noted, 9);
    assert_int_equal(fv_lines_append(l, "2", 1, &err), FV_OK);
    assert_int_equal(fv_lines_sync(l, &err), FV_OK);
    fv_lines_close(l);
    assert_file("m.jsonl", "{\"a\": 1}\n2\n");

    assert_int_equal(fv_lines_open(&l, "m.jsonl", &err), FV_OK);
    assert_int_equal(fv_lines_size(l), 11);
    assert_int_equal(fv_lines_truncate(l, noted, &err), FV_OK);
    assert_int_equal(fv_lines_append(l, "3", 1, &err), FV_OK);
    assert_file("m.jsonl", "{\"a\": 1}\n3\n");
    assert_int_equal(fv_lines_truncate(l, 100, &err), FV_IO);
    assert_string_equal(err.text, "m.jsonl: truncate: it has 11 bytes, 100 were expected");

    fv_file_inject(1, FV_INJECT_FULL); /* half of a line reaches the disk, and is taken back */
    assert_int_equal(fv_lines_append(l, "a longer line", 13, &err), FV_IO);
    assert_string_equal(err.text, "m.jsonl: write: No space left on device");
    assert_file("m.jsonl", "{\"a\": 1}\n3\n");
    assert_int_equal(fv_lines_append(l, "4", 1, &err), FV_OK);
    assert_file("m.jsonl", "{\"a\": 1}\n3\n4\n");
    fv_lines_close(l);
}

static fv_status write_folder(fv_error *err) {
    char *temporary;
    FV_TRY(fv_folder_begin(&temporary, "step-1", err));
    char *sub = fv_path_join(temporary, "trainer_state"), *a = fv_path_join(temporary, "a"), *b = fv_path_join(sub, "b");
    fv_status status = fv_folder_make(sub, err);
    if (status == FV_OK) status = fv_file_write(a, "1", 1, err);
    if (status == FV_OK) status = fv_file_write(b, "2", 1, err);
    if (status == FV_OK) status = fv_folder_commit(temporary, "step-1", err);
    if (status != FV_OK) fv_path_remove(temporary, NULL);
    free(temporary);
    free(sub);
    free(a);
    free(b);
    return status;
}

/* `path` is whole at any moment: the new one, or what was there. */
static void replaced_folders(void **state) {
    (void)state;
    fv_error err;
    char *temporary;
    bool done = false;
    assert_int_equal(fv_folder_make("r/step-1", &err), FV_OK);
    assert_int_equal(fv_file_write("r/step-1/a", "old", 3, &err), FV_OK);
    for (int failing = 1; !done; failing++) {
        assert_int_equal(fv_folder_begin(&temporary, "r/step-1", &err), FV_OK);
        char *a = fv_path_join(temporary, "a");
        assert_int_equal(fv_file_write(a, "new", 3, &err), FV_OK);
        free(a);
        fv_file_inject(failing, FV_INJECT_FULL);
        done = fv_folder_replace(temporary, "r/step-1", &err) == FV_OK;
        fv_file_inject(0, FV_INJECT_NOTHING);
        if (!done) assert_int_equal(fv_path_remove(temporary, &err), FV_OK);
        free(temporary);
        assert_int_equal(entries("r"), 1);
        assert_file("r/step-1/a", failing <= 3 ? "old" : "new"); /* after a file, a folder and the exchange: the folder above is synced */
        assert_true(failing <= 5);
    }
}

static void whole_folders(void **state) {
    (void)state;
    fv_error err;
    assert_int_equal(write_folder(&err), FV_OK);
    assert_file("step-1/trainer_state/b", "2");
    assert_int_equal(entries("."), 1);
    assert_int_equal(write_folder(&err), FV_IO); /* it exists */
    assert_non_null(strstr(err.text, "step-1: rename: "));
    assert_int_equal(entries("."), 1);
    char *temporary; /* a new folder, and an empty one, as the shell completes their names */
    for (int i = 0; i < 2; i++) {
        assert_int_equal(fv_folder_begin(&temporary, "new/empty/", &err), FV_OK);
        assert_int_equal(fv_folder_commit(temporary, "new/empty/", &err), FV_OK);
        assert_int_equal(entries("new"), 1);
        assert_int_equal(entries("new/empty"), 0);
        free(temporary);
    }
}

/* Whatever operation fails: a message, and the old file as it was. */
static void every_failure_keeps_the_old_file(void **state) {
    (void)state;
    fv_error err;
    assert_int_equal(fv_file_write("f", "old", 3, &err), FV_OK);
    int64_t before = fv_file_operations();
    assert_int_equal(fv_file_write("probe", "new", 3, &err), FV_OK);
    int64_t count = fv_file_operations() - before;
    assert_int_equal(count, 4); /* write, sync, rename, sync of the folder */
    for (int64_t n = 1; n <= count; n++) {
        fv_file_inject(n, FV_INJECT_FULL);
        assert_int_equal(fv_file_write("f", "new", 3, &err), FV_IO);
        assert_non_null(strstr(err.text, "No space left on device"));
        assert_file("f", n < count ? "old" : "new"); /* the last one comes after the rename */
        assert_int_equal(entries("."), 2);
    }
    before = fv_file_operations();
    assert_int_equal(write_folder(&err), FV_OK);
    count = fv_file_operations() - before;
    for (int64_t n = 1; n < count; n++) {
        assert_int_equal(fv_path_remove("step-1", &err), FV_OK);
        fv_file_inject(n, FV_INJECT_FULL);
        assert_int_equal(write_folder(&err), FV_IO);
        assert_false(fv_folder_exists("step-1"));
        assert_int_equal(entries("."), 2);
    }
}

/* Killed anywhere, a folder is there whole or not at all, and what is left over can be swept. */
static void killed_anywhere(void **state) {
    (void)state;
    fv_error err;
    int64_t before = fv_file_operations();
    assert_int_equal(write_folder(&err), FV_OK);
    int64_t count = fv_file_operations() - before;
    for (int64_t n = 1; n <= count; n++) {
        assert_int_equal(fv_path_remove("step-1", &err), FV_OK);
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            fv_file_inject(n, FV_INJECT_KILL);
            write_folder(NULL);
            _exit(0);
        }
        int how;
        assert_int_equal(waitpid(child, &how, 0), child);
        assert_true(WIFSIGNALED(how) && WTERMSIG(how) == SIGKILL);
        if (n < count) assert_false(fv_folder_exists("step-1"));
        else assert_file("step-1/trainer_state/b", "2");
        assert_int_equal(fv_folder_sweep(".", &err), FV_OK);
        assert_int_equal(entries("."), n < count ? 0 : 1);
    }
}

static void sweeping_takes_nothing_else(void **state) {
    (void)state;
    fv_error err;
    static const char *const kept[] = {"a.tmp", "a.tmp-12345", "a.tmp-1234567", "a.tmp-ABCDEF", ".tmp-123456", "tmp-123456"};
    for (size_t i = 0; i < FV_COUNT(kept); i++) assert_int_equal(fv_file_write(kept[i], "", 0, &err), FV_OK);
    assert_int_equal(fv_folder_make("b.tmp-0a1b2c/sub", &err), FV_OK);
    assert_int_equal(fv_folder_sweep(".", &err), FV_OK);
    assert_int_equal(entries("."), FV_COUNT(kept));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, enter, leave)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(paths), TEST(reading), TEST(folders), TEST(whole_files), TEST(pipes_and_devices), TEST(lines), TEST(whole_folders), TEST(replaced_folders),
        TEST(every_failure_keeps_the_old_file), TEST(killed_anywhere), TEST(sweeping_takes_nothing_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
