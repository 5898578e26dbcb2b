/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The facts of made-up hosts below a folder of our own, and of the real one.
 */
#include "facts.h"

#include <sys/inotify.h>
#include <sys/utsname.h>

#include "scratch_folder.h"

static const char *const names[WIRE_FACT_COUNT] = {
        "arch", "host_type", "build", "kernel_version", "system_name", "board_name", "cpu_model", "bios_version",
};

/* Wanted: in the order of the keys; NULL for what isn't looked at. */
static void facts_are(const char *root, const char *const wanted[WIRE_FACT_COUNT])
{
        struct host_facts *facts = host_facts_read(root);

        NEED(facts);
        struct wire_facts view = host_facts_view(facts);
        for (size_t i = 0; i < WIRE_FACT_COUNT; i++) {
                check_about = names[i];
                if (wanted[i])
                        CHECK_TEXT(view.value[i].data, view.value[i].len, wanted[i]);
                CHECK(wire_attribute_valid((uint16_t)(i + 1), view.value[i].data, view.value[i].len));
        }
        check_about = "";
        host_facts_free(facts);
}

static void write_dmi(const char *host, const char *name, const char *text)
{
        char path[256];

        snprintf(path, sizeof path, "%s/sys/class/dmi/id/%s", host, name);
        scratch_write_text(path, text);
}

static void full_host(void)
{
        struct utsname host;

        NEED(uname(&host) == 0);
        write_dmi("full", "sys_vendor", "ACME Inc.\n");
        write_dmi("full", "product_name", "Rocket  \n");
        write_dmi("full", "product_version", "\n");
        write_dmi("full", "board_name", "B\x01\x02 caf\xe9\n");
        write_dmi("full", "board_vendor", "");
        write_dmi("full", "bios_version", "1.2.3\nsecond line\n");
        scratch_write_text("full/etc/os-release",
                           "# comment\nNAME=\"A Linux\"\nVERSION_ID=\"12.1\"\nID_LIKE=x\nID=\"alinux\"\nVARIANT_ID=server\n");
        scratch_write_text("full/usr/lib/os-release", "ID=other\nVERSION_ID=1\n");
        scratch_write_text("full/proc/cpuinfo",
                           "processor\t: 0\nmodel\t\t: 1\nmodel name\t: A CPU @ 2.00GHz\n\nprocessor\t: 1\nmodel name\t: another\n");
        facts_are(in_scratch("full"), (const char *const[]){host.machine, "ACME Inc.|Rocket|blank", "\"12.1\"", host.release,
                                                            "alinux_server", "B?? caf?|blank", "A CPU @ 2.00GHz", "1.2.3"});
}

static void empty_host(void)
{
        scratch_write_text("empty/proc/version", "");
        facts_are(in_scratch("empty"), (const char *const[]){NULL, "no_sv_file|no_pn_file|no_pvr_file", "0", NULL, "unknown",
                                                             "no_bn_file|no_bv_file", "blank", "no_bv_file"});
        facts_are("/no/such/folder", (const char *const[]){NULL, "no_sv_file|no_pn_file|no_pvr_file", "0", NULL, "unknown",
                                                           "no_bn_file|no_bv_file", "blank", "no_bv_file"});
}

static void odd_host(void)
{
        char *long_line = malloc(20001);

        NEED(long_line);
        memset(long_line, 'x', 20000);
        long_line[20000] = 0;
        write_dmi("odd", "bios_version", long_line);
        write_dmi("odd", "board_name/is_a_folder", "");
        scratch_write_text("odd/elsewhere", "ID=wrong\nVERSION_ID=wrong\n");
        scratch_write_text("odd/etc/placeholder", "");
        NEED(symlink("../elsewhere", in_scratch("odd/etc/os-release")) == 0); /* not followed */
        scratch_write_text("odd/usr/lib/os-release", "ID='right'\nVERSION_ID=\nVARIANT_ID=\"\"\n");
        scratch_write_text("odd/proc/cpuinfo", "model name\t:\nmodel name : second\n");

        char cut[WIRE_FACT_MAX + 1] = {0};
        memset(cut, 'x', WIRE_FACT_MAX);
        facts_are(in_scratch("odd"), (const char *const[]){NULL, NULL, "0", NULL, "right", "no_bn_file|no_bv_file", "blank", cut});
        free(long_line);
}

/* A FIFO or a device where a file belongs doesn't hold us, nor does a root that is too long. */
static void hostile_host(void)
{
        char *root = malloc(8001);

        NEED(root);
        scratch_write_text("hostile/etc/placeholder", "");
        NEED(mkfifo(in_scratch("hostile/etc/os-release"), 0600) == 0);
        scratch_write("hostile/proc/cpuinfo", "model name\t: a\0b\n", 17);
        facts_are(in_scratch("hostile"), (const char *const[]){NULL, NULL, "0", NULL, "unknown", NULL, NULL, NULL});
        memset(root, '/', 8000);
        root[8000] = 0;
        facts_are(root, (const char *const[]){NULL, NULL, "0", NULL, "unknown", NULL, "blank", NULL});
        free(root);
}

/* Files are dear to open, and a record is made at every turn: each is opened once for all facts. */
static void opened_once(void)
{
        static const char *const folders[] = {"full/sys/class/dmi/id", "full/etc", "full/usr/lib", "full/proc"};
        static const char *const files[] = {"sys_vendor",   "product_name", "product_version", "board_name",
                                            "board_vendor", "bios_version", "os-release",      "cpuinfo"};
        _Alignas(struct inotify_event) char events[8192];
        int watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
        ssize_t len;

        NEED(watch >= 0);
        for (size_t i = 0; i < sizeof folders / sizeof *folders; i++)
                NEED(inotify_add_watch(watch, in_scratch(folders[i]), IN_OPEN | IN_ONLYDIR) >= 0);
        host_facts_free(host_facts_read(in_scratch("full")));
        len = read(watch, events, sizeof events);
        NEED(len > 0);
        for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
                const struct inotify_event *event;
                unsigned times = 0;

                for (const char *at = events; at < events + len; at += sizeof *event + event->len) {
                        event = (const struct inotify_event *)(const void *)at;
                        times += event->len > 0 && strcmp(event->name, files[i]) == 0;
                }
                check_about = files[i];
                CHECK(times == 1);
        }
        check_about = "";
        close(watch);
}

int main(void)
{
        scratch_folder_make();
        full_host();
        opened_once();
        empty_host();
        odd_host();
        hostile_host();
        facts_are("", (const char *const[WIRE_FACT_COUNT]){NULL});
        host_facts_free(NULL);
        scratch_folder_remove();
        return check_end();
}
