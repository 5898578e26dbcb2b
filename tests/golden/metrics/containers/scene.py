# SPDX-License-Identifier: Apache-2.0
"""The sockets of Docker and Podman, which answer with the files beside them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from answeringsocket import serving


@contextlib.contextmanager
def around(root: Path) -> Iterator[None]:
    with serving(root / "run/docker.sock"), serving(root / "run/podman/podman.sock"):
        yield
