# SPDX-License-Identifier: Apache-2.0
"""The machine id of telemetrics-client: taken over once and from nobody else, in force for its three days, and then one
of the past ids."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from machineids import NOW_S, SECRET, with_state

from telemd import formerid, machineid, rotations
from telemd.config import Settings
from telemd.formerid import Former
from telemd.machineid import EPOCH_S, current, past_ids

if TYPE_CHECKING:
    from collections.abc import Callable

OLD_ID = "0123456789abcdef" * 2
AGE_S = 100_000


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return with_state(tmp_path)


def left(settings: Settings, text: str = OLD_ID, age_s: float = AGE_S) -> Path:
    """telemetrics-client's file."""
    path = Path(settings.state_dir, "machine_id")
    path.write_text(text)
    path.chmod(0o644)
    os.utime(path, (NOW_S - age_s,) * 2)
    return path


def derived(settings: Settings, now_s: float) -> str:
    """The id that follows from the secret."""
    secret = machineid.read_secret(settings.state_dir)
    assert secret is not None
    return machineid.machine_id(secret, now_s)[0]


@pytest.mark.parametrize("text", [OLD_ID, f"{OLD_ID}\n", OLD_ID.upper()])
def test_it_goes_on_until_it_is_three_days_old(settings: Settings, text: str) -> None:
    left(settings, text)
    end_s = int(NOW_S - AGE_S) + EPOCH_S
    for now_s in (NOW_S, NOW_S + 1, end_s - 0.5):
        found = current(settings, now_s)
        assert (found.machine_id, found.valid_until_s, found.static, found.warnings) == (OLD_ID, end_s, False, [])
        seen = machineid.look(settings, now_s)
        assert seen is not None and seen.machine_id == OLD_ID
    after = current(settings, end_s)
    assert after.machine_id == derived(settings, end_s) != OLD_ID
    assert after.valid_until_s > end_s
    assert current(settings, NOW_S - AGE_S - EPOCH_S).machine_id != OLD_ID  # a clock that has jumped back


def _old(settings: Settings) -> None:
    left(settings, age_s=EPOCH_S)


def _short(settings: Settings) -> None:
    left(settings, OLD_ID[:31])


def _long(settings: Settings) -> None:
    left(settings, OLD_ID + "0")


def _more_lines(settings: Settings) -> None:
    left(settings, f"{OLD_ID}\n\n")


def _no_hex(settings: Settings) -> None:
    left(settings, "g" * 32)


def _not_ascii(settings: Settings) -> None:
    left(settings, OLD_ID[:31] + "\u0661")


def _link(settings: Settings) -> None:
    path = left(settings)
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def _second_name(settings: Settings) -> None:
    path = left(settings)
    os.link(path, path.with_name("elsewhere"))


def _for_all_to_write(settings: Settings) -> None:
    left(settings).chmod(0o666)


def _fifo(settings: Settings) -> None:
    os.mkfifo(Path(settings.state_dir, "machine_id"))


def _foreign(settings: Settings) -> None:
    path = left(settings)
    if os.geteuid() != 0:
        pytest.skip("giving a file away needs root")
    os.chown(path, 12345, 12345)


def _lasting(settings: Settings) -> None:
    left(settings)
    Path(settings.static_machine_id_path).write_text(OLD_ID)


@pytest.mark.parametrize(
    "spoil",
    [
        *(_old, _short, _long, _more_lines, _no_hex, _not_ascii, _link, _second_name, _for_all_to_write, _fifo),
        *(_foreign, _lasting),
    ],
)
def test_what_is_not_taken_over(settings: Settings, spoil: Callable[[Settings], None]) -> None:
    spoil(settings)
    current(settings, NOW_S)
    Path(settings.static_machine_id_path).unlink(missing_ok=True)
    found = current(settings, NOW_S)
    assert found.machine_id == derived(settings, NOW_S) != OLD_ID
    assert formerid.read(settings.state_dir) is None


def test_a_file_from_the_future_holds_for_three_days_at_most(settings: Settings) -> None:
    left(settings, age_s=-1_000_000)
    assert current(settings, NOW_S).valid_until_s == int(NOW_S) + EPOCH_S


def test_what_telemd_wrote_itself_is_not_taken_over(settings: Settings) -> None:
    first = current(settings, NOW_S).machine_id
    os.utime(Path(settings.state_dir, "machine_id"), (NOW_S, NOW_S))
    Path(settings.state_dir, "secret").unlink()  # as the owner is told to where it can't be used: for another id
    assert current(settings, NOW_S).machine_id != first


def test_a_kill_before_the_secret_is_made_keeps_it(settings: Settings) -> None:
    left(settings)
    directory = os.open(settings.state_dir, os.O_RDONLY)
    formerid.take_over(directory, NOW_S, None)
    os.close(directory)
    left(settings, "f" * 32)
    assert current(settings, NOW_S).machine_id == OLD_ID


def test_rotating_ends_it_and_it_stays_nameable(settings: Settings) -> None:
    left(settings)
    assert current(settings, NOW_S).machine_id == OLD_ID
    assert machineid.rotate(settings, NOW_S) == ""
    second = current(settings, NOW_S).machine_id
    assert second == derived(settings, NOW_S)
    assert machineid.rotate(settings, NOW_S) == ""
    third = current(settings, NOW_S).machine_id
    secret = machineid.read_secret(settings.state_dir)
    assert secret is not None
    turns, former = rotations.read(settings.state_dir), formerid.read(settings.state_dir)
    assert past_ids(secret, NOW_S, 3, turns, former) == [third, second, OLD_ID]


def test_an_end_that_cannot_be_written_changes_nothing(settings: Settings) -> None:
    left(settings)
    current(settings, NOW_S)
    Path(settings.state_dir, f"{formerid.NAME}.new").mkdir()
    assert "can't be written" in machineid.rotate(settings, NOW_S)
    assert current(settings, NOW_S).machine_id == OLD_ID


def test_its_place_among_the_past_ids() -> None:
    since_s = int(NOW_S) - AGE_S
    former = Former(OLD_ID, since_s, since_s + EPOCH_S)
    plain = past_ids(SECRET, NOW_S, 5)
    assert past_ids(SECRET, NOW_S, 3, former=former) == [OLD_ID, *plain[1:3]]
    later = past_ids(SECRET, NOW_S + 10 * EPOCH_S, 20, former=former)
    followers = past_ids(SECRET, NOW_S + 10 * EPOCH_S, later.index(OLD_ID))
    assert later[: later.index(OLD_ID)] == followers
    assert followers[-1] == machineid.machine_id(SECRET, former.until_s)[0]
    assert len(later) == len(set(later)) == 20


@pytest.mark.parametrize(
    "text",
    ["", "x", OLD_ID, f"{OLD_ID} 1", f"{OLD_ID} 1 -2", f"{OLD_ID} 1 2 3", f"{OLD_ID} 1 " + "9" * 16, "g" * 32 + " 1 2"],
)
def test_a_line_that_is_none(text: str) -> None:
    assert formerid.parse(text) is None


def test_file_is_telemds_alone(settings: Settings) -> None:
    left(settings)
    current(settings, NOW_S)
    assert os.stat(f"{settings.state_dir}/{formerid.NAME}").st_mode & 0o777 == 0o600
    assert sorted(os.listdir(settings.state_dir)) == [formerid.NAME, "machine_id", "secret"]
