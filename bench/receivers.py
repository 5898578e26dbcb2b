# SPDX-License-Identifier: Apache-2.0
"""Who takes what telemd delivers: a telemhub as installed, or a bare server in the form of a telemetrics-backend.

Both on loopback, as processes of their own, and known from outside alone. Their certificates are made anew by openssl.
"""

from __future__ import annotations

import contextlib
import select
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from bench.place import BenchError

READY_TIMEOUT_S = 30.0
END_TIMEOUT_S = 30.0
OPENSSL_TIMEOUT_S = 30.0


class Certificate(NamedTuple):
    """Of a server on loopback; it signed itself, so that it is its own CA."""

    file: Path
    key: Path


class Receiver(NamedTuple):
    """One that runs."""

    process: subprocess.Popen[str]
    url: str


def certificate(directory: Path) -> Certificate:
    """A fresh one, elliptic as they are nowadays. BenchError without openssl."""
    if shutil.which("openssl") is None:
        raise BenchError("no openssl to make a certificate with: apt install openssl.")
    made = Certificate(directory / "certificate.pem", directory / "key.pem")
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-days", "2", "-subj", "/CN=bench", "-addext", "subjectAltName=IP:127.0.0.1"]
    command += ["-keyout", str(made.key), "-out", str(made.file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=OPENSSL_TIMEOUT_S, check=False)
    if done.returncode != 0:
        raise BenchError(f"openssl made no certificate:\n{done.stderr.strip()}")
    return made


@contextlib.contextmanager
def hub(program: Path, data: Path, tls: Certificate | None = None, port: int = 0) -> Iterator[Receiver]:
    """The installed telemhub with an empty store. BenchError where it doesn't come up."""
    command = [str(program), "serve", "--data", str(data), "--listen", f"127.0.0.1:{port}"]
    if tls is not None:
        command += ["--tls-cert", str(tls.file), "--tls-key", str(tls.key)]
    with _running(command, data.with_suffix(".out")) as receiver:
        yield receiver


@contextlib.contextmanager
def backend(directory: Path, tls: Certificate) -> Iterator[Receiver]:
    """bench/load/backend.py: takes a record a request, answers 201, keeps nothing."""
    program = Path(__file__).parent / "load" / "backend.py"
    with _running([sys.executable, "-IS", str(program), str(tls.file), str(tls.key)], directory / "backend.out") as it:
        yield it


@contextlib.contextmanager
def _running(command: list[str], said: Path) -> Iterator[Receiver]:
    with said.open("wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True)
    try:
        assert process.stdout is not None
        readable, _, _ = select.select([process.stdout], [], [], READY_TIMEOUT_S)
        line = process.stdout.readline() if readable else ""
        if "http" not in line:
            raise BenchError(f"{command[0]} didn't come up:\n{said.read_text(errors='replace').strip()}")
        yield Receiver(process, line[line.index("http") :].split()[0])
    finally:
        process.terminate()
        try:
            process.communicate(timeout=END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
