/* backdoor.c: see backdoor.h. */
#include "vmware/backdoor.h"

#include <setjmp.h>
#include <signal.h>
#include <stddef.h>

enum { MAGIC = 0x564d5868, PORT = 0x5658 };

#if defined(__x86_64__)

static sigjmp_buf backdoor_way_out;

static void backdoor_refused(int number)
{
    siglongjmp(backdoor_way_out, number);
}

static void backdoor_input(uint32_t *eax, struct backdoor *registers)
{
    __asm__ volatile("inl %%dx, %%eax"
                     : "+a"(*eax), "+b"(registers->ebx), "+c"(registers->ecx), "+d"(registers->edx),
                       "+S"(registers->esi), "+D"(registers->edi)
                     :
                     : "memory");
}

bool backdoor_call(struct backdoor *registers)
{
    const struct sigaction refused = {.sa_handler = backdoor_refused};
    struct sigaction before;
    uint32_t eax = MAGIC;
    volatile bool answered = false;
    registers->edx = (registers->edx & 0xffff0000) | PORT;
    if (sigaction(SIGSEGV, &refused, &before) < 0)
        return false;
    if (sigsetjmp(backdoor_way_out, 1) == 0) {
        backdoor_input(&eax, registers);
        answered = true;
    }
    sigaction(SIGSEGV, &before, NULL);
    return answered;
}

#else

bool backdoor_call(struct backdoor *registers)
{
    (void)registers;
    return false;
}

#endif

bool backdoor_is_there(void)
{
    struct backdoor registers = {.ebx = ~(uint32_t)MAGIC, .ecx = BACKDOOR_VERSION};
    return backdoor_call(&registers) && registers.ebx == MAGIC;
}
