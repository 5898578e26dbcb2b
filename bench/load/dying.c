/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dying: a program to be killed. It has so many threads, each asleep some calls deep, and so much memory that was written
 * to; it says one byte once all of that is there, and waits for a signal.
 *
 *   dying THREADS MIB
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define THREADS_MAX 4096
#define STACK_BYTES (256u << 10)
#define PAGE 4096u

static pthread_barrier_t all_there;
static volatile int awake;

static __attribute__((noinline)) int inner(int depth)
{
        if (depth == 0) {
                (void)pthread_barrier_wait(&all_there);
                while (!awake)
                        (void)pause();
                return 0;
        }
        return inner(depth - 1) + 1;
}

static void *asleep(void *unused)
{
        (void)unused;
        return (void *)(long)inner(4);
}

static __attribute__((noinline)) int outer(void)
{
        (void)pthread_barrier_wait(&all_there);
        if (write(1, "!", 1) != 1)
                return 1;
        while (!awake)
                (void)pause();
        return 0;
}

int main(int argc, char **argv)
{
        if (argc != 3)
                return 2;
        unsigned long threads = strtoul(argv[1], NULL, 10), mib = strtoul(argv[2], NULL, 10);
        if (threads < 1 || threads > THREADS_MAX)
                return 2;
        if (mib > 0) {
                size_t size = (size_t)mib << 20;
                volatile char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
                if (memory == MAP_FAILED)
                        return 1;
                for (size_t at = 0; at < size; at += PAGE)
                        memory[at] = 1;
        }
        pthread_attr_t small;
        if (pthread_barrier_init(&all_there, NULL, (unsigned)threads) != 0 || pthread_attr_init(&small) != 0 ||
            pthread_attr_setstacksize(&small, STACK_BYTES) != 0)
                return 1;
        for (unsigned long at = 1; at < threads; at++) {
                pthread_t thread;
                if (pthread_create(&thread, &small, asleep, NULL) != 0)
                        return 1;
        }
        return outer();
}
