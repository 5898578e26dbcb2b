/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire: what both formats share: the rules for a classification, a fact and an attribute, and the answer. Pure; the
 * layouts of the records themselves are in wire5.c and wire4.c.
 */
#include "wire.h"

#include "wire_bytes.h"

#define ANSWER_TYPE 1u
#define CLASSIFICATION_MIN 5u /* a/b/c */
#define ATTRIBUTE_HEADER 4u

bool wire_classification_valid(const uint8_t *bytes, size_t len)
{
        unsigned slashes = 0;
        size_t start = 0;

        if (len < CLASSIFICATION_MIN || len > TM_CLASSIFICATION_MAX)
                return false;
        for (size_t i = 0; i <= len; i++) {
                if (i < len && bytes[i] != '/') {
                        if (bytes[i] < 0x21 || bytes[i] > 0x7e)
                                return false;
                        continue;
                }
                const uint8_t *part = bytes + start;
                size_t part_len = i - start;
                if (part_len == 0 || part_len > TM_CLASSIFICATION_PART_MAX)
                        return false;
                /* `.` and `..` would climb where a classification becomes a path */
                if (part[0] == '.' && (part_len == 1 || (part_len == 2 && part[1] == '.')))
                        return false;
                slashes += i < len;
                start = i + 1;
        }
        return slashes == 2;
}

size_t wire_utf8_next(const uint8_t *bytes, size_t len, uint32_t *code)
{
        static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
        uint8_t first;
        size_t need;

        if (len == 0)
                return 0;
        first = bytes[0];
        if (first < 0x80) {
                *code = first;
                return 1;
        }
        if (first >= 0xc2 && first <= 0xdf)
                need = 2;
        else if ((first & 0xf0) == 0xe0)
                need = 3;
        else if (first >= 0xf0 && first <= 0xf4)
                need = 4;
        else
                return 0;
        if (need > len)
                return 0;

        uint32_t value = first & (0x7fu >> need);
        for (size_t i = 1; i < need; i++) {
                if ((bytes[i] & 0xc0) != 0x80)
                        return 0;
                value = value << 6 | (bytes[i] & 0x3fu);
        }
        if (value < smallest[need] || value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff))
                return 0;
        *code = value;
        return need;
}

static bool is_control(uint32_t code)
{
        return code < 0x20 || (code >= 0x7f && code < 0xa0);
}

size_t wire_fact_clean(const uint8_t *bytes, size_t len, uint8_t out[WIRE_FACT_MAX])
{
        size_t written = 0;

        for (size_t i = 0; i < len;) {
                uint32_t code = 0;
                size_t step = wire_utf8_next(bytes + i, len - i, &code);
                bool bad = step == 0 || is_control(code);
                size_t width = bad ? 1 : step;

                if (width > WIRE_FACT_MAX - written)
                        break;
                if (bad)
                        out[written] = '?';
                else
                        memcpy(out + written, bytes + i, width);
                written += width;
                i += step == 0 ? 1 : step;
        }
        return written;
}

static bool fact_valid(const uint8_t *bytes, size_t len)
{
        if (len > WIRE_FACT_MAX)
                return false;
        for (size_t i = 0; i < len;) {
                uint32_t code = 0;
                size_t step = wire_utf8_next(bytes + i, len - i, &code);

                if (step == 0 || is_control(code))
                        return false;
                i += step;
        }
        return true;
}

bool wire_attribute_valid(uint16_t key, const uint8_t *value, size_t len)
{
        if (len > TM_ATTRIBUTES_MAX - ATTRIBUTE_HEADER)
                return false;
        if (key >= TM_ATTR_ARCH && key <= TM_ATTR_BIOS_VERSION)
                return fact_valid(value, len);
        if (key == TM_ATTR_CONFIG_PATH)
                return len > 0 && memchr(value, 0, len) == NULL;
        return true;
}

int wire_attribute_next(struct wire_slice attributes, size_t *offset, uint16_t *key, struct wire_slice *value)
{
        size_t left;

        if (*offset == attributes.len)
                return 0;
        if (*offset > attributes.len || (left = attributes.len - *offset) < ATTRIBUTE_HEADER)
                return -1;

        const uint8_t *at = attributes.data + *offset;
        uint16_t len = get_u16(at + 2);
        if (len > left - ATTRIBUTE_HEADER)
                return -1;
        *key = get_u16(at);
        *value = (struct wire_slice){.data = at + ATTRIBUTE_HEADER, .len = len};
        *offset += ATTRIBUTE_HEADER + (size_t)len;
        return 1;
}

size_t wire_attribute_put(uint8_t *attributes, size_t len, size_t size, uint16_t key, const void *value, size_t value_len)
{
        if (value_len > UINT16_MAX || len > size || size - len < ATTRIBUTE_HEADER + value_len)
                return 0;
        put_u16(attributes + len, key);
        put_u16(attributes + len + 2, (uint16_t)value_len);
        put_bytes(attributes + len + ATTRIBUTE_HEADER, value, value_len);
        return len + ATTRIBUTE_HEADER + value_len;
}

void wire_answer_encode(const struct tm_ack *ack, uint8_t out[WIRE_ANSWER_LEN])
{
        put_u32(out, WIRE_ANSWER_LEN);
        out[4] = ANSWER_TYPE;
        out[5] = ack->verdict;
        put_u16(out + 6, ack->reason);
        memcpy(out + 8, ack->record_id, TM_ID_SIZE);
}

bool wire_answer_decode(const uint8_t bytes[WIRE_ANSWER_LEN], struct tm_ack *ack)
{
        if (get_u32(bytes) != WIRE_ANSWER_LEN || bytes[4] != ANSWER_TYPE || bytes[5] > TM_REFUSED)
                return false;
        ack->verdict = bytes[5];
        ack->reason = get_u16(bytes + 6);
        memcpy(ack->record_id, bytes + 8, TM_ID_SIZE);
        return true;
}
