# SPDX-License-Identifier: Apache-2.0
"""The Python packages that the hub needs and Debian doesn't have in versions that will do, as they are in this
interpreter's environment. Copies them; installs and fetches nothing.
"""

from __future__ import annotations

import re
import shutil
from importlib.metadata import Distribution, PackageNotFoundError, distribution, requires
from pathlib import Path

import tomli

PROJECT = Path(__file__).parents[1] / "pyproject.toml"
LEFT_OUT = re.compile(r"(^|/)(__pycache__|tests?)(/|$)|\.(pyc|pyi|c|h|pxd|pyx)$|^\.\./")


def named(requirements: list[str]) -> list[str]:
    """The packages that they ask for in any case."""
    texts = (each for each in requirements if "extra ==" not in each)
    return [re.sub(r"[-_.]+", "-", re.split(r"[^\w.-]", each, maxsplit=1)[0]).lower() for each in texts]


def wanted() -> list[Distribution]:
    """Those that are needed, and what they need themselves; one that isn't installed is for other systems."""
    first = named(tomli.loads(PROJECT.read_text())["project"]["optional-dependencies"]["hub"])
    found: dict[str, Distribution] = {}
    names = list(first)
    while names:
        name = names.pop()
        if name in found:
            continue
        try:
            found[name] = distribution(name)
        except PackageNotFoundError:
            if name in first:
                raise
            continue
        names += named(requires(name) or [])
    return [found[name] for name in sorted(found)]


def copy(to: Path) -> None:
    """Their modules and licences."""
    for each in wanted():
        for file in each.files or []:
            if not LEFT_OUT.search(str(file)):
                target = to / file
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(Path(str(file.locate())), target)
