/* SPDX-License-Identifier: Apache-2.0 */
/*
 * facts: what the host is. See facts.h.
 */
#define _GNU_SOURCE
#include "facts.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#define FILE_BYTES_MAX 8192u /* the whole of os-release; of /proc/cpuinfo the first processor */
#define JOINED_MAX (3 * WIRE_FACT_MAX)

struct host_facts {
        uint16_t len[WIRE_FACT_COUNT];
        uint8_t value[WIRE_FACT_COUNT][WIRE_FACT_MAX];
};

/* The beginning of a file, with a NUL after it. */
struct text {
        char bytes[FILE_BYTES_MAX + 1];
        size_t len;
};

/* ---- reading ------------------------------------------------------------------------------------------------ */

/* False where it can't be opened or read. O_NONBLOCK: a FIFO in its place must not hold us. */
static bool read_text(const char *root, const char *path, int flags, struct text *text)
{
        char full[PATH_MAX];
        int n = snprintf(full, sizeof full, "%s%s", root, path);
        bool good = true;
        int fd;

        text->len = 0;
        text->bytes[0] = 0;
        if (n < 0 || (size_t)n >= sizeof full)
                return false;
        fd = open(full, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | flags);
        if (fd < 0)
                return false;
        while (text->len < FILE_BYTES_MAX) {
                ssize_t got = read(fd, text->bytes + text->len, FILE_BYTES_MAX - text->len);

                if (got < 0 && errno == EINTR)
                        continue;
                good = got >= 0;
                if (got <= 0)
                        break;
                text->len += (size_t)got;
        }
        close(fd);
        text->bytes[text->len] = 0;
        return good;
}

/* A value of a line, without the NUL of a string. */
struct span {
        const char *start;
        size_t len;
};

static struct span span_of(const char *string)
{
        return (struct span){.start = string, .len = strlen(string)};
}

static bool is_blank(char c)
{
        return c == ' ' || c == '\t' || c == '\r';
}

static struct span trim(struct span span)
{
        while (span.len > 0 && is_blank(span.start[span.len - 1]))
                span.len--;
        while (span.len > 0 && is_blank(*span.start)) {
                span.start++;
                span.len--;
        }
        return span;
}

static struct span unquote(struct span span)
{
        if (span.len >= 2 && (*span.start == '"' || *span.start == '\'') && span.start[span.len - 1] == *span.start)
                return (struct span){.start = span.start + 1, .len = span.len - 2};
        return span;
}

static bool next_line(const struct text *text, size_t *offset, struct span *line)
{
        if (*offset >= text->len)
                return false;
        line->start = text->bytes + *offset;
        line->len = strcspn(line->start, "\n");
        *offset += line->len + 1;
        return true;
}

/* The value after `key`, blanks, and the separator, in the first line that has them; false where none has. */
static bool find_value(const struct text *text, const char *key, char separator, struct span *value)
{
        size_t key_len = strlen(key), offset = 0;
        struct span line;

        while (next_line(text, &offset, &line)) {
                if (line.len <= key_len || memcmp(line.start, key, key_len) != 0)
                        continue;
                struct span rest = trim((struct span){.start = line.start + key_len, .len = line.len - key_len});
                if (rest.len > 0 && *rest.start == separator) {
                        *value = trim((struct span){.start = rest.start + 1, .len = rest.len - 1});
                        return true;
                }
        }
        return false;
}

/* ---- the eight ---------------------------------------------------------------------------------------------- */

static void set_fact(struct host_facts *facts, enum tm_attribute key, struct span value)
{
        size_t i = (size_t)key - 1;

        facts->len[i] = (uint16_t)wire_fact_clean((const uint8_t *)value.start, value.len, facts->value[i]);
}

static struct span append(char *buffer, size_t *len, struct span part)
{
        size_t n = part.len < JOINED_MAX - *len ? part.len : JOINED_MAX - *len;

        memcpy(buffer + *len, part.start, n);
        *len += n;
        return (struct span){.start = buffer, .len = *len};
}

/* One file of the firmware's tables: `name` below /sys/class/dmi/id, or what stands for it where there is none. */
struct firmware_file {
        const char *path;
        const char *missing;
};

static const struct firmware_file host_type_files[] = {
        {"/sys/class/dmi/id/sys_vendor", "no_sv_file"},
        {"/sys/class/dmi/id/product_name", "no_pn_file"},
        {"/sys/class/dmi/id/product_version", "no_pvr_file"},
};
static const struct firmware_file board_files[] = {
        {"/sys/class/dmi/id/board_name", "no_bn_file"},
        {"/sys/class/dmi/id/board_vendor", "no_bv_file"},
};
static const struct firmware_file bios_files[] = {
        {"/sys/class/dmi/id/bios_version", "no_bv_file"},
};

static void set_from_firmware(struct host_facts *facts, const char *root, struct text *text, enum tm_attribute key,
                              const struct firmware_file *files, size_t count)
{
        char buffer[JOINED_MAX];
        struct span joined = {.start = buffer, .len = 0};
        size_t len = 0;

        for (size_t i = 0; i < count; i++) {
                struct span line = span_of(files[i].missing);
                size_t offset = 0;

                if (read_text(root, files[i].path, 0, text)) {
                        if (!next_line(text, &offset, &line) || (line = trim(line)).len == 0)
                                line = span_of("blank");
                }
                if (i > 0)
                        append(buffer, &len, span_of("|"));
                joined = append(buffer, &len, line);
        }
        set_fact(facts, key, joined);
}

static void set_from_os_release(struct host_facts *facts, const char *root, struct text *text)
{
        char buffer[JOINED_MAX];
        struct span id = span_of("unknown"), variant, build = span_of("0");
        size_t len = 0;

        /* a symlink in /etc may lead out of a container's root; the file below /usr is the distribution's own */
        if (read_text(root, "/etc/os-release", O_NOFOLLOW, text) || read_text(root, "/usr/lib/os-release", 0, text)) {
                struct span found;

                if (find_value(text, "VERSION_ID", '=', &found) && found.len > 0)
                        build = found; /* with its quotes, as telemetrics-client sent it */
                if (find_value(text, "ID", '=', &found) && unquote(found).len > 0)
                        id = unquote(found);
        }
        set_fact(facts, TM_ATTR_BUILD, build);
        id = append(buffer, &len, id);
        if (find_value(text, "VARIANT_ID", '=', &variant) && unquote(variant).len > 0) {
                append(buffer, &len, span_of("_"));
                id = append(buffer, &len, unquote(variant));
        }
        set_fact(facts, TM_ATTR_SYSTEM_NAME, id);
}

struct host_facts *host_facts_read(const char *root)
{
        struct host_facts *facts = calloc(1, sizeof *facts);
        struct text *text = malloc(sizeof *text);
        struct span cpu_model = span_of("blank"), found;
        struct utsname names;

        if (!facts || !text) {
                free(facts);
                free(text);
                return NULL;
        }
        text->len = 0;
        if (uname(&names) < 0)
                names = (struct utsname){0};
        set_fact(facts, TM_ATTR_ARCH, span_of(names.machine));
        set_fact(facts, TM_ATTR_KERNEL_VERSION, span_of(names.release));
        set_from_firmware(facts, root, text, TM_ATTR_HOST_TYPE, host_type_files, 3);
        set_from_firmware(facts, root, text, TM_ATTR_BOARD_NAME, board_files, 2);
        set_from_firmware(facts, root, text, TM_ATTR_BIOS_VERSION, bios_files, 1);
        set_from_os_release(facts, root, text);
        if (read_text(root, "/proc/cpuinfo", 0, text) && find_value(text, "model name", ':', &found) && found.len > 0)
                cpu_model = found;
        set_fact(facts, TM_ATTR_CPU_MODEL, cpu_model);
        free(text);
        return facts;
}

struct wire_facts host_facts_view(const struct host_facts *facts)
{
        struct wire_facts view;

        for (size_t i = 0; i < WIRE_FACT_COUNT; i++)
                view.value[i] = (struct wire_slice){.data = facts->value[i], .len = facts->len[i]};
        return view;
}

void host_facts_free(struct host_facts *facts)
{
        free(facts);
}
