// SPDX-License-Identifier: Apache-2.0
// Frames of unusual shape: sizes and alignments that need more than an offset to undo, calls that never return, code
// that was split, jumped to or written by the program itself.
//
// case: shape_realigned   = gcc -O2 -g -DHOW=realigned
// case: shape_dynamic     = gcc -O2 -g -DHOW=dynamic
// case: shape_huge        = gcc -O2 -g -DHOW=huge
// case: shape_huge_plain  = gcc -O1 -fomit-frame-pointer -DHOW=huge
// case: shape_noreturn    = gcc -O2 -g -DHOW=noreturn
// case: shape_noreturn_plain = gcc -O2 -DHOW=noreturn
// case: shape_tail        = gcc -O2 -g -DHOW=tail
// case: shape_cold        = gcc -O2 -g -DHOW=split
// case: shape_leaf_asm    = gcc -O2 -g -DHOW=leaf_caller
// case: shape_jit         = gcc -O1 -g -fno-omit-frame-pointer -DHOW=jit
// case: shape_jit_leaf    = gcc -O2 -g -DHOW=jit_leaf
// case: shape_remember    = gcc -O2 -g -DHOW=remember
// case: shape_realigned_clang = clang -O2 -g -DHOW=realigned
// case: arm_shape_dynamic = aarch64-linux-gnu-gcc -O2 -g -DHOW=dynamic
// case: arm_shape_huge    = aarch64-linux-gnu-gcc -O2 -g -DHOW=huge
// case: arm_shape_noreturn = aarch64-linux-gnu-gcc -O2 -g -DHOW=noreturn
// signal: SIGSEGV
// signal shape_noreturn shape_noreturn_plain arm_shape_noreturn: SIGABRT
// stack shape_realigned shape_realigned_clang: boom <- realigned <- main <- outermost
// stack shape_dynamic arm_shape_dynamic: boom <- dynamic <- main <- outermost
// stack shape_huge shape_huge_plain arm_shape_huge: boom <- huge <- main <- outermost
// stack shape_noreturn shape_noreturn_plain arm_shape_noreturn: ... <- abort <- last <- noreturn <- main <- outermost
// stack shape_tail: boom <- main <- outermost
// stack shape_cold: boom <- split <- main <- outermost
// stack shape_leaf_asm: leaf <- leaf_caller <- main <- outermost
// stack shape_jit: boom <- nowhere <- jit <- main <- outermost
// stack shape_jit_leaf: nowhere <- jit_leaf <- main <- outermost
// stack shape_remember: boom <- remember <- main <- outermost
#define _GNU_SOURCE
#include <alloca.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "frame.h"

FRAME int boom(volatile char *room) {
    *(volatile int *)hidden(0) = room[0]; // @boom
    return 1;
}

// The frame is moved to a multiple of 64: its canonical address is found through an expression.
FRAME int realigned(int number) {
    _Alignas(64) volatile char room[128];
    room[0] = (char)number;
    int got = boom(room); // @realigned
    AND_RETURN;
    return got + room[1];
}

FRAME int dynamic(int number) {
    volatile char *room = alloca((size_t)number * 1000);
    room[0] = 1;
    int got = boom(room); // @dynamic
    AND_RETURN;
    return got + room[0];
}

// More than a window round sp would hold.
FRAME int huge(int number) {
    volatile char room[3000000];
    room[0] = (char)number;
    int got = boom(room); // @huge
    AND_RETURN;
    return got + room[0];
}

__attribute__((noreturn)) FRAME void last(int number) {
    (void)number;
    abort(); // @last
}

// Ends with a call that doesn't return: the return address lies behind the function, in the next one.
FRAME int noreturn(int number) {
    last(number + 1); // @noreturn
}

FRAME int tail(int number) {
    static char room[4];
    room[0] = (char)number;
    return boom(room);
}

// What is unlikely goes into a part of its own, `split.cold`, far from the rest.
#pragma GCC push_options
#pragma GCC optimize("reorder-blocks-and-partition")
__attribute__((noinline)) int split(int number) {
    char room[64];
    memset(room, number, sizeof room);
    if (__builtin_expect_with_probability(number == 7, 0, 1.0)) {
        int got = boom(room); // @split
        AND_RETURN;
        return got + room[3];
    }
    return room[number & 31];
}
#pragma GCC pop_options

#ifdef __x86_64__
// Written by hand, without a word on how to undo it.
__asm__(".text\n.globl leaf\n.type leaf,@function\nleaf:\nxorl %eax,%eax\nmovl $1,(%rax)\nret\n.size leaf,.-leaf\n");
int leaf(void);

FRAME int leaf_caller(int number) {
    int got = leaf(); // @leaf_caller
    AND_RETURN;
    return got + number;
}

static void *code(const unsigned char *bytes, size_t size) {
    char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memcpy(page + 64, bytes, size);
    return page + 64;
}

// push %rbp; mov %rsp,%rbp; sub $32,%rsp; call *%rsi; leave; ret
FRAME int jit(int number) {
    static const unsigned char bytes[] = {0x55, 0x48, 0x89, 0xe5, 0x48, 0x83, 0xec, 0x20, 0xff, 0xd6, 0xc9, 0xc3};
    static char room[4];
    typedef int called(volatile char *);
    int (*call)(char *, called *) = (int (*)(char *, called *))code(bytes, sizeof bytes);
    int got = call(room, boom); // @jit
    AND_RETURN;
    return got + number;
}

// xor %eax,%eax; mov %eax,(%rax); ret
FRAME int jit_leaf(int number) {
    static const unsigned char bytes[] = {0x31, 0xc0, 0x89, 0x00, 0xc3};
    int (*call)(void) = (int (*)(void))code(bytes, sizeof bytes);
    int got = call(); // @jit_leaf
    AND_RETURN;
    return got + number;
}
#endif

// An early way out in the middle: the rows behind it are restored from the remembered one.
FRAME int remember(int number) {
    volatile char room[32];
    room[0] = (char)number;
    if (number == 1)
        return room[0];
    if (number == 2)
        return room[1] + 5;
    int got = boom(room); // @remember
    AND_RETURN;
    return got + room[0];
}

int main(void) {
    volatile int number = 7;
    int got = HOW(number); // @main
    AND_RETURN;
    return got;
}
