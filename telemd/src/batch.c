/* SPDX-License-Identifier: Apache-2.0 */
#include "batch.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "frame.h"

struct batch *batch_new(void)
{
        struct batch *batch = calloc(1, sizeof(*batch));

        if (!batch)
                return NULL;
        void *arena = mmap(NULL, BATCH_ARENA_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (arena == MAP_FAILED)
                return batch_free(batch);
        batch->arena = arena;
        return batch;
}

struct batch *batch_free(struct batch *batch)
{
        if (batch && batch->arena)
                munmap(batch->arena, BATCH_ARENA_SIZE);
        free(batch);
        return NULL;
}

void batch_clear(struct batch *batch)
{
        batch->used = 0;
        batch->entry_count = 0;
        batch->run_count = 0;
}

void batch_trim(struct batch *batch)
{
        /* Advice: a failure changes nothing but the memory used. */
        (void)madvise(batch->arena, BATCH_ARENA_SIZE, MADV_DONTNEED);
}

void batch_join(struct batch *batch, struct batch_entry *entry, const struct wire_record *record, uint32_t uid,
                const char *classification)
{
        struct batch_run *run = batch->run_count ? &batch->runs[batch->run_count - 1] : NULL;

        if (!run || run->uid != uid || run->payload_kind != record->payload_kind ||
            run->class_len != record->classification.len ||
            memcmp(run->classification, classification, run->class_len) != 0) {
                run = &batch->runs[batch->run_count++];
                *run = (struct batch_run){
                        .first = (uint32_t)(entry - batch->entries),
                        .uid = uid,
                        .payload_kind = record->payload_kind,
                        .class_len = (uint8_t)record->classification.len,
                        .classification = classification,
                };
        }
        run->count++;
        run->bytes += entry->record_len;
        entry->run = batch->run_count - 1;
}

static bool has_room(const struct batch *batch, uint32_t record_len)
{
        return batch->entry_count < BATCH_RECORDS_MAX && frame_length(record_len) <= BATCH_ARENA_SIZE - batch->used;
}

/* An entry that nobody waits for: refused for that reason, or its record lies in the arena already. */
static void add(struct batch *batch, const struct wire_record *record, uint32_t record_len, enum tm_reason reason,
                uint32_t uid, int64_t admitted_us)
{
        struct batch_entry *entry = &batch->entries[batch->entry_count++];

        *entry = (struct batch_entry){
                .run = BATCH_NO_RUN,
                .connection = BATCH_NOBODY,
                .verdict = TM_REFUSED,
                .reason = (uint16_t)reason,
                .admitted_us = admitted_us,
        };
        memcpy(entry->record_id, record->record_id, TM_ID_SIZE);
        if (reason != TM_REASON_NONE)
                return;
        entry->reason = TM_REASON_IO; /* until the spool has it */
        entry->record_len = record_len;
        entry->offset = batch->used;
        batch->used += frame_length(record_len);
        batch_join(batch, entry, record, uid, (const char *)record->classification.data);
}

bool batch_add(struct batch *batch, const uint8_t *bytes, size_t len, uint32_t uid, int64_t admitted_us)
{
        struct wire_record record = { 0 };
        enum tm_reason reason = len > TM_RECORD_MAX ? TM_REASON_TOO_LARGE : wire5_decode(bytes, len, &record);
        uint32_t record_len = reason == TM_REASON_NONE ? (uint32_t)len : 0;
        uint8_t *out = batch->arena + batch->used + FRAME_HEADER_LEN;

        if (!has_room(batch, record_len))
                return false;
        if (reason == TM_REASON_NONE) {
                memcpy(out, bytes, len);
                record.classification.data = out + (record.classification.data - bytes);
        }
        add(batch, &record, record_len, reason, uid, admitted_us);
        return true;
}

bool batch_add_spooled(struct batch *batch, const uint8_t *bytes, size_t len, const struct wire_facts *host,
                       const uint8_t record_id[TM_ID_SIZE], uint32_t uid, int64_t admitted_us)
{
        static const uint8_t no_id[TM_ID_SIZE];
        uint8_t attributes[TM_ATTRIBUTES_MAX];
        struct wire_record record = { 0 };
        enum tm_reason reason = wire4_decode_spooled(bytes, len, host, attributes, &record);
        uint32_t record_len = 0;
        uint8_t *out = batch->arena + batch->used + FRAME_HEADER_LEN;

        memcpy(record.record_id, record_id, TM_ID_SIZE);
        if (reason == TM_REASON_NONE) {
                if (memcmp(record.event_id, no_id, TM_ID_SIZE) == 0)
                        memcpy(record.event_id, record_id, TM_ID_SIZE); /* an incident of its own */
                record_len = (uint32_t)wire5_length(&record);
                reason = record_len == 0 || record_len > TM_RECORD_MAX ? TM_REASON_TOO_LARGE : TM_REASON_NONE;
        }
        if (reason != TM_REASON_NONE)
                record_len = 0;
        if (!has_room(batch, record_len))
                return false;
        if (reason == TM_REASON_NONE) {
                (void)wire5_encode(&record, out, record_len);
                reason = wire5_decode(out, record_len, &record); /* whose slices lie in the arena */
        }
        add(batch, &record, record_len, reason, uid, admitted_us);
        return true;
}

static bool belongs(const struct batch *batch, const struct batch_entry *entry, uint8_t lane)
{
        if (entry->run == BATCH_NO_RUN || entry->verdict != TM_REFUSED || entry->reason != TM_REASON_IO)
                return false; /* TM_REASON_IO: not refused by anybody, and not yet on disk */
        const struct batch_run *run = &batch->runs[entry->run];
        return run->reason == TM_REASON_NONE && run->lane == lane;
}

void batch_stamp(struct batch *batch, uint8_t lane, uint32_t entry_from, uint64_t seq, int64_t admitted_us,
                 uint64_t generation, uint64_t room, struct batch_share *share)
{
        uint32_t at = entry_from, run_before = BATCH_NO_RUN;

        share->frames = share->bytes = share->chunk_count = 0;
        share->oldest_us = 0;
        share->entry_from = entry_from;
        for (; at < batch->entry_count; at++) {
                const struct batch_entry *entry = &batch->entries[at];

                if (!belongs(batch, entry, lane))
                        continue;
                uint32_t len = frame_length(entry->record_len);
                if (share->bytes + len > room)
                        break;
                uint8_t *frame = batch->arena + entry->offset;
                const struct batch_run *run = &batch->runs[entry->run];
                bool first = run->first_of_kind && entry->run != run_before;
                const struct frame_stamp stamp = {
                        .flags = (first ? FRAME_FIRST : 0) | (entry->not_before_us ? FRAME_DEFERRED : 0),
                        .seq = seq++,
                        .admitted_us = entry->admitted_us ? entry->admitted_us : admitted_us,
                        .uid = run->uid,
                        .pid = entry->pid,
                        .not_before_us = entry->not_before_us,
                };
                run_before = entry->run;
                frame_write(frame, entry->record_len, generation, &stamp);

                struct iovec *last = share->chunk_count ? &share->chunks[share->chunk_count - 1] : NULL;
                if (last && (uint8_t *)last->iov_base + last->iov_len == frame)
                        last->iov_len += len;
                else
                        share->chunks[share->chunk_count++] = (struct iovec){ .iov_base = frame, .iov_len = len };
                share->bytes += len;
                if (share->oldest_us == 0 || stamp.admitted_us < share->oldest_us)
                        share->oldest_us = stamp.admitted_us;
                share->frames++;
        }
        share->entry_to = at;
}

static int write_chunk(int fd, const uint8_t *bytes, size_t len, uint64_t offset)
{
        while (len > 0) {
                ssize_t n = pwrite(fd, bytes, len, (off_t)offset);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        return n < 0 ? -errno : -ENOSPC;
                bytes += n;
                offset += (uint64_t)n;
                len -= (size_t)n;
        }
        return 0;
}

static int write_chunks(const struct iovec *chunks, uint32_t count, int fd, uint64_t offset)
{
        while (count > 0) {
                uint32_t some = count < IOV_MAX ? count : IOV_MAX;
                ssize_t n = pwritev(fd, chunks, (int)some, (off_t)offset);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        return n < 0 ? -errno : -ENOSPC;
                offset += (uint64_t)n;
                for (; some > 0 && (size_t)n >= chunks->iov_len; chunks++, count--, some--)
                        n -= (ssize_t)chunks->iov_len;
                if (n > 0) { /* a short write in the middle of a chunk: the disk is about to be full */
                        int r = write_chunk(fd, (const uint8_t *)chunks->iov_base + n, chunks->iov_len - (size_t)n, offset);
                        if (r < 0)
                                return r;
                        offset += chunks->iov_len - (size_t)n;
                        chunks++;
                        count--;
                }
        }
        return 0;
}

int batch_write(const struct batch_share *share, int fd, uint64_t offset)
{
        return write_chunks(share->chunks, share->chunk_count, fd, offset);
}

void batch_settle(struct batch *batch, uint8_t lane, const struct batch_share *share, uint16_t reason)
{
        for (uint32_t at = share->entry_from; at < share->entry_to; at++) {
                struct batch_entry *entry = &batch->entries[at];

                if (!belongs(batch, entry, lane))
                        continue;
                entry->reason = reason;
                if (reason == TM_REASON_NONE) {
                        entry->verdict = TM_DURABLE;
                        batch->runs[entry->run].first_of_kind = 0; /* it is on disk: the next share has none */
                }
        }
}
