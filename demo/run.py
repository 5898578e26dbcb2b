# SPDX-License-Identifier: Apache-2.0
"""Starts the demo from a checkout: `.venv/bin/python demo/run.py --help`. Only the way in: shows nothing itself."""

from __future__ import annotations

import sys
from pathlib import Path


def start() -> int:
    """Put the checkout on the module path, so that `demo` is found, and hand over."""
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    from demo.main import main

    return main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(start())
