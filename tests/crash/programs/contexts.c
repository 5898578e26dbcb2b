// SPDX-License-Identifier: Apache-2.0
// Stacks that the program made itself, and processes that were forked.
//
// case: context_ucontext = gcc -O2 -g -DHOW=in_context
// case: context_static   = gcc -O2 -g -static -DHOW=in_context
// case: context_fork     = gcc -O2 -g -DHOW=in_child
// case: context_clone    = gcc -O2 -g -DHOW=in_clone
// case: context_vfork    = gcc -O2 -g -DHOW=in_vfork
// case: arm_context      = aarch64-linux-gnu-gcc -O2 -g -DHOW=in_context
// signal: SIGSEGV
// stack context_ucontext context_static arm_context: boom <- in_context_too <- context_main <- ...
// stack context_fork: boom <- child <- in_child <- main <- outermost
// stack context_clone: boom <- clone_main <- outermost
// stack context_vfork: boom <- in_vfork <- main <- outermost
#define _GNU_SOURCE
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include "frame.h"

static ucontext_t back, there;
static char room[65536];

FRAME static void boom(void) {
    *(volatile int *)hidden(0) = 1; // @boom
}

FRAME static void in_context_too(void) {
    boom(); // @in_context_too
    AND_RETURN;
}

FRAME static void context_main(void) {
    in_context_too(); // @context_main
    AND_RETURN;
}

FRAME int in_context(void) {
    getcontext(&there);
    there.uc_stack.ss_sp = room;
    there.uc_stack.ss_size = sizeof room;
    there.uc_link = &back;
    makecontext(&there, context_main, 0);
    return swapcontext(&back, &there);
}

// The parent goes on, and ends as its child did, without a core of its own.
FRAME static int as_child(pid_t child) {
    int status;
    waitpid(child, &status, 0);
    _exit(WIFSIGNALED(status) ? 128 + WTERMSIG(status) : 0);
}

FRAME static int child(void) {
    boom(); // @child
    AND_RETURN;
    return 0;
}

FRAME int in_child(void) {
    pid_t pid = fork();
    int got = pid == 0 ? child() : as_child(pid); // @in_child
    AND_RETURN;
    return got;
}

static int clone_main(void *nothing) {
    (void)nothing;
    boom(); // @clone_main
    AND_RETURN;
    return 0;
}

FRAME int in_clone(void) {
    return as_child(clone(clone_main, room + sizeof room, SIGCHLD, NULL));
}

FRAME int in_vfork(void) {
    pid_t pid = vfork();
    if (pid == 0)
        boom(); // @in_vfork
    AND_RETURN;
    return as_child(pid);
}

int main(void) {
    int got = HOW(); // @main
    AND_RETURN;
    return got;
}
