// Put in front of the C library: the wall clock of this process is an hour ahead in every other second. Redis, which is another
// program, keeps its own.
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *now) {
    const long result = syscall(SYS_clock_gettime, clock, now);
    if (result == 0 && clock == CLOCK_REALTIME && strncmp(program_invocation_short_name, "redis", 5) != 0 && now->tv_sec % 2)
        now->tv_sec += 3600;
    return (int)result;
}
