/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libtelemetry: build a record and hand it to telemd.
 *
 * The functions of the first part keep the names, signatures and symbol versions of telemetrics-client 2.4, so that a
 * program linked to its libtelemetry.so.4 runs unchanged. The second part (symbol version TM_5_0_0) is what record
 * format 5 adds. Every int-returning function returns 0 (or a count, where said) or a negative errno value. No function
 * is thread-safe on one object; distinct objects are independent.
 */
#ifndef TELEMETRY_H
#define TELEMETRY_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TM_CLASSIFICATION_MAX 122   /* bytes, without the NUL */
#define TM_CLASSIFICATION_PART_MAX 40
#define TM_TEXT_PAYLOAD_MAX 8192    /* bytes tm_set_payload() keeps */
#define TM_PAYLOAD_MAX 65536        /* bytes tm_set_payload_bytes() takes */
#define TM_ATTRIBUTES_MAX 4096      /* bytes of all attributes, 4 of overhead each */
#define TM_RECORD_MAX 131072        /* bytes of one record on the wire */
#define TM_ID_SIZE 16
#define TM_WINDOW_MAX 256            /* records of one connection that may be without an answer */

struct telem_ref;                   /* one record under construction */

/* ---- telemetrics-client's interface ------------------------------------------------------------------------- */

/* Use this configuration file instead of /etc/telemetrics/telemetrics.conf. An absolute path of a regular file, else
 * -EINVAL or the errno of looking at it. */
int tm_set_config_file(const char *c_file);

/* 1 where the machine's owner has opted in, else 0. */
int tm_is_opted_in(void);

/* New record; severity is clamped to 1..4. -EINVAL for a classification that isn't domain/probe/kind, -ENOMEM. On
 * failure *t_ref is NULL. */
int tm_create_record(struct telem_ref **t_ref, uint32_t severity, char *classification, uint32_t payload_version);

/* Printable ASCII and white space, else -EINVAL; cut at TM_TEXT_PAYLOAD_MAX bytes. */
int tm_set_payload(struct telem_ref *t_ref, char *payload);

/* 32 characters of 0-9a-f, else -1. */
int tm_set_event_id(struct telem_ref *t_ref, char *event_id);

/* Hand the record to telemd and wait for its answer, at most 1 s, then once more on a new connection. 0: on disk (or
 * taken by a telemd of format 4, which doesn't answer). -ECONNREFUSED: not opted in. -ENOSPC, -EBUSY, -EIO, -EINVAL,
 * -EPERM: refused by telemd. -ETIMEDOUT: no answer. -EPROTO: one that isn't known. -EOPNOTSUPP: only an older telemd is
 * there, and can't take such a payload. -ENOENT or -ECONNREFUSED: no telemd. */
int tm_send_record(struct telem_ref *t_ref);

/* NULL is allowed. */
void tm_free_record(struct telem_ref *t_ref);

/* ---- TM_5_0_0 --------------------------------------------------------------------------------------------------- */

enum tm_payload_kind { TM_PAYLOAD_TEXT = 0, TM_PAYLOAD_JSON = 1, TM_PAYLOAD_METRIC = 2, TM_PAYLOAD_JSON_ZSTD = 3 };

enum tm_verdict { TM_DURABLE = 0, TM_DUPLICATE = 1, TM_REFUSED = 2,
                  TM_UNANSWERED = 3 /* taken by a telemd of format 4: nothing more is known */ };

/* docs/protocol.md, section 2 */
enum tm_reason {
        TM_REASON_NONE = 0, TM_REASON_MALFORMED = 1, TM_REASON_TOO_LARGE = 2, TM_REASON_CLASSIFICATION = 3,
        TM_REASON_SEVERITY = 4, TM_REASON_ATTRIBUTE = 5, TM_REASON_PAYLOAD_KIND = 6, TM_REASON_HEADER = 7,
        TM_REASON_TIMEOUT = 8, TM_REASON_RECORD_ID = 9, TM_REASON_CREATED = 10,
        TM_REASON_NO_SPACE = 16, TM_REASON_RATE_LIMIT = 17, TM_REASON_NOT_OPTED_IN = 18, TM_REASON_IO = 19,
        TM_REASON_ANONYMOUS = 20,
        TM_REASON_COUNT = 32,
};

/* Attribute keys; docs/protocol.md, section 1.1 */
enum tm_attribute {
        TM_ATTR_ARCH = 1, TM_ATTR_HOST_TYPE = 2, TM_ATTR_BUILD = 3, TM_ATTR_KERNEL_VERSION = 4, TM_ATTR_SYSTEM_NAME = 5,
        TM_ATTR_BOARD_NAME = 6, TM_ATTR_CPU_MODEL = 7, TM_ATTR_BIOS_VERSION = 8, TM_ATTR_CONFIG_PATH = 16,
        TM_ATTR_CRITICAL = 0x8000,
};

struct tm_ack {
        uint8_t verdict;                /* enum tm_verdict */
        uint16_t reason;                /* enum tm_reason */
        uint8_t record_id[TM_ID_SIZE];
};

/* The payload as bytes, any value; at most TM_PAYLOAD_MAX, else -EMSGSIZE. -EINVAL for an unknown kind. */
int tm_set_payload_bytes(struct telem_ref *t_ref, uint8_t payload_kind, const void *payload, size_t len);

/* An attribute; a key set before is replaced; -EMSGSIZE where all together pass TM_ATTRIBUTES_MAX. */
int tm_set_attribute(struct telem_ref *t_ref, uint16_t key, const void *value, size_t len);

/* The id that telemd and the hub know the record by; random unless set. -EINVAL for all zeros. */
int tm_set_record_id(struct telem_ref *t_ref, const uint8_t record_id[TM_ID_SIZE]);
void tm_get_record_id(const struct telem_ref *t_ref, uint8_t record_id[TM_ID_SIZE]);
void tm_get_event_id(const struct telem_ref *t_ref, uint8_t event_id[TM_ID_SIZE]);

/* Microseconds since 1970; now unless set. -EINVAL below 0. */
int tm_set_created_us(struct telem_ref *t_ref, int64_t created_us);

/* Read one setting that the library knows (socket_path, telemd_socket_path, state_root, opt_in_path, spool_dir), as it
 * is in force. The length of the value, cut to size - 1 bytes and NUL-terminated; -EINVAL for another name. */
int tm_get_setting(const char *name, char *value, size_t size);

/* A connection that is kept. timeout_ms is how long one answer may take; 0 means 1000. The connection is made by the
 * first record. */
struct tm_client;
int tm_client_open(struct tm_client **client, int timeout_ms);

/* Hand over one record and wait; sends it once more (RESEND) on a new connection if the answer doesn't come. 0 with
 * *ack filled when telemd answered (also when it refused), or a negative errno. */
int tm_client_send(struct tm_client *client, struct telem_ref *t_ref, struct tm_ack *ack);

/* The same for n records in flight together, up to TM_WINDOW_MAX at a time; acks[i] belongs to refs[i]. The number of
 * records that were answered, which are the first ones, or a negative errno where it is none. */
int tm_client_send_many(struct tm_client *client, struct telem_ref *const *refs, size_t n, struct tm_ack *acks);

/* NULL is allowed. */
void tm_client_close(struct tm_client *client);

/* The errno value (positive; 0 for none) and the name that docs/protocol.md gives a reason; "unknown" for others. */
int tm_reason_errno(uint16_t reason);
const char *tm_reason_name(uint16_t reason);

#ifdef __cplusplus
}
#endif

#endif
