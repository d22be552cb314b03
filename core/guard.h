/* For tests: counts what is allocated between two points, to prove that decoding allocates nothing. Include it in one source
 * file of a test program, never in the library: it replaces that program's malloc (and so that of every library in it), which
 * glibc allows (https://www.gnu.org/software/libc/manual/html_node/Replacing-malloc.html), or, under AddressSanitizer, has
 * the sanitizer report each call.
 *
 *     fv_guard_begin();
 *     step();
 *     assert_int_equal(fv_guard_end(), 0);
 */
#ifndef FV_CORE_GUARD_H
#define FV_CORE_GUARD_H

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>

static atomic_bool fv_guard_on;
static atomic_size_t fv_guard_count;

static inline void fv_guard_note(void) {
    if (atomic_load_explicit(&fv_guard_on, memory_order_relaxed)) atomic_fetch_add_explicit(&fv_guard_count, 1, memory_order_relaxed);
}

#ifdef __SANITIZE_ADDRESS__

int __sanitizer_install_malloc_and_free_hooks(void (*on_malloc)(const volatile void *, size_t), void (*on_free)(const volatile void *));

static void fv_guard_on_malloc(const volatile void *p, size_t size) {
    (void)p;
    (void)size;
    fv_guard_note();
}

static void fv_guard_on_free(const volatile void *p) { (void)p; }

static inline void fv_guard_install(void) {
    static bool installed;
    if (!installed) __sanitizer_install_malloc_and_free_hooks(fv_guard_on_malloc, fv_guard_on_free);
    installed = true;
}

#else

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
void __libc_free(void *p);

void *malloc(size_t size) {
    fv_guard_note();
    return __libc_malloc(size);
}

void *calloc(size_t n, size_t size) {
    fv_guard_note();
    return __libc_calloc(n, size);
}

void *realloc(void *p, size_t size) {
    fv_guard_note();
    return __libc_realloc(p, size);
}

void *aligned_alloc(size_t alignment, size_t size) {
    fv_guard_note();
    return __libc_memalign(alignment, size);
}

int posix_memalign(void **out, size_t alignment, size_t size) {
    fv_guard_note();
    *out = __libc_memalign(alignment, size);
    return *out ? 0 : ENOMEM;
}

void free(void *p) { __libc_free(p); }

static inline void fv_guard_install(void) {}

#endif

/* Counts from here on, whatever thread allocates. */
static inline void fv_guard_begin(void) {
    fv_guard_install();
    atomic_store(&fv_guard_count, 0);
    atomic_store(&fv_guard_on, true);
}

/* How many allocations there were since fv_guard_begin. */
static inline size_t fv_guard_end(void) {
    atomic_store(&fv_guard_on, false);
    return atomic_load(&fv_guard_count);
}

#endif
