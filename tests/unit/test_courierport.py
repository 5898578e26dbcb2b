# SPDX-License-Identifier: Apache-2.0
"""telemd.courierport: what of telemd's environment reaches the courier. Its process is met in tests/integration."""

from __future__ import annotations

from telemd.courierport import courier_environment

EVERYTHING = {
    "PATH": "/bin",
    "HOME": "/root",
    "LD_PRELOAD": "x.so",
    "PYTHONPATH": "/tmp",
    "SSL_CERT_FILE": "/tmp/ca.pem",
    "SECRET": "hunter2",
    "https_proxy": "http://p:1",
    "HTTP_PROXY": "http://p:2",
    "no_proxy": "localhost",
    "REQUESTS_CA_BUNDLE": "/ca.pem",
    "CURL_CA_BUNDLE": "/other.pem",
}
OWN = {"PATH": "/bin", "LANG": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1"}


def test_next_to_nothing_goes_along() -> None:
    assert courier_environment(EVERYTHING, False) == OWN


def test_proxies_and_ca_files_go_along_where_the_settings_want_them() -> None:
    names = ("https_proxy", "HTTP_PROXY", "no_proxy", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
    assert courier_environment(EVERYTHING, True) == {**OWN, **{name: EVERYTHING[name] for name in names}}


def test_a_courier_finds_its_programs_without_a_path() -> None:
    assert courier_environment({}, True)["PATH"]
