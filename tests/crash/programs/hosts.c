// SPDX-License-Identifier: Apache-2.0
// A program in C with a library in Go (c-shared): a fault in Go's code, and one in C that Go called back.
//
// case: go_shared        = gcc -O2 -g ; library hosts_part.go
// case: go_shared_plain  = gcc -O2 -g ; library hosts_part.go -ldflags=-s\ -w
// case: go_shared_back   = gcc -O2 -g ; library hosts_part.go
// signal: SIGABRT
// environment: GOTRACEBACK=crash GOMAXPROCS=2
// arguments go_shared go_shared_plain: go
// arguments go_shared_back: c
// stack go_shared go_shared_plain: ... <- main.faulting <- main.Into <- ... <- runtime.cgocallback <- ...
// stack go_shared_back: ... <- in_c <- through <- ... <- main._Cfunc_through <- main.Into <- ... <- runtime.cgocallback <- ...
// others: any
#include <string.h>

#include "frame.h"

extern int Into(int (*back)(int *));

FRAME in_c(int *where) {
    int volatile found = *where; // @in_c
    return found + 1;
}

int main(int count, char **words) {
    int back = count > 1 && strcmp(words[1], "c") == 0;
    return Into(back ? in_c : 0) + 1; // @main
}
