/*
 * terms.h: what a version of the system says of its updates: a file in the running system, and one
 * in each bundle, which has the version and the data's alone.
 */
#ifndef COMPOS_TERMS_H
#define COMPOS_TERMS_H

#include "schedule.h"

#include <stdbool.h>
#include <stdint.h>

enum { TERMS_LINE = 4096, MAX_SOURCES = 9, MAX_READS = 16, MAX_DATA = 9999 };

/* Where a hawkBit server has this machine; `server` is empty without one. */
struct terms_hawkbit {
    char server[TERMS_LINE];     /* https://HOST/TENANT */
    char controller[TERMS_LINE]; /* what the machine is called there; empty: by its own name */
    char scheme[16];             /* TargetToken or GatewayToken */
    char token[TERMS_LINE];      /* the name of the file with the token */
};

struct terms {
    char version[TERMS_LINE];
    char compatible[TERMS_LINE];           /* the kind of machine */
    char sources[MAX_SOURCES][TERMS_LINE]; /* in the order in which they are asked */
    int count;
    struct terms_hawkbit hawkbit;
    uint32_t every; /* seconds; 0: only when somebody asks */
    struct schedule_window window;
    bool restart;   /* whether to start an update at once */
    bool kexec;     /* whether there are no slots, and the next version goes to memory */
    bool downgrade; /* of a bundle: whether it may replace a newer version */
    bool data;      /* whether it says anything of the data's versions */
    /* Versions of the data that it reads, and the one that it writes; 1 where nothing is said. */
    int reads[MAX_READS];
    int readable;
    int writes;
    bool one_way; /* of a bundle: it may write what the version before it cannot read */
};

/* 0, or -1 with a message on standard error. */
int terms_read(struct terms *terms, const char *path);

/* Numbers from 1 to MAX_DATA with blanks between them: how many, or -1. */
int terms_numbers(const char *text, int numbers[MAX_READS]);

#endif
