/* SPDX-License-Identifier: Apache-2.0 */
/*
 * paced: RATE records a second on one kept connection, whether or not the answers keep up, and how long each answer took.
 *
 *   paced PATH RECORDS PAYLOAD RATE
 *
 * A latency runs from the moment before send() to the moment after recv(). What this process itself was late by (it may lose
 * the processor) is reported beside it rather than mixed into it; were the daemon's answers to hold it up, it would show there.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <math.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "load.h"

#define RECORDS_MAX 1000000u
#define UNANSWERED_MAX 4096u

struct flight {
        double sent_s;
        uint8_t id[TM_ID_SIZE];
};

static int by_size(const void *a, const void *b)
{
        double x = *(const double *)a, y = *(const double *)b;
        return (x > y) - (x < y);
}

/* In microseconds; values is sorted. Nearest rank. */
static double quantile_us(const double *values, uint64_t count, double share)
{
        if (count == 0)
                return 0;
        double rank = ceil(share * (double)count);
        return 1e6 * values[rank < 1 ? 0 : (uint64_t)rank - 1];
}

static struct timespec span_until(double then_s)
{
        double left_s = then_s - load_now_s();
        if (left_s < 0)
                left_s = 0;
        time_t whole = (time_t)left_s;
        return (struct timespec){.tv_sec = whole, .tv_nsec = (long)((left_s - (double)whole) * 1e9)};
}

int main(int argc, char **argv)
{
        if (argc != 5) {
                (void)fprintf(stderr, "usage: paced PATH RECORDS PAYLOAD RATE\n");
                return 2;
        }
        uint64_t wanted = load_number(argv[2], RECORDS_MAX), sent = 0, answered = 0;
        struct load_record *record = calloc(1, sizeof(*record));
        struct flight *flights = calloc(UNANSWERED_MAX, sizeof(*flights));
        double *latencies_s = calloc(wanted, sizeof(*latencies_s));
        static uint8_t bytes[TM_RECORD_MAX], answers[64 * WIRE_ANSWER_LEN];
        if (record == NULL || flights == NULL || latencies_s == NULL)
                load_die("calloc");
        load_record_init(record, load_number(argv[3], TM_PAYLOAD_MAX));
        double gap_s = 1.0 / (double)load_number(argv[4], 100000);
        (void)prctl(PR_SET_TIMERSLACK, 1000UL); /* 1 us instead of 50: the pace is the experiment */

        struct load_tally tally = {0};
        int fd = load_connect(argv[1], false);
        if (fd < 0)
                load_die(argv[1]);
        size_t held = 0;
        double late_s_max = 0, start_s = load_now_s();
        while (answered < wanted) {
                double due_s = start_s + (double)sent * gap_s, now_s = load_now_s();
                if (sent < wanted && now_s >= due_s) {
                        if (sent - answered >= UNANSWERED_MAX) {
                                errno = ETIMEDOUT;
                                load_die("4096 records without an answer");
                        }
                        struct flight *flight = &flights[sent % UNANSWERED_MAX];
                        size_t len = load_record_next(record, 0, bytes, sizeof(bytes), flight->id);
                        if (now_s - due_s > late_s_max)
                                late_s_max = now_s - due_s;
                        flight->sent_s = load_now_s();
                        if (send(fd, bytes, len, MSG_NOSIGNAL) != (ssize_t)len)
                                load_die("send");
                        sent++;
                        continue;
                }
                struct pollfd waiting = {.fd = fd, .events = POLLIN};
                struct timespec span =
                        sent < wanted ? span_until(due_s) : (struct timespec){.tv_sec = LOAD_TIMEOUT_MS / 1000};
                int ready = ppoll(&waiting, 1, &span, NULL);
                if (ready < 0 && errno != EINTR)
                        load_die("ppoll");
                if (ready == 0 && sent == wanted) {
                        errno = ETIMEDOUT;
                        load_die("waiting for answers");
                }
                if (ready <= 0)
                        continue;
                ssize_t got = recv(fd, answers + held, sizeof(answers) - held, 0);
                double came_s = load_now_s();
                if (got <= 0) {
                        tally.lost += sent - answered;
                        break;
                }
                held += (size_t)got;
                size_t used = 0;
                for (; held - used >= WIRE_ANSWER_LEN && answered < sent; used += WIRE_ANSWER_LEN, answered++) {
                        struct flight *flight = &flights[answered % UNANSWERED_MAX];
                        load_tally_answer(&tally, answers + used, flight->id);
                        latencies_s[answered] = came_s - flight->sent_s;
                }
                held -= used;
                memmove(answers, answers + used, held);
        }
        double end_s = load_now_s();
        qsort(latencies_s, answered, sizeof(*latencies_s), by_size);

        char more[256];
        (void)snprintf(more, sizeof(more), ", \"p50_us\": %.1f, \"p99_us\": %.1f, \"max_us\": %.1f, \"late_us_max\": %.1f",
                       quantile_us(latencies_s, answered, 0.5), quantile_us(latencies_s, answered, 0.99),
                       quantile_us(latencies_s, answered, 1.0), 1e6 * late_s_max);
        load_report(answered, start_s, end_s, &tally, more);
        (void)close(fd);
        free(latencies_s);
        free(flights);
        free(record);
        return 0;
}
