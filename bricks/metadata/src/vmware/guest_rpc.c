/*
 * guest_rpc.c: see guest_rpc.h. Each step is a call of the backdoor's command MESSAGE, whose upper
 * half is the step; payloads travel in one register, four bytes at a time.
 */
#include "vmware/guest_rpc.h"

#include "vmware/backdoor.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { OPEN, SEND_SIZE, SEND_PAYLOAD, RECEIVE_SIZE, RECEIVE_PAYLOAD, RECEIVE_STATUS, CLOSE };

/* The host's answers, in the upper half of ecx. CHECKPOINT: it was moved, and has forgotten. */
enum { SUCCESS = 1, RECEIVED = 2, CHECKPOINT = 16 };

/* "RPCI", and that the host shall give cookies. */
#define PROTOCOL (0x49435052U | 0x80000000U)

enum { MAX_TRIES = 3, BEFORE = 2 };

/* A step; the host's answer, 0 for none. */
static unsigned guest_rpc_step(const struct guest_rpc *rpc, unsigned step, uint32_t value,
                               struct backdoor *registers)
{
    *registers = (struct backdoor){.ebx = value,
                                   .ecx = BACKDOOR_MESSAGE | step << 16,
                                   .edx = rpc->channel,
                                   .esi = rpc->cookie[0],
                                   .edi = rpc->cookie[1]};
    return backdoor_call(registers) ? registers->ecx >> 16 : 0;
}

int guest_rpc_open(struct guest_rpc *rpc, struct failure *failure)
{
    struct backdoor registers;
    *rpc = (struct guest_rpc){0};
    if (!(guest_rpc_step(rpc, OPEN, PROTOCOL, &registers) & SUCCESS))
        return failed(failure, "the host opens no channel");
    rpc->channel = registers.edx & 0xffff0000;
    rpc->cookie[0] = registers.esi;
    rpc->cookie[1] = registers.edi;
    return 0;
}

void guest_rpc_close(const struct guest_rpc *rpc)
{
    struct backdoor registers;
    guest_rpc_step(rpc, CLOSE, 0, &registers);
}

/* The host's answer to the last step. */
static unsigned guest_rpc_send(const struct guest_rpc *rpc, const char *question)
{
    struct backdoor registers;
    size_t length = strlen(question);
    unsigned status = guest_rpc_step(rpc, SEND_SIZE, (uint32_t)length, &registers);
    for (size_t at = 0; at < length && status & SUCCESS; at += 4) {
        uint32_t word = 0;
        memcpy(&word, question + at, length - at < 4 ? length - at : 4);
        status = guest_rpc_step(rpc, SEND_PAYLOAD, word, &registers);
    }
    return status;
}

/* Reads `*length` bytes; the host's answer to the last step. */
static unsigned guest_rpc_receive(const struct guest_rpc *rpc, size_t limit, char **bytes,
                                  size_t *length, struct failure *failure)
{
    struct backdoor registers;
    unsigned status = guest_rpc_step(rpc, RECEIVE_SIZE, 0, &registers);
    size_t size = registers.ebx;
    if (!(status & SUCCESS))
        return status;
    if (!(status & RECEIVED) || registers.edx >> 16 != SEND_SIZE || size > limit) {
        failed(failure, size > limit ? "the answer is longer than %zu bytes" : "no answer", limit);
        return SUCCESS;
    }
    *bytes = malloc(size + 1);
    if (!*bytes) {
        failed_errno(failure, "an answer");
        return SUCCESS;
    }
    for (*length = 0; *length < size;) {
        status = guest_rpc_step(rpc, RECEIVE_PAYLOAD, SUCCESS, &registers);
        if (!(status & SUCCESS) || registers.edx >> 16 != SEND_PAYLOAD)
            return status & ~(unsigned)SUCCESS;
        size_t part = size - *length < 4 ? size - *length : 4;
        memcpy(*bytes + *length, &registers.ebx, part);
        *length += part;
    }
    (*bytes)[size] = '\0';
    return guest_rpc_step(rpc, RECEIVE_STATUS, SUCCESS, &registers);
}

char *guest_rpc_ask(const struct guest_rpc *rpc, const char *question, size_t limit, size_t *length,
                    struct failure *failure)
{
    unsigned status = CHECKPOINT;
    char *answer = NULL;
    failure->text[0] = '\0';
    for (int i = 0; i < MAX_TRIES && !(status & SUCCESS) && status & CHECKPOINT; i++) {
        free(answer);
        answer = NULL;
        status = guest_rpc_send(rpc, question);
        if (status & SUCCESS)
            status = guest_rpc_receive(rpc, limit + BEFORE, &answer, length, failure);
    }
    if (!(status & SUCCESS))
        failed(failure, "the host breaks off");
    else if (answer && *length < BEFORE)
        failed(failure, "the host's answer is cut");
    if (!failure->text[0] && answer && memcmp(answer, "1 ", BEFORE) == 0) {
        *length -= BEFORE;
        memmove(answer, answer + BEFORE, *length + 1);
        return answer;
    }
    free(answer);
    return NULL;
}
