/* SPDX-License-Identifier: Apache-2.0 */
/*
 * settings: the few settings that a sender needs, and where they come from: the file of tm_set_config_file() alone, or
 * /etc/telemetrics/telemetrics.conf over /usr/share/defaults/telemetrics/telemetrics.conf over the built-ins. telemd reads
 * the same files with a real parser and complains about what is wrong in them; nothing here does more than find the keys
 * socket_path, telemd_socket_path, state_root and spool_dir (where a report is left that can't wait for telemd).
 */
#ifndef TELEMETRY_SETTINGS_H
#define TELEMETRY_SETTINGS_H

#include <limits.h>
#include <stddef.h>

#define SETTINGS_FILE_MAX (64u * 1024u)
#define SETTINGS_SOCKET_MAX 108 /* sun_path, with the NUL */
#define SETTINGS_ROOT_MAX 1024

struct settings {
        char socket_path[SETTINGS_SOCKET_MAX];        /* format 4 */
        char telemd_socket_path[SETTINGS_SOCKET_MAX]; /* format 5 */
        char state_root[SETTINGS_ROOT_MAX];           /* "" for the host's own */
        char opt_in_path[SETTINGS_ROOT_MAX + 32];
        char spool_dir[PATH_MAX];
};

/* What one file says; a string is empty where it says nothing, or leaves it to state_root by saying "". */
struct settings_file {
        char socket_path[SETTINGS_SOCKET_MAX];
        char telemd_socket_path[SETTINGS_SOCKET_MAX];
        char state_root[SETTINGS_ROOT_MAX];
        char spool_dir[PATH_MAX];
};

/* Take what the text says into *file, which keeps what it had otherwise. text is TOML or telemetrics-client's `key=value`;
 * len <= SETTINGS_FILE_MAX. Pure. 0, -EINVAL (a value that isn't an absolute path in one string), -ENAMETOOLONG. */
int settings_parse(const char *text, size_t len, struct settings_file *file);

/* Everything not said by *file follows from its state_root. Pure. 0 or -ENAMETOOLONG. */
int settings_derive(const struct settings_file *file, struct settings *settings);

/* The settings in force, read at the first call and again after tm_set_config_file() only. Thread-safe. 0, the above, -EFBIG
 * for a file over SETTINGS_FILE_MAX, or the errno of reading it (a missing file is an error only where it was named). */
int settings_get(struct settings *settings);

/* The path given to tm_set_config_file() into path (PATH_MAX bytes); empty where there is none. */
void settings_explicit_file(char path[PATH_MAX]);

#endif
