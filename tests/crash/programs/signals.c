// SPDX-License-Identifier: Apache-2.0
// Crashes inside signal handlers: on the same stack, on one of their own, one inside the other, and over a function
// whose first instruction is what was interrupted (its neighbour before it must not be named).
//
// case: signal_same          = gcc -O2 -g
// case: signal_clang         = clang -O1 -g
// case: signal_static        = gcc -O2 -g -static
// case: signal_musl          = musl-gcc -O2 -g
// case: signal_alternate     = gcc -O2 -g -DALTERNATE
// case: signal_alternate_fp  = gcc -O1 -fno-omit-frame-pointer -DALTERNATE
// case: signal_nested        = gcc -O2 -g -DNESTED
// case: signal_nested_other  = gcc -O2 -g -DNESTED -DALTERNATE
// case: signal_entry         = gcc -O2 -g -DENTRY
// case: signal_overflow      = gcc -O2 -g -DALTERNATE -DOVERFLOW
// case: signal_sa_siginfo    = gcc -O0 -g -DINFO
// case: arm_signal           = aarch64-linux-gnu-gcc -O2 -g
// case: arm_signal_alternate = aarch64-linux-gnu-gcc -O2 -g -DALTERNATE
// case: arm_signal_static    = aarch64-linux-gnu-gcc -O2 -g -static
// signal: SIGABRT
// stack: ... <- abort <- handler <- trampoline <- fault <- cause <- main <- outermost
// stack signal_nested signal_nested_other: ... <- abort <- handler <- trampoline <- ... <- first <- trampoline
//     <- fault <- cause <- main <- outermost
// stack signal_entry: ... <- abort <- handler <- trampoline <- entry_fault <- cause <- main <- outermost
// stack signal_overflow: ... <- abort <- handler <- trampoline <- fault*many <- cause <- main <- outermost
#define _GNU_SOURCE
#include <signal.h>
#include <stdlib.h>

#include "frame.h"

static char other[65536];

static void handler(int number) {
    (void)number;
    abort(); // @handler
}

#ifdef NESTED
static void first(int number) {
    (void)number;
    raise(SIGUSR1); // @first
    AND_RETURN;
}
#endif

// `before` ends where entry_fault begins: what is one byte before entry_fault's first instruction is another function.
#ifdef ENTRY
__asm__(".text\n.type before,@function\nbefore:\n.cfi_startproc\nnop\n.cfi_endproc\n.size before,.-before\n"
        ".type entry_fault,@function\nentry_fault:\n.cfi_startproc\nmovl $1,0\nret\n.cfi_endproc\n"
        ".size entry_fault,.-entry_fault\n");
int entry_fault(void);
#endif

FRAME int fault(volatile int *where) { // @fault
#ifdef OVERFLOW
    volatile char room[256]; // @fault
    room[0] = 1; // @fault
    int got = fault((volatile int *)room); // @fault
    AND_RETURN;
    return got + room[0];
#else
    *where = 1; // @fault
    return *where;
#endif
}

FRAME int cause(void) {
#ifdef ENTRY
    int got = entry_fault(); // @cause
#else
    int got = fault(hidden(0)); // @cause
#endif
    AND_RETURN;
    return got;
}

int main(void) {
    struct sigaction action = {.sa_handler = handler};
#ifdef ALTERNATE
    stack_t stack = {.ss_sp = other, .ss_size = sizeof other};
    sigaltstack(&stack, NULL);
    action.sa_flags = SA_ONSTACK;
#endif
#ifdef INFO
    action.sa_flags |= SA_SIGINFO;
#endif
#ifdef NESTED
    sigaction(SIGUSR1, &action, NULL);
    action.sa_handler = first;
#endif
    sigaction(SIGSEGV, &action, NULL);
    int got = cause(); // @main
    AND_RETURN;
    return got + other[0];
}
