/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stream: a Unix stream socket with deadlines. Every wait ends; no signal is raised; an interrupted call goes on.
 */
#ifndef TELEMETRY_STREAM_H
#define TELEMETRY_STREAM_H

#include <stddef.h>
#include <stdint.h>

/* Milliseconds of the monotonic clock. */
int64_t stream_now_ms(void);

/* A connected descriptor, or -errno; -ETIMEDOUT where the listener's queue stays full. */
int stream_connect(const char *path, int64_t deadline_ms);

/* Bytes taken, 0 where it would block, or -errno. */
ptrdiff_t stream_send(int fd, const uint8_t *bytes, size_t len);

/* Bytes got, 0 where it would block, or -errno; -ECONNRESET at the end of the stream. */
ptrdiff_t stream_receive(int fd, uint8_t *bytes, size_t size);

/* Wait for events (POLLIN, POLLOUT). What came (never 0), or -errno; -ETIMEDOUT. */
int stream_wait(int fd, short events, int64_t deadline_ms);

#endif
