/* The CUDA back end: one complete table of operations for one NVIDIA card. docs/cuda.md says how it is made and what of it is proven. */
#ifndef FV_CUDA_CUDA_H
#define FV_CUDA_CUDA_H

#include "core/ops.h"

/* Declares fv_cuda_<op> with the type that core/ops.h gives it, so that a kernel of another shape does not compile. */
#define FV_CUDA_DECLARE_(name) __typeof__(*((fv_ops *)0)->name) fv_cuda_##name;
FV_KERNEL_MAP(FV_CUDA_DECLARE_)
FV_CUDA_DECLARE_(page_dtype)
#undef FV_CUDA_DECLARE_

/* The table of precision bf16 has its own: fv_cuda_bf16_<op>. Beside products with weights those of attention, and its pages. */
#define FV_CUDA_BF16_MAP(X) FV_BF16_MAP(X) X(page_dtype) X(kv_write) X(attention) X(attention_back) X(attend_runs) X(attend_runs_back)
#define FV_CUDA_DECLARE_(name) __typeof__(*((fv_ops *)0)->name) fv_cuda_bf16_##name;
FV_CUDA_BF16_MAP(FV_CUDA_DECLARE_)
#undef FV_CUDA_DECLARE_

/* The table of a precision, with the card opened. FV_UNSUPPORTED where there is none, or where it can't run this program, in CUDA's own words. */
fv_status fv_cuda_table(const fv_ops **out, fv_precision precision, fv_error *err);

#endif
