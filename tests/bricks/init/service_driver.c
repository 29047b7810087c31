/*
 * service_driver.c: reads each plan named on the command line, and prints what it says of the
 * services.
 */
#include "base/failure.h"
#include "base/files.h"
#include "services/service.h"

#include <stdio.h>
#include <stdlib.h>

static void ignore(unsigned number, const char *what)
{
    (void)number;
    (void)what;
}

static void print_service(const struct service *service)
{
    printf("%s restart %d/%u stop %d/%lld log %d/%zu/%u <%s> <%s> health %zu", service->bundle.id,
           (int)service->restart, service->max_restarts, service->stop_signal,
           (long long)service->grace, (int)service->log.driver, service->log.size,
           service->log.files, service->log.address, service->log.tag, service->check.arguments);
    for (size_t i = 0; i < service->check.arguments; i++)
        printf(" <%s>", service->check.test[i].argument[0]);
    printf(" %lld/%lld/%u/%lld/%lld\n", (long long)service->check.interval,
           (long long)service->check.timeout, service->check.retries,
           (long long)service->check.start_period, (long long)service->check.start_interval);
}

int main(int count, char *paths[])
{
    for (unsigned failures = 1; failures < 14; failures++)
        printf("%lld ", (long long)service_pause(failures));
    putchar('\n');
    for (int i = 1; i < count; i++) {
        struct plan plan;
        struct service service;
        struct failure failure;
        size_t length;
        char *text = file_read(paths[i], (size_t)1 << 24, &length);
        if (!text)
            return 1;
        if (plan_read(&plan, text, length, ignore) < 0)
            puts("no plan");
        for (size_t at = plan.begin[STAGE_SERVICES]; at < plan.end[STAGE_SERVICES];
             at = plan_container_end(&plan, at, plan.end[STAGE_SERVICES])) {
            if (plan.lines[at].word != WORD_CONTAINER)
                continue;
            if (service_read(&service, &plan, at, plan.end[STAGE_SERVICES], &failure) < 0)
                printf("%s: %s\n", plan.lines[at].argument[0], failure.text);
            else
                print_service(&service);
        }
        plan_free(&plan);
        free(text);
    }
    return 0;
}
