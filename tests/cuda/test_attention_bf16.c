/* tests/cpu/test_attention.c once more, for attention of the bf16 table: near the definition as far as rounding to bf16 goes, the same bits at every call, and a row that is decoded by
 * itself has those of the packed pass. */
#define fv_ops_cpu_all fv_hosted_bf16_tables
#define NEAR 1e-2
#include "tests/cpu/test_attention.c"
