#!/bin/sh
# tests/cuda/compiles.sh nvcc: the kernels as nvcc sees them, for one card, without a warning. Where there is no nvcc: skipped (77).
[ -x "$1" ] || { echo "cuda: nvcc is not on this machine, its kernels were not compiled"; exit 77; }
cd "$(dirname "$0")/../.." || exit 1
out=$(mktemp) || exit 1
trap 'rm -f "$out"' EXIT
for source in cuda/kernels/*.cu; do
    "$1" --options-file cuda/nvcc.options -std=c++17 -gencode=arch=compute_90a,code=sm_90a -D_GNU_SOURCE -I. -cubin "$source" -o "$out" || exit 1
done
