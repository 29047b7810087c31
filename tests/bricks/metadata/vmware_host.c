/*
 * vmware_host.c: [-MODE] FOLDER PROGRAM ARGUMENT...: runs a program as on a VMware host whose
 * guestinfo is the files of a folder. The input instruction on VMware's port is refused by the
 * kernel, as on any machine; here, a tracer answers it. For programs that ask the processor who its
 * hypervisor is, that instruction is replaced by one that is refused, too.
 *
 * MODE is what goes wrong: closed, silent, huge, cut, wrong, forgetful (once).
 */
#include <cpuid.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MAGIC = 0x564d5868, PORT = 0x5658, CHANNEL = 3, COOKIE = 0x1234567, SECOND = 0x7654321 };
enum { SUCCESS = 0x10000, RECEIVED = 0x20000, CHECKPOINT = 0x100000, MAX_MESSAGE = 1 << 21 };

static const char *mode = "", *folder;
static char question[65536], answer[MAX_MESSAGE];
static size_t question_size, asked, answer_size, answered;
static int forgotten;

static bool is(const char *name)
{
    return strcmp(mode, name) == 0;
}

/* "info-get guestinfo.x" */
static void make_answer(void)
{
    char path[4096];
    question[question_size] = '\0';
    const char *name = strncmp(question, "info-get ", 9) == 0 ? question + 9 : "";
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = strchr(name, '/') || !*name ? NULL : fopen(path, "r");
    answer_size = (size_t)snprintf(answer, sizeof answer, "%s", file ? "1 " : "0 No value found");
    if (file) {
        answer_size += fread(answer + 2, 1, sizeof answer - 2, file);
        fclose(file);
    }
    if (is("cut"))
        answer_size = 1;
    answered = 0;
}

/* The protocol's steps: see bricks/metadata/src/vmware/guest_rpc.c. */
static void message(struct user_regs_struct *regs)
{
    unsigned step = (unsigned)(regs->rcx >> 16 & 0xffff);
    uint32_t value = (uint32_t)regs->rbx, word = 0;
    regs->rcx = SUCCESS;
    if (is("silent") && step > 0) {
        regs->rcx = 0;
        return;
    }
    if (step == 0) {
        if (is("closed") || (value & 0x7fffffff) != 0x49435052)
            regs->rcx = 0;
        regs->rdx = CHANNEL << 16 | PORT;
        regs->rsi = COOKIE;
        regs->rdi = SECOND;
        return;
    }
    if (regs->rdx >> 16 != CHANNEL || regs->rsi != COOKIE || regs->rdi != SECOND) {
        regs->rcx = 0;
    } else if (step == 1) {
        question_size = value < sizeof question ? value : 0;
        asked = 0;
        if (question_size == 0)
            make_answer();
    } else if (step == 2 && asked < question_size) {
        for (int i = 0; i < 4 && asked < question_size; i++)
            question[asked++] = (char)(value >> 8 * i);
        if (asked == question_size)
            make_answer();
    } else if (step == 3) {
        regs->rcx |= RECEIVED;
        regs->rdx = 1 << 16 | PORT;
        regs->rbx = is("huge") ? 0xffffffff : answer_size;
    } else if (step == 4 && is("forgetful") && forgotten++ == 0) {
        regs->rcx = CHECKPOINT;
    } else if (step == 4) {
        size_t part = answer_size - answered < 4 ? answer_size - answered : 4;
        memcpy(&word, answer + answered, part);
        answered += part;
        regs->rdx = (is("wrong") ? 7u : 2u) << 16 | PORT;
        regs->rbx = word;
    }
}

static void in(struct user_regs_struct *regs)
{
    unsigned command = (unsigned)(regs->rcx & 0xffff);
    if (command == 10) {
        regs->rax = 6;
        regs->rbx = MAGIC;
        regs->rcx = 2;
    } else if (command == 30) {
        message(regs);
    } else {
        regs->rax = 0xffffffff;
    }
}

static void identify(struct user_regs_struct *regs)
{
    unsigned a = 0, b = 0, c = 0, d = 0, leaf = (unsigned)regs->rax;
    if (leaf == 0x40000000) {
        a = 0x40000010;
        memcpy(&b, "VMwa", 4);
        memcpy(&c, "reVM", 4);
        memcpy(&d, "ware", 4);
    } else {
        __cpuid_count(leaf, (unsigned)regs->rcx, a, b, c, d);
        if (leaf == 1)
            c |= 1u << 31;
    }
    regs->rax = a;
    regs->rbx = b;
    regs->rcx = c;
    regs->rdx = d;
}

/* Replaces "cpuid" in the program's own text by an instruction that does not exist. */
static void replace(pid_t child)
{
    char path[64], line[512], permissions[8];
    unsigned long begin, end;
    snprintf(path, sizeof path, "/proc/%d/maps", child);
    FILE *maps = fopen(path, "r");
    snprintf(path, sizeof path, "/proc/%d/mem", child);
    int memory = open(path, O_RDONLY);
    while (maps && fgets(line, sizeof line, maps)) {
        if (sscanf(line, "%lx-%lx %7s", &begin, &end, permissions) != 3 || permissions[2] != 'x' ||
            strstr(line, "[v") || strstr(line, "/ld-"))
            continue;
        size_t size = end - begin;
        unsigned char *text = malloc(size);
        if (text && pread(memory, text, size, (off_t)begin) == (ssize_t)size)
            for (size_t at = 0; at + 1 < size; at++)
                if (text[at] == 0x0f && text[at + 1] == 0xa2) {
                    long word = ptrace(PTRACE_PEEKTEXT, child, begin + at, 0);
                    ptrace(PTRACE_POKETEXT, child, begin + at, (word & ~0xffffL) | 0x0b0f);
                }
        free(text);
    }
    close(memory);
    if (maps)
        fclose(maps);
}

/* Whether the signal was one of the two instructions, which then has been carried out. */
static bool emulate(pid_t child, int number)
{
    struct user_regs_struct regs;
    ptrace(PTRACE_GETREGS, child, 0, &regs);
    long code = ptrace(PTRACE_PEEKTEXT, child, regs.rip, 0);
    if (number == SIGSEGV && (code & 0xff) == 0xed && (regs.rdx & 0xffff) == PORT &&
        regs.rax == MAGIC) {
        regs.rip += 1;
        in(&regs);
    } else if (number == SIGILL && (code & 0xffff) == 0x0b0f) {
        regs.rip += 2;
        identify(&regs);
    } else {
        return false;
    }
    ptrace(PTRACE_SETREGS, child, 0, &regs);
    return true;
}

int main(int count, char *arguments[])
{
    int status;
    if (count > 1 && arguments[1][0] == '-') {
        mode = arguments[1] + 1;
        arguments++;
        count--;
    }
    if (count < 3)
        return 2;
    folder = arguments[1];
    pid_t child = fork();
    if (child == 0) {
        ptrace(PTRACE_TRACEME, 0, 0, 0);
        execv(arguments[2], arguments + 2);
        _exit(127);
    }
    waitpid(child, &status, 0);
    replace(child);
    for (int number = 0; WIFSTOPPED(status);) {
        ptrace(PTRACE_CONT, child, 0, number);
        if (waitpid(child, &status, 0) < 0)
            return 3;
        number = WIFSTOPPED(status) ? WSTOPSIG(status) : 0;
        if ((number == SIGSEGV || number == SIGILL) && emulate(child, number))
            number = 0;
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 4;
}
