/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire_bytes: integers in a byte buffer. The caller has checked that the bytes are there.
 */
#ifndef TELEMETRY_WIRE_BYTES_H
#define TELEMETRY_WIRE_BYTES_H

#include <endian.h>
#include <stdint.h>
#include <string.h>

static inline uint16_t get_u16(const uint8_t *bytes)
{
        uint16_t value;

        memcpy(&value, bytes, sizeof value);
        return le16toh(value);
}

static inline uint32_t get_u32(const uint8_t *bytes)
{
        uint32_t value;

        memcpy(&value, bytes, sizeof value);
        return le32toh(value);
}

static inline uint64_t get_u64(const uint8_t *bytes)
{
        uint64_t value;

        memcpy(&value, bytes, sizeof value);
        return le64toh(value);
}

static inline void put_u16(uint8_t *bytes, uint16_t value)
{
        value = htole16(value);
        memcpy(bytes, &value, sizeof value);
}

static inline void put_u32(uint8_t *bytes, uint32_t value)
{
        value = htole32(value);
        memcpy(bytes, &value, sizeof value);
}

static inline void put_u64(uint8_t *bytes, uint64_t value)
{
        value = htole64(value);
        memcpy(bytes, &value, sizeof value);
}

/* Format 4 has its sizes in host order. */
static inline uint32_t get_u32_host(const uint8_t *bytes)
{
        uint32_t value;

        memcpy(&value, bytes, sizeof value);
        return value;
}

/* memcpy() of nothing may come with a null pointer here. */
static inline void put_bytes(uint8_t *to, const void *from, size_t len)
{
        if (len > 0)
                memcpy(to, from, len);
}

#endif
