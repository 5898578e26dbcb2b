# SPDX-License-Identifier: Apache-2.0
"""record_server_delivery_enabled and record_retention_enabled in a running telemd, each with and without the other."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from httppeer import serving
from records import record, record_id
from running import Root, running, state_root, wait_until
from senders import say

if TYPE_CHECKING:
    from pathlib import Path


def copies(root: Root) -> set[str]:
    folder: Path = root.path / "var/log/telemetry/records"
    return set(os.listdir(folder)) if folder.exists() else set()


def journal(root: Root) -> str:
    path = root.path / "var/log/telemetry/journal"
    return path.read_text() if path.exists() else ""


@pytest.mark.parametrize("kept", [True, False])
def test_delivery_can_be_switched_off_and_on_again(kept: bool) -> None:
    with serving() as hub, state_root(retry_max_s=1) as root:
        always: dict[str, str | int | bool] = {"server": hub.url, "retry_max_s": 1, "record_retention_enabled": kept}
        root.configure(**always, record_server_delivery_enabled=False)
        with running(root) as telemd:
            for number in (1, 2):
                say(root.socket5, record(number))
            wait_until(lambda: record_id(2).hex() in journal(root), "the journal is written")
            assert telemd.status()["delivery"]["state"] == "disabled"
            assert telemd.account()["pending"] == 2
            assert telemd.courier_pids() == []
            assert hub.connections == 0
            assert record_id(1).hex() in journal(root)
            both = {record_id(1).hex(), record_id(2).hex()} if kept else set()
            wait_until(lambda: copies(root) == both, "copies are kept where they are wanted")

            root.configure(**always)
            telemd.reload()
            assert telemd.wait_delivered()["delivered"] == 2
            assert {each["id"] for request in hub.requests for each in request.records} == {
                record_id(1).hex(), record_id(2).hex(),
            }  # fmt: skip

            requests = len(hub.requests)
            root.configure(**always, record_server_delivery_enabled=False)
            telemd.reload()
            wait_until(lambda: telemd.status()["delivery"]["state"] == "disabled", "it is switched off again")
            say(root.socket5, record(3))
            assert telemd.account()["pending"] == 1
            assert len(hub.requests) == requests
