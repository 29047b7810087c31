/* source.c: see source.h. */
#include "source.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <sys/auxv.h>
#include <unistd.h>

/*
 * Another thread may have emptied the generator: for RDRAND ten tries are what its makers advise
 * (Intel, Digital Random Number Generator Software Implementation Guide, 5.2.1), RDSEED may need
 * more.
 */
enum { TRIES = 10, SEED_TRIES = 100 };

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>

enum { LEAF_7_EBX_RDSEED = 1 << 18, LEAF_1_ECX_RDRAND = 1 << 30 };

static void source_ask_processor(struct source *source)
{
    unsigned eax, ebx, ecx, edx;
    if (__get_cpuid(1, &eax, &ebx, &ecx, &edx))
        source->rdrand = ecx & LEAF_1_ECX_RDRAND;
    if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx))
        source->rdseed = ebx & LEAF_7_EBX_RDSEED;
}

__attribute__((target("rdseed"))) static bool source_rdseed(uint64_t *word)
{
    unsigned long long value;
    for (int i = 0; i < SEED_TRIES; i++) {
        if (_rdseed64_step(&value)) {
            *word = value;
            return true;
        }
        _mm_pause();
    }
    return false;
}

__attribute__((target("rdrnd"))) static bool source_rdrand(uint64_t *word)
{
    unsigned long long value;
    for (int i = 0; i < TRIES; i++)
        if (_rdrand64_step(&value)) {
            *word = value;
            return true;
        }
    return false;
}

static bool source_processor(const struct source *source, uint64_t *word)
{
    return (source->rdseed && source_rdseed(word)) || (source->rdrand && source_rdrand(word));
}

#elif defined(__aarch64__)

enum { HWCAP2_RNDR = 1 << 16 }; /* arch/arm64/include/uapi/asm/hwcap.h, HWCAP2_RNG */

static void source_ask_processor(struct source *source)
{
    source->rndr = getauxval(AT_HWCAP2) & HWCAP2_RNDR;
}

/* RNDR (Arm ARM, D23.2.142): the flag Z says that there was no number. */
static bool source_processor(const struct source *source, uint64_t *word)
{
    for (int i = 0; source->rndr && i < TRIES; i++) {
        uint32_t good;
        __asm__ volatile("mrs %0, s3_3_c2_c4_0\n\tcset %w1, ne" : "=r"(*word), "=r"(good)::"cc");
        if (good)
            return true;
    }
    return false;
}

#else

static void source_ask_processor(struct source *source)
{
    (void)source; /* RISC-V's seed register is the kernel's alone */
}

static bool source_processor(const struct source *source, uint64_t *word)
{
    (void)source;
    (void)word;
    return false;
}

#endif

void source_open(struct source *source)
{
    uint64_t word;
    *source = (struct source){.hwrng = open("/dev/hwrng", O_RDONLY | O_NONBLOCK | O_CLOEXEC)};
    source_ask_processor(source);
    if (source->hwrng < 0)
        return;
    /* The device file is there without a generator, too. */
    ssize_t count = read(source->hwrng, &word, sizeof word);
    if (count == 0 || (count < 0 && errno != EAGAIN)) {
        close(source->hwrng);
        source->hwrng = -1;
    }
}

const char *source_name(const struct source *source)
{
    return source->rdseed       ? "RDSEED"
           : source->rdrand     ? "RDRAND"
           : source->rndr       ? "RNDR"
           : source->hwrng >= 0 ? "/dev/hwrng"
                                : NULL;
}

bool source_word(const struct source *source, uint64_t *word)
{
    bool there = source_processor(source, word) ||
                 (source->hwrng >= 0 && read(source->hwrng, word, sizeof *word) == sizeof *word);
    /* Processors are known that report success with all bits alike, after sleep or by a defect. */
    return there && *word != 0 && *word != UINT64_MAX;
}
