// SPDX-License-Identifier: Apache-2.0
// The library of libraries.c.
#include "frame.h"

FRAME static int part_boom(int number) {
    *(volatile int *)hidden(0) = number; // @part_boom
    return number;
}

int part_enter(int number) {
    int got = part_boom(number + 1); // @part_enter
    AND_RETURN;
    return got;
}

#ifdef START
__attribute__((constructor)) FRAME static void part_start(void) {
    part_boom(1); // @part_start
    AND_RETURN;
}
#endif
