/* The list of generators: a new one is a file in datasets/generators and a name in FV_GENERATOR_MAP. */
#include "datasets/maker.h"

#include <string.h>

#define X(name) &fv_generator_##name,
static const fv_generator *const generators[] = {FV_GENERATOR_MAP(X)};
#undef X

const fv_generator *const *fv_generators(int *count) {
    *count = (int)FV_COUNT(generators);
    return generators;
}

const fv_generator *fv_generator_find(const char *name) {
    for (size_t i = 0; i < FV_COUNT(generators); i++)
        if (strcmp(generators[i]->name, name) == 0) return generators[i];
    return NULL;
}
