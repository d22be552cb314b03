/* Hollow operations: a table that computes nothing, over memory that nothing is written to. Model code that runs on it asks its arenas for what it would ask them for
 * in earnest, so that the memory of a pass can be known before there is a pass, or weights: the code that will run is the formula, and can't drift from it.
 *
 * A hollow slot takes weights without values (view.data NULL: core/slot.c then leaves masters as they come); sizes and types are all that counts. */
#ifndef FV_CORE_HOLLOW_H
#define FV_CORE_HOLLOW_H

#include "core/ops.h"

/* A table whose packed weights and kind of memory are those of `like`. alloc gives addresses alone: memory that reads as zeros, takes no room, and must not be written to.
 * Operations take from exec->scratch what large ones on the CPU take: blocks of logits, packed panels, turned pages. */
void fv_hollow_ops(fv_ops *out, const fv_ops *like);

/* For passes and for scratch on such operations: fv_arena_peak says how many bytes of numbers were asked for, fv_arena_held how many an arena that begins with this chunk would take from a device. NULL when out of memory. */
fv_arena *fv_hollow_arena(size_t chunk);

#endif
