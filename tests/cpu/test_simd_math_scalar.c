/* core/lane_math.h in the scalar build. */
#pragma GCC target("fma")
#define FV_ISA scalar
#define FV_ISA_scalar 1
#define RUNS_HERE __builtin_cpu_supports("fma")
#include "simd_math_checks.h"
