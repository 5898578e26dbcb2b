/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire: record <-> bytes, formats 4 and 5, both directions. Pure: no I/O, no clock, no allocation, no randomness; every
 * byte it reads is hostile. The only place in the project that knows the layouts of docs/protocol.md, sections 1 to 3.
 */
#ifndef TELEMETRY_WIRE_H
#define TELEMETRY_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "telemetry.h"

#define WIRE5_HEADER_LEN 72u
#define WIRE5_HEADER_LEN_MAX 1024u
#define WIRE5_FLAG_RESEND 0x01u
#define WIRE5_FLAG_LAST 0x02u
#define WIRE_ANSWER_LEN 24u
#define WIRE_FACT_COUNT 8u          /* attributes 1 .. 8 */
#define WIRE_FACT_MAX 256u
#define WIRE4_HEADER_LINES 15u

struct wire_slice {
        const uint8_t *data;
        uint32_t len;
};

/* Facts of a host, indexed by attribute key - 1. */
struct wire_facts {
        struct wire_slice value[WIRE_FACT_COUNT];
};

/* One decoded record. Slices point into the buffer it was decoded from. */
struct wire_record {
        uint8_t record_id[TM_ID_SIZE];
        uint8_t event_id[TM_ID_SIZE];
        int64_t created_us;
        uint32_t payload_version;
        uint8_t severity;
        uint8_t payload_kind;
        uint8_t flags;
        struct wire_slice classification;
        struct wire_slice attributes;
        struct wire_slice payload;
};

/* How much is needed before a record can be decoded. */
enum wire_peek { WIRE_MORE, WIRE_WHOLE, WIRE_BROKEN };

/* With the first len bytes of a stream: WIRE_WHOLE and *total (<= len) when a record is complete, WIRE_MORE (*total is 0
 * until it is known), WIRE_BROKEN and *reason when the stream can't be followed any further. */
enum wire_peek wire5_peek(const uint8_t *bytes, size_t len, uint32_t *total, enum tm_reason *reason);
enum wire_peek wire4_peek(const uint8_t *bytes, size_t len, uint32_t *total, enum tm_reason *reason);

/* Exactly one whole record. TM_REASON_NONE, or what is wrong. Out-parameters are undefined then, except that
 * wire5_decode() fills record_id and flags wherever 32 bytes are there. */
enum tm_reason wire5_decode(const uint8_t *bytes, size_t len, struct wire_record *record);

/* Format 4. The host facts that differ from *host (NULL: all of them) and the CFG: path are written as attributes into
 * scratch (TM_ATTRIBUTES_MAX bytes); the facts go through wire_fact_clean(). record_id is left all zero; event_id is all zero
 * where the sender's was unusable. */
enum tm_reason wire4_decode(const uint8_t *bytes, size_t len, const struct wire_facts *host, uint8_t *scratch,
                            struct wire_record *record);

/* The same from a file of telemetrics-client's spool, which has no sizes: ["CFG:" path "\n"] header payload. */
enum tm_reason wire4_decode_spooled(const uint8_t *bytes, size_t len, const struct wire_facts *host, uint8_t *scratch,
                                    struct wire_record *record);

/* Bytes of the record in format 5; 0 where a length is over its limit. */
size_t wire5_length(const struct wire_record *record);

/* Write it; out holds wire5_length() bytes. The number of bytes, or 0 where it doesn't fit into size. */
size_t wire5_encode(const struct wire_record *record, uint8_t *out, size_t size);

/* Format 4 with machine_id FFFFFFFF. config_path may be NULL. The number of bytes, or 0 where it doesn't fit into size. */
size_t wire4_encode(const struct wire_record *record, const struct wire_facts *host, const char *config_path,
                    uint8_t *out, size_t size);

/* Validation shared with record.c. The value of an attribute is bound by rules for the keys 1 .. 8 and 16 only. */
bool wire_classification_valid(const uint8_t *bytes, size_t len);
bool wire_attribute_valid(uint16_t key, const uint8_t *value, size_t len);

/* Bytes of the UTF-8 character that bytes begin with, and *code; 0 where it isn't one (overlong, surrogate, cut short). */
size_t wire_utf8_next(const uint8_t *bytes, size_t len, uint32_t *code);

/* Make a fact of any bytes: what isn't UTF-8, and control characters, become '?', and it is cut at WIRE_FACT_MAX. The
 * length written. */
size_t wire_fact_clean(const uint8_t *bytes, size_t len, uint8_t out[WIRE_FACT_MAX]);

/* Walk attributes: *offset starts at 0. 1 and key, value; 0 at the end; -1 where they are malformed. */
int wire_attribute_next(struct wire_slice attributes, size_t *offset, uint16_t *key, struct wire_slice *value);

/* Append one; the new length, or 0 where it doesn't fit into size. */
size_t wire_attribute_put(uint8_t *attributes, size_t len, size_t size, uint16_t key, const void *value, size_t value_len);

void wire_answer_encode(const struct tm_ack *ack, uint8_t out[WIRE_ANSWER_LEN]);
bool wire_answer_decode(const uint8_t bytes[WIRE_ANSWER_LEN], struct tm_ack *ack);

#endif
