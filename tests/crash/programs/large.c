// SPDX-License-Identifier: Apache-2.0
// A crash in the middle of a library of 154 MB (as rustc has one): 100,000 functions, each with a name and unwind rules of its own.
//
// case: large = gcc -O2 -g -DHOW=linked ; library large_part.S
// signal: SIGSEGV
// stack: in_the_middle <- main <- outermost
#include "frame.h"

extern int in_the_middle(int *);

int main(void) {
    int result = in_the_middle(0); // @main
    AND_RETURN;
    return result;
}
