/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a configuration file says to a sender, in both its forms, and when it is read.
 */
#include "settings.h"

#include "scratch_folder.h"
#include "telemetry.h"

static struct settings_file parsed(const char *text, int wanted)
{
        struct settings_file file = {.socket_path = "/before"};

        check_about = text;
        CHECK_EQ(settings_parse(text, strlen(text), &file), wanted);
        check_about = "";
        return file;
}

#define SAYS(text, member, value)                                           \
        do {                                                                \
                struct settings_file said = parsed(text, 0);                \
                CHECK_TEXT(said.member, strlen(said.member), value);        \
        } while (0)

static void toml(void)
{
        SAYS("", socket_path, "/before");
        SAYS("[settings]\nsocket_path = \"/run/x\"\n", socket_path, "/run/x");
        SAYS("[settings]\nsocket_path = '/run/\\x' # why\n", socket_path, "/run/\\x");
        SAYS("[ settings ] # all of it\n  \"socket_path\"=\"/a\\\"b\\\\c\\t\\u00e9\\U0001F680\"", socket_path, "/a\"b\\c\té🚀");
        SAYS("[settings]\r\nsocket_path = \"/run/x\"\r\n", socket_path, "/run/x");
        SAYS("# socket_path = \"/no\"\n[settings]\n#socket_path = \"/no\"\n", socket_path, "/before");
        SAYS("[other]\nsocket_path = \"/no\"\n[settings]\nstate_root = \"/r\"\n[third]\nstate_root = \"/no\"\n", state_root, "/r");
        SAYS("[other]\nsocket_path = \"/no\"\n", socket_path, "/before");
        SAYS("[settings]\nserver = \"https://example\"\nrecord_expiry = 1200\nsocket_path = \"/y\"", socket_path, "/y");
        SAYS("[settings]\ntext = \"\"\"\nsocket_path = '/no'\n\"\"\"\nsocket_path = \"/z\"", socket_path, "/z");
        SAYS("[settings]\ntext = '''socket_path = '/no' '''\nsocket_path = \"/z\"", socket_path, "/z");
        SAYS("[settings]\nsocket_path = \"/z\"\ntext = '''never closed\nsocket_path = '/no'", socket_path, "/z");
        SAYS("[settings]\nsocket_path = \"\"\n", socket_path, "");
        SAYS("[settings]\ntelemd_socket_path = \"/t\"\n", telemd_socket_path, "/t");
        SAYS("[settings]\nstate_root = \"\"\n", state_root, "");
        SAYS("[settings]\n#spool_dir = \"/no\"\nspool_dir_x = \"/no\"\n  spool_dir=\"/a b/c\"\n", spool_dir, "/a b/c");
        SAYS("[settings]\n#spool_dir = \"/no\"\nspool_dir_x = \"/no\"\n", spool_dir, "");
        SAYS("garbage\n[settings\nsocket_path = \"/no\"\n", socket_path, "/before");

        parsed("[settings]\nsocket_path = \"relative\"\n", -EINVAL);
        parsed("[settings]\nsocket_path = 1\n", -EINVAL);
        parsed("[settings]\nsocket_path = \"/unclosed\n", -EINVAL);
        parsed("[settings]\nsocket_path = \"/a\" and more\n", -EINVAL);
        parsed("[settings]\nsocket_path = \"/a\\q\"\n", -EINVAL);
        parsed("[settings]\nsocket_path = \"/a\\\"\n", -EINVAL);
        parsed("[settings]\nsocket_path = \"/a\\", -EINVAL);
        parsed("[settings]\nsocket_path = \"/a\\u12\"\n", -EINVAL);
        parsed("[settings]\nsocket_path = \"/a\\u00zz\"\n", -EINVAL);
        parsed("[settings]\nsocket_path = \"/a\\u0000b\"\n", -EINVAL);
        parsed("[settings]\nsocket_path = \"/a\\ud800\"\n", -EINVAL);
        SAYS("[settings]\nsocket_path = \"/\\u20ac\"\n", socket_path, "/€");
        struct settings_file file = {0};
        CHECK_EQ(settings_parse("socket_path = '/a\0b'", 20, &file), -EINVAL);
}

static void key_value(void)
{
        SAYS("socket_path=/run/telem-1\n", socket_path, "/run/telem-1");
        SAYS("[settings]\nserver=http://x\nsocket_path=/a\\sb\n; a comment\nspool_dir=/var\n", socket_path, "/a b");
        SAYS("[settings]\nsocket_path =  /padded  \n", socket_path, "/padded");
        SAYS("[settings]\nsocket_path=\n", socket_path, "");
        SAYS("spool_dir=/old/form\n", spool_dir, "/old/form");
}

static void lengths(void)
{
        char text[2048], path[1600];

        memset(path, 'p', sizeof path);
        path[0] = '/';
        path[107] = 0;
        snprintf(text, sizeof text, "socket_path=%s\n", path);
        SAYS(text, socket_path, path);
        path[107] = 'p';
        path[108] = 0;
        snprintf(text, sizeof text, "socket_path=%s\n", path);
        CHECK_TEXT(parsed(text, -ENAMETOOLONG).socket_path, 7, "/before");
        path[108] = 'p';
        path[1024] = 0;
        snprintf(text, sizeof text, "state_root=%s\n", path);
        parsed(text, -ENAMETOOLONG);
}

static void derivation(void)
{
        struct settings settings;
        struct settings_file file = {0};

        CHECK_EQ(settings_derive(&file, &settings), 0);
        CHECK_TEXT(settings.socket_path, strlen(settings.socket_path), "/run/telem-0");
        CHECK_TEXT(settings.telemd_socket_path, strlen(settings.telemd_socket_path), "/run/telemetry/telemd.sock");
        CHECK_TEXT(settings.opt_in_path, strlen(settings.opt_in_path), "/etc/telemetrics/opt-in");
        CHECK_TEXT(settings.state_root, strlen(settings.state_root), "");
        CHECK_TEXT(settings.spool_dir, strlen(settings.spool_dir), "/var/spool/telemetry");

        strcpy(file.state_root, "/tmp/r//");
        strcpy(file.socket_path, "/elsewhere");
        CHECK_EQ(settings_derive(&file, &settings), 0);
        CHECK_TEXT(settings.socket_path, strlen(settings.socket_path), "/elsewhere");
        CHECK_TEXT(settings.telemd_socket_path, strlen(settings.telemd_socket_path), "/tmp/r/run/telemetry/telemd.sock");
        CHECK_TEXT(settings.opt_in_path, strlen(settings.opt_in_path), "/tmp/r/etc/telemetrics/opt-in");
        CHECK_TEXT(settings.spool_dir, strlen(settings.spool_dir), "/tmp/r/var/spool/telemetry");
        strcpy(file.spool_dir, "/disk/spool");
        CHECK_EQ(settings_derive(&file, &settings), 0);
        CHECK_TEXT(settings.spool_dir, strlen(settings.spool_dir), "/disk/spool");

        strcpy(file.state_root, "/");
        CHECK_EQ(settings_derive(&file, &settings), 0);
        CHECK_TEXT(settings.telemd_socket_path, strlen(settings.telemd_socket_path), "/run/telemetry/telemd.sock");

        memset(file.state_root, 'r', 82);
        file.state_root[0] = '/';
        file.state_root[82] = 0;
        CHECK_EQ(settings_derive(&file, &settings), -ENAMETOOLONG);
        strcpy(file.telemd_socket_path, "/short"); /* a long root is fine where both sockets have paths of their own */
        CHECK_EQ(settings_derive(&file, &settings), 0);
        *file.socket_path = 0;
        memset(file.state_root, 'r', 1000);
        file.state_root[0] = '/';
        CHECK_EQ(settings_derive(&file, &settings), -ENAMETOOLONG);
}

static const char *setting(const char *name)
{
        static char value[256];

        CHECK(tm_get_setting(name, value, sizeof value) >= 0);
        return value;
}

static void use(const char *name, const char *text)
{
        scratch_write_text(name, text);
        CHECK_EQ(tm_set_config_file(in_scratch(name)), 0);
}

static void config_file(void)
{
        char text[256], cut[5];

        CHECK_EQ(tm_set_config_file(NULL), -EINVAL);
        CHECK_EQ(tm_set_config_file(""), -EINVAL);
        CHECK_EQ(tm_set_config_file("relative.conf"), -EINVAL);
        CHECK_EQ(tm_set_config_file("/no/such/file"), -ENOENT);
        CHECK_EQ(tm_set_config_file(scratch_folder), -EINVAL);
        char *endless = malloc(PATH_MAX + 10);
        NEED(endless);
        memset(endless, '/', PATH_MAX + 9);
        endless[PATH_MAX + 9] = 0;
        CHECK_EQ(tm_set_config_file(endless), -ENAMETOOLONG);
        free(endless);

        snprintf(text, sizeof text, "[settings]\nstate_root = \"%s\"\n", scratch_folder);
        use("first.conf", text);
        CHECK_TEXT(setting("state_root"), strlen(setting("state_root")), scratch_folder);
        CHECK_EQ(tm_is_opted_in(), 0);
        scratch_write_text("etc/telemetrics/opt-in", "");
        CHECK_EQ(tm_is_opted_in(), 1);
        CHECK(strstr(setting("telemd_socket_path"), "/run/telemetry/telemd.sock") != NULL);
        CHECK(strstr(setting("opt_in_path"), "/etc/telemetrics/opt-in") != NULL);

        /* read once: what changes in the file later isn't seen, and the file may go */
        scratch_write_text("first.conf", "[settings]\nstate_root = \"/changed\"\n");
        CHECK_EQ(tm_set_config_file(in_scratch("first.conf")), 0);
        CHECK_TEXT(setting("state_root"), strlen(setting("state_root")), scratch_folder);
        NEED(unlink(in_scratch("first.conf")) == 0);
        CHECK_EQ(tm_is_opted_in(), 1);

        use("second.conf", "[settings]\nsocket_path = \"/one\"\n");
        CHECK_TEXT(setting("socket_path"), strlen(setting("socket_path")), "/one");
        CHECK_TEXT(setting("state_root"), strlen(setting("state_root")), "");
        CHECK_EQ(tm_get_setting("socket_path", cut, sizeof cut), 4);
        CHECK_EQ(tm_get_setting("opt_in_path", cut, sizeof cut), strlen("/etc/telemetrics/opt-in"));
        CHECK_TEXT(cut, strlen(cut), "/etc");
        CHECK_EQ(tm_get_setting("socket_path", NULL, 0), 4);
        CHECK_EQ(tm_get_setting("socket_path", NULL, 1), -EINVAL);
        CHECK_EQ(tm_get_setting(NULL, cut, sizeof cut), -EINVAL);
        CHECK_EQ(tm_get_setting("server", cut, sizeof cut), -EINVAL);

        /* a file that is no good turns sending off; mended and named again, it is read again */
        use("bad.conf", "[settings]\nsocket_path = 5\n");
        CHECK_EQ(tm_get_setting("socket_path", cut, sizeof cut), -EINVAL);
        CHECK_EQ(tm_is_opted_in(), 0);
        use("bad.conf", "[settings]\nsocket_path = \"/two\"\n");
        CHECK_TEXT(setting("socket_path"), strlen(setting("socket_path")), "/two");

        char *big = malloc(SETTINGS_FILE_MAX + 1);
        NEED(big);
        memset(big, '\n', SETTINGS_FILE_MAX + 1);
        scratch_write("full.conf", big, SETTINGS_FILE_MAX);
        CHECK_EQ(tm_set_config_file(in_scratch("full.conf")), 0);
        CHECK_TEXT(setting("socket_path"), strlen(setting("socket_path")), "/run/telem-0");
        scratch_write("big.conf", big, SETTINGS_FILE_MAX + 1);
        CHECK_EQ(tm_set_config_file(in_scratch("big.conf")), 0);
        CHECK_EQ(tm_get_setting("socket_path", cut, sizeof cut), -EFBIG);
        free(big);

        use("gone.conf", "");
        NEED(unlink(in_scratch("gone.conf")) == 0);
        CHECK_EQ(tm_get_setting("socket_path", cut, sizeof cut), -ENOENT);
}

int main(void)
{
        toml();
        key_value();
        lengths();
        derivation();
        scratch_folder_make();
        config_file();
        scratch_folder_remove();
        return check_end();
}
