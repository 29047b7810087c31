/*
 * main.c: rngd: gives the kernel's random pool what the processor or another generator makes
 * (random(4)). `-1` fills it once and returns; otherwise it does so whenever the kernel asks.
 */
#include "source.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/random.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

/* Tenths of a second until `-1` gives up: a boot goes on without, for the kernel has its own. */
enum { MAX_WAITS = 600 };

static void main_end(int number)
{
    (void)number;
    _exit(0);
}

/* The first process of a container gets only signals that it handles. */
static void main_handle_signals(void)
{
    struct sigaction action = {.sa_handler = main_end};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
}

static void main_rest(long milliseconds)
{
    struct timespec time = {milliseconds / 1000, milliseconds % 1000 * 1000000};
    nanosleep(&time, NULL);
}

/* One word, credited in full as LinuxKit's rngd does. 1: given, 0: none is there, -1 with errno. */
static int main_feed(int pool, const struct source *source)
{
    struct {
        int entropy_count, buf_size;
        uint32_t buf[2];
    } given = {.entropy_count = 64, .buf_size = sizeof given.buf}; /* struct rand_pool_info */
    uint64_t word;
    if (!source_word(source, &word))
        return 0;
    memcpy(given.buf, &word, sizeof word);
    return ioctl(pool, (int)RNDADDENTROPY, &given) < 0 ? -1 : 1;
}

static int main_pool_size(void)
{
    int bits = 0;
    FILE *file = fopen("/proc/sys/kernel/random/poolsize", "re");
    if (file && fscanf(file, "%d", &bits) != 1)
        bits = 0;
    if (file)
        fclose(file);
    return bits > 0 ? bits : 256;
}

/* Until the pool is full. 0, or -1 with errno. */
static int main_fill(int pool, const struct source *source)
{
    int held = 0, size = main_pool_size(), result = 0;
    unsigned long long bytes = 0;
    for (int waits = 0; waits < MAX_WAITS && result >= 0; waits += result == 0) {
        if (ioctl(pool, (int)RNDGETENTCNT, &held) < 0)
            return -1;
        if (held >= size)
            break;
        result = main_feed(pool, source);
        if (result > 0)
            bytes += sizeof(uint64_t);
        else if (result == 0)
            main_rest(100);
    }
    if (result < 0)
        return -1;
    printf("rngd: %llu bytes given, the pool holds %d of %d bits\n", bytes, held, size);
    return 0;
}

/* Whenever the kernel wants random numbers. -1 with errno. */
static int main_serve(int pool, const struct source *source)
{
    struct pollfd wanted = {.fd = pool, .events = POLLOUT};
    for (;;) {
        if (poll(&wanted, 1, -1) < 0 && errno != EINTR)
            return -1;
        int result = main_feed(pool, source);
        if (result < 0)
            return -1;
        if (result == 0)
            main_rest(100);
    }
}

int main(int count, char *arguments[])
{
    struct source source;
    bool once = false;
    source_open(&source);
    for (int i = 1; i < count; i++) {
        const char *name = arguments[i] + (strncmp(arguments[i], "--", 2) == 0);
        if (strcmp(name, "-1") == 0) {
            once = true;
        } else if (strcmp(name, "-disable-rdrand") == 0) {
            source.rdrand = false;
        } else if (strcmp(name, "-disable-rdseed") == 0) {
            source.rdseed = false;
        } else {
            fprintf(stderr,
                    "rngd: %s: unknown option; known are -1 -disable-rdrand -disable-rdseed\n",
                    arguments[i]);
            return 2;
        }
    }
    main_handle_signals();
    if (!source_name(&source)) {
        /* The kernel goes on collecting by itself. A service is expected to stay. */
        fprintf(stderr, "rngd: no hardware random source\n");
        while (!once)
            pause();
        return 0;
    }
    fprintf(stderr, "rngd: random numbers from %s\n", source_name(&source));
    int pool = open("/dev/random", O_RDWR | O_CLOEXEC);
    if (pool < 0 || (once ? main_fill(pool, &source) : main_serve(pool, &source)) < 0) {
        fprintf(stderr, "rngd: /dev/random: %s\n", strerror(errno));
        return 1;
    }
    return 0;
}
