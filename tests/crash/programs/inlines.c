// SPDX-License-Identifier: Apache-2.0
// Calls that the compiler put in the place of their callers: (in brackets) below, innermost first.
//
// case: inline_gcc       = gcc -O2 -g
// case: inline_gcc_1     = gcc -O1 -gdwarf-4
// case: inline_clang     = clang -O2 -g
// case: inline_clang_4   = clang -O2 -gdwarf-4
// case: inline_dwz       = gcc -O2 -g ; dwz-shared
// case: inline_separate  = gcc -O2 -g ; separate
// case: inline_lto       = gcc -O2 -g -flto=auto
// case: arm_inline       = aarch64-linux-gnu-gcc -O2 -g
// signal: SIGSEGV
// stack: (innermost) <- (inner) <- outer <- (between) <- main <- outermost
#include "frame.h"

#define INLINE static inline __attribute__((always_inline))

INLINE int innermost(volatile int *where, int number) {
    *where = number; // @innermost
    return number + 1;
}

INLINE int inner(volatile int *where, int number) {
    int got = innermost(where, number + 1); // @inner
    return got * 3;
}

#ifdef __clang__
__attribute__((noinline))
#else
FRAME
#endif
static int outer(volatile int *where, int number) {
    int got = inner(where, number + 1); // @outer
    return got ^ number;
}

INLINE int between(int number) {
    int got = outer(hidden(0), number); // @between
    AND_RETURN;
    return got + 1;
}

int main(int count, char **arguments) {
    (void)arguments;
    int got = between(count); // @main
    AND_RETURN;
    return got;
}
