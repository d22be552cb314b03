/* How much memory there is to plan with. */
#ifndef FV_CORE_MEMORY_H
#define FV_CORE_MEMORY_H

#include <stdint.h>

/* Bytes that this process may use at most: the machine's memory, or its control group's limit where that is lower. */
int64_t fv_memory_limit(void);

/* The limit of the groups that a process's /proc/self/cgroup (`groups`) names, below `root`: of its own group and of those around it, version 1 and version 2. INT64_MAX: none. */
int64_t fv_memory_group_limit(const char *groups, const char *root);

/* Bytes of the machine's memory that this process has in use, files that it reads in place included: now, and the most that it ever had. 0 where the system does not say. */
int64_t fv_memory_resident(void);
int64_t fv_memory_peak(void);

#endif
