/* An arena: scratch memory that is taken piece by piece and given back all at once. Grows by chunks, so a taken piece
 * never moves. Reset keeps the memory: after the first step nothing is allocated any more. */
#ifndef FV_CORE_ARENA_H
#define FV_CORE_ARENA_H

#include "core/error.h"

#include <stddef.h>

typedef struct fv_arena fv_arena;

/* A place in an arena, to go back to. */
typedef struct {
    size_t chunk, used;
} fv_arena_mark;

/* Where the memory of an arena's numbers comes from and goes back to. */
typedef fv_status fv_arena_alloc(void **out, size_t bytes, fv_error *err);
typedef void fv_arena_give(void *data);

/* First chunks: of a trainer's passes; of an operation's scratch, and of what decodes. What an arena takes of a device depends on where it began, so plans use the same. */
enum { FV_ARENA_PASS = 64 << 20, FV_ARENA_SCRATCH = 16 << 20 };

/* NULL when out of memory. `chunk` is the size of the first piece asked of the system (0 = 1 MiB); later ones are larger. */
fv_arena *fv_arena_new(size_t chunk);
void fv_arena_free(fv_arena *a);

/* An arena with two sides: structures and indices lie in the host's memory, as in any arena; numbers (fv_arena_numbers) in memory
 * from `alloc`, a device's. Marks, releases and resets are of both at once, so that whoever gives an arena back need not know. */
fv_arena *fv_arena_new_over(fv_arena_alloc *alloc, fv_arena_give *give, size_t chunk);

/* Called, for any arena of the process, with the size asked for when there is no memory left, and with what the allocator says of it. A pass
 * can't go on half way, so the handler must not return (longjmp, exit); if it does, or if there is none, the process aborts: the run's last checkpoint
 * is whole. The program's own says which fields of a recipe to lower. Set it before there are threads. */
typedef void fv_arena_handler(size_t bytes, const char *why);
void fv_arena_on_exhaustion(fv_arena_handler *handler);

/* 64-byte aligned, not cleared; lives until a reset or a release to an earlier mark. Never NULL (see above). */
void *fv_arena_take(fv_arena *a, size_t bytes);
void *fv_arena_zero(fv_arena *a, size_t bytes); /* the same, cleared */
void *fv_arena_numbers(fv_arena *a, size_t bytes); /* as fv_arena_take, on the numbers' side; an arena with one side has no other */

fv_arena_mark fv_arena_here(const fv_arena *a);
void fv_arena_release(fv_arena *a, fv_arena_mark mark);
void fv_arena_reset(fv_arena *a);
/* On the numbers' side where there are two: most bytes ever in use, and what was taken from the system for them. */
size_t fv_arena_peak(const fv_arena *a);
size_t fv_arena_held(const fv_arena *a);

/* Memory outside arenas: 64-byte aligned, not cleared, on huge pages where it is large, so that streaming it needs few page
 * walks. NULL when out of memory; goes back by free(). */
void *fv_aligned_alloc(size_t bytes);

#define FV_TAKE(arena, type, n) ((type *)fv_arena_take((arena), sizeof(type) * (size_t)(n)))
#define FV_NUMBERS(arena, n) ((float *)fv_arena_numbers((arena), sizeof(float) * (size_t)(n)))
#define FV_ZERO(arena, type, n) ((type *)fv_arena_zero((arena), sizeof(type) * (size_t)(n)))

#endif
