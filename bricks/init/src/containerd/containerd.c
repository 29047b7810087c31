/*
 * containerd.c: see containerd.h. Messages are those of containerd's api/services (containers/v1,
 * tasks/v1).
 */
#include "containerd/containerd.h"

#include "containerd/grpc.h"
#include "containerd/protobuf.h"
#include "containers/spec.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_ID = 256, KILL = 9 };
/* A specification and what is around it: names, types, lengths. */
enum { MAX_REQUEST = MAX_SPEC + 4096 };

#define CONTAINERS "/containerd.services.containers.v1.Containers/"
#define TASKS "/containerd.services.tasks.v1.Tasks/"

/* Field numbers. google.protobuf.Any: */
enum { ANY_TYPE_URL = 1, ANY_VALUE = 2 };
/*
 * containers.v1.Container and its Runtime; CreateContainerRequest.container,
 * ListContainersResponse.containers:
 */
enum { CONTAINER_ID = 1, CONTAINER_RUNTIME = 4, CONTAINER_SPEC = 5, REQUEST_CONTAINER = 1 };
enum { RUNTIME_NAME = 1, RUNTIME_OPTIONS = 2 };
/* containerd.runc.v1.Options: */
enum { OPTIONS_BINARY_NAME = 6 };
/* tasks.v1: every request begins with the container's id. */
enum { TASK_CONTAINER_ID = 1, CREATE_STDOUT = 5, CREATE_STDERR = 6, KILL_SIGNAL = 3, KILL_ALL = 4 };
enum { CREATE_REPLY_PID = 2, START_REPLY_PID = 1, DELETE_REPLY_STATUS = 3 };

static const char containerd_malformed[] = "the response is malformed";

static const char containerd_spec_type[] = "types.containerd.io/opencontainers/runtime-spec/1/Spec";
static const char containerd_shim[] = "io.containerd.runc.v2";
static const char containerd_shim_options[] = "containerd.runc.v1.Options";

struct containerd {
    struct grpc *grpc;
    const uint8_t *reply;
    size_t reply_length;
    uint8_t request[MAX_REQUEST];
};

struct containerd *containerd_connect(const char *socket, struct failure *failure)
{
    struct containerd *c = malloc(sizeof *c);
    if (!c) {
        failed(failure, "out of memory");
        return NULL;
    }
    c->grpc = grpc_connect(socket, failure);
    if (!c->grpc) {
        free(c);
        return NULL;
    }
    return c;
}

void containerd_close(struct containerd *c)
{
    if (!c)
        return;
    grpc_close(c->grpc);
    free(c);
}

static struct message containerd_request(struct containerd *c)
{
    return (struct message){.data = c->request, .size = sizeof c->request};
}

static int containerd_call(struct containerd *c, const char *path, const char *ns,
                           const struct message *request, struct failure *failure)
{
    if (request->overflow)
        return failed(failure, "the container's configuration is longer than a request can be");
    return grpc_call(c->grpc, path, "containerd-namespace", ns, request->data, request->length,
                     &c->reply, &c->reply_length, failure);
}

/*
 * The process id in `field` of the last answer. 0 would mean the caller itself to the kernel: none
 * is an error.
 */
static int containerd_reply_pid(const struct containerd *c, unsigned field, uint32_t *pid,
                                struct failure *failure)
{
    struct message_field found;
    uint64_t value = 0;
    int more;
    for (size_t at = 0; (more = message_next(c->reply, c->reply_length, &at, &found)) == 1;)
        if (found.number == field)
            value = found.value;
    if (more < 0 || value == 0 || value > INT32_MAX)
        return failed(failure, "%s", containerd_malformed);
    *pid = (uint32_t)value;
    return 0;
}

/* The shim, and which program it runs containers with. */
static void containerd_write_runtime(struct message *named, const char *program)
{
    enum { MAX_PROGRAM = 256 };
    uint8_t options_data[MAX_PROGRAM], any_data[2 * MAX_PROGRAM];
    struct message options = {.data = options_data, .size = sizeof options_data};
    struct message any = {.data = any_data, .size = sizeof any_data};
    message_text(named, RUNTIME_NAME, containerd_shim);
    if (!*program)
        return;
    message_text(&options, OPTIONS_BINARY_NAME, program);
    message_text(&any, ANY_TYPE_URL, containerd_shim_options);
    message_bytes(&any, ANY_VALUE, options.data, options.length);
    message_bytes(named, RUNTIME_OPTIONS, any.data, any.length);
    named->overflow = named->overflow || options.overflow || any.overflow;
}

int containerd_create(struct containerd *c, const char *ns, const char *id, const char *program,
                      const void *spec, size_t spec_length, struct failure *failure)
{
    uint8_t runtime_data[1024];
    struct message named = {.data = runtime_data, .size = sizeof runtime_data};
    containerd_write_runtime(&named, program);

    struct message any = {.data = malloc(MAX_REQUEST), .size = MAX_REQUEST};
    struct message container = {.data = malloc(MAX_REQUEST), .size = MAX_REQUEST};
    int result = -1;
    if (!any.data || !container.data) {
        failed(failure, "out of memory");
    } else {
        message_text(&any, ANY_TYPE_URL, containerd_spec_type);
        message_bytes(&any, ANY_VALUE, spec, spec_length);
        message_text(&container, CONTAINER_ID, id);
        message_bytes(&container, CONTAINER_RUNTIME, named.data, named.length);
        message_bytes(&container, CONTAINER_SPEC, any.data, any.length);
        struct message request = containerd_request(c);
        message_bytes(&request, REQUEST_CONTAINER, container.data, container.length);
        request.overflow = request.overflow || any.overflow || container.overflow || named.overflow;
        result = containerd_call(c, CONTAINERS "Create", ns, &request, failure);
    }
    free(any.data);
    free(container.data);
    return result;
}

int containerd_task(struct containerd *c, const char *ns, const char *id, const char *out,
                    const char *err, uint32_t *pid, struct failure *failure)
{
    struct message request = containerd_request(c);
    message_text(&request, TASK_CONTAINER_ID, id);
    message_text(&request, CREATE_STDOUT, out);
    message_text(&request, CREATE_STDERR, err);
    if (containerd_call(c, TASKS "Create", ns, &request, failure) < 0)
        return -1;
    return containerd_reply_pid(c, CREATE_REPLY_PID, pid, failure);
}

int containerd_start(struct containerd *c, const char *ns, const char *id, uint32_t *pid,
                     struct failure *failure)
{
    struct message request = containerd_request(c);
    message_text(&request, TASK_CONTAINER_ID, id);
    if (containerd_call(c, TASKS "Start", ns, &request, failure) < 0)
        return -1;
    return containerd_reply_pid(c, START_REPLY_PID, pid, failure);
}

int containerd_kill(struct containerd *c, const char *ns, const char *id, uint32_t sig,
                    struct failure *failure)
{
    struct message request = containerd_request(c);
    message_text(&request, TASK_CONTAINER_ID, id);
    message_number(&request, KILL_SIGNAL, sig);
    message_number(&request, KILL_ALL, 1);
    return containerd_call(c, TASKS "Kill", ns, &request, failure);
}

/* A call whose request is just an id (field 1 in all of them); what is not there counts as done. */
static int containerd_call_for(struct containerd *c, const char *path, const char *ns,
                               const char *id, struct failure *failure)
{
    struct message request = containerd_request(c);
    message_text(&request, TASK_CONTAINER_ID, id);
    return containerd_call(c, path, ns, &request, failure) < 0 &&
                   grpc_status(c->grpc) != GRPC_NOT_FOUND
               ? -1
               : 0;
}

/* The number in `field` of the last answer; 0 where it is not said, as protocol buffers do. */
static uint32_t containerd_reply_number(const struct containerd *c, unsigned field)
{
    struct message_field found;
    uint64_t value = 0;
    for (size_t at = 0; message_next(c->reply, c->reply_length, &at, &found) == 1;)
        if (found.number == field)
            value = found.value;
    return (uint32_t)value;
}

/* A killed task has to be waited for: containerd deletes none that still runs. */
int containerd_remove(struct containerd *c, const char *ns, const char *id, uint32_t *status,
                      struct failure *failure)
{
    bool killed = containerd_kill(c, ns, id, KILL, failure) == 0;
    *status = 0;
    if (killed && containerd_call_for(c, TASKS "Wait", ns, id, failure) < 0)
        return -1;
    if (containerd_call_for(c, TASKS "Delete", ns, id, failure) < 0)
        return -1;
    if (grpc_status(c->grpc) == GRPC_OK)
        *status = containerd_reply_number(c, DELETE_REPLY_STATUS);
    return containerd_call_for(c, CONTAINERS "Delete", ns, id, failure);
}

/* The id of the first container in the last answer. 1: there is one; 0: none; -1: malformed. */
static int containerd_first_id(const struct containerd *c, char *id)
{
    struct message_field container, field;
    size_t at = 0, inner = 0;
    int more = message_next(c->reply, c->reply_length, &at, &container);
    if (more != 1)
        return more;
    if (container.number != REQUEST_CONTAINER || !container.data)
        return -1;
    while (message_next(container.data, container.length, &inner, &field) == 1) {
        if (field.number != CONTAINER_ID || !field.data)
            continue;
        if (field.length >= MAX_ID)
            return -1;
        memcpy(id, field.data, field.length);
        id[field.length] = '\0';
        return 1;
    }
    return -1;
}

int containerd_remove_all(struct containerd *c, const char *ns, struct failure *failure)
{
    char id[MAX_ID], last[MAX_ID] = "";
    for (;;) {
        struct message request = containerd_request(c);
        if (containerd_call(c, CONTAINERS "List", ns, &request, failure) < 0)
            return -1;
        int more = containerd_first_id(c, id);
        if (more < 0)
            failed(failure, "%s", containerd_malformed);
        if (more != 1)
            return more;
        if (strcmp(id, last) == 0) /* it would not go: never try for ever */
            return failed(failure, "the container %s cannot be removed", id);
        memcpy(last, id, sizeof last);
        uint32_t status;
        if (containerd_remove(c, ns, id, &status, failure) < 0)
            return -1;
    }
}
