# SPDX-License-Identifier: Apache-2.0
"""telemhub.main: arguments that are refused, and what is said then."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import pytest

from telemhub import __version__
from telemhub.main import main

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def _umask_is_put_back() -> Iterator[None]:
    """main() narrows it for its process, which here is everybody's."""
    before = os.umask(0o022)
    os.umask(before)
    yield
    os.umask(before)


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    code = main(["telemhub", "serve", *arguments])
    return code, capsys.readouterr().err


@pytest.mark.parametrize("address", ["0.0.0.0:0", "[::]:0", "192.0.2.1:80"])
def test_the_network_is_not_listened_to_by_accident(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, address: str
) -> None:
    code, said = refused(capsys, "--data", str(tmp_path / "hub"), "--listen", address)
    assert code == 2
    assert "--insecure-listen" in said
    assert not (tmp_path / "hub").exists()


@pytest.mark.parametrize(
    "address", ["", "8080", "localhost", "example.org:80", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:x"]
)
def test_an_address_that_is_none_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path, address: str) -> None:
    code, said = refused(capsys, "--data", str(tmp_path / "hub"), "--listen", address)
    assert code == 2
    assert "127.0.0.1:8080" in said


def test_a_store_of_no_size_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, said = refused(capsys, "--data", str(tmp_path / "hub"), "--max-store-mib", "0")
    assert code == 2
    assert "--max-store-mib" in said


def test_tls_files_that_cannot_be_used_are_said(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "text.pem").write_text("no certificate")
    for arguments in (["--tls-cert", str(tmp_path / "text.pem")], ["--tls-cert", str(tmp_path / "missing.pem")]):
        code, said = refused(capsys, "--data", str(tmp_path / "hub"), *arguments)
        assert code == 2
        assert "--tls-cert and --tls-key" in said
    code, said = refused(capsys, "--data", str(tmp_path / "hub"), "--tls-key", str(tmp_path / "text.pem"))
    assert code == 2
    assert "--tls-cert" in said
    assert not (tmp_path / "hub").exists()


def test_a_port_in_use_is_said(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        code, said = refused(capsys, "--data", str(tmp_path / "hub"), "--listen", f"127.0.0.1:{port}")
    assert code == 1
    assert "Address already in use" in said
    assert "--listen" in said


def test_a_directory_that_cannot_be_is_said(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, said = refused(capsys, "--data", str(tmp_path / "missing" / "hub"), "--listen", "127.0.0.1:0")
    assert code == 1
    assert "give a directory" in said


def test_version_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    for argument, expected in (("--version", f"telemhub {__version__}\n"), ("--help", "serve")):
        with pytest.raises(SystemExit) as left:
            main(["telemhub", argument])
        assert left.value.code == 0
        assert expected in capsys.readouterr().out
    assert main(["telemhub"]) == 2
