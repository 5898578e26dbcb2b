/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pick: what of many records in memory somebody asks for: their ids, those of a class, those that were refused. Pure: reads
 * frames that were scanned and batches, changes nothing, allocates nothing.
 */
#ifndef TELEMD_PICK_H
#define TELEMD_PICK_H

#include <stddef.h>
#include <stdint.h>

#include "batch.h"
#include "frame.h"
#include "wire.h"

/* The ids of the records of n spans, 16 bytes each. A record too short for one has zeros. */
void pick_ids(const uint8_t *bytes, const struct frame_span *spans, size_t n, uint8_t *ids);

/* chosen[i] is 1 where the classification of the record of span i is the pattern, or begins with what stands before the
 * pattern's last character where that is a '*'; else 0. How many are. */
size_t pick_class(const uint8_t *bytes, const struct frame_span *spans, size_t n, const char *pattern, size_t len,
                  uint8_t *chosen);

/* How many of n >= 1 spans, from the first on, name the same configuration file (attribute 16) as the first does, and were sent by
 * the same user; or how many name none, whoever sent them. *path is what the first one names; its data is NULL for none. */
size_t pick_named(const uint8_t *bytes, const struct frame_span *spans, size_t n, struct wire_slice *path);

/* Ids and reasons of the refused records of a batch that have an id, oldest first: at most max, and of more the newest. How
 * many. For when the batch is decided and not yet answered. */
uint32_t pick_refused(const struct batch *batch, uint8_t *ids, uint8_t *reasons, uint32_t max);

#endif
