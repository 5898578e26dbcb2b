// SPDX-License-Identifier: Apache-2.0
// Calls to where no code is: only the word at sp (the link register, on aarch64) knows the caller.
//
// case: call_null       = gcc -O2 -g -DWHERE=hidden(0)
// case: call_null_plain = gcc -O1 -DWHERE=hidden(0) ; strip
// case: call_garbage    = gcc -O2 -g -DWHERE=hidden(0x41414141)
// case: call_data       = gcc -O2 -g -DWHERE=(void*)data
// case: call_stack      = gcc -O2 -g -DWHERE=(void*)&local
// case: arm_call_null   = aarch64-linux-gnu-gcc -O2 -g -DWHERE=hidden(0)
// signal: SIGSEGV
// stack: nowhere <- caller <- main <- outermost
#include "frame.h"

static char data[4096] __attribute__((used)) = "not code";

FRAME int caller(int number) {
    volatile int local = number;
    int (*call)(int) = (int (*)(int))WHERE;
    int got = call(local); // @caller
    AND_RETURN;
    return got + (data[0] != 0) + local;
}

int main(void) {
    int got = caller(3); // @main
    AND_RETURN;
    return got;
}
