/* The CPU back end: three complete tables of operations, one for each instruction set, from the same kernels. */
#ifndef FV_CPU_CPU_H
#define FV_CPU_CPU_H

#include "core/ops.h"

/* Packed weights: panels of this many outputs, each [k, FV_PANEL] in f32, or [k / 2, FV_PANEL] pairs of bf16 along k; zeros beyond the last output and an odd k. The same on every
 * instruction set. */
enum { FV_PANEL = 32 };

/* Declares fv_cpu_<isa>_<op> with the type that core/ops.h gives it, so that a kernel of another shape does not compile. */
#define FV_CPU_DECLARE_(name)                                                                                          \
    __typeof__(*((fv_ops *)0)->name) fv_cpu_scalar_##name, fv_cpu_avx2_##name, fv_cpu_avx512_##name;
FV_KERNEL_MAP(FV_CPU_DECLARE_)
#undef FV_CPU_DECLARE_

/* The same of every instruction set. */
__typeof__(*((fv_ops *)0)->page_dtype) fv_cpu_page_dtype;
__typeof__(*((fv_ops *)0)->clear) fv_cpu_clear;

/* Beside them a table for precision: bf16, on processors with dot products of bf16 (AVX512_BF16): AVX-512's, but for what has a matrix product in it, fv_cpu_avx512bf16_<op>. */
#define FV_CPU_DECLARE_(name) __typeof__(*((fv_ops *)0)->name) fv_cpu_avx512bf16_##name;
FV_BF16_MAP(FV_CPU_DECLARE_)
#undef FV_CPU_DECLARE_

/* The tables that this machine can run, best first: the number, at most `max`. */
int fv_cpu_tables(const fv_ops **out, int max);

/* The table of an instruction set by name (scalar, avx2, avx512); NULL or "": the best here. FV_BAD_USAGE where the name is
 * unknown, FV_UNSUPPORTED where the machine does not have it. */
fv_status fv_cpu_table(const fv_ops **out, const char *isa, fv_error *err);

/* The table of precision bf16. FV_UNSUPPORTED where the machine, or FOVEA_ISA (isa, as above), does not have it. */
fv_status fv_cpu_table_bf16(const fv_ops **out, const char *isa, fv_error *err);

#endif
