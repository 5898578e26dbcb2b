/* SPDX-License-Identifier: Apache-2.0 */
/*
 * settings_parse: find four keys in the text of a configuration file. Pure. Lines of TOML whose values are strings, and
 * telemetrics-client's `key=value` with `\s` for a space, differ in the quotes alone. Tables other than [settings],
 * other keys, comments and the insides of multi-line strings are skipped.
 */
#include "settings.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

struct span {
        const char *start;
        size_t len;
};

static struct span trim(struct span span)
{
        while (span.len > 0 && memchr(" \t\r", span.start[span.len - 1], 3))
                span.len--;
        while (span.len > 0 && memchr(" \t\r", *span.start, 3)) {
                span.start++;
                span.len--;
        }
        return span;
}

static struct span after(struct span span, size_t n)
{
        return (struct span){.start = span.start + n, .len = span.len - n};
}

static bool is(struct span span, const char *text)
{
        return span.len == strlen(text) && memcmp(span.start, text, span.len) == 0;
}

static bool starts(struct span span, const char *text)
{
        return span.len >= strlen(text) && memcmp(span.start, text, strlen(text)) == 0;
}

static bool next_line(struct span *rest, struct span *line)
{
        if (rest->len == 0)
                return false;
        const char *newline = memchr(rest->start, '\n', rest->len);
        size_t len = newline ? (size_t)(newline - rest->start) : rest->len;

        *line = trim((struct span){.start = rest->start, .len = len});
        *rest = after(*rest, newline ? len + 1 : len);
        return true;
}

/* A value under construction. */
struct value {
        char *out;
        size_t size;
        size_t len;
        bool cut;
};

static void push(struct value *value, char c)
{
        if (value->len + 1 < value->size)
                value->out[value->len++] = c;
        else
                value->cut = true;
}

static void push_code(struct value *value, uint32_t code)
{
        if (code < 0x80) {
                push(value, (char)code);
        } else if (code < 0x800) {
                push(value, (char)(0xc0 | code >> 6));
                push(value, (char)(0x80 | (code & 0x3f)));
        } else if (code < 0x10000) {
                push(value, (char)(0xe0 | code >> 12));
                push(value, (char)(0x80 | (code >> 6 & 0x3f)));
                push(value, (char)(0x80 | (code & 0x3f)));
        } else {
                push(value, (char)(0xf0 | code >> 18));
                push(value, (char)(0x80 | (code >> 12 & 0x3f)));
                push(value, (char)(0x80 | (code >> 6 & 0x3f)));
                push(value, (char)(0x80 | (code & 0x3f)));
        }
}

/* The escape at the start of text (after its backslash): the characters it takes, 0 where TOML knows no such one. */
static size_t push_escape(struct value *value, struct span text)
{
        static const char from[] = "btnfr\"\\", to[] = "\b\t\n\f\r\"\\";
        const char *found;
        uint32_t code = 0;
        size_t digits;

        if (text.len == 0)
                return 0;
        found = memchr(from, *text.start, sizeof from - 1);
        if (found) {
                push(value, to[found - from]);
                return 1;
        }
        digits = *text.start == 'u' ? 4 : *text.start == 'U' ? 8 : 0;
        if (digits == 0 || text.len < 1 + digits)
                return 0;
        for (size_t i = 1; i <= digits; i++) {
                static const char hex[] = "0123456789abcdef";
                char c = text.start[i];
                const char *digit = memchr(hex, c >= 'A' && c <= 'F' ? c + 32 : c, sizeof hex - 1);

                if (!digit)
                        return 0;
                code = code << 4 | (uint32_t)(digit - hex);
        }
        if (code == 0 || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
                return 0;
        push_code(value, code);
        return 1 + digits;
}

/* A TOML string on one line, and nothing after it but a comment. */
static bool read_quoted(struct span text, struct value *value)
{
        char quote = *text.start;

        for (text = after(text, 1); text.len > 0 && *text.start != quote;) {
                if (*text.start == '\\' && quote == '"') {
                        size_t taken = push_escape(value, after(text, 1));

                        if (taken == 0)
                                return false;
                        text = after(text, 1 + taken);
                } else {
                        push(value, *text.start);
                        text = after(text, 1);
                }
        }
        if (text.len == 0)
                return false;
        text = trim(after(text, 1));
        return text.len == 0 || *text.start == '#';
}

/* The original's value goes to the end of the line; `\s` stands for a space. */
static void read_plain(struct span text, struct value *value)
{
        while (text.len > 0) {
                bool space = starts(text, "\\s");

                push(value, space ? ' ' : *text.start);
                text = after(text, space ? 2 : 1);
        }
}

static int read_path(struct span text, char *out, size_t size)
{
        struct value value = {.out = out, .size = size};

        if (starts(text, "\"") || starts(text, "'")) {
                if (!read_quoted(text, &value))
                        return -EINVAL;
        } else {
                read_plain(text, &value);
        }
        out[value.len] = 0;
        if (value.cut)
                return -ENAMETOOLONG;
        if (memchr(out, 0, value.len))
                return -EINVAL;
        return value.len == 0 || *out == '/' ? 0 : -EINVAL;
}

static int take(struct span key, struct span text, struct settings_file *file)
{
        struct settings_file next = *file; /* a value that is no good leaves nothing behind */
        int r = 0;

        if (is(key, "socket_path"))
                r = read_path(text, next.socket_path, sizeof next.socket_path);
        else if (is(key, "telemd_socket_path"))
                r = read_path(text, next.telemd_socket_path, sizeof next.telemd_socket_path);
        else if (is(key, "state_root"))
                r = read_path(text, next.state_root, sizeof next.state_root);
        else if (is(key, "spool_dir"))
                r = read_path(text, next.spool_dir, sizeof next.spool_dir);
        if (r == 0)
                *file = next;
        return r;
}

/* Skip a multi-line string whose first line is text; false where it is none. */
static bool skip_multi_line(struct span text, struct span *rest)
{
        const char *mark = starts(text, "\"\"\"") ? "\"\"\"" : "'''";

        if (!starts(text, mark))
                return false;
        text = after(text, 3);
        do {
                for (size_t i = 0; i + 3 <= text.len; i++)
                        if (memcmp(text.start + i, mark, 3) == 0)
                                return true;
        } while (next_line(rest, &text));
        return true;
}

int settings_parse(const char *text, size_t len, struct settings_file *file)
{
        struct span rest = {.start = text, .len = len}, line;
        bool ours = true; /* telemetrics-client's files may do without a table */

        while (next_line(&rest, &line)) {
                if (line.len == 0 || *line.start == '#' || *line.start == ';')
                        continue;
                if (*line.start == '[') {
                        const char *end = memchr(line.start, ']', line.len);

                        ours = end && is(trim((struct span){.start = line.start + 1,
                                                            .len = (size_t)(end - line.start) - 1}), "settings");
                        continue;
                }
                const char *equals = memchr(line.start, '=', line.len);
                if (!equals)
                        continue;
                struct span key = trim((struct span){.start = line.start, .len = (size_t)(equals - line.start)});
                struct span value = trim(after(line, (size_t)(equals - line.start) + 1));
                if (key.len >= 2 && memchr("\"'", *key.start, 2) && key.start[key.len - 1] == *key.start)
                        key = (struct span){.start = key.start + 1, .len = key.len - 2};
                if (skip_multi_line(value, &rest))
                        continue;
                if (ours) {
                        int r = take(key, value, file);

                        if (r < 0)
                                return r;
                }
        }
        return 0;
}

static int join(char *out, size_t size, const char *root, const char *path)
{
        int n = snprintf(out, size, "%s%s", root, path);

        return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
}

int settings_derive(const struct settings_file *file, struct settings *settings)
{
        size_t root_len = strlen(file->state_root);
        int r;

        *settings = (struct settings){0};
        while (root_len > 0 && file->state_root[root_len - 1] == '/') /* "/" is the host's own root, "" */
                root_len--;
        memcpy(settings->state_root, file->state_root, root_len);

        const char *root = settings->state_root;
        r = *file->socket_path ? join(settings->socket_path, SETTINGS_SOCKET_MAX, "", file->socket_path)
                               : join(settings->socket_path, SETTINGS_SOCKET_MAX, root, "/run/telem-0");
        if (r < 0)
                return r;
        r = *file->telemd_socket_path
                    ? join(settings->telemd_socket_path, SETTINGS_SOCKET_MAX, "", file->telemd_socket_path)
                    : join(settings->telemd_socket_path, SETTINGS_SOCKET_MAX, root, "/run/telemetry/telemd.sock");
        if (r < 0)
                return r;
        r = *file->spool_dir ? join(settings->spool_dir, sizeof settings->spool_dir, "", file->spool_dir)
                             : join(settings->spool_dir, sizeof settings->spool_dir, root, "/var/spool/telemetry");
        if (r < 0)
                return r;
        return join(settings->opt_in_path, sizeof settings->opt_in_path, root, "/etc/telemetrics/opt-in");
}
