// SPDX-License-Identifier: Apache-2.0
// Crashes in shared libraries, in what runs before main, and in the code that leads to a library.
//
// case: library_linked   = gcc -O2 -g -DHOW=linked ; library libraries_part.c -O2 -g
// case: library_stripped = gcc -O2 -g -DHOW=linked ; library libraries_part.c -O2 ; strip library
// case: library_deleted  = gcc -O2 -g -DHOW=linked -DWAIT ; library libraries_part.c -O0 -g ; delete library
// case: library_loaded   = gcc -O2 -g -DHOW=loaded ; library libraries_part.c -O2 -g
// case: library_start    = gcc -O2 -g -DHOW=nothing -DEARLY
// case: library_start_static = gcc -O2 -g -static -DHOW=nothing -DEARLY
// case: library_open     = gcc -O2 -g -DHOW=opened ; library libraries_part.c -O2 -g -DSTART
// case: library_plt      = gcc -O2 -g -Wl,-z,lazy -Wl,-z,norelro -DHOW=through_plt -DPLT
// signal: SIGSEGV
// stack library_linked library_stripped library_deleted: part_boom <- part_enter <- linked <- main <- outermost
// stack library_loaded: part_boom <- part_enter <- loaded <- main <- outermost
// stack library_start library_start_static: early <- ... <- outermost
// stack library_open: part_boom <- part_start <- ... <- opened <- main <- outermost
// stack library_plt: plt <- through_plt <- main <- outermost
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "frame.h"

__attribute__((weak)) int part_enter(int number);

#ifdef EARLY
__attribute__((constructor)) FRAME static void early(void) {
    *(volatile int *)hidden(0) = 1; // @early
}
#endif

FRAME int nothing(void) { return 1; }

FRAME int linked(void) {
    int got = part_enter(1); // @linked
    AND_RETURN;
    return got;
}

FRAME int loaded(void) {
    int (*enter)(int) = (int (*)(int))dlsym(dlopen("./part.so", RTLD_NOW), "part_enter");
    int got = enter(1); // @loaded
    AND_RETURN;
    return got;
}

FRAME int opened(void) {
    void *got = dlopen("./part.so", RTLD_NOW); // @opened
    AND_RETURN;
    return got != NULL;
}

#ifdef PLT
// The table that the stub jumps through can't be read: the fault is at the stub's first instruction.
extern char _GLOBAL_OFFSET_TABLE_[] __attribute__((visibility("hidden")));

FRAME int through_plt(void) {
    mprotect((void *)((unsigned long)_GLOBAL_OFFSET_TABLE_ & ~4095UL), 8192, PROT_NONE);
    int got = (int)getppid(); // @through_plt
    AND_RETURN;
    return got;
}
#endif

int main(void) {
    int got = HOW(); // @main
    AND_RETURN;
    return got;
}
