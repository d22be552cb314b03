#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "core/file.h"
#include "core/random.h"
#include "datasets/dataset.h"
#include "datasets/generator.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char folder[] = "/tmp/fovea-test-dataset-XXXXXX";

/* A file in the tests' folder; the path is valid until the next call with the same slot. */
static const char *file(int slot, const char *name, const char *bytes, size_t size) {
    static char paths[4][128];
    snprintf(paths[slot], sizeof paths[slot], "%s/%s", folder, name);
    FILE *f = fopen(paths[slot], "wb"); /* not fv_file_write: its sync would take the test's whole time */
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, size, f), size);
    assert_int_equal(fclose(f), 0);
    return paths[slot];
}

static fv_dataset *opened(json_t *spec) {
    fv_error err = {.text = ""};
    fv_dataset *d;
    if (fv_dataset_open(&d, spec, 1, &err) != FV_OK) fail_msg("%s", err.text);
    json_decref(spec);
    return d;
}

static void refused(json_t *spec, fv_status status, const char *why) {
    fv_error err = {.text = ""};
    fv_dataset *d;
    assert_int_equal(fv_dataset_open(&d, spec, 1, &err), status);
    assert_null(d);
    if (strstr(err.text, why) == NULL) fail_msg("%s", err.text);
    json_decref(spec);
}

#define FILE_OF(text) file(0, "rows.jsonl", text, sizeof text - 1)
#define ROW(id, text) "{\"id\": " id ", \"problem\": \"" text "\", \"answer\": 1}"

static void expect(const fv_dataset *d, int64_t i, const char *id, const char *problem, const char *place) {
    fv_error err = {.text = ""};
    fv_row *r;
    if (fv_dataset_row(d, i, &r, &err) != FV_OK) fail_msg("%s", err.text);
    assert_string_equal(r->id, id);
    const json_t *given = json_object_get(r->json, "id"); /* a number stays one */
    assert_true(json_is_integer(given) ? json_integer_value(given) == strtoll(id, NULL, 10) : strcmp(json_string_value(given), id) == 0);
    assert_string_equal(fv_row_text(r, "problem"), problem);
    assert_string_equal(fv_row_answer(r), "1");
    assert_string_equal(r->folder, folder);
    assert_string_equal(r->place + strlen(r->place) - strlen(place), place);
    assert_int_equal(json_array_size(json_object_get(r->json, "messages")), 1);
    fv_row_free(r);
}

static void bad_row(const fv_dataset *d, int64_t i, const char *why) {
    fv_error err = {.text = ""};
    fv_row *r;
    assert_int_equal(fv_dataset_row(d, i, &r, &err), FV_BAD_DATA);
    assert_null(r);
    if (strstr(err.text, why) == NULL) fail_msg("%s", err.text);
}

static void lines_as_people_write_them(void **state) {
    (void)state;
    /* byte order mark, CRLF, blank lines, no newline at the end */
    fv_dataset *d = opened(json_string(FILE_OF("\xEF\xBB\xBF" ROW("\"a\"", "one") "\r\n\r\n   \n" ROW("7", "two") "\n{\"problem\": \"three\", \"answer\": 1}")));
    assert_int_equal(fv_dataset_count(d), 3);
    expect(d, 0, "a", "one", "rows.jsonl:1");
    expect(d, 1, "7", "two", "rows.jsonl:4");
    expect(d, 2, "2", "three", "rows.jsonl:5"); /* without an id: the row's number */
    fv_row *r;
    assert_int_equal(fv_dataset_row(d, 3, &r, NULL), FV_BAD_USAGE);
    assert_int_equal(fv_dataset_row(d, -1, &r, NULL), FV_BAD_USAGE);
    fv_dataset_close(d);
}

static void arrays(void **state) {
    (void)state;
    fv_dataset *d = opened(json_string(FILE_OF("[\n  " ROW("\"a]}\\\\\\\"\"", "[{,") ",\n\n  {\"problem\":\n\"two\", \"answer\": 1}\n]\n")));
    assert_int_equal(fv_dataset_count(d), 2);
    expect(d, 0, "a]}\\\"", "[{,", "rows.jsonl:2");
    expect(d, 1, "1", "two", "rows.jsonl:4");
    fv_dataset_close(d);
    refused(json_string(FILE_OF("[" ROW("1", "x") ",")), FV_BAD_DATA, "a row is missing, or the array is not closed");
    refused(json_string(FILE_OF("[" ROW("1", "x") ",\n{\"id\": ")), FV_BAD_DATA, "rows.jsonl:2: the file ends inside its array: cut short?");
    refused(json_string(FILE_OF("[" ROW("1", "x") "]\n" ROW("2", "y") "\n")), FV_BAD_DATA, "rows.jsonl:2: the file goes on behind its array");
    refused(json_string(FILE_OF("[" ROW("1", "x") " " ROW("2", "x") "]")), FV_BAD_DATA, ", or ] must follow a row, got \"{\"");
    refused(json_string(FILE_OF("[ ]")), FV_BAD_DATA, "no rows in it");
}

static void files_that_are_none(void **state) {
    (void)state;
    refused(json_string("no-such-file.jsonl"), FV_IO, "no-such-file.jsonl");
    refused(json_string(FILE_OF("")), FV_BAD_DATA, "no rows in it");
    refused(json_string(FILE_OF(" \n\n")), FV_BAD_DATA, "no rows in it");
    refused(json_string(FILE_OF("PAR1\x15\x04")), FV_UNSUPPORTED, "Parquet is not read; convert it (pip install pyarrow):\npython3 -c \"");
}

static void bad_rows_spare_the_others(void **state) {
    (void)state;
    fv_dataset *d = opened(json_string(FILE_OF(ROW("1", "good") "\n{\"problem\": \"cut sh\n" ROW("3", "caf\xe9") "\n[1]\nnonsense\n{\"id\": [1], \"problem\": \"x\"}\n" ROW("1.5", "x") "\n"
                                               "{\"id\": \"\", \"problem\": \"x\"}\n" ROW("4", "good too"))));
    assert_int_equal(fv_dataset_count(d), 9);
    expect(d, 0, "1", "good", ":1");
    bad_row(d, 1, "rows.jsonl:2:");
    bad_row(d, 2, "rows.jsonl:3:");
    bad_row(d, 3, "rows.jsonl:4: a row must be an object");
    bad_row(d, 4, "rows.jsonl:5:8: not JSON: invalid token near 'nonsense'");
    bad_row(d, 5, "rows.jsonl:6: id must be a text or an integer");
    bad_row(d, 6, "rows.jsonl:7: id must be");
    bad_row(d, 7, "rows.jsonl:8: id must be");
    expect(d, 8, "4", "good too", ":9");
    fv_dataset_close(d);
}

static void equal_ids_are_found_at_the_start(void **state) {
    (void)state;
    refused(json_string(FILE_OF(ROW("\"b\"", "x") "\n" ROW("\"a\"", "y") "\n\n{\"messages\": [{\"id\": 3}], \"id\" : \"a\"}\n" ROW("\"b\"", "x"))), FV_BAD_DATA,
            "rows.jsonl:4: id must be unique, but a is also that of line 2");
    refused(json_string(FILE_OF("[" ROW("7", "x") ",\n" ROW("\"7\"", "y") "]")), FV_BAD_DATA, "rows.jsonl:2: id must be unique, but 7 is also that of line 1");
    refused(json_string(FILE_OF("{\"problem\": \"x\"}\n" ROW("0", "y") "\n")), FV_BAD_DATA,
            "rows.jsonl:2: id must be unique, but 0 is also that of line 1 (a row without an id has its number, from 0)");
    fv_dataset_close(opened(json_string(FILE_OF(ROW("null", "x") "\n" ROW("null", "y") "\n")))); /* null is no id */
    fv_dataset_close(opened(json_string(FILE_OF(ROW("1", "x") "\n{\"problem\": \"cut\n"))));    /* and what is cut off has none either */
    fv_dataset_close(opened(json_string(FILE_OF("{\"x\": {\"id\": 1}, \"id\": 2}\n{\"x\": {\"id\": 1}, \"id\": 3}"))));
}

/* LLaVA's ids are their pictures'. Others that repeat are still mistakes. */
static void pictures_may_have_several_conversations(void **state) {
    (void)state;
#define TALK(id) "{\"id\": " id ", \"conversations\": [{\"from\": \"human\", \"value\": \"q\"}]}\n"
    fv_dataset *d = opened(json_string(FILE_OF(TALK("\"a\"") TALK("\"b\"") TALK("\"a\"") ROW("1", "x"))));
    fv_row *row;
    static const char *const ids[] = {"a/0", "b/1", "a/2", "1"};
    for (int64_t i = 0; i < 4; i++) {
        assert_int_equal(fv_dataset_row(d, i, &row, NULL), FV_OK);
        assert_string_equal(row->id, ids[i]);
        fv_row_free(row);
    }
    fv_dataset_close(d);
    refused(json_string(FILE_OF(TALK("\"a\"") TALK("\"a\"") ROW("1", "x") "\n" ROW("1", "y"))), FV_BAD_DATA, "rows.jsonl:4: id must be unique");
#undef TALK
}

/* Truncations and mutations of a file: an error or rows, never a crash (run under the sanitizers). */
static void mutated_files(void **state) {
    (void)state;
    static const char good[] = "[" ROW("\"a\\\"\"", "one") ", " ROW("7", "two") ",\n{\"messages\": [{\"role\": \"user\", \"content\": [{\"type\": \"image\", \"image\": \"a\"}]}]}]\n";
    char bytes[sizeof good];
    fv_random r = fv_random_stream(3);
    for (int i = 0; i < 1500; i++) {
        size_t size = sizeof good - 1;
        memcpy(bytes, good, size);
        if (i % 3 == 0) size = (size_t)fv_below(&r, (int64_t)size) + 1;
        for (int64_t n = i % 3 ? fv_below(&r, 4) + 1 : 0; n > 0; n--) bytes[fv_below(&r, (int64_t)size)] = "{}[]\",:\\\n a1\xff\0"[fv_below(&r, 14)];
        json_t *spec = json_string(file(0, "rows.jsonl", bytes + i % 2, size - (size_t)(i % 2)));
        fv_dataset *d;
        if (fv_dataset_open(&d, spec, 1, NULL) == FV_OK) {
            fv_row *row;
            for (int64_t k = 0; k < fv_dataset_count(d); k++)
                if (fv_dataset_row(d, k, &row, NULL) == FV_OK) fv_row_free(row);
            fv_dataset_close(d);
        }
        json_decref(spec);
    }
}

/* ---- mixtures and generators ------------------------------------------------------------------------------------------ */

static const char *numbered(int slot, int rows) {
    fv_text t = {0};
    char name[16];
    for (int i = 0; i < rows; i++) fv_text_printf(&t, "{\"problem\": \"p%d\", \"answer\": 1}\n", i);
    snprintf(name, sizeof name, "n%d.jsonl", slot);
    const char *path = file(slot, name, t.data, t.size);
    fv_text_clear(&t);
    return path;
}

static void concatenation(void **state) {
    (void)state;
    fv_dataset *d = opened(json_pack("[s, {s:s}]", numbered(1, 30), "path", numbered(2, 70)));
    assert_int_equal(fv_dataset_count(d), 100);
    expect(d, 29, "1/29", "p29", "n1.jsonl:30");
    expect(d, 30, "2/0", "p0", "n2.jsonl:1");
    char seen[100] = {0};
    int moved = 0;
    for (int64_t i = 0; i < 100; i++) {
        int64_t row = fv_dataset_draw(d, 9, i);
        assert_int_equal(seen[row]++, 0);
        assert_int_equal(row, fv_dataset_draw(d, 9, i));
        moved += row != fv_dataset_draw(d, 10, i);
    }
    assert_true(moved > 80); /* another seed, another order */
    fv_dataset_close(d);
}

static void weights(void **state) {
    (void)state;
    fv_dataset *d = opened(json_pack("[{s:s, s:i}, {s:s}]", "path", numbered(1, 30), "weight", 3, "path", numbered(2, 70)));
    int first = 0, count[100] = {0};
    for (int64_t i = 0; i < 4 * 210; i++) {
        int64_t row = fv_dataset_draw(d, 9, i);
        first += row < 30;
        count[row]++;
    }
    assert_in_range(first, 627, 633);
    for (int i = 0; i < 100; i++) assert_in_range(count[i], i < 30 ? 20 : 2, i < 30 ? 22 : 4); /* epochs of each source */
    fv_dataset_close(d);
}

static void specs(void **state) {
    (void)state;
    const char *path = numbered(1, 3);
    refused(json_integer(3), FV_BAD_RECIPE, "data must be a path");
    refused(json_array(), FV_BAD_RECIPE, "data must name 1 to 1024 sources, got 0");
    refused(json_pack("{s:s, s:i}", "path", path, "wieght", 2), FV_BAD_RECIPE, "data: a file has no field wieght; did you mean weight?");
    refused(json_pack("[s, {s:s, s:i}]", path, "path", path, "weight", 0), FV_BAD_RECIPE, "data[1]: weight must be above 0");
    refused(json_pack("{s:i}", "weight", 1), FV_BAD_RECIPE, "path");
    refused(json_pack("{s:s}", "make", "gold"), FV_BAD_RECIPE, "data.make must be one of ");
    refused(json_pack("{s:s, s:i}", "make", "visual-search", "n", 0), FV_BAD_RECIPE, "n must be");
    refused(json_pack("{s:s, s:i}", "make", "visual-search", "plaets", 3), FV_BAD_RECIPE, "plaets");
}

static void generated_rows(void **state) {
    (void)state;
    fv_dataset *d = opened(json_pack("{s:s, s:i, s:s, s:i}", "make", "visual-search", "n", 5, "split", "test", "seed", 4));
    assert_int_equal(fv_dataset_count(d), 5);
    fv_row *a, *b;
    assert_int_equal(fv_dataset_row(d, 3, &a, NULL), FV_OK);
    assert_int_equal(fv_dataset_row(d, 3, &b, NULL), FV_OK);
    assert_true(json_equal(a->json, b->json));
    assert_true(a->image_count > 0);
    assert_memory_equal(a->images[0]->rgb, b->images[0]->rgb, (size_t)a->images[0]->width * (size_t)a->images[0]->height * 3);
    assert_non_null(fv_row_answer(a));
    assert_null(a->folder);
    fv_row_free(b);
    fv_row_free(a);
    fv_dataset_close(d);
}

/* ---- threads ---------------------------------------------------------------------------------------------------------- */

static void *read_all(void *data) {
    size_t bad = 0;
    for (int i = 0; i < 300; i++) {
        fv_row *r;
        bad += fv_dataset_row(data, i % fv_dataset_count(data), &r, NULL) != FV_OK;
        fv_row_free(r);
    }
    return (void *)bad;
}

static void rows_from_several_threads(void **state) {
    (void)state;
    fv_dataset *d = opened(json_string(numbered(1, 50)));
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) assert_int_equal(pthread_create(&threads[i], NULL, read_all, d), 0);
    for (int i = 0; i < 4; i++) {
        void *bad;
        pthread_join(threads[i], &bad);
        assert_null(bad);
    }
    fv_dataset_close(d);
    fv_dataset_close(NULL);
}

static int make_folder(void **state) {
    (void)state;
    return mkdtemp(folder) == NULL;
}

static int remove_folder(void **state) {
    (void)state;
    return fv_path_remove(folder, NULL) != FV_OK;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_as_people_write_them),
        cmocka_unit_test(arrays),
        cmocka_unit_test(files_that_are_none),
        cmocka_unit_test(bad_rows_spare_the_others),
        cmocka_unit_test(equal_ids_are_found_at_the_start), cmocka_unit_test(pictures_may_have_several_conversations),
        cmocka_unit_test(mutated_files),
        cmocka_unit_test(concatenation),
        cmocka_unit_test(weights),
        cmocka_unit_test(specs),
        cmocka_unit_test(generated_rows),
        cmocka_unit_test(rows_from_several_threads),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
