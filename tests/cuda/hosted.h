/* The CUDA table for tests that were written for the CPU's: in the place of fv_ops_cpu_all, when those test programs are compiled again
 * (tests/cuda/CMakeLists.txt). Both lists begin with the CPU's best table. Where the card can't be used, the test ends: as skipped where there is none,
 * as failed where it does not work. */
#ifndef FV_TESTS_CUDA_HOSTED_H
#define FV_TESTS_CUDA_HOSTED_H

#include "core/ops.h"

/* The table over the host's memory, for tests that know no other: what an operation reads is sent to the card before it, what it writes comes back after
 * it. The number of tables, at most `max`. */
int fv_hosted_tables(const fv_ops **out, int max);

/* The table of precision bf16 alone, in the same way. */
int fv_hosted_bf16_tables(const fv_ops **out, int max);

/* The table itself. */
int fv_card_tables(const fv_ops **out, int max);

#endif
