/*
 * main.c: metadata [-v] [--users] [--commands] [--network] [PROVIDER...]: what the cloud, a disc or
 * a file says of this machine, in /run/config. The first provider that is found wins. Where there
 * is none, nothing is written, and that is no failure: the same image boots anywhere.
 */
#include "provider.h"
#include "report.h"

#include <stdio.h>
#include <string.h>

enum { MAX_ARGUMENTS = 32 };

static const char *const main_usual[] = {
    "aws",          "gcp",   "hetzner",   "openstack", "scaleway", "vultr",
    "digitalocean", "azure", "metaldata", "vmware",    "cdrom",
};

/* 1: found; 0: not; -1: found, and not all of it written. */
static int main_try(const struct search *search, const struct allowed *allowed)
{
    struct result result = {.folder = -1, .allowed = *allowed};
    report_detail("trying %s", search->argument);
    if (!search->provider->find(search, &result))
        return 0;
    report("found %s", result.provider);
    return result_finish(&result) < 0 ? -1 : 1;
}

static int main_search(const struct search *searches, size_t count, const struct allowed *allowed)
{
    for (int group = 0; group < PROVIDER_GROUPS; group++)
        for (size_t i = 0; i < count; i++) {
            if ((int)searches[i].provider->group != group)
                continue;
            int found = main_try(&searches[i], allowed);
            if (found != 0)
                return found < 0 ? 1 : 0;
        }
    report("no provider found");
    if (!allowed->users)
        return 0;
    /* Containers bind the files of users, which then have to be there. */
    struct result result = {.folder = -1, .allowed = *allowed};
    return result_begin(&result, "") < 0 || result_finish(&result) < 0 ? 1 : 0;
}

/* Whether it is an option, which is then noted. */
static bool main_take_option(const char *argument, struct allowed *allowed)
{
    if (strcmp(argument, "-v") == 0 || strcmp(argument, "--v") == 0)
        report_verbose = true;
    else if (strcmp(argument, "--users") == 0)
        allowed->users = true;
    else if (strcmp(argument, "--commands") == 0)
        allowed->commands = true;
    else if (strcmp(argument, "--network") == 0)
        allowed->network = true;
    else
        return false;
    return true;
}

int main(int argument_count, char *arguments[])
{
    struct search searches[MAX_ARGUMENTS];
    const char *const *names = (const char *const *)arguments + 1;
    size_t count = (size_t)argument_count - 1;
    struct allowed allowed = {0};
    while (count > 0 && main_take_option(names[0], &allowed)) {
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
            report("%s: unknown %s", names[i], names[i][0] == '-' ? "option" : "provider");
            return 1;
        }
        searches[i] = (struct search){provider, names[i], named};
    }
    return main_search(searches, count, &allowed);
}
