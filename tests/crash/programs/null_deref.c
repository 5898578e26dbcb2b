// SPDX-License-Identifier: Apache-2.0
// A write through NULL three calls deep, built in every way that changes what an unwinder has to read.
//
// case: null_deref                 = gcc -O0 -g
// case: null_deref_o2              = gcc -O2 -g
// case: null_deref_plain           = gcc -O2
// case: null_deref_clang           = clang -O2 -g
// case: null_deref_clang_dwarf4    = clang -O1 -gdwarf-4 -gno-pubnames
// case: null_deref_static          = gcc -O2 -g -static
// case: null_deref_static_pie      = gcc -O2 -g -static-pie
// case: null_deref_static_stripped = gcc -O2 -static ; strip
// case: null_deref_no_pie          = gcc -O2 -g -no-pie
// case: null_deref_omit_fp         = gcc -O1 -fomit-frame-pointer
// case: null_deref_stripped        = gcc -O2 ; strip
// case: null_deref_debug_frame     = gcc -O2 -g -fno-asynchronous-unwind-tables -fno-unwind-tables
// case: null_deref_debug_separate  = gcc -O2 -g -fno-asynchronous-unwind-tables -fno-unwind-tables ; separate
// case: null_deref_frame_pointers  = gcc -O0 -fno-asynchronous-unwind-tables -fno-unwind-tables
// case: null_deref_fp_stripped     = gcc -O0 -fno-asynchronous-unwind-tables -fno-unwind-tables ; strip
// case: null_deref_no_hdr          = gcc -O2 -g -Wl,--no-eh-frame-hdr
// case: null_deref_no_sections     = gcc -O2 ; no-sections
// case: null_deref_no_build_id     = gcc -O2 -g -Wl,--build-id=none
// case: null_deref_dwarf4          = gcc -O2 -gdwarf-4
// case: null_deref_no_aranges      = gcc -O2 -g ; remove .debug_aranges
// case: null_deref_types           = gcc -O2 -g -fdebug-types-section
// case: null_deref_zlib            = gcc -O2 -g -gz=zlib
// case: null_deref_zlib_gnu        = gcc -O2 -g ; compress zlib-gnu
// case: null_deref_zstd            = gcc -O2 -g ; compress zstd
// case: null_deref_link            = gcc -O2 -g ; separate
// case: null_deref_link_folder     = gcc -O2 -g ; separate .debug
// case: null_deref_link_zstd       = gcc -O2 -g ; compress zstd ; separate
// case: null_deref_link_wrong      = gcc -O2 -g ; separate-wrong
// case: null_deref_build_id        = gcc -O2 -g ; separate-build-id
// case: null_deref_mini            = gcc -O2 ; mini
// case: null_deref_dwz             = gcc -O2 -g ; dwz
// case: null_deref_dwz_shared      = gcc -O2 -g ; dwz-shared
// case: null_deref_gold            = gcc -O2 -g -fuse-ld=gold
// case: null_deref_one_segment     = gcc -O2 -g -Wl,-z,noseparate-code
// case: null_deref_lto             = gcc -O2 -g -flto=auto
// case: null_deref_musl            = musl-gcc -O2 -g
// case: null_deref_musl_static     = musl-gcc -O2 -g -static
// case: null_deref_deleted         = gcc -O0 -g -DWAIT ; delete
// case: null_deref_deleted_all     = gcc -O2 -g -DWAIT ; delete ; filter 0x7f
// case: null_deref_replaced        = gcc -O0 -g -DWAIT ; replace
// case: null_deref_replaced_all    = gcc -O2 -g -DWAIT ; replace ; filter 0x7f
// case: null_deref_filter_all      = gcc -O2 -g ; filter 0x7f
// case: null_deref_filter_anon     = gcc -O2 -g ; filter 0x01
// case: null_deref_filter_none     = gcc -O2 -g ; filter 0x10
// case: null_deref_zeroed          = gcc -O2 -g ; zero-stack
// case: null_deref_cut_stack       = gcc -O2 -g ; truncate stack
// case: null_deref_cut_half        = gcc -O2 -g ; truncate half
// case: null_deref_cut_notes       = gcc -O2 -g ; truncate notes
// case: null_deref_unsorted        = gcc -O2 -g ; sort-by-size
// case: arm_null_deref             = aarch64-linux-gnu-gcc -O2 -g
// case: arm_null_deref_o0          = aarch64-linux-gnu-gcc -O0 -g
// case: arm_null_deref_static      = aarch64-linux-gnu-gcc -O2 -g -static
// case: arm_null_deref_stripped    = aarch64-linux-gnu-gcc -O2 ; strip
// case: arm_null_deref_no_cfi      = aarch64-linux-gnu-gcc -O2 -fno-asynchronous-unwind-tables -fno-unwind-tables
// case: arm_null_deref_pac         = aarch64-linux-gnu-gcc -O2 -g -mbranch-protection=standard
// case: arm_null_deref_pac_leaf    = aarch64-linux-gnu-gcc -O2 -g -mbranch-protection=pac-ret+leaf
// signal: SIGSEGV
// stack: boom <- middle <- top <- main <- outermost
// stack null_deref_filter_none null_deref_zeroed: boom <- lost
// stack null_deref_cut_stack null_deref_cut_half null_deref_cut_notes: boom <- lost
#include "frame.h"

FRAME static int boom(int *where) {
    *where = 1; // @boom
    return *where;
}

FRAME static int middle(int *where) {
    int got = boom(where); // @middle
    AND_RETURN;
    return got + 1;
}

FRAME static int top(int *where) {
    int got = middle(where); // @top
    AND_RETURN;
    return got + 2;
}

int main(void) {
    int got = top(hidden(0)); // @main
    AND_RETURN;
    return got;
}
