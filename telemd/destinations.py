# SPDX-License-Identifier: Apache-2.0
"""Where each record goes: to the server of the settings, or to that of a configuration file which the record names.

A file counts where it is the owner's word: namedfile trusts it, and the record comes from root or telemd's own user, or
the file lies in the folder of the owner's telemetrics files. Every other record goes to the server of the settings, as
if it named nothing. Of a file only the destination is taken. Sends nothing, and never decides when something is sent.
"""

from __future__ import annotations

from telemd import configfile, namedfile
from telemd.config import Settings
from telemd.courierframes import DESTINATION_NAMES, Destination
from telemd.delivery import Standing
from telemd.namedfile import Distrusted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from typing import Final

    from telemd.reader import Waiting

    Read = Callable[[bytes, Collection[int]], bytes | Distrusted]

SERVERS_MAX: Final = 16
"""Of so many servers that files name is it known how they fare. One more takes the place of the one that may be tried
soonest."""

FILES_MAX: Final = 64
"""So many files are kept in mind."""

LOOK_AGAIN_MS: Final = 10_000
"""After so long a file is read anew: a change holds from then on."""

COMPLAINTS_MAX: Final = 64
"""So many complaints about files are said, one a user and reason: what is named comes from anybody."""

_SHOWN: Final = 120


class Way:
    """Where records go, and how that server fares. destination None: nowhere."""

    __slots__ = ("destination", "standing")

    def __init__(self, destination: Destination | None, standing: Standing) -> None:
        self.destination = destination
        self.standing = standing


def destination_of(settings: Settings) -> Destination | None:
    """What the settings name; None where they name no server, or nothing is to be delivered."""
    if not settings.server or not settings.record_server_delivery_enabled:
        return None
    values = {name: getattr(settings, name) for name in DESTINATION_NAMES}
    return Destination(**{**values, "use_environment": "yes" if settings.use_environment else ""})


class NamedFiles:
    """The rules for files that records name. owners: the users whose files are trusted, and whose records may name any
    of theirs; records of others may only name what lies in owners_folder, or below it."""

    __slots__ = ("_folder", "_owners", "_read")

    def __init__(self, owners: Collection[int], owners_folder: str, read: Read = namedfile.read) -> None:
        self._owners = owners
        self._folder = owners_folder.encode("utf-8", "surrogateescape") + b"/"
        self._read = read

    def may_name(self, path: bytes, uid: int) -> bool:
        """A record of that user may say where it goes by this file."""
        return uid in self._owners or path.startswith(self._folder)

    def settings(self, path: bytes) -> Settings | Distrusted:
        """What the file says."""
        data = self._read(path, self._owners)
        if isinstance(data, Distrusted):
            return data
        try:
            settings = Settings(**configfile.parse(data.decode(), shown(path)).values)
        except UnicodeDecodeError:
            return Distrusted("it is not UTF-8")
        except configfile.ConfigError as error:
            return Distrusted(f"line {error.line} of it can't be used" if error.line else "it is no configuration")
        return settings if settings.server else Distrusted("it names no server")


class Destinations:
    """For one telemd. configured: the way to the server of the settings; where that leads nowhere nothing is sent,
    whatever a record names. files None: no file is ever read."""

    def __init__(self, configured: Destination | None, standing: Standing, files: NamedFiles | None) -> None:
        self.configured = Way(configured, standing)
        self.nowhere = Way(None, Standing())
        self.notes: list[str] = []
        self._files = files
        self._ways: dict[Destination, Way] = {}
        self._found: dict[bytes, tuple[int, Way]] = {}  # what was found in a file, and when
        self._said: set[tuple[int, str]] = set()

    def redirect(self, configured: Destination | None, standing: Standing) -> None:
        """The settings name another server."""
        self.configured = Way(configured, standing)
        if configured is not None:
            self._ways.pop(configured, None)
        self._found.clear()

    def look_again(self) -> None:
        """Files may have changed; and what was said of them may be said again."""
        self._found.clear()
        self._said.clear()

    def named(self) -> list[Way]:
        """The ways to servers that files name, as far as records went there."""
        return list(self._ways.values())

    def of_head(self, waiting: Waiting, now_ms: int) -> tuple[Way, int]:
        """Where the first of these records goes, and how many from it on go there too. now_ms: monotonic."""
        way, count = self._of_next(waiting, 0, now_ms)
        while count < waiting.count:
            other, more = self._of_next(waiting, count, now_ms)
            if other is not way:
                break
            count += more
        return way, count

    def _of_next(self, waiting: Waiting, first: int, now_ms: int) -> tuple[Way, int]:
        count, path, uid = waiting.named(first)
        if not path or self._files is None or self.configured.destination is None:
            return self.configured, count
        if not self._files.may_name(path, uid):
            self._complain(path, uid, "its sender may only name files of the owner's telemetrics folder")
            return self.configured, count
        known = self._found.get(path)
        if known is not None and now_ms - known[0] < LOOK_AGAIN_MS:
            return known[1], count
        self._found.pop(path, None)
        settings = self._files.settings(path)
        if isinstance(settings, Distrusted):
            self._complain(path, uid, settings.why)
            return self.configured, count
        way = self._way_to(destination_of(settings))
        if len(self._found) >= FILES_MAX:
            del self._found[next(iter(self._found))]
        self._found[path] = (now_ms, way)
        return way, count

    def _way_to(self, destination: Destination | None) -> Way:
        if destination is None:
            return self.nowhere
        if destination == self.configured.destination:
            return self.configured
        if destination not in self._ways:
            if len(self._ways) >= SERVERS_MAX:
                self._forget(min(self._ways, key=lambda each: self._ways[each].standing.not_before_ms))
            self._ways[destination] = Way(destination, Standing())
        return self._ways[destination]

    def _forget(self, destination: Destination) -> None:
        way = self._ways.pop(destination)
        self._found = {path: found for path, found in self._found.items() if found[1] is not way}

    def _complain(self, path: bytes, uid: int, why: str) -> None:
        if (uid, why) not in self._said and len(self._said) < COMPLAINTS_MAX:
            self._said.add((uid, why))
            self.notes.append(
                f"a record of user {uid} names {shown(path)}, which isn't followed: {why}; it goes to `server` instead"
            )


def shown(path: bytes) -> str:
    """A path that anybody may have chosen, for a log."""
    text = path[:_SHOWN].decode("utf-8", "replace")
    return "".join(char if char.isprintable() else "?" for char in text)
