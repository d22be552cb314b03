/* core/lane_math.h in AVX-512. */
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")
#define FV_ISA avx512
#define FV_ISA_avx512 1
#define RUNS_HERE __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq")
#include "simd_math_checks.h"
