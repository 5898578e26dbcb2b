/* SPDX-License-Identifier: Apache-2.0 */
/*
 * confine: a process that is going to read what others wrote gives up, for itself and all it starts, what it won't need.
 * Each step can't be undone. Which user it becomes is the caller's affair, and so is what happens where a step fails.
 */
#ifndef TELEMETRY_CONFINE_H
#define TELEMETRY_CONFINE_H

#include <stddef.h>

/* No set-id program gives it rights again, and no one of its own user may look into it (its core is of other users'
 * memory). 0 or -errno. */
int confine_rights(void);

/* Files can be written, made and removed below these paths only (a path that isn't there is passed over), nothing can be
 * executed, no TCP, no abstract socket and no signal to others. Landlock, as much of it as the kernel has: the version of its
 * interface, 0 where it has none, or -errno. */
int confine_files(const char *const *paths, size_t n);

/* It ends by SIGALRM after so long, whatever it waits for then. 0 or -errno. */
int confine_time(unsigned int seconds);

/* System calls are those that reading files, memory and pipes, and talking to Unix sockets, need; others fail with EPERM.
 * seccomp(2). 0, or -errno: -ENOSYS, -EINVAL where the kernel has no filters. */
int confine_calls(void);

#endif
