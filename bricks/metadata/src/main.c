/*
 * main.c: metadata [-v] [PROVIDER...]: what the cloud, a disc or a file says of this machine, in
 * /run/config. The first provider that is found wins. Where there is none, nothing is written, and
 * that is no failure: the same image boots anywhere.
 */
#include "provider.h"
#include "report.h"

#include <stdio.h>
#include <string.h>

enum { MAX_ARGUMENTS = 32 };

static const char *const main_usual[] = {
    "aws",   "gcp",          "hetzner", "openstack", "scaleway",
    "vultr", "digitalocean", "azure",   "metaldata", "cdrom",
};

/* 1: found; 0: not; -1: found, and not all of it written. */
static int main_try(const struct search *search)
{
    struct result result = {.folder = -1};
    report_detail("trying %s", search->argument);
    if (!search->provider->find(search, &result))
        return 0;
    report("found %s", result.provider);
    return result_finish(&result) < 0 ? -1 : 1;
}

static int main_search(const struct search *searches, size_t count)
{
    for (int group = 0; group < PROVIDER_GROUPS; group++)
        for (size_t i = 0; i < count; i++) {
            if ((int)searches[i].provider->group != group)
                continue;
            int found = main_try(&searches[i]);
            if (found != 0)
                return found < 0 ? 1 : 0;
        }
    report("no provider found");
    return 0;
}

int main(int argument_count, char *arguments[])
{
    struct search searches[MAX_ARGUMENTS];
    const char *const *names = (const char *const *)arguments + 1;
    size_t count = (size_t)argument_count - 1;
    if (count > 0 && (strcmp(names[0], "-v") == 0 || strcmp(names[0], "--v") == 0)) {
        report_verbose = true;
        names++;
        count--;
    }
    bool named = count > 0;
    if (!named) {
        names = main_usual;
        count = sizeof main_usual / sizeof *main_usual;
    }
    if (count > MAX_ARGUMENTS) {
        report("more than %d providers", MAX_ARGUMENTS);
        return 1;
    }
    for (size_t i = 0; i < count; i++) {
        const struct provider *provider = provider_named(names[i]);
        if (!provider) {
            report("%s: unknown provider", names[i]);
            return 1;
        }
        searches[i] = (struct search){provider, names[i], named};
    }
    return main_search(searches, count);
}
