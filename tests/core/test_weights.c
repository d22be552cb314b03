#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "core/file.h"
#include "core/weights.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Made by tests/peers/core_safetensors.py. */
#define LIBRARY FOVEA_SOURCE "/tests/core/data/library.safetensors"

static char home[] = "/tmp/fovea-weights-XXXXXX";

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

/* A file with this header, followed by `data_size` bytes of 1, 2, 3 ... */
static size_t make_file(char *out, const char *header, size_t data_size) {
    size_t n = strlen(header);
    for (int i = 0; i < 8; i++) out[i] = (char)(unsigned char)(n >> (8 * i));
    memcpy(out + 8, header, n);
    for (size_t i = 0; i < data_size; i++) out[8 + n + i] = (char)(i + 1);
    return 8 + n + data_size;
}

static void reads_what_the_library_wrote(void **state) {
    (void)state;
    fv_weights *w;
    fv_error err;
    assert_int_equal(fv_weights_open(&w, LIBRARY, &err), FV_OK);
    assert_int_equal(fv_weights_count(w), 9);
    for (size_t i = 1; i < 9; i++) assert_true(strcmp(fv_weights_at(w, i - 1)->name, fv_weights_at(w, i)->name) < 0);
    fv_view v;
    assert_int_equal(fv_weights_get(w, "a.weight", &v, &err), FV_OK);
    assert_int_equal(v.dtype, FV_F32);
    assert_int_equal(v.rank, 2);
    assert_int_equal(v.shape[1], 3);
    assert_true(fv_f32(v)[5] == 5.0f / 8);
    float norm[3];
    v = fv_weights_find(w, "model.norm.weight")->view;
    fv_to_f32(norm, v.data, v.dtype, 3);
    assert_true(v.dtype == FV_BF16 && norm[1] == -2.5f);
    assert_int_equal(((const int64_t *)fv_weights_find(w, "positions")->view.data)[1], -8);
    assert_int_equal(fv_weights_find(w, "double")->view.rank, 0);
    assert_null(fv_weights_find(w, "norm"));
    assert_int_equal(fv_weights_get(w, "model.norm.wieght", &v, &err), FV_BAD_MODEL);
    assert_non_null(strstr(err.text, "library.safetensors: no tensor model.norm.wieght (there is model.norm.weight)"));
    fv_weights_close(w);
}

static void writes_what_the_library_writes(void **state) {
    (void)state;
    fv_weights *w;
    assert_int_equal(fv_weights_open(&w, LIBRARY, NULL), FV_OK);
    assert_int_equal(fv_weights_save("ours", fv_weights_at(w, 0), fv_weights_count(w), FV_DTYPES, NULL), FV_OK);
    fv_weights_close(w);
    char *ours, *theirs;
    size_t size, their_size;
    assert_int_equal(fv_file_read(&ours, &size, "ours", NULL), FV_OK);
    assert_int_equal(fv_file_read(&theirs, &their_size, LIBRARY, NULL), FV_OK);
    assert_int_equal(size, their_size);
    assert_memory_equal(ours, theirs, size);
    free(ours);
    free(theirs);
}

static void casts(void **state) {
    (void)state;
    enum { N = 40000 }; /* several chunks */
    float *x = malloc(N * sizeof *x), *back = malloc(N * sizeof *back);
    for (int i = 0; i < N; i++) x[i] = (float)i / 7 - 1000;
    int32_t ids[2] = {3, -4};
    fv_tensor tensors[] = {{"w", fv_mat(x, 4, N / 4)}, {"ids", fv_ints(ids, 2)}, {"none", {.dtype = FV_F32, .rank = 2, .shape = {0, 3}}}};
    static const fv_dtype kinds[] = {FV_F32, FV_BF16, FV_F16};
    for (size_t k = 0; k < FV_COUNT(kinds); k++) {
        fv_weights *w;
        assert_int_equal(fv_weights_save("w.safetensors", tensors, 3, kinds[k], NULL), FV_OK);
        assert_int_equal(fv_weights_open(&w, "w.safetensors", NULL), FV_OK);
        fv_view v = fv_weights_find(w, "w")->view;
        assert_int_equal(v.dtype, kinds[k]);
        fv_to_f32(back, v.data, v.dtype, N);
        for (int i = 0; i < N; i++) {
            float want;
            unsigned char stored[4];
            fv_from_f32(stored, kinds[k], &x[i], 1);
            fv_to_f32(&want, stored, kinds[k], 1);
            assert_true(back[i] == want);
        }
        assert_int_equal(((const int32_t *)fv_weights_find(w, "ids")->view.data)[1], -4);
        assert_int_equal(fv_elements(fv_weights_find(w, "none")->view), 0);
        fv_weights_close(w);
    }
    fv_error err;
    assert_int_equal(fv_weights_save("w", tensors, 3, FV_I8, &err), FV_UNSUPPORTED);
    tensors[1].name = "w";
    tensors[1].view.dtype = FV_F32;
    assert_int_equal(fv_weights_save("w", tensors, 2, FV_BF16, &err), FV_BAD_MODEL);
    assert_string_equal(err.text, "w: tensor w is given twice");
    assert_false(fv_file_exists("w"));
    free(x);
    free(back);
}

static void a_failed_write_keeps_the_old_file(void **state) {
    (void)state;
    float x[4] = {1, 2, 3, 4};
    fv_tensor t = {"w", fv_vec(x, 4)};
    fv_error err;
    assert_int_equal(fv_weights_save("w", &t, 1, FV_F32, &err), FV_OK);
    x[0] = 9;
    for (int n = 1; n <= 3; n++) {
        fv_file_inject(n, FV_INJECT_FULL);
        assert_int_equal(fv_weights_save("w", &t, 1, FV_F32, &err), FV_IO);
        fv_weights *w;
        assert_int_equal(fv_weights_open(&w, "w", &err), FV_OK);
        assert_true(fv_f32(fv_weights_find(w, "w")->view)[0] == 1);
        fv_weights_close(w);
    }
}

/* A header that is not padded leaves the data at odd addresses. */
static void unaligned_data_are_copied(void **state) {
    (void)state;
    char file[256];
    size_t size = make_file(file, "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},\"w\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[1,5]}}", 5);
    memcpy(file + size - 4, (float[]){-1.5f}, 4);
    fv_weights *w;
    assert_int_equal(fv_file_write("w", file, size, NULL), FV_OK);
    assert_int_equal(fv_weights_open(&w, "w", NULL), FV_OK);
    assert_true(fv_f32(fv_weights_find(w, "w")->view)[0] == -1.5f);
    fv_weights_close(w);
}

#define T(name, dtype, shape, begin, end) "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":[" #begin "," #end "]}"

static const struct {
    const char *header;
    size_t data;
    const char *want; /* NULL: fine */
} files[] = {
    {"{}", 0, NULL},
    {"{}   ", 0, NULL},
    {"{" T("a", "F32", "[2]", 0, 8) "," T("b", "I8", "[0]", 8, 8) "," T("c", "I8", "[]", 8, 9) "}", 9, NULL},
    {"{\"__metadata__\":{\"x\":\"y\"}," T("a", "I8", "[2,1]", 0, 2) "}", 2, NULL},
    {"{" T("model.norm.weight", "F32", "[64]", 0, 128) "}", 128,
     "f: tensor model.norm.weight: data_offsets [0, 128] do not match shape [64] of F32 (256 bytes)"},
    {"{" T("a", "F32", "[2]", 0, 8) "}", 4, "f: tensor a: data_offsets [0, 8] end behind the file's 4 bytes of data"},
    {"{" T("a", "F32", "[2]", 0, 8) "}", 9, "f: the tensors end at 8, but the file has 9 bytes of data"},
    {"{" T("a", "I8", "[4]", 0, 4) "," T("b", "I8", "[4]", 3, 7) "}", 7, "f: tensor b begins at 3, but the data before it end at 4 (an overlap)"},
    {"{" T("a", "I8", "[4]", 0, 4) "," T("b", "I8", "[4]", 5, 9) "}", 9, "f: tensor b begins at 5, but the data before it end at 4 (a hole)"},
    {"{" T("a", "I8", "[4]", 1, 5) "}", 5, "f: tensor a begins at 1"},
    {"{" T("a", "I8", "[4]", 0, 4) "," T("a", "I8", "[4]", 4, 8) "}", 8, "not JSON: duplicate object key"},
    {"{" T("a", "F8_E4M3", "[4]", 0, 4) "}", 4, "f: tensor a: dtype F8_E4M3 is not supported"},
    {"{" T("a", "I8", "[1,1,1,1,1,1]", 0, 1) "}", 1, "f: tensor a: 6 dimensions are not supported, at most 5"},
    {"{" T("a", "I8", "[-1]", 0, 1) "}", 1, "f: tensor a: shape must hold integers from 0, got [-1]"},
    {"{" T("a", "I8", "[1.0]", 0, 1) "}", 1, "f: tensor a: shape must hold integers from 0"},
    {"{" T("a", "I8", "4", 0, 4) "}", 4, "f: tensor a: shape must be a list, got 4"},
    {"{" T("a", "F32", "[4611686018427387904,4]", 0, 0) "}", 0, "f: tensor a: shape must have a size that fits into 63 bits"},
    {"{" T("a", "F64", "[1152921504606846976]", 0, 0) "}", 0, "63 bits"},
    {"{" T("a", "I8", "[1]", 4, 3) "}", 4, "f: tensor a: data_offsets must be two integers, begin and end, got [4, 3]"},
    {"{" T("a", "I8", "[1]", -1, 0) "}", 4, "f: tensor a: data_offsets must be two integers"},
    {"{\"a\":{\"dtype\":\"I8\",\"shape\":[1],\"data_offsets\":[0]}}", 1, "f: tensor a: data_offsets must be two integers"},
    {"{\"a\":{\"dtype\":\"I8\",\"shape\":[1]}}", 1, "f: tensor a: data_offsets must be two integers, begin and end, but it is missing"},
    {"{\"a\":{\"shape\":[1],\"data_offsets\":[0,1]}}", 1, "f: tensor a: dtype must be a text, but it is missing"},
    {"{\"a\":7}", 0, "f: tensor a must be an object"},
    {"{\"__metadata__\":{\"x\":1}}", 0, "f: __metadata__: x must be a text"},
    {"{\"__metadata__\":[]}", 0, "f: __metadata__ must be an object"},
    {" {}", 0, "f: the header must begin with {"},
    {"", 0, "f: the header must begin with {"},
    {"{", 0, "f:1:1: not JSON"},
    {"{\"a\xff\":1}", 0, "not JSON"},
};

static void every_rule_of_the_format(void **state) {
    (void)state;
    for (size_t i = 0; i < FV_COUNT(files); i++) {
        char file[1024];
        fv_error err = {.text = ""};
        size_t size = make_file(file, files[i].header, files[i].data);
        char *exact = malloc(size); /* so that reading past its end shows */
        memcpy(exact, file, size);
        fv_status status = fv_weights_check(exact, size, "f", &err);
        free(exact);
        if ((status == FV_OK) != !files[i].want) fail_msg("%s: %s", files[i].header, err.text);
        if (files[i].want && !strstr(err.text, files[i].want)) fail_msg("%s lacks %s", err.text, files[i].want);
    }
    fv_error err;
    assert_int_equal(fv_weights_check("1234567", 7, "f", &err), FV_BAD_MODEL);
    assert_string_equal(err.text, "f: a safetensors file has at least 8 bytes, this one 7");
    assert_int_equal(fv_weights_check("\xff\xff\xff\xff\xff\xff\xff\xff{}", 10, "f", &err), FV_BAD_MODEL);
    assert_int_equal(fv_weights_check("\x03\0\0\0\0\0\0\0{}", 10, "f", &err), FV_BAD_MODEL);
    assert_string_equal(err.text, "f: not a safetensors file, or cut off: its header would have 3 bytes, the file has 10");
}

/* Damaged anywhere, a file is refused or read, and nothing worse. */
static void damaged_anywhere(void **state) {
    (void)state;
    char *good;
    size_t size;
    uint32_t seed = 3;
    assert_int_equal(fv_file_read(&good, &size, LIBRARY, NULL), FV_OK);
    for (int round = 0; round < 3000; round++) {
        seed = seed * 1664525u + 1013904223u;
        size_t n = round % 3 ? size : (seed >> 8) % size;
        char *bad = malloc(n + 1);
        memcpy(bad, good, n);
        for (int k = 0; k < 1 + round % 4 && n > 0; k++) {
            seed = seed * 1664525u + 1013904223u;
            bad[(seed >> 8) % n] = (char)(seed >> 4);
        }
        fv_error err;
        fv_weights_check(bad, n, "f", &err);
        free(bad);
    }
    free(good);
}

static void write_shard(const char *path, const char *a, const char *b, float value) {
    float x[2] = {value, value};
    fv_tensor tensors[2] = {{a, fv_vec(x, 2)}, {b, fv_vec(x, 2)}};
    assert_int_equal(fv_weights_save(path, tensors, 2, FV_F32, NULL), FV_OK);
}

static fv_status open_sharded(const char *map, fv_error *err) {
    fv_text index = {0};
    fv_weights *w;
    fv_text_printf(&index, "{\"metadata\": {\"total_size\": 32}, \"weight_map\": %s}", map);
    assert_int_equal(fv_file_write("m/model.safetensors.index.json", index.data, index.size, NULL), FV_OK);
    fv_text_clear(&index);
    fv_status status = fv_weights_open(&w, "m", err);
    if (status == FV_OK) {
        assert_int_equal(fv_weights_count(w), 4);
        assert_true(fv_f32(fv_weights_find(w, "b")->view)[0] == 1);
        assert_true(fv_f32(fv_weights_find(w, "c")->view)[1] == 2);
    }
    fv_weights_close(w);
    return status;
}

static void folders_and_shards(void **state) {
    (void)state;
    fv_error err;
    fv_weights *w;
    assert_int_equal(fv_folder_make("m", &err), FV_OK);
    assert_int_equal(fv_weights_open(&w, "m", &err), FV_BAD_MODEL);
    assert_non_null(strstr(err.text, "m: no weights: model.safetensors, "));
    write_shard("m/1", "a", "b", 1);
    write_shard("m/2", "c", "d", 2);
    static const struct {
        const char *map, *want;
    } maps[] = {
        {"{\"a\": \"1\", \"c\": \"2\", \"b\": \"1\", \"d\": \"2\"}", NULL},
        {"{\"a\": \"1\", \"c\": \"2\", \"b\": \"1\", \"d\": \"2\", \"e\": \"2\"}", "weight_map: tensor e is not in 2"},
        {"{\"a\": \"1\", \"b\": \"1\", \"c\": \"2\"}", NULL}, /* d is in a shard, and so in the model */
        {"{\"a\": \"1\", \"b\": \"3\"}", "m/3: open: No such file or directory"},
        {"{\"a\": \"../m/1\"}", "weight_map: a must be the name of a file beside the index"},
        {"{\"a\": 1}", "weight_map: a must be the name of a file beside the index"},
        {"[]", "weight_map must be an object, got []"},
    };
    for (size_t i = 0; i < FV_COUNT(maps); i++) {
        fv_status status = open_sharded(maps[i].map, &err);
        if ((status == FV_OK) != !maps[i].want || (maps[i].want && !strstr(err.text, maps[i].want))) fail_msg("%s: %s", maps[i].map, err.text);
    }
    write_shard("m/2", "b", "c", 2);
    assert_int_equal(open_sharded("{\"a\": \"1\", \"b\": \"1\", \"c\": \"2\"}", &err), FV_BAD_MODEL);
    assert_string_equal(err.text, "m: tensor b is in more than one shard");

    write_shard("m/model.safetensors", "x", "y", 3); /* a whole file comes before an index, as in transformers */
    assert_int_equal(fv_weights_open(&w, "m", &err), FV_OK);
    assert_int_equal(fv_weights_count(w), 2);
    fv_weights_close(w);
    assert_int_equal(fv_folder_make("lora", &err), FV_OK);
    write_shard("lora/adapter_model.safetensors", "A", "B", 4);
    assert_int_equal(fv_weights_open(&w, "lora", &err), FV_OK);
    assert_non_null(fv_weights_find(w, "A"));
    fv_weights_close(w);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, enter, leave)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(reads_what_the_library_wrote), TEST(writes_what_the_library_writes), TEST(casts),
        TEST(a_failed_write_keeps_the_old_file), TEST(unaligned_data_are_copied), TEST(every_rule_of_the_format),
        TEST(damaged_anywhere), TEST(folders_and_shards),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
