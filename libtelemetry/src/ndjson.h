/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ndjson: a decoded record as the JSON line of docs/protocol.md, section 6. Pure like wire.c: no I/O, no clock, no
 * allocation. What comes out is always valid JSON in valid UTF-8, whatever bytes the record holds. The host line, HTTP
 * and compression are the sender's affair and must never come in here.
 */
#ifndef TELEMETRY_NDJSON_H
#define TELEMETRY_NDJSON_H

#include "wire.h"

/* The name docs/protocol.md, section 1.1, gives an attribute; NULL for a key that it doesn't name. */
const char *wire_attribute_name(uint16_t key);

/* "text", "json", "metric", "json-zstd"; NULL for another kind. */
const char *wire_payload_kind_name(uint8_t payload_kind);

/* Write the line, with its final newline and without a NUL. Returns its length; where that is more than size, out holds
 * nothing of use and the call is to be repeated with that much room. out may be NULL where size is 0. */
size_t wire5_to_ndjson(const struct wire_record *record, char *out, size_t size);

/* The same for whole records back to back. *count is the number of lines. Where a record is broken the result is 0, *reason
 * says why and *count is its index; else *reason is TM_REASON_NONE. */
size_t wire5_batch_to_ndjson(const uint8_t *bytes, size_t len, char *out, size_t size, size_t *count,
                             enum tm_reason *reason);

#endif
