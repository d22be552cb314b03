/* A record: what the costly operations of forward passes gave, kept by row, so that a later pass over the same rows copies it instead of computing it again.
 * Rows are independent and every pass has the same arithmetic, so a row that was decoded from the cache has the bits that training would compute: decoding
 * records, and training then starts at the way back (DESIGN: one forward).
 *
 * Costly are matrix products and attention; norms, activations and sums are computed again, since that reads no more memory than a copy would. Operations
 * are known by their number within a forward: recording and replaying code must be the same, with as many rows in every costly operation. */
#ifndef FV_CORE_RECORDING_H
#define FV_CORE_RECORDING_H

#include "core/pass.h"

typedef struct fv_recording fv_recording;

/* At most max_bytes of activations; rows beyond are not kept. NULL: out of memory. */
fv_recording *fv_recording_new(size_t max_bytes);
void fv_recording_free(fv_recording *r); /* NULL is fine */

/* Forgets all rows (their memory stays for the next ones). What follows is of `slot` and its weights as they are. */
void fv_recording_begin(fv_recording *r, fv_slot *slot);
/* Whether its rows are what `slot` would compute now. */
bool fv_recording_fits(const fv_recording *r, const fv_slot *slot);

/* Makes `p` record a forward of `rows` rows, from here to fv_recording_stop, which gives the number of the first one in the record: row i of the forward is
 * row first + i. -1: not kept (no room). */
void fv_recording_start(fv_recording *r, fv_pass *p, int64_t rows);
int64_t fv_recording_stop(fv_recording *r, fv_pass *p);

/* Makes `p` replay a forward, from here to fv_replay_stop: row i takes what row index[i] of the record had. index i32 [rows] lives as long as the pass. */
void fv_replay_start(fv_recording *r, fv_pass *p, fv_view index);
void fv_replay_stop(fv_pass *p);

/* For operations: memory for a costly result [rows, cols], and whether its values are there already. Where the pass neither records nor replays, plain memory
 * of its arena. */
fv_view fv_costly(fv_pass *p, int64_t rows, int64_t cols, bool *known);

#endif
