/*
 * azure_report.c: see azure_report.h. The wire server's protocol, as Azure's own agent speaks it.
 */
#include "azure_report.h"

#include "http.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define ADDRESS "168.63.129.16"
#define VERSION "x-ms-version: 2012-11-30\r\nx-ms-agent-name: compos\r\n"

enum { TIMEOUT = 5000, MAX_GOAL_STATE = 65536, MAX_IDENTIFIER = 128 };

/* The text of the first element `name`: an identifier, which needs no escapes in XML. */
static int azure_report_element(const char *document, const char *name, char *text,
                                struct failure *failure)
{
    char begin[64];
    snprintf(begin, sizeof begin, "<%s>", name);
    const char *at = strstr(document, begin);
    size_t length = 0;
    at = at ? at + strlen(begin) : "";
    while (isalnum((unsigned char)at[length]) || (at[length] && strchr("-_.", at[length])))
        length++;
    if (length == 0 || length >= MAX_IDENTIFIER || at[length] != '<')
        return failed(failure, "the goal state has no %s", name);
    memcpy(text, at, length);
    text[length] = '\0';
    return 0;
}

static int azure_report_send(const struct http_request *request, struct http_response *response,
                             struct failure *failure)
{
    if (http_send(request, response, failure) < 0)
        return -1;
    if (response->status >= 200 && response->status < 300)
        return 0;
    http_forget(response);
    return failed(failure, "%s: status %d", request->path, response->status);
}

static int azure_report_body(const char *goal_state, char *body, size_t size,
                             struct failure *failure)
{
    char incarnation[MAX_IDENTIFIER], container[MAX_IDENTIFIER], instance[MAX_IDENTIFIER];
    if (azure_report_element(goal_state, "Incarnation", incarnation, failure) < 0 ||
        azure_report_element(goal_state, "ContainerId", container, failure) < 0 ||
        azure_report_element(goal_state, "InstanceId", instance, failure) < 0)
        return -1;
    snprintf(body, size,
             "<?xml version=\"1.0\" encoding=\"utf-8\"?>"
             "<Health><GoalStateIncarnation>%s</GoalStateIncarnation><Container>"
             "<ContainerId>%s</ContainerId><RoleInstanceList><Role><InstanceId>%s</InstanceId>"
             "<Health><State>Ready</State></Health></Role></RoleInstanceList></Container></Health>",
             incarnation, container, instance);
    return 0;
}

int azure_report_ready(struct failure *failure)
{
    char body[1024];
    struct http_response response;
    const struct http_request ask = {.address = ADDRESS,
                                     .path = "/machine/?comp=goalstate",
                                     .headers = VERSION,
                                     .limit = MAX_GOAL_STATE,
                                     .timeout = TIMEOUT};
    const struct http_request tell = {.method = "POST",
                                      .address = ADDRESS,
                                      .path = "/machine?comp=health",
                                      .headers = VERSION "Content-Type: text/xml;charset=utf-8\r\n",
                                      .body = body,
                                      .limit = MAX_GOAL_STATE,
                                      .timeout = TIMEOUT};
    if (azure_report_send(&ask, &response, failure) < 0)
        return -1;
    int done = azure_report_body(response.body, body, sizeof body, failure);
    http_forget(&response);
    if (done < 0 || azure_report_send(&tell, &response, failure) < 0)
        return -1;
    http_forget(&response);
    return 0;
}
