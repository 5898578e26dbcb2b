# SPDX-License-Identifier: Apache-2.0
"""Records that name a configuration file (`CFG:`, attribute 16): a bad file harms nobody, and none redirects anything.

The daemon of the C original died of the first, again at every restart, and obeyed the second from any local user.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from httppeer import Server, serving
from hubprocess import hub_at
from naming import FORMAT4, format4_naming, format5_naming, send_both
from running import NOBODY, Root, needs_root, running, state_root
from senders import DURABLE, say, tell

if TYPE_CHECKING:
    from collections.abc import Iterator


def bad_files(folder: Path) -> list[bytes]:
    """Files of every kind that no configuration can be."""
    (folder / "garbage.conf").write_bytes(os.urandom(4096))
    (folder / "empty.conf").touch()
    (folder / "wrong.conf").write_text('[settings]\nserver = 12\nno_such_key = "x"\n')
    (folder / "old.conf").write_text("server\nrecord_expiry=\n")
    (folder / "folder.conf").mkdir()
    os.mkfifo(folder / "fifo.conf")
    (folder / "loop.conf").symlink_to(folder / "loop.conf")
    names = [os.fsencode(each) for each in sorted(folder.iterdir())]
    return [*names, b"/nonexistent/x.conf", b"relative.conf", b"/", b"/dev/zero", b"/etc/\xff\xfe", b"../../etc/passwd"]


def test_a_bad_file_harms_nobody_not_even_after_a_restart(tmp_path: Path) -> None:
    files = bad_files(tmp_path)
    count = 2 * len(files)
    with state_root(retry_max_s=1) as root:
        with running(root) as telemd:
            for number, path in enumerate(files):
                tell(root.socket4, format4_naming(path))
                answer = say(root.socket5, format5_naming(path, number))
                assert answer is not None
                assert answer.verdict == DURABLE
            assert telemd.account()["pending"] == count
            telemd.kill()
        with running(root) as telemd:
            assert telemd.account()["pending"] == count
        with hub_at(tmp_path / "hub") as hub:
            root.configure(server=hub.url, retry_max_s=1)
            with running(root) as telemd:
                account = telemd.wait_delivered()
                assert (account["delivered"], account["rejected"], account["refused"]) == (count, 0, {})
            assert len(hub.records()) == count


def test_a_header_without_a_value_harms_nobody_not_even_after_a_restart() -> None:
    lines = FORMAT4[8 : FORMAT4.rindex(b"\nevent_id")].split(b"\n")
    names = [line.partition(b": ")[0] for line in lines]
    may_be_empty = {
        b"machine_id", b"arch", b"host_type", b"build", b"kernel_version", b"system_name", b"board_name", b"cpu_model",
        b"bios_version",
    }  # fmt: skip
    assert len(names) == 14
    with state_root() as root:
        with running(root) as telemd:
            for name, line in zip(names, lines, strict=True):
                header_size = int.from_bytes(FORMAT4[4:8], sys.byteorder) - (len(line) - len(name) - 2)
                rest = FORMAT4[8:].replace(line + b"\n", name + b": \n", 1)
                raw = header_size.to_bytes(4, sys.byteorder) + rest
                tell(root.socket4, (4 + len(raw)).to_bytes(4, sys.byteorder) + raw)
            account = telemd.account()
            assert account["admitted"] == len(may_be_empty)
            assert account["refused"] == {"header": len(names) - len(may_be_empty)}
            telemd.kill()
        with running(root) as telemd:
            assert telemd.account()["pending"] == len(may_be_empty)
            tell(root.socket4, FORMAT4)
            assert telemd.account()["pending"] == len(may_be_empty) + 1


@pytest.fixture
def attacker() -> Iterator[Server]:
    """A server of somebody else; it must hear nothing."""
    with serving() as server:
        yield server


def attackers_file(root: Root, attacker: Server, owner: int | None) -> bytes:
    """A configuration that is all right, but its owner isn't the machine's."""
    path = root.path / "attack.conf"
    path.write_text(f'[settings]\nserver = "{attacker.url}/v1/records"\nretry_max_s = 1\n')
    path.chmod(0o644)
    if owner is not None:
        os.chown(path, owner, owner)
    return os.fsencode(path)


@pytest.mark.parametrize("user", [None, NOBODY], ids=["same-user", "nobody"])
def test_a_record_redirects_nothing(tmp_path: Path, attacker: Server, user: int | None) -> None:
    if user is not None:
        needs_root()
    with hub_at(tmp_path / "hub") as hub, state_root(server=hub.url, retry_max_s=1) as root, running(root) as telemd:
        send_both(root, attackers_file(root, attacker, user), user)
        assert telemd.wait_delivered()["delivered"] == 2
        tell(root.socket4, FORMAT4)
        assert telemd.wait_delivered()["delivered"] == 3
        assert telemd.status()["server"] == hub.url
        assert len(hub.records()) == 3
        assert attacker.connections == 0


@pytest.mark.parametrize("user", [None, NOBODY], ids=["same-user", "nobody"])
def test_a_record_names_no_server_where_the_owner_named_none(
    tmp_path: Path, attacker: Server, user: int | None
) -> None:
    if user is not None:
        needs_root()
    with state_root() as root, hub_at(tmp_path / "hub") as hub, running(root) as telemd:
        send_both(root, attackers_file(root, attacker, user), user)
        tell(root.socket4, FORMAT4)
        assert telemd.status()["delivery"]["state"] == "disabled"
        assert telemd.account()["pending"] == 3
        assert telemd.courier_pids() == []
        root.configure(server=hub.url)
        telemd.reload()
        assert telemd.wait_delivered()["delivered"] == 3
        assert attacker.connections == 0
