/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client: hand records to telemd and hear what became of them (docs/protocol.md, section 2). With stream.c the library's
 * only socket I/O. Never says that a record was accepted because a connection ended well: only an answer counts.
 */
#define _GNU_SOURCE
#include "telemetry.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "facts.h"
#include "record.h"
#include "settings.h"
#include "stream.h"
#include "wire.h"

#define TIMEOUT_MS_DEFAULT 1000
#define OUT_BYTES_MAX (256u * 1024u) /* handed to one send(); over a socket's buffer more gains nothing */
#define FORMAT4_OVERHEAD 4096u       /* sizes, header lines, facts: less than that, without the CFG: path */

struct tm_client {
        int fd; /* -1: none */
        int timeout_ms;
        bool last; /* no further record comes after those of one call */
        struct host_facts *facts; /* read when format 4 first needs them */
        uint8_t *out;
        size_t out_size;
        size_t out_len;
        size_t out_done;
        size_t in_len;
        uint8_t in[TM_WINDOW_MAX * WIRE_ANSWER_LEN];
};

/* The records of one call, and how far they are: [0, answered) answered, [answered, taken) taken into the buffer. */
struct batch {
        struct telem_ref *const *refs;
        struct tm_ack *acks;
        size_t count;
        size_t answered;
        size_t taken;
};

static void disconnect(struct tm_client *client)
{
        if (client->fd >= 0)
                close(client->fd);
        client->fd = -1;
        client->in_len = client->out_len = client->out_done = 0;
}

static int reserve(struct tm_client *client, size_t size)
{
        if (size <= client->out_size)
                return 0;
        free(client->out);
        client->out_size = 0;
        client->out = malloc(size);
        if (!client->out)
                return -ENOMEM;
        client->out_size = size;
        return 0;
}

/* ---- format 5 ----------------------------------------------------------------------------------------------- */

static size_t length_of(const struct telem_ref *ref)
{
        struct wire_record record = record_view(ref);

        return wire5_length(&record);
}

static bool window_open(const struct batch *batch)
{
        return batch->taken < batch->count && batch->taken - batch->answered < TM_WINDOW_MAX;
}

/* Encode as many records as the window and one send() take into the empty buffer. */
static int fill(struct tm_client *client, struct batch *batch)
{
        size_t room = TM_WINDOW_MAX - (batch->taken - batch->answered), end = batch->taken, size = 0;
        int r;

        for (; end < batch->count && end - batch->taken < room; end++) {
                size_t len = length_of(batch->refs[end]);

                if (size > 0 && size + len > OUT_BYTES_MAX)
                        break;
                size += len;
        }
        r = reserve(client, size);
        if (r < 0)
                return r;
        client->out_len = client->out_done = 0;
        for (; batch->taken < end; batch->taken++) {
                struct wire_record record = record_view(batch->refs[batch->taken]);

                if (client->last && batch->taken + 1 == batch->count)
                        record.flags |= WIRE5_FLAG_LAST;
                client->out_len += wire5_encode(&record, client->out + client->out_len, client->out_size - client->out_len);
                record_mark_sent(batch->refs[batch->taken]);
        }
        return 0;
}

/* Match what was received with the records in flight. The number of answers, or -EPROTO for one that nobody waits for. */
static int take_answers(struct tm_client *client, struct batch *batch)
{
        size_t offset = 0;
        int taken = 0;

        for (; client->in_len - offset >= WIRE_ANSWER_LEN; offset += WIRE_ANSWER_LEN, taken++) {
                struct tm_ack ack;
                uint8_t expected[TM_ID_SIZE];

                if (batch->answered == batch->taken || !wire_answer_decode(client->in + offset, &ack))
                        return -EPROTO;
                tm_get_record_id(batch->refs[batch->answered], expected);
                if (memcmp(ack.record_id, expected, TM_ID_SIZE) != 0)
                        return -EPROTO;
                batch->acks[batch->answered++] = ack;
        }
        memmove(client->in, client->in + offset, client->in_len - offset);
        client->in_len -= offset;
        return taken;
}

/* Over one connection, until every record is answered or the connection is of no more use. */
static int exchange(struct tm_client *client, struct batch *batch)
{
        int64_t deadline_ms = stream_now_ms() + client->timeout_ms;
        bool sending = true; /* false once telemd hears no more; it may have answered before */

        while (batch->answered < batch->count) {
                if (sending && client->out_done == client->out_len && window_open(batch)) {
                        int r = fill(client, batch);

                        if (r < 0)
                                return r;
                }
                bool pending = sending && client->out_done < client->out_len;
                if (pending) {
                        ptrdiff_t n = stream_send(client->fd, client->out + client->out_done, client->out_len - client->out_done);

                        if (n == -EPIPE || n == -ECONNRESET)
                                sending = false;
                        else if (n < 0)
                                return (int)n;
                        else
                                client->out_done += (size_t)n;
                        pending = sending && client->out_done < client->out_len;
                        if (sending && !pending && window_open(batch))
                                continue;
                }

                int r = stream_wait(client->fd, (short)(POLLIN | (pending ? POLLOUT : 0)), deadline_ms);
                if (r < 0)
                        return r;
                if (!(r & ~POLLOUT))
                        continue;
                ptrdiff_t n = stream_receive(client->fd, client->in + client->in_len, sizeof client->in - client->in_len);
                if (n < 0)
                        return (int)n;
                client->in_len += (size_t)n;
                r = take_answers(client, batch);
                if (r < 0)
                        return r;
                if (r > 0)
                        deadline_ms = stream_now_ms() + client->timeout_ms;
        }
        return client->in_len > 0 ? -EPROTO : 0;
}

static bool worth_a_second_try(int error)
{
        return error == -ETIMEDOUT || error == -ECONNRESET || error == -EPIPE;
}

/* ---- format 4 ----------------------------------------------------------------------------------------------- */

/* An older daemon drops a record that comes in pieces: one connection, one send() where the socket takes it. */
static int send_format4(struct tm_client *client, const struct settings *settings, const char *config_file, struct telem_ref *ref)
{
        int64_t deadline_ms = stream_now_ms() + client->timeout_ms;
        struct wire_record record = record_view(ref);
        struct wire_facts facts;
        size_t len, done = 0;
        int fd, r;

        if (record.payload_kind != TM_PAYLOAD_TEXT && record.payload_kind != TM_PAYLOAD_JSON)
                /* it would arrive as text, cut at its first NUL */
                return access(settings->socket_path, F_OK) < 0 && errno == ENOENT ? -ENOENT : -EOPNOTSUPP;
        if (!client->facts)
                client->facts = host_facts_read("");
        if (!client->facts)
                return -ENOMEM;
        r = reserve(client, FORMAT4_OVERHEAD + PATH_MAX + record.payload.len);
        if (r < 0)
                return r;
        facts = host_facts_view(client->facts);
        len = wire4_encode(&record, &facts, *config_file ? config_file : NULL, client->out, client->out_size);
        if (len == 0)
                return -EMSGSIZE;

        fd = stream_connect(settings->socket_path, deadline_ms);
        if (fd < 0)
                return fd;
        while (r >= 0 && done < len) {
                ptrdiff_t n = stream_send(fd, client->out + done, len - done);

                if (n == 0)
                        r = stream_wait(fd, POLLOUT, deadline_ms);
                else if (n < 0)
                        r = (int)n;
                else
                        done += (size_t)n;
        }
        close(fd);
        if (r < 0)
                return r == -EPIPE ? -ECONNRESET : r;
        record_mark_sent(ref);
        return 0;
}

static int send_all_format4(struct tm_client *client, const struct settings *settings, struct batch *batch)
{
        char config_file[PATH_MAX];

        settings_explicit_file(config_file);
        for (; batch->answered < batch->count; batch->answered++) {
                struct tm_ack *ack = &batch->acks[batch->answered];
                int r = send_format4(client, settings, config_file, batch->refs[batch->answered]);

                if (r < 0)
                        return r;
                *ack = (struct tm_ack){.verdict = TM_UNANSWERED, .reason = TM_REASON_NONE};
                tm_get_record_id(batch->refs[batch->answered], ack->record_id);
        }
        return 0;
}

/* ---- both --------------------------------------------------------------------------------------------------- */

static int converse(struct tm_client *client, const struct settings *settings, struct batch *batch)
{
        for (int attempt = 0;; attempt++) {
                int r = 0;

                if (client->fd < 0) {
                        r = stream_connect(settings->telemd_socket_path, stream_now_ms() + client->timeout_ms);
                        if (r == -ENOENT && attempt == 0)
                                return send_all_format4(client, settings, batch);
                        if (r >= 0)
                                client->fd = r;
                }
                if (r >= 0) {
                        batch->taken = batch->answered;
                        r = exchange(client, batch);
                }
                if (r == 0)
                        return 0;
                disconnect(client);
                if (!worth_a_second_try(r))
                        return r;
                if (attempt == 1)
                        return -ETIMEDOUT;
        }
}

static int send_batch(struct tm_client *client, struct batch *batch)
{
        struct settings settings;
        int r = settings_get(&settings);

        if (r < 0)
                return r;
        if (access(settings.opt_in_path, F_OK) < 0)
                return -ECONNREFUSED;
        r = converse(client, &settings, batch);
        if (client->last)
                disconnect(client);
        return batch->answered > 0 ? (int)batch->answered : r;
}

static void clear(struct tm_client *client)
{
        disconnect(client);
        host_facts_free(client->facts);
        free(client->out);
}

/* ---- telemetry.h -------------------------------------------------------------------------------------------- */

int tm_send_record(struct telem_ref *t_ref)
{
        struct tm_client client = {.fd = -1, .timeout_ms = TIMEOUT_MS_DEFAULT, .last = true};
        struct tm_ack ack;
        struct batch batch = {.refs = &t_ref, .acks = &ack, .count = 1};
        int r;

        if (!t_ref)
                return -EINVAL;
        r = send_batch(&client, &batch);
        clear(&client);
        if (r < 0)
                return r;
        if (ack.verdict != TM_REFUSED)
                return 0;
        /* refused for no reason is no answer to rely on */
        return ack.reason == TM_REASON_NONE ? -EPROTO : -tm_reason_errno(ack.reason);
}

int tm_client_open(struct tm_client **client, int timeout_ms)
{
        if (!client)
                return -EINVAL;
        *client = NULL;
        if (timeout_ms < 0)
                return -EINVAL;
        *client = calloc(1, sizeof **client);
        if (!*client)
                return -ENOMEM;
        (*client)->fd = -1;
        (*client)->timeout_ms = timeout_ms ? timeout_ms : TIMEOUT_MS_DEFAULT;
        return 0;
}

int tm_client_send_many(struct tm_client *client, struct telem_ref *const *refs, size_t n, struct tm_ack *acks)
{
        struct batch batch = {.refs = refs, .acks = acks, .count = n};

        if (!client || (n > 0 && (!refs || !acks)) || n > INT_MAX)
                return -EINVAL;
        for (size_t i = 0; i < n; i++)
                if (!refs[i])
                        return -EINVAL;
        return n == 0 ? 0 : send_batch(client, &batch);
}

int tm_client_send(struct tm_client *client, struct telem_ref *t_ref, struct tm_ack *ack)
{
        int r = tm_client_send_many(client, &t_ref, 1, ack);

        return r < 0 ? r : 0;
}

void tm_client_close(struct tm_client *client)
{
        if (!client)
                return;
        clear(client);
        free(client);
}
