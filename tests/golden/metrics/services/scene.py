# SPDX-License-Identifier: Apache-2.0
"""telemd's control socket, and two endpoints over HTTP."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from answeringsocket import InALine, serving

WRITTEN_S = 1_714_564_800


@contextlib.contextmanager
def around(root: Path) -> Iterator[None]:
    for file in (root / "var/lib/prometheus/node-exporter").iterdir():
        os.utime(file, (WRITTEN_S, WRITTEN_S))
    with (
        serving(root / "run/telemetry/control.sock", InALine),
        serving(root / "run/shop.sock"),
        serving(root / "run/balancer.sock"),
    ):
        yield
