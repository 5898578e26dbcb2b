# SPDX-License-Identifier: Apache-2.0
"""A directory below which telemd trusts files: nobody but root and this user may write there or anywhere above it. The
usual places for a test's files, /tmp and /var/tmp, are open to all.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator


def _is_owners(place: Path) -> bool:
    try:
        found = [each.stat() for each in (place, *place.parents)]
    except OSError:
        return False
    return os.access(place, os.W_OK) and all(
        each.st_uid in (0, os.geteuid()) and not each.st_mode & (stat.S_IWGRP | stat.S_IWOTH) for each in found
    )


@contextlib.contextmanager
def owners_place() -> Iterator[Path]:
    """Such a directory of the test's own, with a short path; removed at the end. Others may look into it as far as they
    may look into what is above it."""
    candidates = [Path("/var/lib"), Path.home(), Path(f"/run/user/{os.geteuid()}"), Path(__file__).parent]
    place = next((each.resolve() for each in candidates if _is_owners(each.resolve())), None)
    if place is None:
        pytest.skip("needs a directory that nobody else may write to, above as well: set HOME to one")
    own = Path(tempfile.mkdtemp(prefix="tm-", dir=place))
    own.chmod(0o755)
    try:
        yield own
    finally:
        shutil.rmtree(own)
