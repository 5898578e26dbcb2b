# SPDX-License-Identifier: Apache-2.0
"""From telemd's spool to the hub, while the hub, the network or the courier fails: everything arrives, and once."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
from typing import TYPE_CHECKING

from httppeer import Request, accept, reply, serving, verdicts
from hubprocess import hub_at
from records import record, record_id
from running import Root, Telemd, running, state_root, wait_until
from senders import DURABLE, Burst, bursts, say

if TYPE_CHECKING:
    from pathlib import Path

    from hubprocess import HubProcess

NO_CAP = 1 << 20


def send(root: Root, numbers: range) -> None:
    """One after the other over one connection; all are durable then."""
    burst = Burst(root.socket5, numbers).start()
    burst.join()
    assert burst.durable == set(numbers)


def assert_at_the_hub(hub: HubProcess, numbers: range) -> None:
    found = [each["id"] for each in hub.records(limit=1000)]
    assert len(found) == len(set(found)) == len(numbers)
    assert set(found) == {record_id(number).hex() for number in numbers}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
    return port


def test_hub_that_comes_late_and_goes_away_and_comes_back(tmp_path: Path) -> None:
    port = free_port()
    listen = ("--listen", f"127.0.0.1:{port}")
    server = f"http://127.0.0.1:{port}/v1/records"
    with state_root(server=server, retry_max_s=1, spool_max_size=NO_CAP) as root, running(root) as telemd:
        send(root, range(2000))
        wait_until(lambda: telemd.status()["delivery"]["last_error"], "a try has failed")
        assert telemd.account()["pending"] == 2000
        with hub_at(tmp_path, *listen):
            telemd.wait_delivered()
        send(root, range(2000, 3000))
        wait_until(lambda: telemd.status()["delivery"]["last_error"], "a try has failed")
        with hub_at(tmp_path, *listen) as hub:
            assert telemd.wait_delivered()["delivered"] == 3000
            assert_at_the_hub(hub, range(3000))
        telemd.wait_log("delivery works again")
        assert telemd.log().count("delivery works again") <= 3


def test_hub_killed_while_it_takes_records(tmp_path: Path) -> None:
    """Whatever it had stored without being able to say so, it knows again."""
    port = free_port()
    listen = ("--listen", f"127.0.0.1:{port}")
    server = f"http://127.0.0.1:{port}/v1/records"
    with state_root(server=server, retry_max_s=1, spool_max_size=NO_CAP) as root, running(root) as telemd:
        for turn in range(3):
            with contextlib.suppress(HubKilled), hub_at(tmp_path, *listen) as hub:
                before = telemd.account()["delivered"]
                with bursts(root.socket5, 10_000, 2, turn * 10_000):
                    more_than(telemd, before)
                    hub.process.kill()
                raise HubKilled
        with hub_at(tmp_path, *listen) as hub:
            assert telemd.wait_delivered()["delivered"] == 30_000
            assert_at_the_hub(hub, range(30_000))


def more_than(telemd: Telemd, delivered: int) -> None:
    telemd.wait_account("more are delivered", lambda seen: seen["delivered"] > delivered)


class HubKilled(Exception):
    """So that hub_at() doesn't ask it to stop."""


def test_hub_that_is_busy() -> None:
    """503 with Retry-After: nothing is lost, nothing counted as rejected, and it is left alone for so long."""
    busy = threading.Event()
    busy.set()

    def script(request: Request, stream: socket.socket) -> bytes | None:
        return reply(503, {"message": "busy"}, "Retry-After: 1") if busy.is_set() else accept(request, stream)

    with serving(script) as server, state_root(server=server.url, retry_max_s=1) as root, running(root) as telemd:
        send(root, range(100))
        wait_until(lambda: len(server.requests) >= 3, "it is asked again")
        account = telemd.account()
        assert (account["pending"], account["rejected"]) == (100, 0)
        busy.clear()
        assert telemd.wait_delivered()["delivered"] == 100


def test_a_restart_does_not_hammer_a_busy_hub() -> None:
    """It asked to be left alone for ten minutes: that holds for the next telemd too, but for that server only."""

    def script(request: Request, stream: socket.socket) -> bytes:
        return reply(503, {"message": "busy"}, "Retry-After: 600")

    with serving(script) as server, serving(accept) as other, state_root(server=server.url) as root:
        with running(root) as telemd:
            send(root, range(10))
            wait_until(lambda: telemd.status()["delivery"]["last_error"], "a try has failed")
            wait_until((root.path / "var/lib/telemetry/retry").exists, "that is kept")
        with running(root) as telemd:
            send(root, range(10, 20))
            status = telemd.status()
            assert status["delivery"]["state"] == "waiting"
            assert status["delivery"]["next_try_us"] > status["started_us"] + 500_000_000
            assert len(server.requests) == 1
        root.configure(server=other.url)
        with running(root) as telemd:
            assert telemd.wait_delivered()["delivered"] == 20
            assert len(server.requests) == 1


def test_hub_that_rejects_some() -> None:
    """They are final: the others go on, and the account says so."""

    def script(request: Request, stream: socket.socket) -> bytes:
        odd = [int(each["id"], 16) % 2 for each in request.records]
        return verdicts(*("rejected: severity" if each else "accepted" for each in odd))

    with serving(script) as server, state_root(server=server.url) as root, running(root) as telemd:
        send(root, range(100))
        account = telemd.wait_delivered()
        assert (account["delivered"], account["rejected"]) == (50, 50)


def test_courier_killed_while_it_sends(tmp_path: Path) -> None:
    with (
        hub_at(tmp_path) as hub,
        state_root(server=hub.url, retry_max_s=1, spool_max_size=NO_CAP) as root,
        running(root) as telemd,
    ):
        killed: set[int] = set()
        with bursts(root.socket5, 30_000, 2):
            while len(killed) < 5:
                killed.add(kill_courier(root, telemd, 30_000))
        account = telemd.wait_delivered()
        assert account["delivered"] == account["admitted"] >= 30_001
        assert_at_the_hub(hub, range(30_001))


def kill_courier(root: Root, telemd: Telemd, number: int) -> int:
    """There is one while something waits; so give it something, that record again and again. Its pid."""
    found: list[int] = []

    def there_is_one() -> bool:
        answer = say(root.socket5, record(number))
        assert answer is not None
        assert answer.verdict == DURABLE
        found[:] = telemd.courier_pids()
        return bool(found)

    wait_until(there_is_one, "a courier runs")
    with contextlib.suppress(ProcessLookupError):
        os.kill(found[0], signal.SIGKILL)
    wait_until(lambda: found[0] not in telemd.courier_pids(), "it is gone, and telemd has taken its status")
    return found[0]


def test_courier_killed_before_the_answer() -> None:
    """The batch goes out again at once, the records of it together."""
    began, may_answer = threading.Event(), threading.Event()

    def script(request: Request, stream: socket.socket) -> bytes | None:
        began.set()
        may_answer.wait(60)
        return accept(request, stream)

    with serving(script) as server, state_root(server=server.url, retry_max_s=1) as root, running(root) as telemd:
        send(root, range(1))
        assert began.wait(60)
        (courier,) = telemd.courier_pids()
        assert telemd.account()["pending"] == 1
        os.kill(courier, signal.SIGKILL)
        wait_until(lambda: len(server.requests) == 2, "it is sent again")
        may_answer.set()
        assert telemd.wait_delivered()["delivered"] == 1
        assert server.requests[0].records == server.requests[1].records
        assert courier not in telemd.courier_pids()


def test_courier_stopped_in_the_middle_does_not_stop_telemd() -> None:
    """A courier that hangs costs nobody but the delivery."""
    began = threading.Event()

    def script(request: Request, stream: socket.socket) -> bytes | None:
        began.set()
        return accept(request, stream)

    with serving(script) as server, state_root(server=server.url) as root, running(root) as telemd:
        send(root, range(1))
        assert began.wait(60)
        telemd.wait_delivered()
        (courier,) = telemd.courier_pids()
        os.kill(courier, signal.SIGSTOP)
        send(root, range(1, 5000))
        assert telemd.account()["pending"] == 4999
        assert telemd.stop() == 0
        with contextlib.suppress(ProcessLookupError):
            os.kill(courier, 0)
            raise AssertionError("the courier outlived its telemd")


def test_records_of_the_three_lanes_arrive(tmp_path: Path) -> None:
    kinds = {
        0: record(0, b"oops", b"org.clearlinux/kernel/bug"),
        1: record(1, b"hello", b"org.clearlinux/hello/world"),
        2: record(2, b"\x28\xb5\x2f\xfd", b"org.clearlinux/metrics/minute", kind=2),
    }
    with hub_at(tmp_path) as hub, state_root() as root:
        root.name()
        with running(root) as telemd:
            for one in kinds.values():
                answer = say(root.socket5, one)
                assert answer is not None
                assert answer.verdict == DURABLE
            pending = {name: lane["pending"] for name, lane in telemd.status()["lanes"].items()}
            assert pending == {"vital": 1, "event": 1, "metric": 1}
        root.configure(server=hub.url)
        with running(root) as telemd:
            assert telemd.wait_delivered()["delivered"] == 3
        assert_at_the_hub(hub, range(3))
