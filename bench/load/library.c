/* SPDX-License-Identifier: Apache-2.0 */
/*
 * library: many records on one connection the way a program of the field sends them: through libtelemetry's public
 * functions alone. Creating the records and their random ids is part of the time.
 *
 *   library CONFIG RECORDS PAYLOAD BATCH
 *
 * BATCH records are created, handed over together, answered and freed; then the next. Needs nothing but telemetry.h, so it
 * prints its own line of JSON.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "telemetry.h"

#define BATCH_MAX 65536u

static double now_s(void)
{
        struct timespec now = {0};
        (void)clock_gettime(CLOCK_MONOTONIC, &now);
        return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static int check(int code, const char *what)
{
        if (code < 0) {
                (void)fprintf(stderr, "%s: %s\n", what, strerror(-code));
                exit(1);
        }
        return code;
}

int main(int argc, char **argv)
{
        if (argc != 5) {
                (void)fprintf(stderr, "usage: library CONFIG RECORDS PAYLOAD BATCH\n");
                return 2;
        }
        size_t wanted = strtoul(argv[2], NULL, 10), payload_len = strtoul(argv[3], NULL, 10);
        size_t batch = strtoul(argv[4], NULL, 10);
        if (wanted < 1 || payload_len > TM_PAYLOAD_MAX || batch < 1 || batch > BATCH_MAX)
                check(-ERANGE, "arguments");
        struct telem_ref **refs = calloc(batch, sizeof(struct telem_ref *));
        struct tm_ack *acks = calloc(batch, sizeof(*acks));
        char *payload = malloc(payload_len + 1);
        if (refs == NULL || acks == NULL || payload == NULL)
                check(-ENOMEM, "memory");
        memset(payload, 'x', payload_len);

        char classification[] = "org.clearlinux/bench/library";
        struct tm_client *client = NULL;
        check(tm_set_config_file(argv[1]), argv[1]);
        check(tm_client_open(&client, 30000), "tm_client_open");
        size_t done = 0, durable = 0, refused = 0;
        unsigned reason = 0;
        double send_s = 0, start_s = now_s();
        while (done < wanted) {
                size_t n = wanted - done < batch ? wanted - done : batch;
                for (size_t i = 0; i < n; i++) {
                        check(tm_create_record(&refs[i], 1, classification, 1), "tm_create_record");
                        check(tm_set_payload_bytes(refs[i], TM_PAYLOAD_TEXT, payload, payload_len), "tm_set_payload_bytes");
                }
                double before_s = now_s();
                int answered = check(tm_client_send_many(client, refs, n, acks), "tm_client_send_many");
                send_s += now_s() - before_s;
                if ((size_t)answered != n)
                        check(-ETIMEDOUT, "tm_client_send_many: not all were answered");
                for (size_t i = 0; i < n; i++) {
                        durable += acks[i].verdict == TM_DURABLE;
                        refused += acks[i].verdict != TM_DURABLE;
                        reason = acks[i].verdict == TM_DURABLE ? reason : acks[i].reason;
                        tm_free_record(refs[i]);
                }
                done += n;
        }
        double end_s = now_s();
        tm_client_close(client);
        (void)printf("{\"records\": %zu, \"start_s\": %.9f, \"end_s\": %.9f, \"durable\": %zu, \"duplicate\": 0, "
                     "\"refused\": %zu, \"reason\": %u, \"foreign\": 0, \"lost\": 0, \"backlog_full\": 0, \"send_s\": %.9f}\n",
                     done, start_s, end_s, durable, refused, reason, send_s);
        free(payload);
        free(acks);
        free(refs);
        return 0;
}
