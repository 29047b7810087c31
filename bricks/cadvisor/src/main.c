/*
 * main.c: cadvisor [-port 8080] [-listen_ip ADDRESS] [-docker_root DIR] [-cgroup_root DIR]
 * [-proc_root DIR]: metrics of containers for Prometheus, by cAdvisor's names. Each request is
 * served by a process of its own, for ten seconds at most.
 */
#include "groups.h"
#include "metrics.h"
#include "processes.h"
#include "protocol/options.h"
#include "web/web.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

enum { PATIENCE = 10 };

static void main_measure(const struct places *places, struct text *page)
{
    struct utsname kernel;
    struct text labels = {0};
    double memory;
    uname(&kernel);
    text_add_label(&labels, "cadvisorVersion", "compos");
    text_add_label(&labels, "kernelVersion", kernel.release);
    metrics_add(VERSION, labels.bytes, 1);
    metrics_add(MACHINE_CORES, "", (double)sysconf(_SC_NPROCESSORS_ONLN));
    if (processes_memory(places->processes, "MemTotal:", &memory))
        metrics_add(MACHINE_MEMORY, "", memory);
    groups_measure(places);
    metrics_write(page);
}

static void main_answer(void *context, int client, const char *path, const char *query)
{
    struct text page = {0};
    (void)query;
    if (strcmp(path, "metrics") == 0) {
        main_measure(context, &page);
        web_answer(client, "200 OK", "text/plain; version=0.0.4; charset=utf-8", &page);
    } else if (strcmp(path, "healthz") == 0) {
        web_say(client, "200 OK", "ok");
    } else {
        web_say(client, "404 Not Found", "there are /metrics and /healthz");
    }
}

int main(int argument_count, char *arguments[])
{
    struct places places = {"/sys/fs/cgroup", "/proc", "/var/lib/docker"};
    struct web_place place = {.name = "cadvisor", .ip = "", .port = 8080, .patience = PATIENCE};
    const struct option options[] = {
        {.name = "port", .number = &place.port, .least = 1, .most = 65535},
        {.name = "listen_ip", .text = &place.ip},
        {.name = "docker_root", .text = &places.docker},
        {.name = "cgroup_root", .text = &places.groups},
        {.name = "proc_root", .text = &places.processes},
    };
    if (options_read(argument_count, arguments, options, 5) < argument_count) {
        fprintf(stderr, "cadvisor: no arguments are taken, only options\n");
        exit(1);
    }
    web_serve(&place, main_answer, &places);
}
