/* source.h: where random numbers come from: the processor, or a generator beside it. */
#ifndef COMPOS_SOURCE_H
#define COMPOS_SOURCE_H

#include <stdbool.h>
#include <stdint.h>

struct source {
    bool rdseed;
    bool rdrand;
    bool rndr;
    int hwrng; /* /dev/hwrng, which never blocks; -1 without one */
};

/* What this machine has. */
void source_open(struct source *source);

/* The name of what is asked first, such as "RDSEED"; NULL if there is nothing. */
const char *source_name(const struct source *source);

/* One word from the first that has one; false if none has one at the moment. */
bool source_word(const struct source *source, uint64_t *word);

#endif
