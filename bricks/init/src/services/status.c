/* status.c: see status.h. */
#include "services/status.h"

#include "base/console.h"
#include "base/files.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 * "0", "137": a shell's way of telling a signal; "-" for one that has not ended yet, or whose end
 * nobody saw.
 */
static void status_exit_status(char *text, size_t size, const struct service *service)
{
    if (service->starts == 0 || service->status == STATUS_UNKNOWN ||
        service->state == STATE_RUNNING || service->state == STATE_STARTING)
        snprintf(text, size, "-");
    else if (WIFSIGNALED(service->status))
        snprintf(text, size, "%d", 128 + WTERMSIG(service->status));
    else
        snprintf(text, size, "%d", WEXITSTATUS(service->status));
}

/* A name as a JSON string. Names have no control characters, and bytes above 127 pass. */
static void status_put_json(FILE *file, const char *text)
{
    fputc('"', file);
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            fputc('\\', file);
        fputc(*text, file);
    }
    fputc('"', file);
}

static void status_put_service(FILE *lines, FILE *json, const struct service *service)
{
    char status[16];
    const char *state = service_state(service), *health = service_health(service);
    double since = (double)service->since / 1000;
    int pid =
        service->state == STATE_RUNNING || service->state == STATE_STOPPING ? (int)service->pid : 0;
    status_exit_status(status, sizeof status, service);
    fprintf(lines, "%s\t%s\t%s\t%d\t%u\t%s\t%.2f\n", service->bundle.id, state, health, pid,
            service->restarts, status, since);
    fputs("{\"name\": ", json);
    status_put_json(json, service->bundle.id);
    fprintf(json, ", \"state\": \"%s\", \"health\": ", state);
    fprintf(json, *health == '-' ? "null" : "\"%s\"", health);
    fprintf(json, ", \"pid\": %d, \"restarts\": %u, \"exit\": %s, \"since\": %.2f}", pid,
            service->restarts, *status == '-' ? "null" : status, since);
}

static FILE *status_begin(const char *path, char *partial, size_t size)
{
    snprintf(partial, size, "%s.new", path);
    return fopen(partial, "we");
}

static void status_discard(FILE *file, const char *partial)
{
    if (file) {
        fclose(file);
        unlink(partial);
    }
}

static void status_finish(FILE *file, const char *partial, const char *path)
{
    bool failed = ferror(file) != 0;
    if (fclose(file) != 0 || failed || rename(partial, path) < 0) {
        say("%s: %s", path, strerror(errno));
        unlink(partial);
    }
}

void status_write(const struct service *services, size_t count)
{
    char lines_path[64], json_path[64];
    FILE *lines = status_begin(STATUS_FILE, lines_path, sizeof lines_path);
    FILE *json = status_begin(STATUS_JSON, json_path, sizeof json_path);
    if (!lines || !json) {
        /* What is there is old; an empty one would be wrong. */
        say("%s: %s", lines ? STATUS_JSON : STATUS_FILE, strerror(errno));
        status_discard(lines, lines_path);
        status_discard(json, json_path);
        return;
    }
    fputs("[", json);
    const char *before = "";
    for (size_t i = 0; i < count; i++) {
        if (service_is_gone(&services[i]))
            continue;
        fputs(before, json);
        before = ",\n ";
        status_put_service(lines, json, &services[i]);
    }
    fputs("]\n", json);
    status_finish(lines, lines_path, STATUS_FILE);
    status_finish(json, json_path, STATUS_JSON);
}
