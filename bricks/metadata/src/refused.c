/* refused.c: see refused.h. */
#include "refused.h"

#include "report.h"

bool refused_find(const struct search *search, struct result *result)
{
    (void)result;
    if (search->named)
        report("%s: %s", search->argument, (const char *)search->provider->settings);
    return false;
}
