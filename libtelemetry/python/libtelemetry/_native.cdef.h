/* SPDX-License-Identifier: Apache-2.0 */
/* What Python sees of the C core, in the subset of C that cffi reads. _native.pyi says the same in Python's words. */

#define TM_PAYLOAD_MAX ...
#define TM_ATTRIBUTES_MAX ...
#define TM_RECORD_MAX ...
#define TM_REASON_COUNT ...
#define WIRE_FACT_COUNT ...
#define WIRE5_FLAG_RESEND ...
#define WIRE5_FLAG_LAST ...
#define BINDING_CLASSIFICATION ...
#define BINDING_PAYLOAD_TOO_LARGE ...

struct telem_ref;
struct tm_client;

struct tm_ack {
        uint8_t verdict;
        uint16_t reason;
        uint8_t record_id[16];
};

int tm_set_config_file(const char *c_file);
int tm_is_opted_in(void);
int tm_get_setting(const char *name, char *value, size_t size);
const char *tm_reason_name(uint16_t reason);

void tm_free_record(struct telem_ref *t_ref);
int tm_set_attribute(struct telem_ref *t_ref, uint16_t key, const uint8_t *value, size_t len);
int tm_set_record_id(struct telem_ref *t_ref, const uint8_t *record_id);
int tm_set_created_us(struct telem_ref *t_ref, int64_t created_us);
void tm_get_record_id(const struct telem_ref *t_ref, uint8_t *record_id);
void tm_get_event_id(const struct telem_ref *t_ref, uint8_t *event_id);

int tm_client_open(struct tm_client **client, int timeout_ms);
int tm_client_send(struct tm_client *client, struct telem_ref *t_ref, struct tm_ack *ack);
int tm_client_send_many(struct tm_client *client, struct telem_ref *const *refs, size_t n, struct tm_ack *acks);
void tm_client_close(struct tm_client *client);

const char *wire_attribute_name(uint16_t key);
const char *wire_payload_kind_name(uint8_t payload_kind);

struct wire_slice {
        const uint8_t *data;
        uint32_t len;
};
struct wire_facts {
        struct wire_slice value[8];
};
struct host_facts;
struct host_facts *host_facts_read(const char *root);
struct wire_facts host_facts_view(const struct host_facts *facts);
void host_facts_free(struct host_facts *facts);

struct binding_decoded {
        uint8_t ids[32];
        int64_t fields[11];
};

struct telem_ref *binding_record(const uint8_t *classification, size_t classification_len, uint32_t severity,
                                 uint32_t payload_version, uint8_t payload_kind, const uint8_t *payload,
                                 size_t payload_len, const uint8_t *event_id, int *error);
size_t binding_encode(const struct telem_ref *record, uint8_t *out, size_t size);
int binding_decode(const uint8_t *bytes, size_t len, struct binding_decoded *decoded);
int binding_attributes(const uint8_t *attributes, size_t len, uint32_t *found, size_t room);
size_t binding_split(const uint8_t *bytes, size_t len, uint64_t *ends, size_t room, int *reason);
size_t binding_ndjson(const uint8_t *bytes, size_t len, char *out, size_t size, size_t *count, int *reason);
