#!/bin/sh
# tests/cuda/on_card.sh [folder]: all that a machine with a card can tell, in some minutes. Needs nvcc (or CUDACXX) and a C compiler; the tests under ctest also
# need the libraries that Fovea is built with (packages.txt), and are left out where CMake does not find them.
#   1. builds cuda/ for the card that is here, and cuda_measure;
#   2. cuda_measure small: every operation against the CPU's, bit by bit, in odd sizes;
#   3. cuda_measure: the same in large sizes, with times;
#   4. cuda_products: an element of a product in bf16 has the same bits in every kind of tile and for any number of rows; cuda_attention_ways: attention in bf16 in every way, and of towers' runs, alone and beside others;
#   5. compute-sanitizer over the odd sizes of all three: memcheck, racecheck, initcheck, synccheck;
#   6. cuda_products_times: the same products' times beside cuBLASLt's, whose library must be on the library path;
#   7. cuda_launch_times: what launches cost, one by one and in graphs;
#   8. ctest -R cuda/card: the tests of operations, and whole models, on the card.
#   9. the tests once more, without cuDNN.
# Everything goes to stdout and into folder/on_card.log (default build-card). Ends with the number of parts that failed.
root=$(cd "$(dirname "$0")/../.." && pwd)
out=${1:-$root/build-card}
arch=${CARD:-$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null | head -n 1 | tr -d .)} # CARD=80: for another card than the one that is here
[ "$arch" = 90 ] && arch=90a # Hopper's own instructions
code="-gencode=arch=compute_$arch,code=sm_$arch"
nvcc=${CUDACXX:-$(command -v nvcc || echo /usr/local/cuda/bin/nvcc)}
nvcc=$(readlink -f "$nvcc")
mkdir -p "$out/o" && cd "$root" || exit 1
include=$(dirname "$(dirname "$nvcc")")/include
rm -f "$out"/cuda_*
failed=0

say() { printf '\n== %s\n' "$1"; }
part() { # name, command...
    say "$1"
    shift
    "$@" || { echo "-- failed: $*"; failed=$((failed + 1)); }
}

compile() { # the source
    object="$out/o/$(echo "$1" | tr / _).o"
    c_flags="-O2 -std=c17 -D_GNU_SOURCE -ffp-contract=off -fno-fast-math -I."
    case $1 in
    *.cu) "$nvcc" -std=c++17 -O3 $code -lineinfo --options-file cuda/nvcc.options -D_GNU_SOURCE -I. -c "$1" -o "$object" ;;
    cpu/kernels/*.c)
        for isa in scalar avx2 avx512 avx512bf16; do
            tables=$isa
            case $isa in
            scalar) flags=-mfma ;;
            avx2) flags="-mavx2 -mfma" ;;
            *) flags="-mavx512f -mavx512bw -mavx512dq -mavx512vl -mfma -mprefer-vector-width=512" ;;
            esac
            case $isa/$1 in # as CMakeLists.txt: products in bf16, and what has them, are a table's of their own
            avx512bf16/*/bf16/linear.c | avx512bf16/*/logprob.c | avx512bf16/*/divergence.c | avx512bf16/*/sample.c) flags="$flags -mavx512bf16" tables=avx512 ;;
            avx512bf16/* | */bf16/*) continue ;;
            esac
            ${CC:-cc} $c_flags -O3 -fno-tree-vectorize $flags -DFV_ISA=$isa -DFV_ISA_$tables=1 -c "$1" -o "$out/o/${isa}_$(basename "$1").o" || return 1
        done ;;
    *) ${CC:-cc} $c_flags -DFV_WITH_CUDA=1 -I"$include" -c "$1" -o "$object" ;;
    esac
}

build() {
    # What cuda_measure takes: no library but the C library's.
    sources="cuda/*.c cuda/kernels/*.cu cpu/*.c cpu/kernels/*.c cpu/kernels/bf16/*.c core/arena.c core/backend.c core/error.c core/progress.c core/random.c core/runs.c core/tensor.c core/threads.c core/text.c tests/cuda/measure.c tests/cuda/products.c tests/cuda/attention_ways.c tests/cuda/launch_times.c"
    [ -f "$include/cublasLt.h" ] && sources="$sources tests/cuda/products_times.c"
    pids=""
    for source in $sources; do
        compile "$source" &
        pids="$pids $!"
    done
    for pid in $pids; do wait "$pid" || return 1; done
    for name in measure products attention_ways launch_times products_times; do
        [ -f "$out/o/tests_cuda_$name.c.o" ] || continue
        objects=$(ls "$out"/o/*.o | grep -v "tests_cuda_")
        "$nvcc" $code -o "$out/cuda_$name" $objects "$out/o/tests_cuda_$name.c.o" -lpthread -lm -ldl || return 1
    done
}

sanitize() {
    tool=$(command -v compute-sanitizer || echo "$(dirname "$nvcc")/compute-sanitizer")
    [ -x "$tool" ] || { echo "there is no compute-sanitizer here"; return 0; }
    bad=0
    for check in memcheck racecheck initcheck synccheck; do
        echo "-- $check"
        "$tool" --tool $check --error-exitcode 9 "$out/cuda_measure" small >"$out/$check.log" 2>&1 || bad=1
        tail -n 3 "$out/$check.log"
        "$tool" --tool $check --error-exitcode 9 "$out/cuda_products" small >"$out/$check-products.log" 2>&1 || bad=1
        tail -n 3 "$out/$check-products.log"
        "$tool" --tool $check --error-exitcode 9 "$out/cuda_attention_ways" >"$out/$check-attention.log" 2>&1 || bad=1
        tail -n 3 "$out/$check-attention.log"
    done
    return $bad
}

tests() {
    cmake -S . -B "$out/cmake" -G Ninja -DFOVEA_CUDA=1 -DFOVEA_CUDA_ARCHITECTURES=$arch-real >"$out/cmake.log" 2>&1 || {
        echo "CMake found not all that Fovea is built with; its words are in $out/cmake.log:"
        grep -A 2 -m 1 "Error" "$out/cmake.log"
        return 0
    }
    # The products that the tests are made of, not the whole program.
    targets=$(cd "$out/cmake" && ninja -t targets all | sed -n 's/^\(cuda_card_[a-z_]*\): .*/\1/p')
    ninja -C "$out/cmake" $targets >"$out/ninja.log" 2>&1 || { tail -n 20 "$out/ninja.log"; return 1; }
    ctest --test-dir "$out/cmake" -R '^cuda/card/' --output-on-failure
}

{
    date
    nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv 2>/dev/null
    "$nvcc" --version | tail -n 2
    part "build" build
    [ -x "$out/cuda_measure" ] && {
        part "every operation against the CPU's, odd sizes" "$out/cuda_measure" small
        part "every operation against the CPU's, large sizes, with times" "$out/cuda_measure"
        part "products in bf16, every way" "$out/cuda_products"
        part "attention in bf16, every way" "$out/cuda_attention_ways" large
        part "compute-sanitizer" sanitize
        [ -x "$out/cuda_products_times" ] && part "products in bf16, times" "$out/cuda_products_times"
        part "launches" "$out/cuda_launch_times"
    }
    part "the tests on the card" tests
    export FOVEA_CUDNN=0
    part "the tests on the card, without cuDNN" tests
    say "$failed parts failed"
    echo $failed >"$out/failed"
} 2>&1 | tee "$out/on_card.log"
exit "$(cat "$out/failed")"
