/* What is fuzzed: every reader of bytes that come from outside. A target takes any bytes, must not crash, and checks what must hold whatever the
 * bytes are: a failure leaves nothing behind and says why, and what was understood can be written and read again. True: the bytes were understood. */
#ifndef FV_TESTS_FUZZ_FUZZ_H
#define FV_TESTS_FUZZ_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* name: also the folder of its corpus, tests/fuzz/corpus/NAME; video's are the fixtures of tests/vision/data/video, by a link. */
#define FUZZ_TARGETS(X) X(tokenizer) X(safetensors) X(recipe) X(rows) X(turn) X(answer) X(config) X(video)

#define X(name) bool fuzz_##name(const uint8_t *data, size_t size);
FUZZ_TARGETS(X)
#undef X

#endif
