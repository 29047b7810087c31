/* schedule.c: see schedule.h. */
#include "schedule.h"

#include "version.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

enum { DAY = 86400, WHOLE = 10000, PERCENT = 100 };

static uint64_t schedule_since(struct schedule_window window, uint64_t now)
{
    return (now % DAY + DAY - window.start) % DAY;
}

bool schedule_open(struct schedule_window window, uint64_t now)
{
    return !window.length || schedule_since(window, now) < window.length;
}

uint64_t schedule_until(struct schedule_window window, uint64_t now)
{
    return schedule_open(window, now) ? 0 : DAY - schedule_since(window, now);
}

uint64_t schedule_wait(struct schedule_window window, uint64_t now, uint64_t wait, uint32_t chance)
{
    uint64_t closed = schedule_until(window, now + wait);
    return closed ? wait + closed + chance % window.length : wait;
}

/* A percentage with up to two decimals: -1 for anything else, or more than 100. */
static int schedule_share(const char *text, uint32_t *share)
{
    uint32_t number = 0;
    int digits = 0, decimals = 0;
    for (; isdigit((unsigned char)*text) && digits < 3; text++, digits++)
        number = number * 10 + (uint32_t)(*text - '0');
    if (!digits)
        return -1;
    if (*text == '.')
        for (text++; isdigit((unsigned char)*text) && decimals < 2; text++, decimals++)
            number = number * 10 + (uint32_t)(*text - '0');
    for (int i = decimals; i < 2; i++)
        number *= 10;
    if (*text == '%')
        text++;
    *share = number;
    return *text || number > WHOLE ? -1 : 0;
}

int schedule_rollout(struct schedule_rollout *rollout, const char *text)
{
    char share[16], more[2];
    if (sscanf(text, "%64s %15s %1s", rollout->version, share, more) != 2)
        return -1;
    return version_is(rollout->version) ? schedule_share(share, &rollout->share) : -1;
}

/* FNV-1a of both, mixed as MurmurHash3's finalizer does: machines' names differ in few bits. */
static uint64_t schedule_hash(const char *machine, const char *version)
{
    uint64_t hash = 0xcbf29ce484222325;
    for (int i = 0; i < 2; i++) {
        const char *text = i ? version : machine;
        /* With the zero byte behind it. */
        for (size_t at = 0; at <= strlen(text); at++)
            hash = (hash ^ (unsigned char)text[at]) * 0x100000001b3;
    }
    hash = (hash ^ hash >> 33) * 0xff51afd7ed558ccd;
    hash = (hash ^ hash >> 33) * 0xc4ceb9fe1a85ec53;
    return hash ^ hash >> 33;
}

bool schedule_takes(const struct schedule_rollout *rollout, const char *machine)
{
    return schedule_hash(machine, rollout->version) % WHOLE < rollout->share;
}
