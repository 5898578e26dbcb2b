# SPDX-License-Identifier: Apache-2.0
"""What `telemctl status` prints: the figures, and what the operator ought to do. Pure.

Everything telemd answers is looked at for its type first: it may be of another version. Nothing is fetched here.
"""

from __future__ import annotations

from telemd.ctl import switches
from telemd.ctl.words import Paint, count, duration, milliseconds, plain, size, some

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Final

    from telemd.ctl.switches import Switch
    from telemd.ctl.units import FailedUnit

ENDS: Final = ("delivered", "rejected", "evicted", "expired", "purged", "damaged", "pending")
"""What an admitted record may have become (docs/protocol.md, section 4.5)."""

LOST: Final = ("rejected", "evicted", "expired", "damaged")

FULL_SHARE: Final = 0.9
"""A spool fuller than that is worth a word."""


class Found:
    """What telemctl sees. telemd: its answer, None where there is none; silence then says why.

    running: somebody listens at its socket. not_allowed: it doesn't answer this user. on_demand: systemd starts it for
    the next record. mistake: in the configuration, "" for none; server and paths are telemd's own then, or the built-in
    ones. server_layer, switches: which part of the configuration says so. spool_bytes: None where that can't be seen.
    failed_units: None where systemd doesn't tell.
    """

    __slots__ = (
        "config_files",
        "failed_units",
        "mistake",
        "not_allowed",
        "on_demand",
        "opted_in",
        "running",
        "server",
        "server_layer",
        "silence",
        "spool_bytes",
        "spool_dir",
        "switches",
        "telemd",
        "warnings",
    )

    def __init__(
        self,
        telemd: Mapping[str, object] | None,
        silence: str,
        *,
        running: bool,
        opted_in: bool,
        on_demand: bool,
        server: str,
        config_files: list[str],
        mistake: str,
        spool_dir: str,
        spool_bytes: int | None,
        warnings: list[str],
        not_allowed: bool = False,
        failed_units: Sequence[FailedUnit] | None = (),
        server_layer: str = "",
        switches: Sequence[Switch] = (),
    ) -> None:
        self.telemd = telemd
        self.silence = silence
        self.running = running
        self.opted_in = opted_in
        self.on_demand = on_demand
        self.server = server
        self.config_files = config_files
        self.mistake = mistake
        self.spool_dir = spool_dir
        self.spool_bytes = spool_bytes
        self.warnings = warnings
        self.not_allowed = not_allowed
        self.failed_units = failed_units
        self.server_layer = server_layer
        self.switches = switches


def number(of: Mapping[str, object], name: str) -> int:
    """0 where there is none."""
    value = of.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def text(of: Mapping[str, object], name: str) -> str:
    """Fit for a terminal; "" where there is none."""
    value = of.get(name)
    return plain(value) if isinstance(value, str) else ""


def table(of: Mapping[str, object], name: str) -> dict[str, object]:
    """Empty where there is none."""
    value = of.get(name)
    return {str(key): each for key, each in value.items()} if isinstance(value, dict) else {}


def account_differs(accounting: Mapping[str, object]) -> str:
    """ "" where both equations of docs/protocol.md, section 4.5, hold; else which one doesn't, with its figures."""
    if not accounting:
        return ""
    refused = sum(number(table(accounting, "refused"), reason) for reason in table(accounting, "refused"))
    received, admitted = number(accounting, "received"), number(accounting, "admitted")
    taken = refused + number(accounting, "duplicate") + admitted
    if received != taken:
        return f"received {count(received)} is not refused + duplicate + admitted = {count(taken)}"
    ended = sum(number(accounting, end) for end in ENDS)
    if admitted != ended:
        return f"admitted {count(admitted)} is not {' + '.join(ENDS)} = {count(ended)}"
    return ""


def advice(found: Found, command: Mapping[str, str]) -> list[str]:
    """What to do, the most urgent first; nothing where all is well. command: verb -> how to call it."""
    todo = list(found.warnings)
    if found.mistake:
        until = "goes on with what it had read before" if found.running else "can't start"
        mistake = plain(found.mistake)
        todo.append(f"{mistake}{'' if mistake.endswith('?') else '.'} Until then telemd {until}")
    todo += _advice_of_units(found)
    if not found.opted_in:
        todo.append(f"Not opted in, so that every record is refused. To take records: {command['opt-in']}")
    elif not found.running and not found.on_demand and not found.mistake:
        todo.append(f"{found.silence}. To start it: {command['start']}")
    if found.running and found.telemd is None:
        lasting = "" if found.not_allowed else f". Where that lasts: {command['restart']}"
        todo.append(f"{found.silence}{lasting}")
    if not found.server and not found.mistake:
        files = [each for each in found.config_files if not each.startswith("/usr/")]  # there it is the package's
        file = files[-1] if files else "/etc/telemetrics/telemetrics.conf"
        todo.append(f'No server: nothing is sent anywhere. Write server = "https://HOST/" under [settings] in {file}')
    if found.telemd is not None:
        todo += _advice_of(found, found.telemd, command)
    return todo


def _advice_of_units(found: Found) -> list[str]:
    if found.failed_units is None:
        return ["systemd doesn't tell which units failed. To ask it: systemctl --failed"]
    return [
        f"{_failure(each)}. To see why: journalctl -u {each.name}. Once that is mended: systemctl restart {each.name}"
        for each in found.failed_units
    ]


def _failure(unit: FailedUnit) -> str:
    return f"{unit.name} failed ({unit.result}){', and is tried again' if unit.is_tried_again else ''}"


def _advice_of(found: Found, telemd: Mapping[str, object], command: Mapping[str, str]) -> list[str]:
    todo = []
    if text(telemd, "server") != plain(found.server):
        todo.append(
            f"The configuration's server has changed since telemd read it. To bring it into force: {command['restart']}"
        )
    delivery = table(telemd, "delivery")
    if text(delivery, "state") == "waiting" and text(delivery, "last_error"):
        todo.append(f"Delivery fails: {text(delivery, 'last_error')}")
    limit, used = number(telemd, "spool_max_bytes"), number(telemd, "spool_bytes")
    if limit > 0 and used > FULL_SHARE * limit:
        todo.append(
            "The spool is almost full: let delivery catch up, or raise spool_max_size; else records are refused"
        )
    accounting = table(telemd, "accounting")
    if number(accounting, "damaged"):
        todo.append(
            f"Records were damaged on disk: look at the disk's health; what is left is in {found.spool_dir}/quarantine"
        )
    if number(table(accounting, "refused"), "io"):
        todo.append(f"Records were refused because the disk failed: look at the kernel's log and at {found.spool_dir}")
    if number(table(accounting, "refused"), "anonymous") and telemd.get("named") is False:
        todo.append(
            "Metrics are refused, for this machine's id changes: give it a lasting one (32 hex digits in "
            f"opt-in-static-machine-id, beside the opt-in; then {command['restart']}), or stop metricprobe"
        )
    if number(telemd, "closed_for_room"):
        todo.append(
            "Connections were closed because there were too many: raise connections_max or the limit of open files"
        )
    differs = account_differs(accounting)
    if differs:
        todo.append(f"The account doesn't add up ({differs}): this is a fault of telemd, please report it")
    return todo


def rendered(found: Found, todo: list[str], now_us: int, paint: Paint) -> str:
    """The whole page, without a newline at its end."""
    rows = [("telemd", _state(found, now_us, paint))]
    rows.append(("opted in", "yes" if found.opted_in else paint.odd("no")))
    unknown = found.mistake and found.telemd is None
    no_server = "unknown" if unknown else "none: nothing is sent anywhere"
    layer = f" ({found.server_layer})" if found.server and found.server_layer else ""
    rows.append(("server", f"{found.server}{layer}" if found.server else paint.odd(no_server)))
    rows += switches.rows(found.switches)
    if found.telemd is None:
        held = paint.odd("can't be looked at: be root") if found.spool_bytes is None else size(found.spool_bytes)
        rows.append(("spool", f"{held} in {found.spool_dir}"))
    else:
        rows += _figures(found, found.telemd, now_us, paint)
    if found.mistake:
        shown = "what is shown lies at the built-in paths" if unknown else "telemd has read others"
        rows.append(("settings", f"{paint.bad('with a mistake')}; {shown}"))
    else:
        rows.append(("settings", ", ".join(found.config_files) or "built-in"))
    rows += [
        ("units" if at == 0 else "", paint.bad(_failure(each))) for at, each in enumerate(found.failed_units or ())
    ]
    lines = [f"{paint.bold(name.ljust(11))} {value}" for name, value in rows]
    if todo:
        lines += ["", paint.bold("What to do")]
        lines += [f"  - {each}" for each in todo]
    return "\n".join(lines)


def _state(found: Found, now_us: int, paint: Paint) -> str:
    if found.telemd is None:
        if found.on_demand:
            return f"{paint.good('ready')}: systemd starts it when a record comes"
        return paint.bad(found.silence if found.running else "not running")
    up_s = (now_us - number(found.telemd, "started_us")) / 1e6
    detail = f"version {text(found.telemd, 'version')}, pid {number(found.telemd, 'pid')}, for {duration(up_s)}"
    return f"{paint.good('running')}  {paint.faint(detail)}"


def _figures(found: Found, telemd: Mapping[str, object], now_us: int, paint: Paint) -> list[tuple[str, str]]:
    rows = [("machine id", text(telemd, "machine_id") or "none yet")]
    accounting = table(telemd, "accounting")
    refused = {reason: number(table(accounting, "refused"), reason) for reason in table(accounting, "refused")}
    taken = f"{count(number(accounting, 'received'))} received: {count(number(accounting, 'admitted'))} admitted"
    rows.append(
        (
            "records",
            f"{taken}, {count(number(accounting, 'duplicate'))} duplicate, {count(sum(refused.values()))} refused",
        )
    )
    if sum(refused.values()):
        why = ", ".join(f"{plain(reason, 40)} {count(times)}" for reason, times in refused.items() if times)
        rows.append(("", paint.odd(f"refused: {why}")))
    rows.append(
        (
            "",
            ", ".join(
                _end(accounting, end, paint)
                for end in ENDS
                if number(accounting, end) or end in ("delivered", "pending")
            ),
        )
    )
    if accounting:
        holds = not account_differs(accounting)
        rows.append(("", "the account adds up" if holds else paint.bad("the account does NOT add up")))
    for lane, each in table(telemd, "lanes").items():
        if isinstance(each, dict):
            rows.append((f"  {plain(lane, 9)}", _lane(each, now_us)))
    limit = number(telemd, "spool_max_bytes")
    used = number(telemd, "spool_bytes")
    share = f" of {size(limit)} ({100 * used // limit} %)" if limit > 0 else ", no limit"
    rows.append(("spool", f"{size(used)}{share} in {found.spool_dir}"))
    rows += _delivery(table(telemd, "delivery"), now_us, paint)
    sync = table(telemd, "sync")
    times = (
        f", p50 {milliseconds(number(sync, 'p50_us'))}, p99 {milliseconds(number(sync, 'p99_us'))}"
        if number(sync, "count")
        else ""
    )
    rows.append(("disk syncs", f"{count(number(sync, 'count'))}{times}"))
    rows.append(("connected", some(number(telemd, "connections"), "sender")))
    return rows


def _end(accounting: Mapping[str, object], end: str, paint: Paint) -> str:
    shown = f"{count(number(accounting, end))} {end}"
    return paint.odd(shown) if end in LOST else shown


def _lane(lane: Mapping[str, object], now_us: int) -> str:
    pending = number(lane, "pending")
    oldest_us = number(lane, "oldest_us")
    oldest = f", oldest of {duration((now_us - oldest_us) / 1e6)} ago" if pending and oldest_us else ""
    held = number(lane, "bytes")
    # A segment file is set aside whole, before there is anything in it.
    space = f", {size(held)} on disk" if pending else f", {size(held)} reserved" if held else ""
    return f"{count(pending)} pending{oldest}{space}"


def _delivery(delivery: Mapping[str, object], now_us: int, paint: Paint) -> list[tuple[str, str]]:
    state = text(delivery, "state") or "unknown"
    words = {"disabled": paint.odd("disabled"), "waiting": paint.odd("waiting"), "sending": paint.good("sending")}.get(
        state, state
    )
    if number(delivery, "next_try_us"):
        words += f", next try in {duration((number(delivery, 'next_try_us') - now_us) / 1e6)}"
    if number(delivery, "in_flight"):
        words += f", {some(number(delivery, 'in_flight'), 'record')} on the way"
    if number(delivery, "last_success_us"):
        words += f", last success {duration((now_us - number(delivery, 'last_success_us')) / 1e6)} ago"
    rows = [("delivery", words)]
    if text(delivery, "last_error"):
        rows.append(("", paint.odd(f"last error: {text(delivery, 'last_error')}")))
    return rows
