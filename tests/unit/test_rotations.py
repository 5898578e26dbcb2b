# SPDX-License-Identifier: Apache-2.0
"""Machine ids changed at the owner's word: each is another one, all of them can be named, and the file is bounded."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from machineids import NOW_S, SECRET, with_state

from telemd import machineid, rotations
from telemd.config import Settings
from telemd.machineid import EPOCH_S, MachineIdError, current, epoch_of, machine_id, past_ids


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return with_state(tmp_path)


def test_every_turn_is_another_id_that_ends_with_the_epoch() -> None:
    epoch = epoch_of(SECRET, NOW_S)
    found = [machine_id(SECRET, NOW_S, {epoch: turns}) for turns in range(50)]
    assert len({each for each, _ in found}) == 50
    assert len({until_s for _, until_s in found}) == 1
    assert found[0] == machine_id(SECRET, NOW_S)


def test_next_epoch_begins_without_turns() -> None:
    turns = {epoch_of(SECRET, NOW_S): 3}
    assert machine_id(SECRET, NOW_S + EPOCH_S, turns) == machine_id(SECRET, NOW_S + EPOCH_S)


def test_past_ids_name_all_that_were() -> None:
    epoch = epoch_of(SECRET, NOW_S)
    turns = {epoch: 2, epoch - 1: 1}
    used = [machine_id(SECRET, NOW_S, {epoch: turn})[0] for turn in (2, 1, 0)]
    used += [machine_id(SECRET, NOW_S - EPOCH_S, {epoch - 1: turn})[0] for turn in (1, 0)]
    used.append(machine_id(SECRET, NOW_S - 2 * EPOCH_S)[0])
    assert past_ids(SECRET, NOW_S, 6, turns) == used
    assert past_ids(SECRET, NOW_S, 2, turns) == used[:2]


def test_a_turn_more_and_their_limits() -> None:
    assert rotations.once_more({}, 5) == {5: 1}
    assert rotations.once_more({5: 1, 4: 9}, 5) == {4: 9, 5: 2}
    assert rotations.once_more({5: rotations.TURNS_MAX}, 5) is None
    many = dict.fromkeys(range(rotations.EPOCHS_MAX), 1)
    after = rotations.once_more(many, rotations.EPOCHS_MAX)
    assert after is not None and len(after) == rotations.EPOCHS_MAX and 0 not in after


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", {}),
        ("5 1\n6 2\n", {5: 1, 6: 2}),
        ("5 1\nx\n-6 2\n7\n8 x\n9 99999\n10 1001\n" + "9" * 16 + " 1\n11 1000", {5: 1, 11: 1000}),
        ("\0\xff\n5 1", {5: 1}),
    ],
)
def test_lines_that_are_none_are_left_out(text: str, found: dict[int, int]) -> None:
    assert rotations.parse(text) == found


def test_file_holds_what_was_written(settings: Settings) -> None:
    assert rotations.read(settings.state_dir) == {}
    rotations.write(settings.state_dir, {5: 1})
    rotations.write(settings.state_dir, {5: 2, 6: 1})
    assert rotations.read(settings.state_dir) == {5: 2, 6: 1}
    assert os.stat(f"{settings.state_dir}/{rotations.NAME}").st_mode & 0o777 == 0o600
    assert os.listdir(settings.state_dir) == [rotations.NAME]


def test_rotate(settings: Settings) -> None:
    first = current(settings, NOW_S).machine_id
    assert machineid.rotate(settings, NOW_S) == ""
    second = current(settings, NOW_S).machine_id
    assert second != first
    seen = machineid.look(settings, NOW_S)
    assert seen is not None and (seen.machine_id, seen.static) == (second, False)
    secret = machineid.read_secret(settings.state_dir)
    assert secret is not None
    assert past_ids(secret, NOW_S, 2, rotations.read(settings.state_dir)) == [second, first]


def test_lasting_id_is_not_rotated(settings: Settings) -> None:
    Path(settings.static_machine_id_path).write_text("ab" * 16)
    assert "remove" in machineid.rotate(settings, NOW_S)
    assert rotations.read(settings.state_dir) == {}
    seen = machineid.look(settings, NOW_S)
    assert seen is not None and (seen.machine_id, seen.static) == ("ab" * 16, True)


def test_rotation_that_cannot_be_written_changes_nothing(settings: Settings) -> None:
    first = current(settings, NOW_S).machine_id
    Path(settings.state_dir, f"{rotations.NAME}.new").mkdir()
    assert "can't be written" in machineid.rotate(settings, NOW_S)
    assert current(settings, NOW_S).machine_id == first


def test_looking_makes_nothing(settings: Settings) -> None:
    assert machineid.look(settings, NOW_S) is None
    os.rmdir(settings.state_dir)
    assert machineid.look(settings, NOW_S) is None
    assert not os.path.exists(settings.state_dir)


def test_looking_at_a_secret_that_is_not_right(settings: Settings) -> None:
    secret = Path(settings.state_dir, "secret")
    secret.write_bytes(b"x" * 32)
    secret.chmod(0o644)
    with pytest.raises(MachineIdError, match="others"):
        machineid.look(settings, NOW_S)
