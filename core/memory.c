#include "core/memory.h"

#include <stdio.h>
#include <string.h>
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

/* The least of ROOT/PATH/NAME and of the same file in all folders above PATH: a group has what those around it leave. */
static int64_t least_on_the_way(const char *root, const char *path, const char *name) {
    char folder[1024], file[1400];
    int64_t least = INT64_MAX;
    snprintf(folder, sizeof folder, "%s", path);
    for (size_t end = strlen(folder);; folder[end] = '\0') {
        snprintf(file, sizeof file, "%s%s/%s", root, folder, name);
        int64_t n = number_in(file);
        if (n < least) least = n;
        while (end > 0 && folder[--end] != '/') continue;
        if (folder[0] == '\0') return least;
    }
}

static int64_t lower(int64_t a, int64_t b) { return a < b ? a : b; }

int64_t fv_memory_group_limit(const char *groups, const char *root) {
    char line[1024], old[1100];
    snprintf(old, sizeof old, "%s/memory", root);
    /* A container sees its own group's files at the root, whatever it is called outside. */
    int64_t least = lower(least_on_the_way(root, "", "memory.max"), least_on_the_way(old, "", "memory.limit_in_bytes"));
    FILE *f = fopen(groups, "r");
    while (f && fgets(line, sizeof line, f)) { /* "0::/user.slice/x" of version 2, "4:memory:/x" or "4:cpu,memory:/x" of version 1 */
        char *controllers = strchr(line, ':'), *path = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!path) continue;
        *path++ = '\0';
        path[strcspn(path, "\n")] = '\0';
        if (!controllers[1]) least = lower(least, least_on_the_way(root, path, "memory.max"));
        else if (strstr(controllers, "memory")) least = lower(least, least_on_the_way(old, path, "memory.limit_in_bytes"));
    }
    if (f) fclose(f);
    return least;
}

int64_t fv_memory_limit(void) {
    return lower((int64_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE), fv_memory_group_limit("/proc/self/cgroup", "/sys/fs/cgroup"));
}

int64_t fv_memory_resident(void) {
    FILE *f = fopen("/proc/self/statm", "r");
    long long all, resident;
    int got = f ? fscanf(f, "%lld %lld", &all, &resident) : 0;
    if (f) fclose(f);
    return got == 2 ? resident * sysconf(_SC_PAGESIZE) : 0;
}

/* Not getrusage's, where there is another: that goes on from the most that the process which started this one ever had. */
int64_t fv_memory_peak(void) {
    FILE *f = fopen("/proc/self/status", "r");
    char line[256];
    long long peak = 0;
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "VmHWM: %lld kB", &peak) == 1) break;
    if (f) fclose(f);
    struct rusage used;
    return peak ? peak * 1024 : getrusage(RUSAGE_SELF, &used) ? 0 : (int64_t)used.ru_maxrss * 1024;
}
