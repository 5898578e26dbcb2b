# SPDX-License-Identifier: Apache-2.0
"""telemd-courier: takes batches from telemd over one connected stream, posts them, and says what became of each record.

A process of its own, so that what collects and stores never touches the network, and what does is gone when there is
nothing to send. It must never open the spool, the state directory or any other file but CA certificates, and it decides
nothing about what is sent: batches and their destination come from telemd.
"""

from __future__ import annotations

import argparse
import select
import signal
import socket
import struct
import sys
import time

from telemd import answers
from telemd import courierframes as frames
from telemd.servicestate import ServiceState

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType
    from typing import Final, NoReturn

    from telemd.transport import Transport

BATCH_S: Final = 25.0
"""From a batch's arrival; what is undecided then is RETRY. After 30 s telemd takes the courier for dead."""

SEND_S: Final = 2.0
"""telemd always reads; where it doesn't, the lease is over."""

METRICS_LINGER_S: Final = 90.0
"""Where metrics come, a batch a minute: starting anew each time would cost a tenth of a second of a processor."""

_READ_BYTES: Final = 256 * 1024
_UCRED: Final = struct.Struct("iII")


class Courier:
    """Delivers batches, one after the other, on a connection that is kept while destination and machine id stay."""

    __slots__ = ("_key", "_transport")

    def __init__(self) -> None:
        self._key: tuple[frames.Destination, str] | None = None
        self._transport: Transport | None = None

    def deliver(self, batch: frames.Batch, deadline_s: float) -> frames.Verdicts:
        """deadline_s: on time.monotonic()'s scale."""
        outcome = self._outcome(batch, deadline_s)
        return frames.Verdicts(batch.batch_id, outcome.verdicts, outcome.retry_after_s, outcome.text)

    def _outcome(self, batch: frames.Batch, deadline_s: float) -> answers.Outcome:
        from telemd import transport as transports  # with them comes the HTTP stack: 80 ms, once there is work

        key = (batch.destination, batch.host["machine_id"])
        if self._transport is None or key != self._key:
            self.close()
            try:
                opener = transports.opener(batch.destination.transport)
            except transports.UnknownTransport:
                return _failed("transport", batch, ", ".join(transports.names()))
            except ImportError as error:
                return _failed("incomplete", batch, error.name or "a module")
            self._transport = opener(batch.destination)
            self._key = key
        return self._transport.deliver(batch.host, batch.records, deadline_s)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()
        self._transport = None
        self._key = None


def _failed(kind: str, batch: frames.Batch, detail: str) -> answers.Outcome:
    from libtelemetry import wire

    return answers.failed(kind, len(wire.split(batch.records)), "", detail)


class StateLog:
    """One sentence on standard error whenever how it goes changes, none while it stays as it is."""

    __slots__ = ("_state",)

    def __init__(self) -> None:
        self._state: tuple[str, object] | None = None

    def note(self, destination: frames.Destination, verdicts: frames.Verdicts) -> None:
        if not verdicts.verdicts:
            return
        server = answers.shown_server(destination.server)
        worst, reason = max(verdicts.verdicts)
        sentence = verdicts.text if worst >= frames.REJECTED else f"delivers to {server}"
        # A sentence on rejected records holds their number; that alone is no change.
        state = (server, reason if worst == frames.REJECTED else sentence)
        if state != self._state:
            self._state = state
            say(sentence)


def say(sentence: str) -> None:
    print(f"telemd-courier: {sentence}", file=sys.stderr, flush=True)


def serve(stream: socket.socket, linger_s: float) -> int:
    """Answer batches until the stream ends or linger_s, METRICS_LINGER_S after metrics, pass without one. 0, or 1 where
    the other side is no telemd."""
    courier = Courier()
    log = StateLog()
    reader = frames.FrameReader((frames.BATCH,))
    waiting = select.poll()
    waiting.register(stream, select.POLLIN)
    service = ServiceState()
    stream.settimeout(SEND_S)
    # When the stream was last seen empty. What waits in it has come since then, perhaps long ago, behind a slow batch
    # of another lane: counted from here, its time is never more than telemd gives it.
    empty_s = time.monotonic()
    try:
        stream.sendall(frames.encode_ready())
        while True:
            if not waiting.poll(0):
                if not _hears(waiting, linger_s, service):
                    return 0
                empty_s = time.monotonic()
            piece = stream.recv(_READ_BYTES)
            if not piece:
                return 0
            deadline_s = empty_s + BATCH_S
            for frame in reader.feed(piece):
                batch = frames.decode_batch(frame)
                verdicts = courier.deliver(batch, deadline_s)
                log.note(batch.destination, verdicts)
                _goes_on(service)
                if not waiting.poll(0):
                    empty_s = time.monotonic()
                stream.sendall(frames.encode_verdicts(verdicts))
                if linger_s < METRICS_LINGER_S and _holds_metrics(batch):
                    linger_s = METRICS_LINGER_S
    except (TimeoutError, BrokenPipeError, ConnectionResetError):
        return 0  # telemd is gone or has given up on us: the batch is still in its spool
    except frames.FrameError as error:
        say(f"what comes from telemd is not the courier protocol ({error}): is it of the same version?")
        return 1
    finally:
        courier.close()


def _hears(waiting: select.poll, linger_s: float, service: ServiceState) -> bool:
    """Whether something comes in that time."""
    end_s = time.monotonic() + linger_s
    while (left_s := end_s - time.monotonic()) > 0:
        _goes_on(service)
        if waiting.poll(min(left_s * 1000, service.watchdog_ms or left_s * 1000)):
            return True
    return False


def _goes_on(service: ServiceState) -> None:
    """One that doesn't is ended by systemd's watchdog: telemd may not, and no other comes while it is there."""
    if service.watchdog_ms is not None:
        service.watchdog()


def _holds_metrics(batch: frames.Batch) -> bool:
    """A batch is of one lane, and metrics have their own: the first record tells."""
    from libtelemetry import METRIC, RecordError, wire

    try:
        return wire.decode(wire.split(batch.records)[0]).payload_kind == METRIC
    except (RecordError, IndexError):
        return False


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="telemd-courier",
        description="Posts the batches that telemd hands it. telemd or systemd starts it, nobody does so by hand.",
    )
    parser.add_argument("--fd", type=_descriptor, default=3, metavar="N", help="the stream to telemd (default: 3)")
    parser.add_argument(
        "--linger", type=_seconds, default=30.0, metavar="S", help="leave after S idle seconds, 1..600 (default: 30)"
    )
    parser.add_argument(
        "--peer",
        type=_user,
        metavar="USER",
        help="serve this user and root alone, whose name or number it is (default: whoever the stream leads to)",
    )
    return parser.parse_args(arguments)


def _descriptor(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 6:
        raise argparse.ArgumentTypeError("give the number of an open file descriptor, like 3")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 1 <= seconds <= 600:
        raise argparse.ArgumentTypeError("give seconds from 1 to 600")
    return seconds


def _user(text: str) -> int:
    from pwd import getpwnam

    if text.isascii() and text.isdigit() and len(text) < 11:
        return int(text)
    try:
        return getpwnam(text).pw_uid
    except (KeyError, ValueError):
        raise argparse.ArgumentTypeError("give the name of a user of this machine, or a number") from None


def _peer(stream: socket.socket) -> int:
    """The user at the other end, when the stream was connected; -1 where that isn't told."""
    try:
        credentials = stream.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
        uid: int = _UCRED.unpack(credentials)[1]
    except (OSError, struct.error):
        return -1
    return uid


def _connected_stream(fd: int) -> socket.socket | None:
    try:
        stream = socket.socket(fileno=fd)
    except OSError:
        return None
    if stream.type == socket.SOCK_STREAM and not stream.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        stream.set_inheritable(False)
        return stream
    stream.detach()
    return None


def _leave(number: int, frame: FrameType | None) -> NoReturn:
    # Also in the middle of a request: without verdicts the batch stays in telemd's spool, and the hub knows its ids.
    raise SystemExit(0)


def main(argv: list[str]) -> int:
    """argv[0] is the program's name. 0: left in order; 1: the peer is no telemd; 2: not started as it should be."""
    options = _options(argv[1:])
    stream = _connected_stream(options.fd)
    if stream is None:
        say(
            f"file descriptor {options.fd} is not a connected stream socket: telemd starts this program, or systemd "
            "does, from telemd-courier.socket with Accept=yes; to have records delivered, start telemd"
        )
        return 2
    if options.peer is not None and (uid := _peer(stream)) not in (0, options.peer):
        say(f"user {uid} asks for a courier that is for user {options.peer} alone: see to the socket's owner and mode")
        stream.close()
        return 1
    signal.signal(signal.SIGTERM, _leave)
    signal.signal(signal.SIGINT, _leave)
    with stream:
        return serve(stream, options.linger)


if __name__ == "__main__":
    sys.exit(main(sys.argv))
