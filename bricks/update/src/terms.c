/* terms.c: see terms.h. Lines of a word, a tab and a value; unknown words say nothing. */
#include "terms.h"

#include "version.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DAY = 86400 };

int terms_numbers(const char *text, int numbers[MAX_READS])
{
    int count = 0;
    char *end;
    for (;;) {
        text += strspn(text, " ");
        if (!*text)
            return count;
        long number = strtol(text, &end, 10);
        if (end == text || (*end && *end != ' ') || number < 1 || number > MAX_DATA ||
            count == MAX_READS)
            return -1;
        numbers[count++] = (int)number;
        text = end;
    }
}

/* "7200 10800": the first second of a day in UTC, and how many. */
static void terms_window(struct terms *terms, const char *value)
{
    unsigned start, length;
    if (sscanf(value, "%9u %9u", &start, &length) == 2 && start < DAY && length && length < DAY)
        terms->window = (struct schedule_window){start, length};
}

static bool terms_hawkbit(struct terms_hawkbit *hawkbit, const char *word, const char *value)
{
    if (strcmp(word, "hawkbit") == 0)
        snprintf(hawkbit->server, sizeof hawkbit->server, "%s", value);
    else if (strcmp(word, "hawkbit-controller") == 0)
        snprintf(hawkbit->controller, sizeof hawkbit->controller, "%s", value);
    else if (strcmp(word, "hawkbit-scheme") == 0)
        snprintf(hawkbit->scheme, sizeof hawkbit->scheme, "%s", value);
    else if (strcmp(word, "hawkbit-token") == 0)
        snprintf(hawkbit->token, sizeof hawkbit->token, "%s", value);
    else
        return false;
    return true;
}

static int terms_line(struct terms *terms, const char *word, const char *value)
{
    int writes[MAX_READS];
    if (terms_hawkbit(&terms->hawkbit, word, value))
        return 0;
    if (strcmp(word, "version") == 0)
        snprintf(terms->version, sizeof terms->version, "%s", value);
    else if (strcmp(word, "compatible") == 0)
        snprintf(terms->compatible, sizeof terms->compatible, "%s", value);
    else if (strcmp(word, "source") == 0 && terms->count < MAX_SOURCES)
        snprintf(terms->sources[terms->count++], TERMS_LINE, "%s", value);
    else if (strcmp(word, "every") == 0)
        terms->every = (uint32_t)strtoul(value, NULL, 10);
    else if (strcmp(word, "window") == 0)
        terms_window(terms, value);
    else if (strcmp(word, "restart") == 0)
        terms->restart = true;
    else if (strcmp(word, "kexec") == 0)
        terms->kexec = true;
    else if (strcmp(word, "downgrade") == 0)
        terms->downgrade = true;
    else if (strcmp(word, "one-way") == 0)
        terms->one_way = true;
    else if (strcmp(word, "reads") == 0) {
        terms->data = true;
        return (terms->readable = terms_numbers(value, terms->reads)) > 0 ? 0 : -1;
    } else if (strcmp(word, "writes") == 0) {
        if (terms_numbers(value, writes) != 1)
            return -1;
        terms->writes = writes[0];
    }
    return 0;
}

int terms_read(struct terms *terms, const char *path)
{
    char line[TERMS_LINE];
    int wrong = 0;
    *terms = (struct terms){.reads = {1}, .readable = 1, .writes = 1};
    FILE *file = fopen(path, "re");
    if (!file) {
        fprintf(stderr, "update: %s: %s\n", path, strerror(errno));
        return -1;
    }
    while (fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = '\0';
        char *value = strchr(line, '\t');
        if (!value)
            continue;
        *value++ = '\0';
        if (terms_line(terms, line, value) < 0)
            wrong = -1;
    }
    fclose(file);
    if (wrong < 0)
        fprintf(stderr, "update: %s has wrong versions of data\n", path);
    else if (!version_is(terms->version))
        fprintf(stderr, "update: %s has no version\n", path);
    else
        return 0;
    return -1;
}
