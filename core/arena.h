/* An arena: scratch memory that is taken piece by piece and given back all at once. Grows by chunks, so a taken piece
 * never moves. Reset keeps the memory: after the first step nothing is allocated any more. */
#ifndef FV_CORE_ARENA_H
#define FV_CORE_ARENA_H

#include <stddef.h>

typedef struct fv_arena fv_arena;

/* A place in an arena, to go back to. */
typedef struct {
    size_t chunk, used;
} fv_arena_mark;

/* NULL when out of memory. `chunk` is the size of the first piece asked of the system (0 = 1 MiB); later ones double. */
fv_arena *fv_arena_new(size_t chunk);
void fv_arena_free(fv_arena *a);

/* 64-byte aligned, not cleared; lives until a reset or a release to an earlier mark. When the system has no memory left,
 * it takes the process down through fv_arena_on_exhaustion's handler: a pass cannot go on half way, and the run's last
 * checkpoint is whole. Sizes are checked against the machine before a run starts. */
void *fv_arena_take(fv_arena *a, size_t bytes);
void *fv_arena_zero(fv_arena *a, size_t bytes); /* the same, cleared */

fv_arena_mark fv_arena_here(const fv_arena *a);
void fv_arena_release(fv_arena *a, fv_arena_mark mark);
void fv_arena_reset(fv_arena *a);
size_t fv_arena_peak(const fv_arena *a); /* most bytes ever in use */

#define FV_TAKE(arena, type, n) ((type *)fv_arena_take((arena), sizeof(type) * (size_t)(n)))
#define FV_ZERO(arena, type, n) ((type *)fv_arena_zero((arena), sizeof(type) * (size_t)(n)))

#endif
