# SPDX-License-Identifier: Apache-2.0
"""No module of ours breaks the rules of import_fence.py, and the fence sees each kind of breach."""

from __future__ import annotations

import ast

import pytest
from import_fence import PACKAGES, breaches, is_pure, modules

MODULES = modules()
PURE = frozenset(name for name, (source, _) in MODULES.items() if is_pure(ast.parse(source)))

# Rooms that must say of themselves that they are pure.
PURE_ROOMS = (
    "telemd.admission",
    "telemd.answers",
    "telemd.backoff",
    "telemd.courierframes",
    "telemd.delivery",
    "telemd.ledger",
    "telemd.segment",
    "telemhub.ingest",
)


def test_every_package_is_seen() -> None:
    assert {name.partition(".")[0] for name in MODULES} == set(PACKAGES)


@pytest.mark.parametrize("module", sorted(MODULES))
def test_module_keeps_within_the_fence(module: str) -> None:
    source, is_package = MODULES[module]
    assert breaches(source, module, PURE, is_package) == []


@pytest.mark.parametrize("module", PURE_ROOMS)
def test_pure_room_says_so(module: str) -> None:
    assert module in PURE, f"{module}: its docstring must say that it is Pure"


PURE_TEXT = '"""Pure."""\n'


@pytest.mark.parametrize(
    ("module", "source", "complaint"),
    [
        ("libtelemetry.record", "import telemd.config", "meet only as bytes"),
        ("telemd.spool", "def f():\n    from telemhub import store", "meet only as bytes"),
        ("telemhub.ingest", "if TYPE_CHECKING:\n    from telemd.spool import Spool", "meet only as bytes"),
        ("telemetry_probes.hprobe", "from telemhub.main import main", "meet only as bytes"),
        ("telemd.spool", "from telemd import daemon", "no room imports the daemon"),
        ("telemd.spool", "from .daemon import Daemon", "no room imports the daemon"),
        ("telemd.ctl.status", "from ..daemon import Daemon", "no room imports the daemon"),
        ("telemd.daemon", "def f():\n    import telemd.transport.hub", "courier alone"),
        ("telemd.spool", "def f():\n    import requests", "the network is the courier's"),
        ("telemd.spool", "import hashlib", "too heavy"),
        ("telemd.spool", "try:\n    import typing\nexcept ImportError:\n    pass", "too heavy"),
        ("telemd.spool", "class A:\n    import dataclasses", "too heavy"),
        ("telemetry_probes.hprobe", "import os.path", "too heavy"),
        ("telemetry_probes.hprobe", "TYPE_CHECKING = True\nif not TYPE_CHECKING:\n    import re", "too heavy"),
        ("libtelemetry", "from typing import NamedTuple", "too heavy"),
        ("telemd.delivery", PURE_TEXT + "import time", "says it is pure"),
        ("telemd.delivery", PURE_TEXT + "def f():\n    import random", "says it is pure"),
        ("telemd.delivery", PURE_TEXT + "from os import environ", "says it is pure"),
        ("telemd.delivery", PURE_TEXT + "f = open('x')", "calls open()"),
        ("telemd.delivery", PURE_TEXT + "from datetime import datetime\nt = datetime.now()", "calls now()"),
        ("telemd.delivery", PURE_TEXT + "from telemd.disk import write", "imports telemd.disk, which doesn't"),
        ("telemd.delivery", PURE_TEXT + "from libtelemetry import send", "imports libtelemetry, which doesn't"),
    ],
)  # fmt: skip
def test_breach_is_seen(module: str, source: str, complaint: str) -> None:
    assert any(complaint in found for found in breaches(source, module)), breaches(source, module)


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("telemd.spool", "from libtelemetry import wire\nimport posix\nfrom telemd.ledger import Ledger"),
        ("telemd.spool", "TYPE_CHECKING = False\nif TYPE_CHECKING:\n    from typing import Protocol"),
        ("telemd.config", "def load():\n    import tomli"),
        ("telemd.main", "from telemd.daemon import Daemon"),
        ("telemd.courier", "import requests\nimport ssl\nfrom telemd.transport import find"),
        ("telemd.ctl.main", "import argparse, json, pathlib\nfrom telemd.transport import find"),
        ("telemd.delivery", PURE_TEXT + "import struct\nfrom telemd.ledger import Ledger"),
        ("telemd.delivery", '"""Pure but for the clock."""\nimport time\nopen("x")'),
    ],
)
def test_good_source_is_left_alone(module: str, source: str) -> None:
    assert breaches(source, module, frozenset({"telemd.ledger"})) == []
