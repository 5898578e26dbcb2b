// SPDX-License-Identifier: Apache-2.0
// until_others_sleep(): so that what a thread is caught at doesn't depend on who had the processor. Who calls it has seen
// to it that the others are behind all that they wait for but their last rest.
#pragma once
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

// S in /proc/PID/task/TID/stat (proc(5)); the name before it may have brackets, too.
__attribute__((unused)) static int sleeps(const char *tid) {
    char path[300], line[512];
    snprintf(path, sizeof path, "/proc/self/task/%s/stat", tid);
    int file = open(path, O_RDONLY);
    long size = file < 0 ? -1 : (long)read(file, line, sizeof line - 1);
    if (file >= 0)
        close(file);
    line[size < 0 ? 0 : size] = 0;
    const char *name_end = strrchr(line, ')');
    return name_end && strncmp(name_end, ") S ", 4) == 0;
}

// A few times in a row: under qemu a thread also sleeps for a moment where qemu itself has to wait.
__attribute__((unused)) static void until_others_sleep(void) {
    for (int calm = 0; calm < 5; calm++) {
        DIR *tasks = opendir("/proc/self/task");
        if (!tasks)
            exit(1);
        for (struct dirent *task; (task = readdir(tasks));)
            if (atol(task->d_name) > 0 && atol(task->d_name) != syscall(SYS_gettid) && !sleeps(task->d_name))
                calm = -1;
        closedir(tasks);
        usleep(1000);
    }
}
