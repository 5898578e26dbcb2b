# SPDX-License-Identifier: Apache-2.0
"""`telemhub serve`: arguments to settings, settings to a running hub, exit code. What runs is built elsewhere."""

from __future__ import annotations

import argparse
import ipaddress
import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from telemhub import __version__
from telemhub.memory import return_large_pieces

if TYPE_CHECKING:
    from collections.abc import Sequence

LISTEN_DEFAULT: Final = "127.0.0.1:8080"
LOOPBACK_NAMES: Final = ("localhost", "127.0.0.1", "[::1]")
STORE_MIB_MIN: Final = 1
POINTS_KEPT_DAYS: Final = 7
POINTS_KEPT_DAYS_MAX: Final = 36_500

DAY_US: Final = 86_400_000_000

EXIT_GOOD: Final = 0
EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2


class Tls(NamedTuple):
    """PEM files for https."""

    certificate: Path
    key: Path


class Settings(NamedTuple):
    """What the command line asks for."""

    data: Path
    host: str
    """A numeric address."""

    port: int
    hosts: frozenset[str] | None
    """Names the hub may be asked under; None for any."""

    store_bytes_max: int | None
    points_kept_days: int = POINTS_KEPT_DAYS
    tls: Tls | None = None


class Usage(Exception):
    """An argument that can't be used; the text says what to write instead."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; argv as in sys.argv. The exit code: 0 stopped as asked, 1 couldn't run, 2 wrong arguments."""
    parser = _parser()
    arguments = parser.parse_args((sys.argv if argv is None else argv)[1:])
    if arguments.command is None:
        parser.print_usage(sys.stderr)
        return EXIT_USAGE
    return_large_pieces()
    logging.basicConfig(level=logging.INFO, format="telemhub: %(message)s", stream=sys.stderr)
    logging.getLogger("uvicorn").setLevel(logging.ERROR)
    try:
        settings = _settings(arguments)
    except Usage as error:
        print(f"telemhub: {error}", file=sys.stderr)
        return EXIT_USAGE
    return _serve(settings)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("telemhub", description="Receives, keeps and shows the records of machines.")
    parser.add_argument("-V", "--version", action="version", version=f"telemhub {__version__}")
    serve = parser.add_subparsers(dest="command").add_parser(
        "serve", help="run the hub until SIGTERM or Ctrl-C", description="Run the hub until SIGTERM or Ctrl-C."
    )
    serve.add_argument("--data", required=True, metavar="DIR", help="where records are kept; made if it isn't there")
    serve.add_argument(
        "--listen", default=LISTEN_DEFAULT, metavar="ADDRESS:PORT", help="default %(default)s; port 0: any that is free"
    )
    serve.add_argument(
        "--insecure-listen",
        action="store_true",
        help="allow an address that isn't this machine's own loopback: there is no password and no encryption",
    )
    serve.add_argument(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="a further name the hub is asked under, by a proxy before it",
    )
    serve.add_argument(
        "--max-store-mib",
        type=int,
        metavar="N",
        help="let the records' file grow to N MiB; default: as the disk allows",
    )
    serve.add_argument(
        "--keep-points",
        type=int,
        default=POINTS_KEPT_DAYS,
        metavar="DAYS",
        help="how long points of metrics can be asked for; default %(default)s",
    )
    serve.add_argument(
        "--tls-cert", metavar="FILE", help="serve https with this certificate (PEM, those between it and the CA, too)"
    )
    serve.add_argument("--tls-key", metavar="FILE", help="its key (PEM, no passphrase); default: in --tls-cert's file")
    return parser


def _settings(arguments: argparse.Namespace) -> Settings:
    host, port = _address(arguments.listen)
    loopback = ipaddress.ip_address(host).is_loopback
    if not loopback and not arguments.insecure_listen:
        raise Usage(
            f"{arguments.listen} can be reached from other machines, and the hub has no password and no encryption: "
            "listen on 127.0.0.1 behind a proxy that has them, or add --insecure-listen where everybody who can reach "
            "it may read and write"
        )
    size_mib = arguments.max_store_mib
    if size_mib is not None and size_mib < STORE_MIB_MIN:
        raise Usage(f"--max-store-mib is a number from {STORE_MIB_MIN}")
    if not 1 <= arguments.keep_points <= POINTS_KEPT_DAYS_MAX:
        raise Usage(f"--keep-points is a number of days from 1 to {POINTS_KEPT_DAYS_MAX}")
    names = frozenset(name.lower() for name in (*LOOPBACK_NAMES, _in_url(host), *arguments.allow_host))
    return Settings(
        Path(arguments.data).absolute(),
        host,
        port,
        names if loopback else None,
        None if size_mib is None else size_mib * 1024 * 1024,
        arguments.keep_points,
        _tls(arguments.tls_cert, arguments.tls_key),
    )


def _tls(certificate: str | None, key: str | None) -> Tls | None:
    """Files that serve; raises Usage for others. Tried here, so that it is said before the hub runs."""
    if certificate is None:
        if key is not None:
            raise Usage("--tls-key is the key of --tls-cert: give that, too")
        return None
    import ssl  # only where it is wanted

    tls = Tls(Path(certificate).absolute(), Path(key or certificate).absolute())
    try:
        # With a password of ours OpenSSL doesn't ask for one on the terminal.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(*tls, password=lambda: b"")
    except OSError as error:  # SSLError is one
        why = error.reason if isinstance(error, ssl.SSLError) and error.reason else error.strerror
        raise Usage(
            f"--tls-cert and --tls-key can't be used ({why}): give PEM files that belong together, without a passphrase"
        ) from None
    return tls


def _address(text: str) -> tuple[str, int]:
    """A numeric address and a port. Raises Usage."""
    host, _, port = text.rpartition(":")
    host = "127.0.0.1" if host == "localhost" else host.removeprefix("[").removesuffix("]")
    try:
        ipaddress.ip_address(host)
    except ValueError:
        raise Usage("--listen is ADDRESS:PORT, as in 127.0.0.1:8080 or [::1]:8080") from None
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and int(port) < 65_536):
        raise Usage("--listen ends in a port from 0 to 65535, as in 127.0.0.1:8080")
    return host, int(port)


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _serve(settings: Settings) -> int:
    try:
        from telemhub.store.sqlite import CannotOpen, SqliteStore  # not needed for --help, and slow to load
        from telemhub.web.app import make_app
        from telemhub.web.server import listen, serve
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing in ("", "telemhub"):
            raise  # a fault of ours, and nothing that installing could mend
        print(
            f"telemhub: the hub needs {missing}, which {sys.executable} doesn't have: install it with all else that it "
            "needs, in a virtual environment: pip install '.[hub]' in the folder of telemetrics' source",
            file=sys.stderr,
        )
        return EXIT_FAILED

    os.umask(0o077)
    try:
        listener = listen(settings.host, settings.port)
    except OSError as error:
        where = f"{_in_url(settings.host)}:{settings.port}"
        print(f"telemhub: can't listen on {where} ({error.strerror}): give another with --listen", file=sys.stderr)
        return EXIT_FAILED
    port = listener.getsockname()[1]
    try:
        store = SqliteStore(settings.data, settings.store_bytes_max, settings.points_kept_days * DAY_US)
    except CannotOpen as error:
        listener.close()
        print(f"telemhub: {error}", file=sys.stderr)
        return EXIT_FAILED

    scheme = "http" if settings.tls is None else "https"

    def ready() -> None:
        print(f"telemhub: listening on {scheme}://{_in_url(settings.host)}:{port}", flush=True)

    serve(make_app(store, settings.hosts), store, listener, ready, settings.tls)
    return EXIT_GOOD
