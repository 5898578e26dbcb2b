/* SPDX-License-Identifier: Apache-2.0 */
/*
 * settings: read the configuration once and keep it. The process-wide choice below is the library's only global state.
 */
#define _GNU_SOURCE
#include "settings.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "telemetry.h"

#define OWNERS_FILE "/etc/telemetrics/telemetrics.conf"
#define DISTRIBUTIONS_FILE "/usr/share/defaults/telemetrics/telemetrics.conf"

static struct {
        pthread_mutex_t lock;
        bool loaded;
        int error; /* of loading */
        struct settings settings;
        char file[PATH_MAX]; /* of tm_set_config_file() */
} chosen = {.lock = PTHREAD_MUTEX_INITIALIZER};

static int read_file(const char *path, char *text, size_t *len)
{
        int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
        int r = 0;

        *len = 0;
        if (fd < 0)
                return -errno;
        while (*len <= SETTINGS_FILE_MAX) { /* one byte more tells a file that is too big */
                ssize_t got = read(fd, text + *len, SETTINGS_FILE_MAX + 1 - *len);

                if (got < 0 && errno == EINTR)
                        continue;
                if (got < 0)
                        r = -errno;
                if (got <= 0)
                        break;
                *len += (size_t)got;
        }
        close(fd);
        if (r == 0 && *len > SETTINGS_FILE_MAX)
                r = -EFBIG;
        return r;
}

static int take_file(const char *path, bool required, char *text, struct settings_file *file)
{
        size_t len;
        int r = read_file(path, text, &len);

        if (r == -ENOENT && !required)
                return 0;
        return r < 0 ? r : settings_parse(text, len, file);
}

static int load(const char *explicit_file, struct settings *settings)
{
        struct settings_file file = {0};
        char *text = malloc(SETTINGS_FILE_MAX + 1);
        int r;

        if (!text)
                return -ENOMEM;
        if (*explicit_file) {
                r = take_file(explicit_file, true, text, &file);
        } else {
                r = take_file(DISTRIBUTIONS_FILE, false, text, &file);
                if (r == 0)
                        r = take_file(OWNERS_FILE, false, text, &file);
        }
        free(text);
        return r < 0 ? r : settings_derive(&file, settings);
}

int settings_get(struct settings *settings)
{
        int r;

        pthread_mutex_lock(&chosen.lock);
        if (!chosen.loaded) {
                chosen.error = load(chosen.file, &chosen.settings);
                chosen.loaded = true;
        }
        r = chosen.error;
        if (r == 0)
                *settings = chosen.settings;
        pthread_mutex_unlock(&chosen.lock);
        return r;
}

void settings_explicit_file(char path[PATH_MAX])
{
        pthread_mutex_lock(&chosen.lock);
        strcpy(path, chosen.file);
        pthread_mutex_unlock(&chosen.lock);
}

int tm_set_config_file(const char *c_file)
{
        struct stat status;

        if (!c_file || *c_file != '/')
                return -EINVAL;
        if (strnlen(c_file, PATH_MAX) == PATH_MAX)
                return -ENAMETOOLONG;
        if (stat(c_file, &status) < 0)
                return -errno;
        if (!S_ISREG(status.st_mode))
                return -EINVAL;

        pthread_mutex_lock(&chosen.lock);
        if (strcmp(chosen.file, c_file) != 0 || chosen.error < 0) {
                strcpy(chosen.file, c_file);
                chosen.loaded = false;
        }
        pthread_mutex_unlock(&chosen.lock);
        return 0;
}

int tm_is_opted_in(void)
{
        struct settings settings;

        return settings_get(&settings) == 0 && access(settings.opt_in_path, F_OK) == 0;
}

int tm_get_setting(const char *name, char *value, size_t size)
{
        struct settings settings;
        const char *found;
        int r;

        if (!name || (!value && size > 0))
                return -EINVAL;
        r = settings_get(&settings);
        if (r < 0)
                return r;
        if (strcmp(name, "socket_path") == 0)
                found = settings.socket_path;
        else if (strcmp(name, "telemd_socket_path") == 0)
                found = settings.telemd_socket_path;
        else if (strcmp(name, "state_root") == 0)
                found = settings.state_root;
        else if (strcmp(name, "opt_in_path") == 0)
                found = settings.opt_in_path;
        else if (strcmp(name, "spool_dir") == 0)
                found = settings.spool_dir;
        else
                return -EINVAL;
        return snprintf(value, size, "%s", found);
}
