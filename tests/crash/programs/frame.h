// SPDX-License-Identifier: Apache-2.0
// What every C and C++ program of the corpus needs to have the frames that its `stack:` line promises.
#pragma once

// A function that keeps a frame of its own: not inlined, not cloned, not merged with its like.
#ifdef __clang__
#define FRAME __attribute__((noinline, optnone))
#elif defined(__GNUC__)
#define FRAME __attribute__((noinline, noclone, noipa))
#endif

// After a call: what follows it, so that the call can't be the function's last deed (and become a jump).
#define AND_RETURN __asm__ volatile("" ::: "memory")

// A zero and other addresses that the compiler can't see through. No function: it must leave no line of its own.
#define hidden(value) \
    ({ unsigned long seen_ = (unsigned long)(value); __asm__ volatile("" : "+r"(seen_)); (void *)seen_; })

// -DWAIT: says when it runs, and goes on when its standard input ends. Its files are taken away meanwhile.
#ifdef WAIT
#include <unistd.h>
__attribute__((constructor)) static void wait_for_it(void) {
    char one;
    if (write(1, ".", 1) == 1)
        while (read(0, &one, 1) > 0)
            continue;
}
#endif
