/* SPDX-License-Identifier: Apache-2.0 */
/*
 * failing_disk: to be preloaded into a program whose disk is to fail on command. FAILING_BELOW names the directory of
 * which the files are meant, FAILING_HOW one that tells what fails now: a file `pwrite`, `fdatasync`, `open` or `unlink` in
 * it has the number of the error, and perhaps of how many calls are left to fail. What doesn't fail is done.
 *
 * A call that fails is noted in FAILING_HOW/log, a line each: the call and the file's name.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static int plain_open(const char *path, int flags)
{
        return NEXT(openat)(AT_FDCWD, path, flags | O_CLOEXEC, 0600);
}

/* How often the call has failed is kept in the file itself, so that threads and forks see it alike. */
static int command(const char *call)
{
        const char *how = getenv("FAILING_HOW");
        char path[256], text[64] = { 0 };
        int code = 0, left = -1;

        if (!how || snprintf(path, sizeof(path), "%s/%s", how, call) >= (int)sizeof(path))
                return 0;
        int fd = plain_open(path, O_RDWR);
        if (fd < 0)
                return 0;
        ssize_t n = NEXT(pread)(fd, text, sizeof(text) - 1, 0);
        if (n > 0 && sscanf(text, "%d %d", &code, &left) == 2) {
                if (left == 0) {
                        code = 0;
                } else {
                        int len = snprintf(text, sizeof(text), "%d %d      \n", code, left - 1);
                        if (NEXT(pwrite)(fd, text, (size_t)len, 0) != len)
                                abort();
                }
        }
        close(fd);
        return code;
}

static void note(const char *call, const char *path)
{
        const char *how = getenv("FAILING_HOW");
        char log[256], line[512];

        if (!how || snprintf(log, sizeof(log), "%s/log", how) >= (int)sizeof(log))
                return;
        int fd = plain_open(log, O_WRONLY | O_CREAT | O_APPEND);
        int len = snprintf(line, sizeof(line), "%s %s\n", call, path);
        if (fd < 0 || len >= (int)sizeof(line) || write(fd, line, (size_t)len) != len)
                abort();
        close(fd);
}

static bool meant(const char *path)
{
        const char *below = getenv("FAILING_BELOW");
        size_t len = below ? strlen(below) : 0;

        return len && strncmp(path, below, len) == 0 && (path[len] == '/' || path[len] == 0);
}

/* The call fails now, with errno set. */
static bool fails(const char *call, int fd, const char *name)
{
        char link[64], path[512];
        int before = errno;
        ssize_t n = 0;

        if (name && name[0] == '/') {
                n = snprintf(path, sizeof(path), "%s", name);
        } else {
                snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
                n = readlink(link, path, sizeof(path) - 1);
                if (n < 0) {
                        errno = before;
                        return false;
                }
                path[n] = 0;
                if (name)
                        n += snprintf(path + n, sizeof(path) - (size_t)n, "/%s", name);
        }
        int code = n > 0 && n < (ssize_t)sizeof(path) && meant(path) ? command(call) : 0;
        if (code)
                note(call, path);
        errno = code ? code : before;
        return code != 0;
}

ssize_t pwrite64(int fd, const void *bytes, size_t len, off64_t at)
{
        return fails("pwrite", fd, NULL) ? -1 : NEXT(pwrite64)(fd, bytes, len, at);
}

ssize_t pwrite(int fd, const void *bytes, size_t len, off_t at)
{
        return fails("pwrite", fd, NULL) ? -1 : NEXT(pwrite)(fd, bytes, len, at);
}

ssize_t pwritev(int fd, const struct iovec *pieces, int count, off_t at)
{
        return fails("pwrite", fd, NULL) ? -1 : NEXT(pwritev)(fd, pieces, count, at);
}

ssize_t pwritev64(int fd, const struct iovec *pieces, int count, off64_t at)
{
        return fails("pwrite", fd, NULL) ? -1 : NEXT(pwritev64)(fd, pieces, count, at);
}

int fdatasync(int fd)
{
        return fails("fdatasync", fd, NULL) ? -1 : NEXT(fdatasync)(fd);
}

int fsync(int fd)
{
        return fails("fdatasync", fd, NULL) ? -1 : NEXT(fsync)(fd);
}

int unlinkat(int directory, const char *name, int flags)
{
        return fails("unlink", directory, name) ? -1 : NEXT(unlinkat)(directory, name, flags);
}

static mode_t mode_of(int flags, va_list more)
{
        return flags & O_CREAT ? va_arg(more, mode_t) : 0;
}

int openat(int directory, const char *name, int flags, ...)
{
        va_list more;

        va_start(more, flags);
        mode_t mode = mode_of(flags, more);
        va_end(more);
        if ((flags & O_ACCMODE) != O_RDONLY && fails("open", directory, name))
                return -1;
        return NEXT(openat)(directory, name, flags, mode);
}

int openat64(int directory, const char *name, int flags, ...)
{
        va_list more;

        va_start(more, flags);
        mode_t mode = mode_of(flags, more);
        va_end(more);
        if ((flags & O_ACCMODE) != O_RDONLY && fails("open", directory, name))
                return -1;
        return NEXT(openat64)(directory, name, flags, mode);
}
