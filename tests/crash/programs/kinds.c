// SPDX-License-Identifier: Apache-2.0
// The ways a C program dies, a function each; -DHOW says which.
//
// case: die_abort          = gcc -O2 -g -DHOW=by_abort
// case: die_abort_static   = gcc -O2 -g -static -DHOW=by_abort
// case: die_abort_musl     = musl-gcc -O2 -g -DHOW=by_abort
// case: die_assert         = gcc -O2 -g -DHOW=by_assert
// case: die_raise          = gcc -O2 -g -DHOW=by_raise
// case: die_fpe            = gcc -O2 -g -DHOW=by_division
// case: die_ill            = gcc -O2 -g -DHOW=by_illegal
// case: die_trap           = gcc -O2 -g -DHOW=by_trap
// case: die_bus            = gcc -O2 -g -DHOW=by_bus
// case: die_free           = gcc -O2 -g -DHOW=by_free
// case: die_smash          = gcc -O2 -g -fstack-protector-all -DHOW=by_smash
// case: die_fortify        = gcc -O2 -g -D_FORTIFY_SOURCE=2 -DHOW=by_fortify
// case: die_strlen         = gcc -O2 -g -fno-builtin -DHOW=by_strlen
// case: die_strlen_musl    = musl-gcc -O2 -g -fno-builtin -DHOW=by_strlen
// case: die_vdso           = gcc -O2 -g -DHOW=by_vdso
// case: die_noncanonical   = gcc -O2 -g -DHOW=by_noncanonical
// case: die_sigsys         = gcc -O2 -g -DHOW=by_sigsys
// case: die_alarm          = gcc -O2 -g -DHOW=by_quit
// case: arm_die_abort      = aarch64-linux-gnu-gcc -O2 -g -DHOW=by_abort
// case: arm_die_strlen     = aarch64-linux-gnu-gcc -O2 -g -fno-builtin -DHOW=by_strlen
// signal: SIGSEGV
// signal die_abort die_abort_static die_abort_musl die_assert die_free die_smash die_fortify arm_die_abort: SIGABRT
// signal die_raise: SIGTRAP
// signal die_fpe: SIGFPE
// signal die_ill: SIGILL
// signal die_trap: SIGTRAP
// signal die_bus: SIGBUS
// signal die_sigsys: SIGSYS
// signal die_alarm: SIGQUIT
// stack die_abort die_abort_static die_abort_musl arm_die_abort: ... <- abort <- by_abort <- main <- outermost
// stack die_assert: ... <- by_assert <- main <- outermost
// stack die_raise: ... <- by_raise <- main <- outermost
// stack die_fpe: by_division <- main <- outermost
// stack die_ill: by_illegal <- main <- outermost
// stack die_trap: by_trap <- main <- outermost
// stack die_bus: by_bus <- main <- outermost
// stack die_free: ... <- by_free <- main <- outermost
// stack die_smash: ... <- __stack_chk_fail <- by_smash <- main <- outermost
// stack die_fortify: ... <- by_fortify <- main <- outermost
// stack die_strlen die_strlen_musl arm_die_strlen: ... <- by_strlen <- main <- outermost
// stack die_vdso: ... <- by_vdso <- main <- outermost
// stack die_noncanonical: by_noncanonical <- main <- outermost
// stack die_sigsys: ... <- by_sigsys <- main <- outermost
// stack die_alarm: ... <- by_quit <- main <- outermost
#define _GNU_SOURCE
#include <assert.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "frame.h"
#if __has_include(<linux/filter.h>)
#include <linux/filter.h>
#include <linux/seccomp.h>
#endif

FRAME int by_abort(void) {
    abort(); // @by_abort
}

FRAME int by_assert(void) {
    assert(hidden(0) != NULL); // @by_assert
    return 1;
}

FRAME int by_raise(void) {
    int got = raise(SIGTRAP); // @by_raise
    AND_RETURN;
    return got;
}

FRAME int by_division(void) {
    volatile int zero = 0;
    return 5 / zero; // @by_division
}

FRAME int by_illegal(void) {
    __builtin_trap(); // @by_illegal
}

#ifdef __x86_64__
FRAME int by_trap(void) {
    __asm__ volatile("int3"); // @by_trap
    AND_RETURN; // @by_trap
    return 1; // @by_trap
} // @by_trap
#endif

// A page of a mapping behind the end of its file.
FRAME int by_bus(void) {
    int file = open(".", O_TMPFILE | O_RDWR, 0600);
    volatile char *page = mmap(NULL, 4096, PROT_READ, MAP_SHARED, file, 0);
    return *page; // @by_bus
}

FRAME int by_free(void) {
    char *got = malloc(64);
    free(hidden((unsigned long)got + 8)); // @by_free
    AND_RETURN;
    return 1;
}

FRAME int by_smash(void) {
    char room[16];
    char *end = hidden((unsigned long)room);
    for (int i = 0; i < 32; i++)
        end[i] = 1;
    AND_RETURN;
    return room[3];
} // @by_smash

FRAME int by_fortify(void) {
    char room[16];
    memset(room, 1, (size_t)hidden(64)); // @by_fortify
    AND_RETURN;
    return room[3];
}

FRAME int by_strlen(void) {
    int got = (int)strlen(hidden(0)); // @by_strlen
    AND_RETURN;
    return got;
}

FRAME int by_vdso(void) {
    int got = clock_gettime(CLOCK_MONOTONIC, hidden(8)); // @by_vdso
    AND_RETURN;
    return got;
}

// An address that no x86_64 has: the fault has no address of its own.
FRAME int by_noncanonical(void) {
    return *(volatile int *)hidden(0x1234567890abcdef); // @by_noncanonical
}

#ifdef SECCOMP_RET_TRAP
FRAME int by_sigsys(void) {
    struct sock_filter refuse[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {4, refuse};
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
    int got = getppid(); // @by_sigsys
    AND_RETURN;
    return got;
}
#endif

FRAME int by_quit(void) {
    int got = kill(getpid(), SIGQUIT); // @by_quit
    AND_RETURN;
    return got;
}

int main(void) {
    int got = HOW(); // @main
    AND_RETURN;
    return got;
}
