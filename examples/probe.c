/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A probe of your own in C: how full file systems are.
 *
 *   cc probe.c $(pkg-config --cflags --libs libtelemetry) -o probe
 *   ./probe [-f FILE] [-n SYSTEM_NAME] PATH...
 *
 * One record for each PATH. -f: a configuration file instead of the system's. -n: the paths belong to a system of that
 * name, a container say, and not to the host. Exit code 0: all are on telemd's disk, or nobody has opted in.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <telemetry.h>
#include <unistd.h>

#define PATHS_MAX 64
#define TIMEOUT_MS 5000 /* telemd may just be starting */

static char classification[] = "example.org/disk/fill";
static const uint32_t payload_version = 1; /* goes up when readers of the payload must know of a change */

static uint32_t severity_of(unsigned percent)
{
        if (percent >= 100)
                return 3; /* high: programs fail now */
        return percent >= 90 ? 2 : 1;
}

/* 0 or a negative errno value; *record is the caller's to free, also then. */
static int describe(const char *path, const char *system_name, struct telem_ref **record)
{
        struct statvfs disk;
        char payload[PATH_MAX + 64];

        if (statvfs(path, &disk) != 0)
                return -errno;
        if (disk.f_blocks == 0)
                return -ENODEV;
        unsigned percent = (unsigned)(100 - disk.f_bavail * 100 / disk.f_blocks);
        int length = snprintf(payload, sizeof payload, "%s: %u %% used\n", path, percent);
        int r = tm_create_record(record, severity_of(percent), classification, payload_version);

        if (r == 0)
                r = tm_set_payload_bytes(*record, TM_PAYLOAD_TEXT, payload, (size_t)length);
        if (r == 0 && system_name)
                r = tm_set_attribute(*record, TM_ATTR_SYSTEM_NAME, system_name, strlen(system_name));
        return r;
}

/* How many of the records telemd has taken. */
static size_t hand_over(struct telem_ref *const *records, size_t count)
{
        struct tm_ack acks[PATHS_MAX];
        struct tm_client *client;
        size_t taken = 0;
        int r = tm_client_open(&client, TIMEOUT_MS);

        if (r == 0)
                r = tm_client_send_many(client, records, count, acks);
        if (r < 0)
                fprintf(stderr, "probe: nothing was sent: %s; see `telemctl status`\n", strerror(-r));
        for (int i = 0; i < r; i++) {
                if (acks[i].verdict == TM_REFUSED)
                        fprintf(stderr, "probe: telemd refused record %d: %s\n", i + 1, tm_reason_name(acks[i].reason));
                else
                        taken++;
        }
        tm_client_close(client);
        return taken;
}

int main(int argc, char **argv)
{
        struct telem_ref *records[PATHS_MAX];
        const char *system_name = NULL;
        size_t count = 0;
        int failed = 0;

        for (int option; (option = getopt(argc, argv, "f:n:")) != -1;) {
                if (option == 'n')
                        system_name = optarg;
                else if (option != 'f' || tm_set_config_file(optarg) != 0)
                        return 2;
        }
        if (optind == argc || argc - optind > PATHS_MAX) {
                fprintf(stderr, "usage: probe [-f FILE] [-n SYSTEM_NAME] PATH... (at most %d)\n", PATHS_MAX);
                return 2;
        }
        if (!tm_is_opted_in())
                return 0; /* the owner's choice, and no failure of ours */
        for (int i = optind; i < argc; i++) {
                struct telem_ref *record = NULL;
                int r = describe(argv[i], system_name, &record);

                if (r == 0) {
                        records[count++] = record;
                } else {
                        fprintf(stderr, "probe: %s: %s, ignoring\n", argv[i], strerror(-r));
                        tm_free_record(record);
                        failed = 1;
                }
        }
        if (hand_over(records, count) != count)
                failed = 1;
        for (size_t i = 0; i < count; i++)
                tm_free_record(records[i]);
        return failed;
}
