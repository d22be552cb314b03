/* Photographs embedded by the assembler (.incbin). CMake gives the folder as FV_PHOTOGRAPHS. */
#include "datasets/photographs.h"

#include <pthread.h>

/* Two lists, in alphabetical order; LICENSES.md names the split as well. A new picture goes into one of them and into that page. */
#define FV_TRAIN_PHOTOGRAPHS(X)                                                                                                            \
    X(astronaut, "astronaut") X(colosseum, "colosseum") X(courtyard, "courtyard") X(deep_field, "deep-field") X(desert, "desert")           \
    X(flowers, "flowers") X(gravel, "gravel") X(osprey, "osprey") X(raccoon, "raccoon") X(retina, "retina") X(rocket, "rocket")             \
    X(tea_gardens, "tea-gardens") X(trail, "trail") X(wren, "wren")
#define FV_TEST_PHOTOGRAPHS(X) X(cat, "cat") X(city, "city") X(coffee, "coffee") X(lake, "lake") X(otters, "otters") X(spices, "spices")

#define X(symbol, file)                                                                                                                     \
    extern const unsigned char fv_photograph_##symbol[], fv_photograph_##symbol##_end[];                                                   \
    __asm__(".pushsection .rodata\n.global fv_photograph_" #symbol ", fv_photograph_" #symbol "_end\nfv_photograph_" #symbol ":\n"          \
            ".incbin \"" FV_PHOTOGRAPHS "/" file ".jpg\"\nfv_photograph_" #symbol "_end:\n.popsection\n");
FV_TRAIN_PHOTOGRAPHS(X)
FV_TEST_PHOTOGRAPHS(X)
#undef X

typedef struct {
    const char *name;
    const unsigned char *data, *end;
} photograph;

#define X(symbol, file) {file, fv_photograph_##symbol, fv_photograph_##symbol##_end},
static const photograph train_photographs[] = {FV_TRAIN_PHOTOGRAPHS(X)}, test_photographs[] = {FV_TEST_PHOTOGRAPHS(X)};
#undef X

enum { TRAIN_COUNT = FV_COUNT(train_photographs), TEST_COUNT = FV_COUNT(test_photographs) };

int fv_photograph_count(bool test) {
    return test ? TEST_COUNT : TRAIN_COUNT;
}

const char *fv_photograph_name(bool test, int index) {
    return (test ? test_photographs : train_photographs)[index].name;
}

fv_status fv_photograph(const fv_image **out, bool test, int index, fv_error *err) {
    /* A constant that is computed late: once a slot is filled, it never changes. */
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static fv_image *decoded[2][TRAIN_COUNT > TEST_COUNT ? TRAIN_COUNT : TEST_COUNT];
    *out = NULL;
    const photograph *p = &(test ? test_photographs : train_photographs)[index];
    fv_status status = FV_OK;
    pthread_mutex_lock(&lock);
    fv_image **slot = &decoded[test][index];
    if (*slot == NULL) status = fv_image_decode(slot, p->data, (size_t)(p->end - p->data), p->name, err);
    *out = *slot;
    pthread_mutex_unlock(&lock);
    return status;
}
