# SPDX-License-Identifier: Apache-2.0
"""Starts the benchmark from a checkout: `.venv/bin/python bench/run.py --help`. Only the way in: no measuring here."""

from __future__ import annotations

import sys
from pathlib import Path


def start() -> int:
    """Put the checkout on the module path, so that `bench` is found, and hand over."""
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    from bench.main import main

    return main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(start())
