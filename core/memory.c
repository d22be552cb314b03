#include "core/memory.h"

#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

/* The number in a file of the kernel's; INT64_MAX where there is none ("max"). */
static int64_t number_in(const char *path) {
    FILE *f = fopen(path, "r");
    long long n;
    int got = f ? fscanf(f, "%lld", &n) : 0;
    if (f) fclose(f);
    return got == 1 && n > 0 ? n : INT64_MAX;
}

int64_t fv_memory_limit(void) {
    /* As a container sees its own group, version 2 and version 1. */
    static const char *const files[] = {"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"};
    int64_t limit = (int64_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE);
    for (int i = 0; i < 2; i++) {
        int64_t n = number_in(files[i]);
        if (n < limit) limit = n;
    }
    return limit;
}

int64_t fv_memory_resident(void) {
    FILE *f = fopen("/proc/self/statm", "r");
    long long all, resident;
    int got = f ? fscanf(f, "%lld %lld", &all, &resident) : 0;
    if (f) fclose(f);
    return got == 2 ? resident * sysconf(_SC_PAGESIZE) : 0;
}

int64_t fv_memory_peak(void) {
    struct rusage used;
    return getrusage(RUSAGE_SELF, &used) ? 0 : (int64_t)used.ru_maxrss * 1024;
}
