# SPDX-License-Identifier: Apache-2.0
"""What may stand in a configuration file, as TOML or in telemetrics-client's form, and what is refused, where."""

from __future__ import annotations

from pathlib import Path

import pytest
from configfiles import loaded, refused

from libtelemetry.tomllines import key_lines
from telemd import configfile
from telemd.config import Settings
from telemd.configkeys import BY_NAME


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "t.conf"


# ---- TOML -----------------------------------------------------------------------------------------------------------


def test_toml_values_of_every_type(file: Path) -> None:
    found = loaded(
        file,
        """
# a comment
[settings]
server = "https://hub.example:8443/in"      # another
record_expiry = 1_440
record_retention_enabled = true
spool_max_size = -1
connections_max = 0
rate_limit_strategy = 'drop'
"tidheader" = "X-TID: a"
""",
    )
    settings = found.settings
    assert settings.server == "https://hub.example:8443/in"
    assert (settings.record_expiry, settings.record_retention_enabled, settings.spool_max_size) == (1440, True, -1)
    assert (settings.connections_max, settings.rate_limit_strategy, settings.tidheader) == (0, "drop", "X-TID: a")
    assert found.places["tidheader"] == (str(file), 10)
    assert found.warnings == []


@pytest.mark.parametrize("text", ["", "# nothing\n", "[settings]\n", "\n\n[settings]\n# x\n"])
def test_empty_files_change_nothing(file: Path, text: str) -> None:
    assert loaded(file, text).settings == Settings()


@pytest.mark.parametrize(
    ("line", "key", "said"),
    [
        ("spool_process_time = 60", "spool_process_time", ["60 is below 120", "from 120 to 300 (s)"]),
        ("spool_process_time = 301", "spool_process_time", ["301 is above 300"]),
        ("record_window_length = 60", "record_window_length", ["60 is above 59"]),
        ("connections_max = 5", "connections_max", ["5 is below 16", "or 0"]),
        ("spool_max_size = -2", "spool_max_size", ["-2 is below", "or -1"]),
        ("record_expiry = 99999999999999999999999999", "record_expiry", ["the number is above"]),
        ("record_expiry = 1.5", "record_expiry", ["a fraction stands", "whole number"]),
        ("record_expiry = true", "record_expiry", ["true or false stands"]),
        ('record_expiry = "10"', "record_expiry", ["a string stands"]),
        ("record_expiry = [10]", "record_expiry", ["an array stands"]),
        ("record_expiry = 2020-01-01", "record_expiry", ["a date or time stands"]),
        ("rate_limit_enabled = 1", "rate_limit_enabled", ["a number stands", "without quotes"]),
        ('rate_limit_enabled = "true"', "rate_limit_enabled", ["a string stands"]),
        ('rate_limit_strategy = "Spool"', "rate_limit_strategy", ['"spool" or "drop"']),
        ("server = true", "server", ["true or false stands"]),
        ('server = "hub.example"', "server", ["no http or https URL", "https://HOST/"]),
        ('server = "ftp://hub.example/"', "server", ["no http or https URL"]),
        (r'server = "http://h/\r\nX: y"', "server", ["control character"]),
        ('socket_path = "run/x"', "socket_path", ["begin with /", "107 bytes"]),
        ('socket_path = "/run/../x"', "socket_path", ["goes up"]),
        (f'socket_path = "/{"x" * 107}"', "socket_path", ["longer than 107"]),
        (r'spool_dir = "/a\u0000b"', "spool_dir", ["control character"]),
        ('tidheader = "no colon"', "tidheader", ["HTTP header"]),
        (r'tidheader = "A: b\nC: d"', "tidheader", ["control character"]),
        ('transport = "../x"', "transport", ["no name"]),
        ("recrod_expiry = 10", "recrod_expiry", ["not a setting", "did you mean record_expiry?"]),
        ("frobnicate = 10", "frobnicate", ["not a setting", "config show"]),
        ("server.x = 10", "server", ["a table stands"]),
    ],
)
def test_toml_mistake_names_line_key_and_remedy(file: Path, line: str, key: str, said: list[str]) -> None:
    error = refused(file, f'# one\n[settings]\nlog_level = """\\\n  info"""\n\n{line}\n')
    assert (error.line, error.key) == (6, key)
    for words in said:
        assert words in str(error)


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("record_expiry = 10\n", 1, "put the line [settings] above it"),
        ('# x\n\n"server" = "http://h/"\n[settings]\n', 3, "put the line [settings] above it"),
        ("[settings]\n[other]\nx = 1\n", 2, "under [settings]"),
        ("[settings]\n[other.x]\n", 2, "under [settings]"),
        ("settings = 3\n", 1, "[settings] on a line of its own"),
        ("metrics = 3\n", 1, "this is not a setting"),
        ("[[metrics]]\n", 1, "this is not a setting"),
        ('\nsettings.log_level = "info"\n', 2, "[settings] on a line of its own"),
        ('settings = { log_level = "info" }\n', 1, "[settings] on a line of its own"),
        ('["settings"]\nlog_level = "info"\n', 1, "[settings] on a line of its own"),
        ('[settings]\n"state\\u005froot" = "/tmp/x"\n', 2, 'state_root = "..." on one line'),
        ('[settings]\n\nstate_root = """/tmp/x"""\n', 3, 'state_root = "..." on one line'),
        ("[settings]\nsocket_path = '''/tmp/x'''\n", 2, 'socket_path = "..." on one line'),
        ("\n[[settings]]\n", 2, "this is no table"),
        ('[settings]\nserver = hub\nlog_level = "info"\n', 2, 'write server = "..."'),
        ('[settings]\nlog_level = "info"\nserver = http://h/ # mine\n', 3, 'write server = "..."'),
        ('[settings]\nserver = "http://h/\n', 2, "server"),
        ("[settings]\nrecord_expiry = 1\nrecord_expiry = 2\nlog_level = 'info'", 3, "second time"),
        ("[settings]\nthis is no TOML\n", 2, "not TOML"),
        ("[settings\n", 1, "not TOML"),
        ("[settings]\nrecord_expiry = \n[", 2, "whole number"),
    ],
)
def test_toml_that_is_no_settings_table(file: Path, text: str, line: int, said: str) -> None:
    error = refused(file, text)
    assert error.line == line
    assert said in str(error)


def test_what_metricprobe_reads_is_left_to_it(file: Path) -> None:
    text = '[metrics]\ncollectors = "-gpu"\n[metrics.cpu]\nstate_root = 3\n[settings]\nrecord_expiry = 7\n'
    found = loaded(file, text)
    assert found.settings == loaded(file, "[settings]\nrecord_expiry = 7\n").settings
    assert found.warnings == []


def test_not_utf8_names_the_line(file: Path) -> None:
    error = refused(file, b"[settings]\n\n# \xff\n")
    assert error.line == 3
    assert "UTF-8" in error.problem


def test_deep_nesting_is_refused(file: Path) -> None:
    refused(file, "[settings]\nserver = " + "[" * 30_000)


def test_no_message_quotes_a_value(file: Path) -> None:
    for line in ("server = 'http://u:hunter2@h:x/'", "server = hunter2", "tidheader = 'hunter2'", "cainfo = 'hunter2'"):
        assert "hunter2" not in str(refused(file, f'[settings]\nlog_level = "info"\n{line}\n'))


# ---- where a key stands ---------------------------------------------------------------------------------------------


def test_lines_of_keys() -> None:
    text = '''
top = 1 # [no.table]
"quoted = # key" = """
[not.a.table]
key = "no" \\""" still """
'lit' = \'\'\'
x = 1\'\'\'\'
[settings]   # [x]
a = [
  1, # ]
  "]", 2 ]
a . "b\\u0041" = { c = "}", d = [1] }
  [ settings."s.t" ] # y
k = ""
l = \'\'
[[many]]
k = "a\\\\"
[[many]]
last = 1'''
    import tomli

    tomli.loads(text.replace("a . ", "z . "))
    assert key_lines(text) == {
        ("top",): 2,
        ("quoted = # key",): 3,
        ("lit",): 6,
        ("settings",): 8,
        ("settings", "a"): 9,
        ("settings", "a", "bA"): 12,
        ("settings", "s.t"): 13,
        ("settings", "s.t", "k"): 14,
        ("settings", "s.t", "l"): 15,
        ("many",): 16,
        ("many", "k"): 17,
        ("many", "last"): 19,
    }


def test_lines_with_carriage_returns(file: Path) -> None:
    error = refused(file, "[settings]\r\n# a\r\nrecord_expiry = 0\r\n")
    assert error.line == 3


# ---- telemetrics-client's form --------------------------------------------------------------------------------------


def test_original_form(file: Path) -> None:
    found = loaded(
        file,
        "[settings]\n; a comment\n# another\nserver=https://h/v2/collector\n"
        "rate_limit_enabled=FALSE\nrecord_retention_enabled=1\n"
        "tidheader=X-Telemetry-TID:\\s6907\n  record_expiry =  30 \nspool_max_size=-1\ncainfo=\n",
    )
    settings = found.settings
    assert settings.server == "https://h/v2/collector"
    assert settings.tidheader == "X-Telemetry-TID: 6907"
    assert (settings.rate_limit_enabled, settings.record_retention_enabled) == (False, True)
    assert (settings.record_expiry, settings.spool_max_size, settings.cainfo) == (30, -1, "")
    assert found.warnings == []
    assert found.places["record_expiry"] == (str(file), 8)


@pytest.mark.parametrize(
    ("line", "value", "warned"),
    [
        ("spool_process_time=10", ("spool_process_time", 120), "10 is below 120, taking 120"),
        ("spool_process_time=1000", ("spool_process_time", 300), "1000 is above 300, taking 300"),
        ("record_expiry=" + "9" * 5000, ("record_expiry", 525_600), "above 525600"),
        ("record_expiry=soon", ("record_expiry", 1200), "not a number, taking 1200"),
        ("record_expiry=-+5", ("record_expiry", 1200), "not a number"),
        ("record_expiry=", ("record_expiry", 1200), "not a number"),
        ("record_expiry=\u0663", ("record_expiry", 1200), "not a number"),
        ("rate_limit_enabled=maybe", ("rate_limit_enabled", True), "neither true nor false, taking true"),
        ("rate_limit_strategy=both", ("rate_limit_strategy", "spool"), "none of its values"),
        ("server=h.example:8080", ("server", "http://h.example:8080"), "taking http://"),
        ("server=not a url", ("server", ""), "no http or https URL"),
        ("tidheader=nothing", ("tidheader", BY_NAME["tidheader"].default), "taking the default"),
        ("spool_dir=relative", ("spool_dir", "/var/spool/telemetry"), "begin with /"),
    ],
)
def test_original_form_is_put_right_with_a_warning(
    file: Path, line: str, value: tuple[str, object], warned: str
) -> None:
    found = loaded(file, f"[settings]\nlog_level=info\n{line}\n")
    assert getattr(found.settings, value[0]) == value[1]
    (warning,) = found.warnings
    assert warning.startswith(f"{file}:3: {value[0]}: ")
    assert warned in warning


def test_original_form_unknown_and_doubled_keys(file: Path) -> None:
    found = loaded(
        file, "server=http://a/\nserver=http://b/\nrecrod_expiry=10\n\x1b[31m=x\n".replace("\x1b[31m", "esc")
    )
    assert found.settings.server == "http://b/"
    assert [warning.removeprefix(f"{file}:").partition(":")[0] for warning in found.warnings] == ["2", "3", "4"]
    assert "did you mean record_expiry?" in found.warnings[1]


@pytest.mark.parametrize(
    ("text", "original"),
    [
        ("server=http://h/\n", True),
        ("[settings]\nserver=http://h/\n; c\n\n", True),
        ('server="http://h/\n', False),
        ("server=http://h/\nlog_level='info'\n", False),
        ("server http://h/\n", False),
        ("a.b=c d\n", False),
        ("# nothing but a comment\n", False),
        ("=x\n", False),
        ("x=[1\n", False),
    ],
)
def test_which_form(text: str, original: bool) -> None:
    assert configfile.looks_original(text) is original


# ---- what follows from several keys ---------------------------------------------------------------------------------


def test_root_that_makes_a_socket_path_too_long(file: Path) -> None:
    error = refused(file, f'[settings]\n\nstate_root = "/{"r" * 90}"\n')
    assert (error.line, error.key) == (3, "state_root")
    assert "telemd_socket_path" in error.problem
    assert "shorter" in error.remedy


def test_two_sockets_in_one_place(file: Path) -> None:
    error = refused(file, '[settings]\nsocket_path = "/run/s"\ntelemd_socket_path = "/run/s"\n')
    assert error.line == 3
