// SPDX-License-Identifier: Apache-2.0
// The library of large.c: as large as a compiler's, made in seconds.
    .altmacro
    .macro function number
    .globl one_of_the_functions_of_a_large_library_\number
    .type one_of_the_functions_of_a_large_library_\number, @function
one_of_the_functions_of_a_large_library_\number:
    .cfi_startproc
    push %rbp
    .cfi_def_cfa_offset 16
    .cfi_offset 6, -16
    .nops 820
    pop %rbp
    .cfi_def_cfa_offset 8
    ret
    .cfi_endproc
    .size one_of_the_functions_of_a_large_library_\number, . - one_of_the_functions_of_a_large_library_\number
    .endm

    .text
    .set count, 0
    .rept 50000
    function %count
    .set count, count + 1
    .endr

    .globl in_the_middle
    .type in_the_middle, @function
in_the_middle:
    .cfi_startproc
    push %rbp
    .cfi_def_cfa_offset 16
    .cfi_offset 6, -16
    mov (%rdi), %eax
    pop %rbp
    .cfi_def_cfa_offset 8
    ret
    .cfi_endproc
    .size in_the_middle, . - in_the_middle

    .rept 50000
    function %count
    .set count, count + 1
    .endr

    .section .rodata
    .skip 53500000
    .section .note.GNU-stack, "", @progbits
