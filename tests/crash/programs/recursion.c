// SPDX-License-Identifier: Apache-2.0
// Deep and endless recursion: the ends of a stack matter more than its middle.
//
// case: recursion_200     = gcc -O2 -g -DDEPTH=200
// case: recursion_5000    = gcc -O2 -g -DDEPTH=5000
// case: recursion_endless = gcc -O2 -DDEPTH=2000000000
// case: recursion_big     = gcc -O2 -g -DDEPTH=20 -DROOM=100000
// case: arm_recursion     = aarch64-linux-gnu-gcc -O2 -g -DDEPTH=100
// signal: SIGSEGV
// stack recursion_200: bottom <- down*201 <- main <- outermost
// stack recursion_5000: bottom <- down*5001 <- main <- outermost
// stack recursion_endless: down*many <- main <- outermost
// stack recursion_big: bottom <- down*21 <- main <- outermost
// stack arm_recursion: bottom <- down*101 <- main <- outermost
#include "frame.h"
#ifndef ROOM
#define ROOM 16
#endif

FRAME int bottom(volatile char *room) {
    *(volatile int *)hidden(0) = room[0]; // @bottom
    return 1;
}

FRAME int down(int depth) {
    volatile char room[ROOM];
    room[0] = (char)depth;
    int got = 0;
    if (depth > 0)
        got = down(depth - 1); // @down
    else
        got = bottom(room); // @down
    AND_RETURN;
    return got + room[0];
}

int main(void) {
    int got = down(DEPTH); // @main
    AND_RETURN;
    return got;
}
