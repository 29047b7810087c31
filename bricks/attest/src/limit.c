/*
 * limit.c: see limit.h.
 *
 * Requests have processes of their own, so what they share is in shared memory: the time at which
 * the next request would come if all came evenly (ITU-T I.371, annex A: the generic cell rate
 * algorithm).
 */
#include "limit.h"

#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

static _Atomic int64_t *limit_next; /* milliseconds */
static int64_t limit_interval;

static int64_t limit_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void limit_begin(long rate)
{
    limit_interval = 60000 / rate;
    void *memory =
        mmap(NULL, sizeof *limit_next, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        perror("attest: mmap");
        exit(1);
    }
    limit_next = memory;
}

bool limit_allows(void)
{
    int64_t now = limit_now(), seen = atomic_load(limit_next), next;
    do {
        next = (seen > now ? seen : now) + limit_interval;
        if (next - now > LIMIT_BURST * limit_interval)
            return false;
    } while (!atomic_compare_exchange_weak(limit_next, &seen, next));
    return true;
}
