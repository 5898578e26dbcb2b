/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crashgate: stands in core_pattern before crashprobe, and does one thing: where crashprobe wrote down that a program crashed too
 * often (telemetry_probes/crash/crashloop.py owns that file and its layout), it counts the crash and ends; that takes a
 * fiftieth of starting crashprobe. In every other case, and wherever anything is doubtful, it becomes crashprobe.
 *
 * Runs as root on what a dead program called itself: it compares bytes, and changes numbers in a place that was there.
 */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <telemetry.h>

#define TABLE "/var/lib/telemetry/crash-loops"
#define MAGIC "TLMLOOP2"
#define HEADER_BYTES 256u
#define SLOT_BYTES 256u
#define SLOTS 256u
#define NAME_AT 56u
#define NAME_BYTES_MAX (SLOT_BYTES - NAME_AT)
#define KIND_EXECUTABLE 1
#define CLOSED_MS_MAX ((uint64_t)3600 * 1000) /* what says more was damaged, or the clock was set back */
#define PATH_BYTES 4097u
#define WORDS_MIN 10
#define TEST_NAME "telemctl-test" /* crash/wanted.py */
#define LOCK_TRIES 20
#define LOCK_LOOK_NS 1000000

/* Where in a slot its numbers are. */
enum { KIND = 0, NAME_LEN = 1, UID = 4, LAST_S = 24, SEEN = 32, MORE = 40, CLOSED_MS = 48 };

static const char DELETED[] = " (deleted)";

static uint64_t number_at(const uint8_t *slot, size_t at)
{
        uint64_t number;
        memcpy(&number, slot + at, sizeof(number));
        return le64toh(number);
}

static void put_number(uint8_t *slot, size_t at, uint64_t number)
{
        number = htole64(number);
        memcpy(slot + at, &number, sizeof(number));
}

/* All of it, in decimal; -1 for anything else. */
static int64_t digits(const char *text, int64_t most)
{
        if (text[0] < '0' || text[0] > '9')
                return -1;
        char *end;
        errno = 0;
        unsigned long long value = strtoull(text, &end, 10);
        return errno == 0 && *end == '\0' && value <= (unsigned long long)most ? (int64_t)value : -1;
}

/* The executable as crashprobe names it, its last NAME_BYTES_MAX bytes; how many of them, 0 where it isn't known. */
static size_t executable_of(int64_t pid, char path[PATH_BYTES], const char **name)
{
        char link[64];
        (void)snprintf(link, sizeof(link), "/proc/%lld/exe", (long long)pid);
        ssize_t got = readlink(link, path, PATH_BYTES - 1);
        if (got <= 0 || got >= (ssize_t)PATH_BYTES - 1)
                return 0;
        size_t length = (size_t)got, suffix = sizeof(DELETED) - 1;
        if (length > suffix && memcmp(path + length - suffix, DELETED, suffix) == 0)
                length -= suffix;
        size_t kept = length < NAME_BYTES_MAX ? length : NAME_BYTES_MAX;
        *name = path + length - kept;
        return kept;
}

static int open_table(void)
{
        char path[PATH_BYTES];
        int length = tm_get_setting("state_root", path, sizeof(path) - sizeof(TABLE));
        if (length < 0 || (size_t)length >= sizeof(path) - sizeof(TABLE))
                return -1;
        while (length > 0 && path[length - 1] == '/')
                length--;
        memcpy(path + length, TABLE, sizeof(TABLE));
        int fd = open(path, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        struct stat status;
        if (fd >= 0 && (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode))) {
                (void)close(fd);
                return -1;
        }
        return fd;
}

static bool lock(int fd)
{
        for (int tries = 0; tries < LOCK_TRIES; tries++) {
                if (flock(fd, LOCK_EX | LOCK_NB) == 0)
                        return true;
                (void)nanosleep(&(struct timespec){.tv_nsec = LOCK_LOOK_NS}, NULL);
        }
        return false;
}

/* Is the gate closed for this slot's program? Then the crash is counted in it. */
static bool counted(uint8_t *slot, uint64_t now_ms)
{
        uint64_t closed_ms = number_at(slot, CLOSED_MS);
        if (closed_ms <= now_ms || closed_ms - now_ms > CLOSED_MS_MAX)
                return false;
        put_number(slot, LAST_S, now_ms / 1000);
        if (number_at(slot, SEEN) < UINT64_MAX)
                put_number(slot, SEEN, number_at(slot, SEEN) + 1);
        if (number_at(slot, MORE) < UINT64_MAX)
                put_number(slot, MORE, number_at(slot, MORE) + 1);
        return true;
}

/* Whether this crash is one too many, and was counted. */
static bool is_one_too_many(int fd, uint32_t uid, const char *name, size_t name_len)
{
        static uint8_t table[HEADER_BYTES + SLOTS * SLOT_BYTES];
        struct timespec now;
        if (!lock(fd) || pread(fd, table, sizeof(table), 0) != (ssize_t)sizeof(table) ||
            memcmp(table, MAGIC, sizeof(MAGIC) - 1) != 0 || clock_gettime(CLOCK_REALTIME, &now) != 0 || now.tv_sec < 0)
                return false;
        uint64_t now_ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
        for (uint8_t *slot = table + HEADER_BYTES; slot < table + sizeof(table); slot += SLOT_BYTES) {
                uint32_t whose;
                memcpy(&whose, slot + UID, sizeof(whose));
                if (slot[KIND] != KIND_EXECUTABLE || slot[NAME_LEN] != name_len || le32toh(whose) != uid ||
                    memcmp(slot + NAME_AT, name, name_len) != 0)
                        continue;
                return counted(slot, now_ms) &&
                       pwrite(fd, slot, NAME_AT, (off_t)(slot - table)) == (ssize_t)NAME_AT;
        }
        return false;
}

/* The kernel's words are behind -k, the pid first and the uid fifth. With -K another handler wants its turn. */
static bool ends_here(int argc, char **argv)
{
        int at = 1;
        if (argc > 2 && strcmp(argv[1], "-f") == 0) {
                if (tm_set_config_file(argv[2]) != 0)
                        return false;
                at = 3;
        }
        if (argc - at - 1 < WORDS_MIN || strcmp(argv[at], "-k") != 0)
                return false;
        int64_t pid = digits(argv[at + 1], INT32_MAX), uid = digits(argv[at + 5], UINT32_MAX);
        if (uid == 0 && strcmp(argv[at + 9], TEST_NAME) == 0)
                return false; /* telemctl had it crash, or somebody says so: crashprobe knows */
        char path[PATH_BYTES];
        const char *name = NULL;
        size_t name_len = pid > 0 && uid >= 0 ? executable_of(pid, path, &name) : 0;
        int fd = name_len > 0 ? open_table() : -1;
        return fd >= 0 && is_one_too_many(fd, (uint32_t)uid, name, name_len);
}

int main(int argc, char **argv)
{
        /* The kernel gives standard input alone, and perhaps a pidfd: what is opened next must not become output. */
        while (fcntl(1, F_GETFD) < 0 || fcntl(2, F_GETFD) < 0)
                if (open("/dev/null", O_RDWR) < 0)
                        break;
        if (ends_here(argc, argv))
                return 0;
        argv[0] = (char[]){CRASHPROBE};
        (void)execv(CRASHPROBE, argv);
        return 1;
}
