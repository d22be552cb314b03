/* How much memory there is to plan with. */
#ifndef FV_CORE_MEMORY_H
#define FV_CORE_MEMORY_H

#include <stdint.h>

/* Bytes that this process may use at most: the machine's memory, or its control group's limit where that is lower. */
int64_t fv_memory_limit(void);

/* Bytes of the machine's memory that this process has in use, files that it reads in place included: now, and the most that it ever had. 0 where the system does not say. */
int64_t fv_memory_resident(void);
int64_t fv_memory_peak(void);

#endif
