/*
 * foreign.c: a program without a C library that says what machine it runs on: uname(2), write(2),
 * exit(2) by the system call of each architecture.
 */
#if defined(__aarch64__)
enum { WRITE = 64, EXIT = 93, UNAME = 160 };
#define CALL(number, a, b, c)                                                                      \
    register long nr __asm__("x8") = number;                                                       \
    register long r1 __asm__("x0") = a;                                                            \
    register long r2 __asm__("x1") = b;                                                            \
    register long r3 __asm__("x2") = c;                                                            \
    __asm__ volatile("svc 0" : "+r"(r1) : "r"(nr), "r"(r2), "r"(r3) : "memory")
#elif defined(__arm__)
enum { WRITE = 4, EXIT = 1, UNAME = 122 };
#define CALL(number, a, b, c)                                                                      \
    register long nr __asm__("r7") = number;                                                       \
    register long r1 __asm__("r0") = a;                                                            \
    register long r2 __asm__("r1") = b;                                                            \
    register long r3 __asm__("r2") = c;                                                            \
    __asm__ volatile("svc 0" : "+r"(r1) : "r"(nr), "r"(r2), "r"(r3) : "memory")
#elif defined(__powerpc64__)
enum { WRITE = 4, EXIT = 1, UNAME = 122 };
#define CALL(number, a, b, c)                                                                      \
    register long nr __asm__("r0") = number;                                                       \
    register long r1 __asm__("r3") = a;                                                            \
    register long r2 __asm__("r4") = b;                                                            \
    register long r3 __asm__("r5") = c;                                                            \
    __asm__ volatile("sc" : "+r"(nr), "+r"(r1), "+r"(r2), "+r"(r3) : : "memory", "cr0")
#elif defined(__riscv)
enum { WRITE = 64, EXIT = 93, UNAME = 160 };
#define CALL(number, a, b, c)                                                                      \
    register long nr __asm__("a7") = number;                                                       \
    register long r1 __asm__("a0") = a;                                                            \
    register long r2 __asm__("a1") = b;                                                            \
    register long r3 __asm__("a2") = c;                                                            \
    __asm__ volatile("ecall" : "+r"(r1) : "r"(nr), "r"(r2), "r"(r3) : "memory")
#endif

static void call(long number, long first, long second, long third)
{
    CALL(number, first, second, third);
}

enum { FIELD = 65, MACHINE = 4 }; /* struct utsname */

void _start(void)
{
    char names[6 * FIELD];
    char *machine = names + MACHINE * FIELD;
    long length = 0;
    call(UNAME, (long)names, 0, 0);
    while (machine[length])
        length++;
    machine[length] = '\n';
    call(WRITE, 1, (long)machine, length + 1);
    call(EXIT, 0, 0, 0);
}
