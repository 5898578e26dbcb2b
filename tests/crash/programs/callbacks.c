// SPDX-License-Identifier: Apache-2.0
// Crashes in functions that the C library calls back.
//
// case: callback_qsort   = gcc -O2 -g -DHOW=sorting
// case: callback_bsearch = gcc -O2 -g -DHOW=searching
// case: callback_walk    = gcc -O2 -g -DHOW=walking
// case: callback_once    = gcc -O2 -g -DHOW=initialising
// case: callback_exit    = gcc -O2 -g -DHOW=leaving
// case: callback_musl    = musl-gcc -O2 -g -DHOW=sorting
// case: callback_static  = gcc -O2 -g -static -DHOW=walking
// case: arm_callback     = aarch64-linux-gnu-gcc -O2 -g -DHOW=sorting
// signal: SIGSEGV
// stack callback_qsort callback_musl arm_callback: compare <- ... <- sorting <- main <- outermost
// stack callback_bsearch: compare <- ... <- searching <- main <- outermost
// stack callback_walk callback_static: visit <- ... <- walking <- main <- outermost
// stack callback_once: initialise <- ... <- initialising <- main <- outermost
// stack callback_exit: last_deed <- ... <- exit <- leaving <- main <- outermost
#define _GNU_SOURCE
#include <pthread.h>
#include <search.h>
#include <stdlib.h>

#include "frame.h"

FRAME static int compare(const void *left, const void *right) {
    (void)left, (void)right;
    return *(volatile int *)hidden(0); // @compare
}

FRAME static void visit(const void *node, VISIT which, int depth) {
    (void)node, (void)which, (void)depth;
    *(volatile int *)hidden(0) = depth; // @visit
}

FRAME static void initialise(void) {
    *(volatile int *)hidden(0) = 1; // @initialise
}

FRAME static void last_deed(void) {
    *(volatile int *)hidden(0) = 1; // @last_deed
}

FRAME int sorting(void) {
    int numbers[] = {5, 4, 3, 2};
    qsort(numbers, 4, sizeof *numbers, compare); // @sorting
    AND_RETURN;
    return numbers[0];
}

FRAME int searching(void) {
    int numbers[] = {2, 3, 4, 5};
    void *got = bsearch(numbers, numbers, 4, sizeof *numbers, compare); // @searching
    AND_RETURN;
    return got != NULL;
}

static int order(const void *left, const void *right) { return left < right ? -1 : left > right; }

FRAME int walking(void) {
    static int numbers[3];
    void *root = NULL;
    for (int i = 0; i < 3; i++)
        tsearch(numbers + i, &root, order);
    twalk(root, visit); // @walking
    AND_RETURN;
    return numbers[0];
}

FRAME int initialising(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, initialise); // @initialising
    AND_RETURN;
    return 1;
}

FRAME int leaving(void) {
    atexit(last_deed);
    exit(0); // @leaving
}

int main(void) {
    int got = HOW(); // @main
    AND_RETURN;
    return got;
}
