# SPDX-License-Identifier: Apache-2.0
"""The machine id: what it is made of, when it changes, and a state directory that isn't as it should be."""

from __future__ import annotations

import hashlib
import hmac
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from machineids import NOW_S, SECRET, before_the_first_start

from telemd.config import Settings
from telemd.machineid import (
    EPOCH_S,
    PAST_IDS_MAX,
    MachineIdError,
    current,
    hmac_sha256,
    load_secret,
    machine_id,
    past_ids,
    read_machine_id,
    static_id,
)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return before_the_first_start(tmp_path)


# ---- pure -----------------------------------------------------------------------------------------------------------


def test_hmac_is_the_standards() -> None:
    chance = random.Random(1)
    for length in (0, 1, 31, 32, 63, 64):
        secret = chance.randbytes(length)
        for size in (0, 1, 55, 56, 64, 200):
            message = chance.randbytes(size)
            assert hmac_sha256(secret, message) == hmac.new(secret, message, hashlib.sha256).digest()


def test_id_is_what_the_protocol_says() -> None:
    shift = hmac.new(SECRET, b"telemetrics machine id epoch shift", hashlib.sha256).digest()
    shift_s = int.from_bytes(shift[:8], "little") % EPOCH_S
    epoch = (int(NOW_S) + shift_s) // EPOCH_S
    message = b"telemetrics machine id" + epoch.to_bytes(8, "little")
    found, until_s = machine_id(SECRET, NOW_S)
    assert found == hmac.new(SECRET, message, hashlib.sha256).hexdigest()[:32]
    assert until_s == (epoch + 1) * EPOCH_S - shift_s


def test_id_holds_for_three_days_and_not_longer() -> None:
    first, until_s = machine_id(SECRET, NOW_S)
    assert NOW_S < until_s <= NOW_S + EPOCH_S
    assert machine_id(SECRET, until_s - 0.001) == (first, until_s)
    second, second_until_s = machine_id(SECRET, until_s)
    assert second != first
    assert second_until_s == until_s + EPOCH_S


def test_a_fleet_changes_over_the_whole_three_days() -> None:
    chance = random.Random(2)
    ends = [machine_id(chance.randbytes(32), NOW_S)[1] - NOW_S for _ in range(300)]
    assert min(ends) < EPOCH_S / 10
    assert max(ends) > EPOCH_S * 9 / 10
    assert len(set(ends)) > 290


@pytest.mark.parametrize("now_s", [-1e30, -1.0, 0.0, 0.5, 1e12, 2.0**53, 1e30, float("inf"), float("-inf")])
def test_any_clock_gives_an_id(now_s: float) -> None:
    found, until_s = machine_id(SECRET, now_s)
    assert static_id(found) == found
    assert until_s > 0
    assert past_ids(SECRET, now_s, 3)[0] == found


def test_past_ids_are_those_that_were() -> None:
    ids = past_ids(SECRET, NOW_S, 5)
    assert ids == [machine_id(SECRET, NOW_S - EPOCH_S * back)[0] for back in range(5)]
    assert len(set(ids)) == 5


def test_past_ids_end_with_1970_and_the_limit() -> None:
    assert past_ids(SECRET, 0.0, 10) == [machine_id(SECRET, 0.0)[0]]
    assert past_ids(SECRET, NOW_S, 0) == []
    assert len(past_ids(SECRET, 4e9, 1 << 60)) == PAST_IDS_MAX


def test_static_id() -> None:
    assert static_id("0123456789abcdef" * 2 + "\n") == "0123456789abcdef" * 2
    assert static_id("0123456789ABCDEF" * 2 + "rest") == "0123456789abcdef" * 2
    for wrong in ("", "0" * 31, "g" * 32, "0" * 31 + "\n", " " + "0" * 32):
        assert static_id(wrong) is None


def test_openssl_stays_out() -> None:
    """3.8 MB of telemd's 18."""
    code = (
        "import sys, telemd.machineid as m; m.machine_id(bytes(32), 0); print({'_hashlib', 'hmac'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "set()\n"


# ---- the state directory --------------------------------------------------------------------------------------------


def test_secret_is_made_once(settings: Settings) -> None:
    first = load_secret(settings.state_dir)
    path = Path(settings.state_dir, "secret")
    assert path.read_bytes() == first
    assert len(first) == 32
    assert path.stat().st_mode & 0o7777 == 0o600
    assert load_secret(settings.state_dir) == first
    assert sorted(os.listdir(settings.state_dir)) == ["secret"]


def test_secrets_differ(tmp_path: Path) -> None:
    assert load_secret(str(tmp_path / "a")) != load_secret(str(tmp_path / "b"))


def test_umask_doesnt_matter(settings: Settings) -> None:
    before = os.umask(0)
    try:
        load_secret(settings.state_dir)
    finally:
        os.umask(before)
    assert Path(settings.state_dir, "secret").stat().st_mode & 0o7777 == 0o600


def test_half_written_secret_of_a_killed_telemd_doesnt_matter(settings: Settings) -> None:
    Path(settings.state_dir).mkdir(parents=True)
    Path(settings.state_dir, f"secret.{os.getpid()}").write_bytes(b"half")
    assert len(load_secret(settings.state_dir)) == 32
    assert os.listdir(settings.state_dir) == ["secret"]


def test_of_two_makers_one_wins(settings: Settings) -> None:
    code = "import sys; from telemd.machineid import load_secret; print(load_secret(sys.argv[1]).hex())"
    makers = [
        subprocess.Popen([sys.executable, "-c", code, settings.state_dir], stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    found = {maker.communicate(timeout=60)[0] for maker in makers}
    assert found == {load_secret(settings.state_dir).hex() + "\n"}


def _too_short(path: Path) -> None:
    path.write_bytes(b"x" * 31)
    path.chmod(0o600)


def _too_long(path: Path) -> None:
    path.write_bytes(b"x" * 33)
    path.chmod(0o600)


def _for_all_to_read(path: Path) -> None:
    path.write_bytes(b"x" * 32)
    path.chmod(0o644)


def _a_link(path: Path) -> None:
    target = path.parent / "elsewhere"
    target.write_bytes(b"x" * 32)
    target.chmod(0o600)
    path.symlink_to(target)


def _a_directory(path: Path) -> None:
    path.mkdir()


def _a_fifo(path: Path) -> None:
    os.mkfifo(path, 0o600)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_too_short, "not 32 bytes"),
        (_too_long, "not 32 bytes"),
        (_for_all_to_read, "read or written by others"),
        (_a_link, "symbolic link"),
        (_a_directory, "not a regular file"),
        (_a_fifo, "not a regular file"),
    ],
    ids=lambda each: getattr(each, "__name__", ""),
)
def test_secret_that_cant_be_trusted(settings: Settings, spoil: object, said: str) -> None:
    path = Path(settings.state_dir, "secret")
    path.parent.mkdir(parents=True)
    assert callable(spoil)
    spoil(path)
    with pytest.raises(MachineIdError, match=said) as caught:
        load_secret(settings.state_dir)
    assert str(path) in str(caught.value)
    assert "remove it" in str(caught.value)


def test_directory_for_all_to_write(settings: Settings) -> None:
    Path(settings.state_dir).mkdir(parents=True)
    os.chmod(settings.state_dir, 0o777)
    with pytest.raises(MachineIdError, match="chmod it to 0755"):
        load_secret(settings.state_dir)


def test_no_directory_to_be_had(settings: Settings) -> None:
    Path(settings.state_root, "var").write_text("a file")
    with pytest.raises(MachineIdError, match="create it for telemd's user"):
        load_secret(settings.state_dir)


# ---- the id in force ------------------------------------------------------------------------------------------------


def test_id_in_force_is_written_for_older_programs(settings: Settings) -> None:
    now = current(settings, NOW_S)
    path = Path(settings.state_dir, "machine_id")
    assert path.read_text() == now.machine_id + "\n"
    assert (now.machine_id, now.valid_until_s) == machine_id(load_secret(settings.state_dir), NOW_S)
    assert now.warnings == []
    inode = path.stat().st_ino
    assert current(settings, NOW_S).machine_id == now.machine_id
    assert path.stat().st_ino == inode, "written again though nothing changed"
    later = current(settings, now.valid_until_s)
    assert later.machine_id != now.machine_id
    assert path.read_text() == later.machine_id + "\n"


def test_clock_that_jumps_back_gives_the_id_of_that_time(settings: Settings) -> None:
    first = current(settings, NOW_S).machine_id
    assert current(settings, NOW_S + 40 * EPOCH_S).machine_id != first
    assert current(settings, NOW_S).machine_id == first
    assert current(settings, -5.0).machine_id == current(settings, 0.0).machine_id


def test_lasting_id_goes_first(settings: Settings) -> None:
    Path(settings.static_machine_id_path).write_text("ABCDEF0123456789" * 2 + "\nmine\n")
    for now_s in (NOW_S, NOW_S + 10 * EPOCH_S):
        assert current(settings, now_s).machine_id == "abcdef0123456789" * 2
    assert read_machine_id(settings.state_dir) == "abcdef0123456789" * 2


@pytest.mark.parametrize("text", ["", "too short", "z" * 32, "0" * 31 + "\xe4"])
def test_lasting_id_that_is_none_is_left_out_with_a_warning(settings: Settings, text: str) -> None:
    Path(settings.static_machine_id_path).write_text(text, encoding="utf-8")
    now = current(settings, NOW_S)
    assert now.machine_id == machine_id(load_secret(settings.state_dir), NOW_S)[0]
    (warning,) = now.warnings
    assert settings.static_machine_id_path in warning


def test_link_in_place_of_the_id_is_replaced_not_followed(settings: Settings, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    Path(settings.state_dir).mkdir(parents=True)
    path = Path(settings.state_dir, "machine_id")
    path.symlink_to(victim)
    found = current(settings, NOW_S)
    assert victim.read_text() == "precious"
    assert not path.is_symlink()
    assert path.read_text() == found.machine_id + "\n"


def test_id_that_cant_be_written_is_a_warning(settings: Settings) -> None:
    load_secret(settings.state_dir)
    Path(settings.state_dir, "machine_id").mkdir()
    found = current(settings, NOW_S)
    assert static_id(found.machine_id) == found.machine_id
    (warning,) = found.warnings
    assert warning.endswith(", ignoring")
