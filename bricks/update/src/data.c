/*
 * data.c: see data.h. The file has a line "data N", the newest version that anybody has written,
 * and lines "VERSION N N …" with what each version of the system can read, the newest last.
 */
#include "data.h"

#include "base/files.h"
#include "base/keep.h"
#include "verdict.h"
#include "version.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Where the data partition is in the container. */
#define DATA_FOLDER "/srv"
#define DATA_NAME ".compos-data-versions"
#define DATA_FILE DATA_FOLDER "/" DATA_NAME
#define DATA_WORD "data"

enum { MAX_FILE = 65536, MAX_VERSIONS = 32 };

/* What the file says, as its lines; none if it does not exist, as on a new data partition. */
static int data_load(char **text)
{
    size_t length;
    *text = file_read(DATA_FILE, MAX_FILE, &length);
    if (!*text && errno == ENOENT)
        *text = strdup("");
    if (*text)
        return 0;
    fprintf(stderr, "update: " DATA_FILE ": %s\n", strerror(errno));
    return -1;
}

/* What stands behind a word at the beginning of a line: how many numbers, 0 for no such line. */
static int data_find(const char *text, const char *word, int numbers[MAX_READS])
{
    size_t length = strlen(word);
    for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n') {
        char values[TERMS_LINE];
        if (strncmp(line, word, length) != 0 || line[length] != ' ')
            continue;
        snprintf(values, sizeof values, "%.*s", (int)(strcspn(line, "\n") - length), line + length);
        int count = terms_numbers(values, numbers);
        return count > 0 ? count : 0;
    }
    return 0;
}

/* The version of the data: 1 where nobody has said anything. */
static int data_version(const char *text)
{
    int numbers[MAX_READS];
    return data_find(text, DATA_WORD, numbers) == 1 ? numbers[0] : 1;
}

static bool data_has(const int *reads, int count, int version)
{
    for (int i = 0; i < count; i++)
        if (reads[i] == version)
            return true;
    return false;
}

static int data_fits(int version, const char *name, const int *reads, int count)
{
    if (data_has(reads, count, version))
        return 0;
    return verdict_refuse("version %s cannot read the data, which has version %d", name, version);
}

/* The file's lines again, with that of one version new, and the data's version. */
static void data_print(FILE *out, const char *text, const struct terms *terms, int version)
{
    int lines = 0;
    fprintf(out, DATA_WORD " %d\n", version);
    for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n')
        lines++;
    for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n') {
        size_t word = strcspn(line, " \n");
        bool same = word == strlen(terms->version) && !strncmp(line, terms->version, word);
        bool data = word == strlen(DATA_WORD) && !strncmp(line, DATA_WORD, word);
        if (!same && !data && lines-- <= MAX_VERSIONS)
            fprintf(out, "%.*s\n", (int)strcspn(line, "\n"), line);
    }
    fprintf(out, "%s", terms->version);
    for (int i = 0; i < terms->readable; i++)
        fprintf(out, " %d", terms->reads[i]);
    fputc('\n', out);
}

/* Replaces the file as a whole; on the disk before anything else happens. */
static int data_save(const char *text, const struct terms *terms, int version)
{
    char *lines = NULL;
    size_t length;
    FILE *out = open_memstream(&lines, &length);
    if (out)
        data_print(out, text, terms, version);
    int result = out && fclose(out) == 0 ? keep_replace(DATA_FOLDER, DATA_NAME, lines) : -1;
    if (result < 0)
        fprintf(stderr, "update: " DATA_FILE ": %s\n", strerror(errno));
    free(lines);
    return result;
}

int data_start(const struct terms *own)
{
    char *text;
    if (data_load(&text) < 0)
        return -1;
    int version = data_version(text);
    int result = data_fits(version, own->version, own->reads, own->readable);
    if (result == 0)
        result = data_save(text, own, own->writes > version ? own->writes : version);
    free(text);
    return result;
}

int data_readable(const struct terms *own, const struct terms *update)
{
    char *text;
    if (data_load(&text) < 0)
        return -1;
    int result = data_fits(data_version(text), update->version, update->reads, update->readable);
    free(text);
    if (result < 0 || update->one_way || data_has(own->reads, own->readable, update->writes))
        return result;
    return verdict_refuse("version %s writes data of version %d, which this one could not read if "
                          "it had to start again",
                          update->version, update->writes);
}

int data_remember(const struct terms *other)
{
    char *text;
    if (data_load(&text) < 0)
        return -1;
    int result = data_save(text, other, data_version(text));
    free(text);
    return result;
}

int data_known(const char *version)
{
    char *text;
    int reads[MAX_READS] = {1};
    if (data_load(&text) < 0)
        return -1;
    int count = data_find(text, version, reads);
    /* One that has never said what it reads is one that reads the first version. */
    int result = data_fits(data_version(text), version, reads, count ? count : 1);
    free(text);
    return result;
}
