/* modules.c: see modules.h. */
#include "machine/modules.h"

#include "base/files.h"

#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <linux/module.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

enum { DEPENDENCIES, ALIASES, BUILTINS, SOFT_DEPENDENCIES };

/* Debian's full kernel: 0.7 MB of modules.dep, 1.6 MB of modules.alias. */
enum { MAX_INDEX = 64 << 20 };

static const char modules_blanks[] = " \t";

/* A module that needs itself, or a chain longer than any real one, ends here. */
enum { MAX_DEPTH = 64 };

static int modules_load_one(struct modules *modules, struct module *module, int depth);

/* The line behind `line`, which must be whole; NULL at the end. */
static char *modules_line_after(const struct index *index, char *line)
{
    char *next = line + strlen(line) + 1;
    return next < index->end ? next : NULL;
}

static char *modules_first_line(const struct index *index)
{
    return index->begin < index->end ? index->begin : NULL;
}

/* The next blank-separated word in place, made zero-terminated; NULL at the end. */
static char *modules_next_word(char **text)
{
    char *word = *text + strspn(*text, modules_blanks);
    if (!*word)
        return NULL;
    size_t length = strcspn(word, modules_blanks);
    *text = word + length + (word[length] != '\0');
    word[length] = '\0';
    return word;
}

/* Reads an index file. The number of its lines. */
static size_t modules_read_index(struct index *index, const char *path)
{
    size_t length = 0, count = 0;
    index->begin = file_read(path, MAX_INDEX, &length);
    if (!index->begin)
        return 0;
    index->end = index->begin + length;
    /* memchr, not strcspn, which in some C libraries measures all the rest of the text first. */
    for (char *at = index->begin; (at = memchr(at, '\n', (size_t)(index->end - at))) != NULL;
         count++)
        *at++ = '\0';
    return count + 1;
}

static bool modules_same_letter(char a, char b)
{
    return (a == '-' ? '_' : a) == (b == '-' ? '_' : b);
}

static bool modules_same_name(const char *a, const char *b)
{
    for (; *a && modules_same_letter(*a, *b); a++, b++)
        continue;
    return *a == *b;
}

bool module_named(const char *path, const char *name)
{
    const char *slash = strrchr(path, '/');
    const char *base = slash ? slash + 1 : path;
    for (; *name && modules_same_letter(*base, *name); base++, name++)
        continue;
    return !*name && (strcmp(base, ".ko") == 0 || strncmp(base, ".ko.", 4) == 0);
}

static void modules_read_dependencies(struct modules *modules)
{
    const struct index *index = &modules->index[DEPENDENCIES];
    for (char *line = modules_first_line(index), *next; line; line = next) {
        next = modules_line_after(index, line);
        char *colon = strchr(line, ':');
        if (!colon)
            continue;
        *colon = '\0';
        modules->list[modules->count++] = (struct module){.path = line, .dependencies = colon + 1};
    }
}

static void modules_read_aliases(struct modules *modules)
{
    const struct index *index = &modules->index[ALIASES];
    for (char *line = modules_first_line(index), *next; line; line = next) {
        next = modules_line_after(index, line);
        char *keyword = modules_next_word(&line);
        char *pattern = keyword ? modules_next_word(&line) : NULL;
        char *module = pattern ? modules_next_word(&line) : NULL;
        if (module && strcmp(keyword, "alias") == 0)
            modules->aliases[modules->alias_count++] = (struct alias){
                .pattern = pattern, .literal = strcspn(pattern, "*?[\\-_"), .module = module};
    }
}

int modules_open(struct modules *modules, const char *folder)
{
    static const char *const names[] = {"dep", "alias", "builtin", "softdep"};
    size_t lines[sizeof names / sizeof *names];
    *modules = (struct modules){.folder = folder, .insert = modules_insert};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[PATH_SIZE];
        snprintf(path, sizeof path, "%s/modules.%s", folder, names[i]);
        lines[i] = modules_read_index(&modules->index[i], path);
        if (i == DEPENDENCIES && lines[i] == 0)
            return -1;
    }
    modules->list = calloc(lines[DEPENDENCIES], sizeof *modules->list);
    modules->aliases = calloc(lines[ALIASES] + 1, sizeof *modules->aliases);
    if (!modules->list || !modules->aliases) {
        modules_close(modules);
        return -1;
    }
    modules_read_dependencies(modules);
    modules_read_aliases(modules);
    if (file_line("/proc/cmdline", modules->cmdline, sizeof modules->cmdline) < 0)
        modules->cmdline[0] = '\0';
    return 0;
}

void modules_close(struct modules *modules)
{
    for (size_t i = 0; i < sizeof modules->index / sizeof *modules->index; i++)
        free(modules->index[i].begin);
    free(modules->list);
    free(modules->aliases);
    *modules = (struct modules){0};
}

static struct module *modules_find(struct modules *modules, const char *name)
{
    for (size_t i = 0; i < modules->count; i++)
        if (module_named(modules->list[i].path, name))
            return &modules->list[i];
    return NULL;
}

static struct module *modules_find_path(struct modules *modules, const char *path, size_t length)
{
    for (size_t i = 0; i < modules->count; i++)
        if (strncmp(modules->list[i].path, path, length) == 0 && !modules->list[i].path[length])
            return &modules->list[i];
    return NULL;
}

static bool modules_is_built_in(const struct modules *modules, const char *name)
{
    const struct index *index = &modules->index[BUILTINS];
    for (char *line = modules_first_line(index); line; line = modules_line_after(index, line))
        if (module_named(line, name))
            return true;
    return false;
}

/* Whether the kernel has it already: saves reading the file again. */
static bool modules_is_live(const char *path)
{
    const char *slash = strrchr(path, '/');
    char state[128];
    snprintf(state, sizeof state, "/sys/module/%s", slash ? slash + 1 : path);
    char *name = state + strlen("/sys/module/");
    name[strcspn(name, ".")] = '\0';
    for (char *letter = name; *letter; letter++)
        if (*letter == '-')
            *letter = '_';
    size_t length = strlen(state);
    snprintf(state + length, sizeof state - length, "/initstate");
    char text[16];
    return file_line(state, text, sizeof text) == 0 && strcmp(text, "live") == 0;
}

int modules_insert(const char *path, const char *parameters)
{
    int file = modules_is_live(path) ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return modules_is_live(path) ? 0 : -1;
    const char *dot = strrchr(path, '.');
    bool compressed = dot && strcmp(dot, ".ko") != 0;
    long result =
        syscall(SYS_finit_module, file, parameters, compressed ? MODULE_INIT_COMPRESSED_FILE : 0);
    int reason = errno;
    close(file);
    errno = reason;
    return result < 0 && reason != EEXIST ? -1 : 0;
}

/* The end of a word of the command line: blanks between double quotes belong to it. */
static const char *modules_word_end(const char *word)
{
    bool quoted = false;
    for (; *word && (quoted || !strchr(" \t\n", *word)); word++)
        quoted ^= *word == '"';
    return word;
}

/* Those of the kernel's command line, as finit_module(2) takes them. */
static void modules_find_parameters(const struct modules *modules, const char *path, char *text,
                                    size_t size)
{
    size_t used = 0;
    const char *word = modules->cmdline;
    *text = '\0';
    for (const char *end; *(word += strspn(word, " \t\n")); word = end) {
        char name[64];
        end = modules_word_end(word);
        size_t length = strcspn(word, ".= \t\n");
        if (end - word == 2 && strncmp(word, "--", 2) == 0)
            return; /* the rest is for init */
        if (word[length] != '.' || length >= sizeof name)
            continue;
        snprintf(name, sizeof name, "%.*s", (int)length, word);
        size_t rest = (size_t)(end - word) - length - 1;
        if (module_named(path, name) && used + rest + 1 < size)
            used += (size_t)snprintf(text + used, size - used, "%s%.*s", used > 0 ? " " : "",
                                     (int)rest, word + length + 1);
    }
}

/*
 * What a softdep line names before ("pre:") or after ("post:") the module; failures do not count
 * (modprobe.d(5)).
 */
static void modules_load_soft(struct modules *modules, const struct module *module,
                              const char *when, int depth)
{
    const struct index *index = &modules->index[SOFT_DEPENDENCIES];
    for (char *line = modules_first_line(index); line; line = modules_line_after(index, line)) {
        char copy[1024];
        snprintf(copy, sizeof copy, "%s", line);
        char *rest = copy;
        const char *keyword = modules_next_word(&rest);
        const char *name = keyword ? modules_next_word(&rest) : NULL;
        if (!name || strcmp(keyword, "softdep") != 0 || !module_named(module->path, name))
            continue;
        bool wanted = false;
        for (const char *word; (word = modules_next_word(&rest)) != NULL;) {
            if (word[strlen(word) - 1] == ':')
                wanted = strcmp(word, when) == 0;
            else if (wanted) {
                struct module *other = modules_find(modules, word);
                if (other)
                    modules_load_one(modules, other, depth + 1);
            }
        }
    }
}

/* The dependencies stand nearest first; the last must be loaded first. */
static void modules_load_needed(struct modules *modules, const struct module *module, int depth)
{
    const char *begin = module->dependencies;
    for (const char *end = begin + strlen(begin); end > begin;) {
        const char *word = end;
        while (word > begin && word[-1] != ' ')
            word--;
        struct module *needed =
            word < end ? modules_find_path(modules, word, (size_t)(end - word)) : NULL;
        if (needed)
            modules_load_one(modules, needed, depth + 1);
        end = word > begin ? word - 1 : begin;
    }
}

static int modules_load_one(struct modules *modules, struct module *module, int depth)
{
    if (module->tried || depth > MAX_DEPTH)
        return 0;
    module->tried = true;
    modules_load_soft(modules, module, "pre:", depth);
    modules_load_needed(modules, module, depth);
    char path[PATH_SIZE], parameters[MAX_CMDLINE];
    if (*module->path == '/')
        snprintf(path, sizeof path, "%s", module->path);
    else
        snprintf(path, sizeof path, "%s/%s", modules->folder, module->path);
    modules_find_parameters(modules, module->path, parameters, sizeof parameters);
    int result = modules->insert(path, parameters);
    int reason = errno;
    modules_load_soft(modules, module, "post:", depth);
    errno = reason;
    return result;
}

/*
 * Most patterns differ before their first wildcard: comparing up to there saves nearly all of the
 * matching.
 */
static bool modules_alias_matches(const struct alias *alias, const char *name)
{
    return strncmp(alias->pattern, name, alias->literal) == 0 &&
           (modules_same_name(alias->pattern, name) || fnmatch(alias->pattern, name, 0) == 0);
}

int modules_load(struct modules *modules, const char *name, struct failure *failure)
{
    struct module *module = modules_find(modules, name);
    if (module)
        return modules_load_one(modules, module, 0) < 0 ? failed_errno(failure, "module %s", name)
                                                        : 1;
    if (modules_is_built_in(modules, name))
        return 1;
    int found = 0;
    int loaded = 0;
    for (size_t i = 0; i < modules->alias_count; i++) {
        if (!modules_alias_matches(&modules->aliases[i], name))
            continue;
        found++;
        const char *target = modules->aliases[i].module;
        module = modules_find(modules, target);
        if (module ? modules_load_one(modules, module, 0) == 0
                   : modules_is_built_in(modules, target))
            loaded++;
        else if (module)
            failed_errno(failure, "module %s", target);
        else
            failed(failure, "module %s: not among the kernel's modules", target);
    }
    return found > 0 && loaded == 0 ? -1 : found;
}

void modules_folder(char *folder, size_t size)
{
    struct utsname kernel;
    uname(&kernel);
    snprintf(folder, size, "/lib/modules/%s", kernel.release);
}
