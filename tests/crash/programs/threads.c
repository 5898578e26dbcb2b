// SPDX-License-Identifier: Apache-2.0
// One thread crashes while the others sleep, and main waits for it.
//
// case: threads_8       = gcc -O2 -g -DCOUNT=8
// case: threads_300     = gcc -O2 -g -DCOUNT=300
// case: threads_static  = gcc -O2 -g -static -DCOUNT=4
// case: threads_musl    = musl-gcc -O2 -g -DCOUNT=4
// case: threads_own     = gcc -O2 -g -DCOUNT=4 -DOWN_STACKS
// case: threads_abort   = gcc -O2 -g -DCOUNT=8 -DABORT
// case: threads_cut     = gcc -O2 -g -DCOUNT=8 ; truncate half
// case: arm_threads     = aarch64-linux-gnu-gcc -O2 -g -DCOUNT=4
// signal: SIGSEGV
// signal threads_abort: SIGABRT
// stack: boom <- crasher <- outermost
// stack threads_abort: ... <- abort <- boom <- crasher <- outermost
// stack threads_cut: boom <- lost
// thread threads_8 threads_abort 8x: ... <- rest <- waiter <- outermost
// thread threads_300 300x: ... <- rest <- waiter <- outermost
// thread threads_static threads_musl threads_own arm_threads 4x: ... <- rest <- waiter <- outermost
// thread threads_cut 8x: ... <- lost
// thread threads_cut 1x: ... <- lost
// thread threads_8 threads_abort threads_300 threads_static threads_musl threads_own arm_threads 1x: ... <- main
//     <- outermost
#define _GNU_SOURCE
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "at_rest.h"
#include "frame.h"

static pthread_barrier_t all_here;

FRAME static void rest(void) {
    pthread_barrier_wait(&all_here); // @rest
    for (;;)
        pause(); // @rest
}

static void *waiter(void *nothing) {
    rest(); // @waiter
    AND_RETURN;
    return nothing;
}

FRAME static void boom(void) {
#ifdef ABORT
    abort(); // @boom
#else
    *(volatile int *)hidden(0) = 1; // @boom
#endif
}

static void *crasher(void *nothing) {
    pthread_barrier_wait(&all_here);
    until_others_sleep();
    boom(); // @crasher
    AND_RETURN;
    return nothing;
}

int main(void) {
    pthread_t one;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 65536);
    pthread_barrier_init(&all_here, NULL, COUNT + 2);
    for (int i = 0; i < COUNT + 1; i++) {
#ifdef OWN_STACKS
        void *own = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        pthread_attr_setstack(&attributes, own, 65536);
#endif
        if (pthread_create(&one, &attributes, i < COUNT ? waiter : crasher, NULL) != 0)
            return 1;
    }
    pthread_barrier_wait(&all_here); // @main
    pthread_join(one, NULL); // @main
    return 0;
}
