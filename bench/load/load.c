/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "load.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define CLASSIFICATION "org.clearlinux/bench/load"

double load_now_s(void)
{
        struct timespec now;
        if (clock_gettime(CLOCK_MONOTONIC, &now) != 0)
                load_die("clock_gettime");
        return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

_Noreturn void load_die(const char *what)
{
        (void)fprintf(stderr, "%s: %s\n", what, strerror(errno));
        exit(1);
}

uint64_t load_number(const char *text, uint64_t max)
{
        char *end = NULL;
        errno = 0;
        unsigned long long value = strtoull(text, &end, 10);
        if (errno != 0 || end == text || *end != '\0' || value < 1 || value > max) {
                (void)fprintf(stderr, "%s: not a number from 1 to %llu\n", text, (unsigned long long)max);
                exit(2);
        }
        return value;
}

void load_raise_descriptor_limit(void)
{
        struct rlimit limit;
        if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
                load_die("getrlimit");
        limit.rlim_cur = limit.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
                load_die("setrlimit");
}

int load_connect(const char *path, bool nonblocking)
{
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        size_t len = strlen(path);
        if (len >= sizeof(address.sun_path)) {
                errno = ENAMETOOLONG;
                load_die(path);
        }
        memcpy(address.sun_path, path, len + 1);

        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | (nonblocking ? SOCK_NONBLOCK : 0), 0);
        if (fd < 0)
                load_die("socket");
        while (connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
                if (errno == EINTR)
                        continue;
                int why = errno;
                (void)close(fd);
                errno = why;
                return -1;
        }
        return fd;
}

void load_record_init(struct load_record *record, size_t payload_len)
{
        memset(record, 0, sizeof(*record));
        if (getrandom(record->random, sizeof(record->random), 0) != (ssize_t)sizeof(record->random))
                load_die("getrandom");
        record->random[0] |= 1;
        for (size_t i = 0; i < payload_len; i++)
                record->payload[i] = (uint8_t)(i % 64 == 63 ? '\n' : 'a' + (i * 7 + i / 64) % 26);

        struct timespec now;
        if (clock_gettime(CLOCK_REALTIME, &now) != 0)
                load_die("clock_gettime");
        record->fields = (struct wire_record){
                .event_id = {0xbe, 0x4c, 1},
                .created_us = (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000,
                .payload_version = 1,
                .severity = 1,
                .payload_kind = TM_PAYLOAD_TEXT,
                .classification = {(const uint8_t *)CLASSIFICATION, (uint32_t)strlen(CLASSIFICATION)},
                .payload = {record->payload, (uint32_t)payload_len},
        };
}

static uint64_t next_random(uint64_t state[2])
{
        uint64_t a = state[0], b = state[1];
        state[0] = b;
        a ^= a << 23;
        state[1] = a ^ b ^ (a >> 17) ^ (b >> 26);
        return state[1] + b;
}

size_t load_record_next(struct load_record *record, uint8_t flags, uint8_t *out, size_t size, uint8_t id[TM_ID_SIZE])
{
        uint8_t *fresh = record->fields.record_id; /* UUIDv7 without its milliseconds */
        uint64_t high = next_random(record->random), low = next_random(record->random);
        memcpy(fresh + 6, &high, 2);
        memcpy(fresh + 8, &low, 8);
        fresh[6] = (uint8_t)((fresh[6] & 0x0f) | 0x70);
        fresh[8] = (uint8_t)((fresh[8] & 0x3f) | 0x80);
        record->fields.flags = flags;
        memcpy(id, fresh, TM_ID_SIZE);

        size_t len = wire5_encode(&record->fields, out, size);
        if (len == 0) {
                errno = EMSGSIZE;
                load_die("wire5_encode");
        }
        return len;
}

size_t load_record_format4(const struct load_record *record, uint8_t *out, size_t size)
{
        static const struct wire_facts host = {0}; /* empty facts: telemd takes its own */
        size_t len = wire4_encode(&record->fields, &host, NULL, out, size);
        if (len == 0) {
                errno = EMSGSIZE;
                load_die("wire4_encode");
        }
        return len;
}

void load_tally_answer(struct load_tally *tally, const uint8_t bytes[WIRE_ANSWER_LEN], const uint8_t *expected_id)
{
        struct tm_ack ack;
        if (!wire_answer_decode(bytes, &ack) ||
            (expected_id != NULL && memcmp(ack.record_id, expected_id, TM_ID_SIZE) != 0)) {
                tally->foreign++;
                return;
        }
        if (ack.verdict == TM_DURABLE) {
                tally->durable++;
        } else if (ack.verdict == TM_DUPLICATE) {
                tally->duplicate++;
        } else {
                tally->refused++;
                tally->reason = ack.reason;
        }
}

void load_report(uint64_t records, double start_s, double end_s, const struct load_tally *tally, const char *more)
{
        (void)printf("{\"records\": %llu, \"start_s\": %.9f, \"end_s\": %.9f, \"durable\": %llu, \"duplicate\": %llu, "
                     "\"refused\": %llu, \"reason\": %u, \"foreign\": %llu, \"lost\": %llu, \"backlog_full\": %llu%s}\n",
                     (unsigned long long)records, start_s, end_s, (unsigned long long)tally->durable,
                     (unsigned long long)tally->duplicate, (unsigned long long)tally->refused, (unsigned)tally->reason,
                     (unsigned long long)tally->foreign, (unsigned long long)tally->lost,
                     (unsigned long long)tally->backlog_full, more);
        if (fflush(stdout) != 0)
                load_die("standard output");
}
