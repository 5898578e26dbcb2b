# SPDX-License-Identifier: Apache-2.0
"""The configuration: what the table of settings says, and its texts for people; which file holds. What may stand in a
file: test_config_forms.py."""

from __future__ import annotations

import os
import typing
from pathlib import Path

import pytest
from configfiles import loaded, refused

from telemd import config, configtext
from telemd.config import BUILT_IN, FILE_BYTES_MAX, ConfigError, Settings, load
from telemd.configkeys import BY_NAME, KEYS, Key, allowed, is_url, problem, shown

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "t.conf"


# ---- the table ------------------------------------------------------------------------------------------------------


def test_settings_have_the_tables_fields_and_types() -> None:
    hints = typing.get_type_hints(Settings)
    assert {key.name: key.type for key in KEYS} == hints
    assert list(hints) == [key.name for key in KEYS]


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.name)
def test_default_is_allowed_by_its_own_rules(key: Key) -> None:
    assert problem(key, key.default) == ""
    assert type(key.default) is key.type
    assert key.doc.endswith((".", "/"))
    assert allowed(key)


def test_defaults_are_those_of_telemetrics_client() -> None:
    expected: dict[str, object] = {
        "server": "",
        "socket_path": "/run/telem-0",
        "spool_dir": "/var/spool/telemetry",
        "cainfo": "",
        "record_expiry": 1200,
        "spool_max_size": 5120,
        "spool_process_time": 120,
        "rate_limit_enabled": True,
        "record_burst_limit": 1000,
        "record_window_length": 15,
        "byte_burst_limit": -1,
        "byte_window_length": 20,
        "rate_limit_strategy": "spool",
        "daemon_recycling_enabled": True,
        "record_server_delivery_enabled": True,
        "record_retention_enabled": False,
        "tidheader": "X-Telemetry-TID: 6907c830-eed9-4ce9-81ae-76daf8d88f0f",
    }
    values = Settings().values()
    assert {name: values[name] for name in expected} == expected


def test_example_file_is_the_tables() -> None:
    path = REPOSITORY / "etc/telemetrics.conf"
    assert path.read_text() == configtext.example(), "run: python3 -m telemd.configtext conf > etc/telemetrics.conf"


def test_example_file_changes_nothing() -> None:
    found = load(str(REPOSITORY / "etc/telemetrics.conf"))
    assert found.settings == Settings()
    assert found.warnings == []


def test_example_file_with_every_line_taken_in_is_the_defaults(file: Path) -> None:
    lines = [
        line[1:] if line.startswith("#") and line[1:2].islower() else line for line in configtext.example().split("\n")
    ]
    found = loaded(file, "\n".join(lines))
    assert found.settings == Settings()
    assert set(found.places) == set(BY_NAME)


def test_table_of_the_manual_is_the_tables() -> None:
    text = (REPOSITORY / "docs/telemetrics.conf.md").read_text()
    begin = text.index("-->\n") + len("-->\n")
    table = text[begin : text.index("<!-- the end of the table -->")]
    assert table == configtext.markdown(), "put in what this prints: python3 -m telemd.configtext table"


# ---- Settings -------------------------------------------------------------------------------------------------------


def test_settings_are_frozen() -> None:
    settings = Settings()
    with pytest.raises(AttributeError):
        settings.server = "http://other/"
    with pytest.raises(AttributeError):
        del settings.server
    with pytest.raises(TypeError, match="sever"):
        Settings(sever="")


def test_settings_compare_by_value() -> None:
    one, same, other = (
        Settings(record_expiry=7),
        Settings(record_expiry=7),
        Settings(record_expiry=8, server="http://h/"),
    )
    assert one == same
    assert hash(one) == hash(same)
    assert one != other
    assert one.changed(other) == ["server", "record_expiry"]
    assert Settings(**one.values()) == one


def test_repr_shows_no_address() -> None:
    assert "secret" not in repr(Settings(server="https://u:secret@h/"))


def test_all_paths_lie_below_state_root() -> None:
    settings = Settings(state_root="/tmp/x/")
    names = [
        name for name in dir(settings) if name.endswith(("_path", "_dir")) and isinstance(getattr(settings, name), str)
    ]
    assert len(names) >= 12
    for name in names:
        assert getattr(settings, name).startswith("/tmp/x/"), name
        assert "//" not in getattr(settings, name)
        assert getattr(Settings(), name) == getattr(settings, name).removeprefix("/tmp/x")


def test_a_path_that_is_named_is_taken_as_it_is() -> None:
    settings = Settings(state_root="/tmp/x", socket_path="/run/telem-0", spool_dir="/data/spool")
    assert settings.socket_path == "/run/telem-0"
    assert settings.drop_dir == "/data/spool/drop"
    assert settings.telemd_socket_path == "/tmp/x/run/telemetry/telemd.sock"


def test_root_of_slash_is_the_system() -> None:
    assert Settings(state_root="/") == Settings()


def test_spool_limit_in_bytes() -> None:
    assert Settings().spool_max_bytes == 5120 * 1024
    assert Settings(spool_max_size=-1).spool_max_bytes is None


def test_fixed_while_running_are_settings() -> None:
    assert set(config.FIXED_WHILE_RUNNING) <= set(BY_NAME)
    assert {"state_root", "spool_dir", "socket_path"} <= set(config.FIXED_WHILE_RUNNING)
    assert "server" not in config.FIXED_WHILE_RUNNING


# ---- layers ---------------------------------------------------------------------------------------------------------


def test_without_files_the_built_ins_hold(tmp_path: Path) -> None:
    found = load(None, layers=(str(tmp_path / "a"), str(tmp_path / "b"), str(tmp_path / "a/b")))
    assert found.settings == Settings()
    assert found.files == []
    assert set(found.origins.values()) == {BUILT_IN}


def test_later_layer_holds_key_by_key(tmp_path: Path) -> None:
    low, high = tmp_path / "low", tmp_path / "high"
    low.write_text('[settings]\nserver = "http://low/"\nrecord_expiry = 10\n')
    high.write_text("[settings]\nserver=http://high/\n")
    found = load(None, layers=(str(low), str(high)))
    assert (found.settings.server, found.settings.record_expiry) == ("http://high/", 10)
    assert (found.origins["server"], found.origins["record_expiry"]) == (str(high), str(low))
    assert found.origins["spool_dir"] == BUILT_IN
    assert found.files == [str(low), str(high)]


def test_named_file_stands_alone(file: Path, tmp_path: Path) -> None:
    layer = tmp_path / "layer"
    layer.write_text("[settings]\nrecord_expiry = 10\n")
    file.write_text('[settings]\nlog_level = "debug"\n')
    found = load(str(file), layers=(str(layer),))
    assert (found.settings.record_expiry, found.settings.log_level) == (1200, "debug")


def test_named_file_must_exist(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        load(str(tmp_path / "missing"))
    with pytest.raises(ConfigError, match="file name"):
        load("a\0b")


def test_only_regular_files_are_read(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    for path in (fifo, tmp_path):
        with pytest.raises(ConfigError, match="regular file"):
            load(str(path))


def test_file_has_a_limit(file: Path) -> None:
    line = "# ......................................................\n"
    text = line * (FILE_BYTES_MAX // len(line))
    loaded(file, text + "#" * (FILE_BYTES_MAX - len(text)))
    assert "larger than 64 KiB" in refused(file, text + "#" * (FILE_BYTES_MAX - len(text) + 1)).problem


def test_unreadable_file_says_how_to_read_it(file: Path) -> None:
    file.write_text("")
    file.chmod(0)
    before = os.geteuid()
    if before == 0:
        os.seteuid(65_534)  # root reads every file
    try:
        with pytest.raises(ConfigError, match="make it readable"):
            load(str(file))
    finally:
        os.seteuid(before)


# ---- values ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "http://h",
        "https://h/",
        "https://h:8443/in?x=1#y",
        "http://127.0.0.1:80",
        "http://[::1]:8080/",
        "https://u:p@h/",
        "http://[::1]",
    ],
)
def test_urls(url: str) -> None:
    assert is_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "h",
        "http://",
        "http:///x",
        "http://:80",
        "http://h:0",
        "http://h:65536",
        "http://h:x",
        "http://[::1",
        "http://[::1]x",
    ]
    + ["http://h\u00e4", "http://a b/", "file:///etc/passwd", "http://u@", "http://h:\u0664"],
)
def test_no_urls(url: str) -> None:
    assert not is_url(url)


@pytest.mark.parametrize("value", ["", 'a"b\\c', "tab\there", "\x7f", "\u00e4", "\x00"])
def test_shown_strings_are_toml(value: str) -> None:
    import tomli

    assert tomli.loads(f"x = {shown(value)}") == {"x": value}
