#include "cuda/cuda.h"

#include "cuda/runs.h"
#include "cuda/runtime.h"

#include <stdlib.h>
#include <string.h>

#define KERNEL_(op) .op = fv_cuda_##op,
static const fv_ops table = {
    .name = "cuda",
    .device = FV_CUDA,
    .alloc = fv_cuda_alloc,
    .alloc_host = fv_cuda_alloc_host,
    .free = fv_cuda_free,
    .upload = fv_cuda_upload,
    .download = fv_cuda_download,
    .clear = fv_cuda_clear,
    .page_dtype = fv_cuda_page_dtype,
    .room = fv_cuda_room,
    .check = fv_cuda_check,
    FV_KERNEL_MAP(KERNEL_)
};

/* The same, but for products and attention. The name says whether cuDNN is there for a tower's attention: FOVEA_CUDNN=0 leaves it out. */
static const fv_ops *table_bf16(void) {
    static fv_ops made;
    const char *asked = getenv("FOVEA_CUDNN");
    made = table;
    made.name = fv_cuda_runs_open(!asked || strcmp(asked, "0")) ? "cuda-bf16+cudnn" : "cuda-bf16";
#define BF16_KERNEL_(op) made.op = fv_cuda_bf16_##op;
    FV_CUDA_BF16_MAP(BF16_KERNEL_)
    return &made;
}

fv_status fv_cuda_table(const fv_ops **out, fv_precision precision, fv_error *err) {
    *out = NULL;
    FV_TRY(fv_cuda_open(err));
    *out = precision == FV_PRECISION_BF16 ? table_bf16() : &table;
    return FV_OK;
}
