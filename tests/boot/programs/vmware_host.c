/*
 * vmware_host.c: vmware_host FILE COMMAND...: runs a program as if on a VMware host, which asks it
 * for its address, and to power off as soon as there is FILE.
 *
 * VMware's guests speak with their host by an instruction that the processor refuses a program
 * anywhere else, `in (%dx), %eax` with a magic number in eax. This traces the program and its
 * children, and carries the instruction out: the version, and messages, of which the guest sends
 * some ("RPCI") and fetches others ("TCLO").
 *
 * Sources: open-vm-tools, lib/include/backdoor_def.h, guest_msg_def.h, and lib/message/message.c.
 */
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MAGIC = 0x564d5868, PORT = 0x5658, GET_VERSION = 10, MESSAGE = 30 };
enum { OPEN, SEND_SIZE, SEND_PAYLOAD, RECEIVE_SIZE, RECEIVE_PAYLOAD, RECEIVE_STATUS, CLOSE };
enum { FAILED = 0, SUCCESS = 1, TO_RECEIVE = 2, TCLO = 0x4f4c4354, MAX_TEXT = 4096 };

struct channel {
    int open;
    int fetches; /* TCLO */
    size_t size;
    size_t sent;
    char text[MAX_TEXT]; /* from the guest */
    const char *answer;  /* to the guest */
    size_t fetched;
};

static struct channel channels[8];

/* What the host asks for, in turn; each must be answered. */
static const char *const requests[] = {
    "reset", "ping", "Capabilities_Register", "Set_Option broadcastIP 1", "OS_Halt", "",
};
static size_t asked;
static const char *wanted; /* the file that a host's user makes to power off */

static struct channel *channel_of(uint64_t rdx)
{
    uint64_t number = rdx >> 16 & 0xffff;
    return number < 8 && channels[number].open ? &channels[number] : NULL;
}

static void say(const char *direction, const char *text)
{
    fprintf(stderr, "host %s \"%s\"\n", direction, text);
}

/* All of a message is there. */
static void message_sent(struct channel *channel)
{
    channel->text[channel->sent] = 0;
    if (channel->sent > 0)
        say(channel->fetches ? "is answered" : "is told", channel->text);
    channel->answer = channel->fetches ? NULL : "1 ";
    channel->fetched = 0;
}

static void next_request(struct channel *channel)
{
    if (!channel->fetches || channel->answer || !requests[asked][0])
        return;
    if (strcmp(requests[asked], "OS_Halt") == 0 && access(wanted, F_OK) < 0)
        return;
    channel->answer = requests[asked++];
    channel->fetched = 0;
    say("asks", channel->answer);
}

static unsigned message(struct user_regs_struct *registers)
{
    unsigned kind = (unsigned)(registers->rcx >> 16 & 0xffff);
    struct channel *channel = channel_of(registers->rdx);
    uint32_t value = (uint32_t)registers->rbx;
    if (kind == OPEN) {
        for (unsigned i = 0; i < 8; i++) {
            if (channels[i].open)
                continue;
            channels[i] = (struct channel){.open = 1, .fetches = (value & 0x7fffffff) == TCLO};
            registers->rdx = i << 16 | PORT;
            return SUCCESS;
        }
        return FAILED;
    }
    if (!channel)
        return FAILED;
    if (kind == SEND_SIZE) {
        channel->size = value;
        channel->sent = 0;
        if (value == 0)
            message_sent(channel);
        return value < MAX_TEXT ? SUCCESS : FAILED;
    }
    if (kind == SEND_PAYLOAD) {
        for (int i = 0; i < 4 && channel->sent < channel->size; i++)
            channel->text[channel->sent++] = (char)(value >> 8 * i);
        if (channel->sent == channel->size)
            message_sent(channel);
        return SUCCESS;
    }
    if (kind == RECEIVE_SIZE) {
        next_request(channel);
        registers->rbx = channel->answer ? strlen(channel->answer) : 0;
        registers->rdx = (registers->rdx & 0xffff) | SEND_SIZE << 16;
        return SUCCESS | (channel->answer ? TO_RECEIVE : 0);
    }
    if (kind == RECEIVE_PAYLOAD) {
        char bytes[4] = "";
        uint32_t word;
        for (int i = 0; i < 4 && channel->answer[channel->fetched]; i++)
            bytes[i] = channel->answer[channel->fetched++];
        memcpy(&word, bytes, 4);
        registers->rbx = word;
        registers->rdx = (registers->rdx & 0xffff) | SEND_PAYLOAD << 16;
        return SUCCESS;
    }
    if (kind == RECEIVE_STATUS && channel->fetches)
        channel->answer = NULL;
    if (kind == CLOSE)
        channel->open = 0;
    return SUCCESS;
}

/* Whether the process stopped at the instruction; it is then behind it. */
static int carry_out(pid_t pid)
{
    struct user_regs_struct registers;
    if (ptrace(PTRACE_GETREGS, pid, NULL, &registers) < 0)
        return 0;
    long code = ptrace(PTRACE_PEEKTEXT, pid, (void *)registers.rip, NULL);
    if ((code & 0xff) != 0xed || (uint32_t)registers.rax != MAGIC)
        return 0;
    unsigned command = (unsigned)(registers.rcx & 0xffff);
    if (command == GET_VERSION) {
        registers.rax = 6;
        registers.rbx = MAGIC;
        registers.rcx = 2;
    } else if (command == MESSAGE) {
        uint64_t status = message(&registers);
        registers.rcx = (registers.rcx & 0xffff) | status << 16;
    } else {
        registers.rax = 0xffffffff;
        registers.rbx = 0;
    }
    registers.rip += 1;
    return ptrace(PTRACE_SETREGS, pid, NULL, &registers) == 0;
}

int main(int count, char *arguments[])
{
    enum { FOLLOW = PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE };
    pid_t first = fork();
    if (count < 3 || first < 0)
        return 2;
    wanted = arguments[1];
    if (first == 0) {
        ptrace(PTRACE_TRACEME, 0, NULL, NULL);
        raise(SIGSTOP);
        execv(arguments[2], arguments + 2);
        _exit(127);
    }
    int status, started = 0;
    for (pid_t pid; (pid = waitpid(-1, &status, __WALL)) > 0;) {
        int number = WIFSTOPPED(status) ? WSTOPSIG(status) : 0;
        if (pid == first && !WIFSTOPPED(status))
            return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
        if (!WIFSTOPPED(status))
            continue;
        if (!started++)
            ptrace(PTRACE_SETOPTIONS, pid, NULL, (void *)(uintptr_t)FOLLOW);
        if (number == SIGSTOP || number == SIGTRAP || (number == SIGSEGV && carry_out(pid)))
            number = 0;
        ptrace(PTRACE_CONT, pid, NULL, (void *)(uintptr_t)number);
    }
    return 1;
}
