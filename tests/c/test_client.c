/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client against real sockets that answer, don't answer, answer wrongly, late or in pieces, and vanish.
 */
#include <errno.h>
#include <signal.h>
#include <sys/time.h>
#include <time.h>

#include "answering_server.h"
#include "scratch_folder.h"

#define PATIENT_MS 20000
#define SHORT_MS 150

static char telemd_path[108], format4_path[108];

static struct telem_ref *record_with(size_t payload_len)
{
        static char classification[] = "org.clearlinux/hello/world";
        uint8_t *payload = malloc(payload_len + 1);
        struct telem_ref *ref;

        NEED(payload && tm_create_record(&ref, 1, classification, 1) == 0);
        memset(payload, 'p', payload_len);
        NEED(tm_set_payload_bytes(ref, TM_PAYLOAD_TEXT, payload, payload_len) == 0);
        free(payload);
        return ref;
}

static struct tm_client *client_with(int timeout_ms)
{
        struct tm_client *client;

        NEED(tm_client_open(&client, timeout_ms) == 0);
        return client;
}

static int64_t now_ms(void)
{
        struct timespec now;

        clock_gettime(CLOCK_MONOTONIC, &now);
        return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* One record, one client, the given connections: what came of it, and how often it arrived. */
static void one_record(const char *about, int timeout_ms, const enum behaviour *script, size_t script_len, int wanted,
                       size_t wanted_arrivals)
{
        struct server *server = server_start(telemd_path, script, script_len);
        struct tm_client *client = client_with(timeout_ms);
        struct telem_ref *ref = record_with(100);
        struct tm_ack ack = {.verdict = 77};
        uint8_t id[TM_ID_SIZE];

        check_about = about;
        CHECK_EQ(tm_client_send(client, ref, &ack), wanted);
        tm_get_record_id(ref, id);
        if (wanted == 0)
                CHECK(memcmp(ack.record_id, id, TM_ID_SIZE) == 0);
        else
                CHECK_EQ(ack.verdict, 77);
        tm_client_close(client);
        server = server_stop(server, telemd_path);
        CHECK_EQ(server->records, wanted_arrivals);
        for (size_t i = 0; i < server->records; i++)
                CHECK(memcmp(server->got[i].id, id, TM_ID_SIZE) == 0);
        if (server->records > 0)
                CHECK_EQ(server->got[server->records - 1].flags, server->connections > 1 ? WIRE5_FLAG_RESEND : 0);
        free(server);
        tm_free_record(ref);
        check_about = "";
}

#define ONE_RECORD(timeout_ms, wanted, arrivals, ...)                                                               \
        one_record(#__VA_ARGS__, timeout_ms, (const enum behaviour[]){__VA_ARGS__},                                 \
                   sizeof((const enum behaviour[]){__VA_ARGS__}) / sizeof(enum behaviour), wanted, arrivals)

static void one_record_each_way(void)
{
        ONE_RECORD(PATIENT_MS, 0, 1, ANSWERS);
        ONE_RECORD(PATIENT_MS, 0, 1, ANSWERS_BYTEWISE);
        ONE_RECORD(PATIENT_MS, 0, 1, REFUSES);
        ONE_RECORD(SHORT_MS, -ETIMEDOUT, 2, SILENT);
        ONE_RECORD(SHORT_MS, -ETIMEDOUT, 0, DEAF);
        ONE_RECORD(SHORT_MS, -ETIMEDOUT, 2, LATE);
        ONE_RECORD(PATIENT_MS, -ETIMEDOUT, 0, CLOSES);
        ONE_RECORD(PATIENT_MS, -ETIMEDOUT, 2, CLOSES_AFTER_ONE_RECORD);
        ONE_RECORD(PATIENT_MS, -ETIMEDOUT, 2, CLOSES_WITHIN_ANSWER);
        ONE_RECORD(PATIENT_MS, -EPROTO, 1, WRONG_ID);
        ONE_RECORD(PATIENT_MS, -EPROTO, 1, NO_ANSWER_TYPE);
        /* and the second connection is better */
        ONE_RECORD(PATIENT_MS, 0, 1, CLOSES, ANSWERS);
        ONE_RECORD(PATIENT_MS, 0, 2, CLOSES_AFTER_ONE_RECORD, ANSWERS);
        ONE_RECORD(PATIENT_MS, 0, 2, CLOSES_WITHIN_ANSWER, ANSWERS);
        ONE_RECORD(PATIENT_MS, -EPROTO, 2, CLOSES_AFTER_ONE_RECORD, WRONG_ID);
}

static void timeouts_end(void)
{
        struct telem_ref *ref = record_with(TM_PAYLOAD_MAX);
        struct tm_client *client = client_with(SHORT_MS);
        struct tm_ack ack;
        int64_t began = now_ms();
        int listener = server_listen(telemd_path, 0), fill[8];

        /* the listener's queue is full */
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        strcpy(address.sun_path, telemd_path);
        for (size_t i = 0; i < 8; i++) {
                fill[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
                NEED(connect(fill[i], (struct sockaddr *)&address, sizeof address) == 0 || errno == EAGAIN);
        }
        CHECK_EQ(tm_client_send(client, ref, &ack), -ETIMEDOUT);
        CHECK(now_ms() - began >= 2 * SHORT_MS);
        for (size_t i = 0; i < 8; i++)
                close(fill[i]);
        close(listener);

        /* a socket without a listener, and none at all */
        CHECK_EQ(tm_client_send(client, ref, &ack), -ECONNREFUSED);
        NEED(unlink(telemd_path) == 0);
        CHECK_EQ(tm_client_send(client, ref, &ack), -ENOENT);
        CHECK_EQ(tm_send_record(ref), -ENOENT);
        tm_client_close(client);
        tm_free_record(ref);
}

static void send_record(void)
{
        static const enum behaviour answers[] = {ANSWERS}, refuses[] = {REFUSES}, silent[] = {SILENT};
        struct telem_ref *ref = record_with(8190);
        struct server *server = server_start(telemd_path, answers, 1);

        CHECK_EQ(tm_send_record(ref), 0);
        CHECK_EQ(tm_send_record(ref), 0); /* the same id again */
        server = server_stop(server, telemd_path);
        CHECK_EQ(server->connections, 2);
        CHECK_EQ(server->got[0].flags, WIRE5_FLAG_LAST);
        CHECK_EQ(server->got[1].flags, WIRE5_FLAG_LAST | WIRE5_FLAG_RESEND);
        CHECK_EQ(server->got[0].payload_len, 8190);
        CHECK(memcmp(server->got[0].id, server->got[1].id, TM_ID_SIZE) == 0);
        free(server);

        server = server_start(telemd_path, refuses, 1);
        CHECK_EQ(tm_send_record(ref), -ENOSPC);
        free(server_stop(server, telemd_path));

        server = server_start(telemd_path, silent, 1);
        int64_t began = now_ms();
        CHECK_EQ(tm_send_record(ref), -ETIMEDOUT);
        CHECK(now_ms() - began >= 2000);
        free(server_stop(server, telemd_path));

        CHECK_EQ(tm_send_record(NULL), -EINVAL);
        tm_free_record(ref);
}

static void kept_connection(void)
{
        static const enum behaviour script[] = {ANSWERS, TWICE, CLOSES_AFTER_ONE_ANSWER, ANSWERS};
        struct server *server = server_start(telemd_path, script + 3, 1);
        struct tm_client *client = client_with(PATIENT_MS);
        struct telem_ref *refs[3] = {record_with(1), record_with(2), record_with(3)};
        struct tm_ack ack;

        for (size_t i = 0; i < 3; i++)
                CHECK_EQ(tm_client_send(client, refs[i], &ack), 0);
        server = server_stop(server, telemd_path);
        CHECK_EQ(server->connections, 1);
        free(server);

        /* telemd went away and is back: found out by the next record, which goes on a new connection */
        server = server_start(telemd_path, script, 1);
        CHECK_EQ(tm_client_send(client, refs[0], &ack), 0);
        free(server_stop(server, telemd_path));

        /* an answer too many spoils the connection, not the record; nor does it become the answer of the next */
        server = server_start(telemd_path, script + 1, 3);
        for (size_t i = 0; i < 3; i++)
                CHECK_EQ(tm_client_send(client, refs[i], &ack), 0);
        server = server_stop(server, telemd_path);
        CHECK_EQ(server->connections, 3);
        free(server);
        tm_client_close(client);
        tm_client_close(NULL);
        for (size_t i = 0; i < 3; i++)
                tm_free_record(refs[i]);
}

static void many(const char *about, const enum behaviour *script, size_t script_len, size_t n, size_t payload_len, size_t wanted,
                 size_t resent_max)
{
        struct server *server = server_start(telemd_path, script, script_len);
        struct tm_client *client = client_with(PATIENT_MS);
        struct telem_ref **refs = calloc(n, sizeof *refs);
        struct tm_ack *acks = calloc(n, sizeof *acks);
        size_t resent = 0, next = 0;

        NEED(refs && acks);
        for (size_t i = 0; i < n; i++)
                refs[i] = record_with(payload_len);
        check_about = about;
        CHECK_EQ(tm_client_send_many(client, refs, n, acks), wanted);
        tm_client_close(client);
        server = server_stop(server, telemd_path);
        for (size_t i = 0; i < wanted; i++) {
                uint8_t id[TM_ID_SIZE];

                tm_get_record_id(refs[i], id);
                CHECK(memcmp(acks[i].record_id, id, TM_ID_SIZE) == 0);
        }
        for (size_t i = 0; i < server->records; i++) {
                uint8_t id[TM_ID_SIZE];

                resent += server->got[i].flags & WIRE5_FLAG_RESEND;
                if (next < n) {
                        tm_get_record_id(refs[next], id);
                        next += memcmp(server->got[i].id, id, TM_ID_SIZE) == 0;
                }
        }
        CHECK(next >= wanted); /* each of them, in order */
        CHECK(resent <= resent_max);
        CHECK_EQ(server->over_window, 0);
        CHECK(server->connections <= 2);
        for (size_t i = 0; i < n; i++)
                tm_free_record(refs[i]);
        free(refs);
        free(acks);
        free(server);
        check_about = "";
}

static void pipelines(void)
{
        static const enum behaviour answers[] = {ANSWERS}, window[] = {FILLS_WINDOW}, refuses[] = {REFUSES};
        static const enum behaviour drops[] = {CLOSES_AFTER_TEN_ANSWERS, ANSWERS}, twice[] = {CLOSES_AFTER_TEN_ANSWERS};
        static const enum behaviour odd[] = {CLOSES_AFTER_TEN_ANSWERS, WRONG_ID};

        many("answers", answers, 1, 1000, 1024, 1000, 0);
        many("large records", answers, 1, 100, TM_PAYLOAD_MAX, 100, 0);
        many("window", window, 1, 300, 10, 300, 0);
        many("refused", refuses, 1, 100, 10, 100, 0);
        many("connection lost", drops, 2, 200, 100, 200, TM_WINDOW_MAX);
        many("connection lost twice", twice, 1, 200, 100, 20, TM_WINDOW_MAX);
        many("connection lost, then a wrong answer", odd, 2, 200, 100, 10, TM_WINDOW_MAX);
}

/* Far more than the socket holds, to a reader that never reads. */
static void deaf_reader(void)
{
        static const enum behaviour deaf[] = {DEAF};
        struct server *server = server_start(telemd_path, deaf, 1);
        struct tm_client *client = client_with(SHORT_MS);
        struct telem_ref *refs[TM_WINDOW_MAX];
        struct tm_ack acks[TM_WINDOW_MAX];

        for (size_t i = 0; i < TM_WINDOW_MAX; i++)
                refs[i] = record_with(TM_PAYLOAD_MAX);
        CHECK_EQ(tm_client_send_many(client, refs, TM_WINDOW_MAX, acks), -ETIMEDOUT);
        tm_client_close(client);
        free(server_stop(server, telemd_path));
        for (size_t i = 0; i < TM_WINDOW_MAX; i++)
                tm_free_record(refs[i]);
}

static void format4(void)
{
        static const enum behaviour reads[] = {READS_FORMAT4};
        struct telem_ref *refs[2] = {record_with(8192), record_with(TM_PAYLOAD_MAX)};
        struct tm_client *client = client_with(PATIENT_MS);
        struct tm_ack acks[2];
        uint8_t scratch[TM_ATTRIBUTES_MAX], id[TM_ID_SIZE];
        struct wire_record record;
        struct server *server = server_start(format4_path, reads, 1);

        CHECK_EQ(tm_client_send_many(client, refs, 2, acks), 2);
        CHECK_EQ(acks[0].verdict, TM_UNANSWERED);
        CHECK_EQ(acks[1].verdict, TM_UNANSWERED);
        tm_get_record_id(refs[0], id);
        CHECK(memcmp(acks[0].record_id, id, TM_ID_SIZE) == 0);
        CHECK_EQ(tm_send_record(refs[1]), 0);
        NEED(tm_set_payload_bytes(refs[0], TM_PAYLOAD_METRIC, "\0", 1) == 0);
        CHECK_EQ(tm_client_send(client, refs[0], acks), -EOPNOTSUPP);
        for (int tries = 0; tries < 2000 && __atomic_load_n(&server->records, __ATOMIC_ACQUIRE) < 3; tries++)
                usleep(5000);
        server = server_stop(server, format4_path);
        CHECK_EQ(server->connections, 3);
        CHECK_EQ(wire4_decode(server->format4, server->format4_len, NULL, scratch, &record), TM_REASON_NONE);
        CHECK_EQ(record.payload.len, TM_PAYLOAD_MAX);
        tm_get_event_id(refs[1], id);
        CHECK(memcmp(record.event_id, id, TM_ID_SIZE) == 0);
        CHECK(memmem(server->format4, server->format4_len, "CFG:/tmp/", 9) == server->format4 + 4);
        free(server);
        CHECK_EQ(tm_client_send(client, refs[1], acks), -ENOENT);
        CHECK_EQ(tm_client_send(client, refs[0], acks), -ENOENT);
        tm_client_close(client);
        tm_free_record(refs[0]);
        tm_free_record(refs[1]);
}

static void ignore_alarm(int number)
{
        (void)number;
}

/* A signal every millisecond, handlers that don't restart calls. */
static void interrupted(void)
{
        struct sigaction action = {.sa_handler = ignore_alarm};
        struct itimerval every = {.it_interval.tv_usec = 1000, .it_value.tv_usec = 1000}, never = {0};

        NEED(sigaction(SIGALRM, &action, NULL) == 0);
        sigset_t alarm_set, before;
        sigemptyset(&alarm_set);
        sigaddset(&alarm_set, SIGALRM);
        NEED(setitimer(ITIMER_REAL, &every, NULL) == 0);
        for (int i = 0; i < 3; i++) {
                static const enum behaviour script[] = {ANSWERS_BYTEWISE};
                /* the server's thread gets none of them: its calls aren't under test */
                pthread_sigmask(SIG_BLOCK, &alarm_set, &before);
                struct server *server = server_start(telemd_path, script, 1);
                pthread_sigmask(SIG_SETMASK, &before, NULL);
                struct tm_client *client = client_with(PATIENT_MS);
                struct telem_ref *ref = record_with(TM_PAYLOAD_MAX);
                struct tm_ack ack;

                CHECK_EQ(tm_client_send(client, ref, &ack), 0);
                tm_client_close(client);
                tm_free_record(ref);
                pthread_sigmask(SIG_BLOCK, &alarm_set, NULL);
                free(server_stop(server, telemd_path));
                pthread_sigmask(SIG_SETMASK, &before, NULL);
        }
        setitimer(ITIMER_REAL, &never, NULL);
}

static void arguments(void)
{
        struct tm_client *client = client_with(0);
        struct telem_ref *refs[1] = {NULL};
        struct tm_ack ack;

        CHECK_EQ(tm_client_open(NULL, 0), -EINVAL);
        struct tm_client *none = client;
        CHECK_EQ(tm_client_open(&none, -1), -EINVAL);
        CHECK(none == NULL);
        CHECK_EQ(tm_client_send(NULL, refs[0], &ack), -EINVAL);
        CHECK_EQ(tm_client_send(client, NULL, &ack), -EINVAL);
        CHECK_EQ(tm_client_send_many(client, NULL, 1, &ack), -EINVAL);
        CHECK_EQ(tm_client_send_many(client, refs, 1, &ack), -EINVAL);
        refs[0] = record_with(1);
        CHECK_EQ(tm_client_send(client, refs[0], NULL), -EINVAL);
        CHECK_EQ(tm_client_send_many(client, NULL, 0, NULL), 0);
        tm_free_record(refs[0]);
        tm_client_close(client);
}

static void not_opted_in(void)
{
        static const enum behaviour answers[] = {ANSWERS};
        struct server *server = server_start(telemd_path, answers, 1);
        struct telem_ref *ref = record_with(1);

        NEED(unlink(in_scratch("etc/telemetrics/opt-in")) == 0);
        CHECK_EQ(tm_send_record(ref), -ECONNREFUSED);
        scratch_write_text("etc/telemetrics/opt-in", "");
        server = server_stop(server, telemd_path);
        CHECK_EQ(server->connections, 0);
        free(server);
        tm_free_record(ref);
}

int main(void)
{
        char config[256];

        scratch_folder_make();
        scratch_write_text("etc/telemetrics/opt-in", "");
        scratch_write_text("run/telemetry/placeholder", "");
        snprintf(config, sizeof config, "[settings]\nstate_root = \"%s\"\n", scratch_folder);
        scratch_write_text("telemetrics.conf", config);
        NEED(tm_set_config_file(in_scratch("telemetrics.conf")) == 0);
        NEED(tm_get_setting("telemd_socket_path", telemd_path, sizeof telemd_path) > 0);
        NEED(tm_get_setting("socket_path", format4_path, sizeof format4_path) > 0);
        one_record_each_way();
        timeouts_end();
        send_record();
        kept_connection();
        pipelines();
        deaf_reader();
        format4();
        interrupted();
        arguments();
        not_opted_in();
        scratch_folder_remove();
        return check_end();
}
