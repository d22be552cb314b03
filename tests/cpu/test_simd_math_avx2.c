/* core/lane_math.h in AVX2. */
#pragma GCC target("avx2,fma")
#define FV_ISA avx2
#define FV_ISA_avx2 1
#define RUNS_HERE __builtin_cpu_supports("avx2")
#include "simd_math_checks.h"
