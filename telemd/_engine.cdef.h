/* What Python sees of telemd/src; the comments are in the headers there. */
#define TM_REASON_COUNT ...
#define RECENT_MARKS ...
#define FRAME_HEADER_LEN ...
#define FRAME_FIRST ...
#define FRAME_CARRIED ...
#define BATCH_ENTRIES_MAX ...
#define BATCH_NO_RUN ...

struct wire_slice { const uint8_t *data; uint32_t len; ...; };
struct wire_facts { struct wire_slice value[8]; };
int wire_attribute_next(struct wire_slice attributes, size_t *offset, uint16_t *key, struct wire_slice *value);
size_t wire_attribute_put(uint8_t *attributes, size_t len, size_t size, uint16_t key, const void *value, size_t value_len);

struct recent_mark { uint8_t record_id[16]; uint8_t event_id[16]; int64_t created_us; uint8_t class_len;
                     char classification[122]; ...; };
struct recent;
struct recent *recent_new(void);
struct recent *recent_free(struct recent *recent);
bool recent_has(const struct recent *recent, const uint8_t *id);
void recent_add(struct recent *recent, const uint8_t *id);
const struct recent_mark *recent_marks(const struct recent *recent, uint64_t *total);

struct batch_entry { uint32_t offset; uint32_t record_len; uint32_t run; uint32_t pid; uint8_t verdict; uint16_t reason;
                     uint8_t record_id[16]; int64_t not_before_us; ...; };
struct batch_run { uint32_t first; uint32_t count; uint32_t bytes; uint32_t uid; uint8_t payload_kind; uint8_t class_len; uint8_t lane;
                   uint8_t first_of_kind; uint16_t reason; const char *classification; ...; };
struct iovec { void *iov_base; size_t iov_len; ...; };
struct batch { uint8_t *arena; uint32_t used; uint32_t entry_count; uint32_t run_count; struct batch_entry entries[...];
               struct batch_run runs[...]; ...; };
struct batch_share { uint32_t frames; uint32_t bytes; uint32_t entry_from; uint32_t entry_to; int64_t oldest_us; uint32_t chunk_count;
                     struct iovec chunks[...]; ...; };
struct batch *batch_new(void);
struct batch *batch_free(struct batch *batch);
void batch_clear(struct batch *batch);
void batch_trim(struct batch *batch);
bool batch_add(struct batch *batch, const uint8_t *bytes, size_t len, uint32_t uid, int64_t admitted_us);
bool batch_add_spooled(struct batch *batch, const uint8_t *bytes, size_t len, const struct wire_facts *host,
                       const uint8_t *record_id, uint32_t uid, int64_t admitted_us);
void batch_stamp(struct batch *batch, uint8_t lane, uint32_t entry_from, uint64_t seq, int64_t admitted_us,
                 uint64_t generation, uint64_t room, struct batch_share *share);
int batch_write(const struct batch_share *share, int fd, uint64_t offset);
void batch_settle(struct batch *batch, uint8_t lane, const struct batch_share *share, uint16_t reason);

struct intake_counts { uint64_t durable; uint64_t duplicate; uint64_t refused[...]; uint32_t connections;
                       uint64_t closed_for_room; ...; };
struct intake;
struct intake *intake_new(uint32_t connections_max, struct recent *recent);
struct intake *intake_free(struct intake *intake);
int intake_fd(const struct intake *intake);
int intake_listen(struct intake *intake, int fd, int format);
int intake_set_facts(struct intake *intake, const struct wire_facts *facts);
uint32_t intake_drain(struct intake *intake, struct batch *batch, int64_t now_ms);
int intake_timeout_ms(const struct intake *intake, int64_t now_ms);
void intake_answer(struct intake *intake, struct batch *batch);
void intake_count(const struct intake *intake, struct intake_counts *counts);

struct frame_stamp { uint32_t flags; uint64_t seq; int64_t admitted_us; uint32_t uid; uint32_t pid; int64_t not_before_us;
                     ...; };
struct frame_span { uint32_t offset; uint32_t record_len; uint32_t flags; uint32_t uid; uint32_t pid; uint64_t seq;
                    int64_t admitted_us; int64_t not_before_us; ...; };
uint32_t crc32c(uint32_t crc, const void *bytes, size_t len);
uint32_t frame_length(uint32_t record_len);
void frame_write(uint8_t *frame, uint32_t record_len, uint64_t generation, const struct frame_stamp *stamp);
size_t frame_scan(const uint8_t *bytes, size_t len, uint64_t generation, uint64_t seq_floor, size_t bytes_max,
                  struct frame_span *spans, size_t max, size_t *offset);
size_t frame_find(const uint8_t *bytes, size_t len, uint64_t generation, uint64_t seq_floor, size_t from);
size_t frame_ready(const struct frame_span *spans, size_t n, int64_t now_us, int64_t expired_before_us, size_t *expired);
size_t frame_gather(const uint8_t *bytes, const struct frame_span *spans, size_t n, uint8_t *out, size_t size);

#define M_MMAP_THRESHOLD ...
int mallopt(int param, int value);

void pick_ids(const uint8_t *bytes, const struct frame_span *spans, size_t n, uint8_t *ids);
size_t pick_class(const uint8_t *bytes, const struct frame_span *spans, size_t n, const char *pattern, size_t len,
                  uint8_t *chosen);
size_t pick_named(const uint8_t *bytes, const struct frame_span *spans, size_t n, struct wire_slice *path);
uint32_t pick_refused(const struct batch *batch, uint8_t *ids, uint8_t *reasons, uint32_t max);
