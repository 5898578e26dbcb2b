# SPDX-License-Identifier: Apache-2.0
"""telemd with one of its fault points armed: `ending_telemd.py POINT PASSES PROGRAM ARGUMENT...` becomes that program,
which then ends itself, as by kill -9, when it has passed the point so many times and reaches it once more.

The only way to arm one. Nothing else of telemd is changed.
"""

from __future__ import annotations

import runpy
import sys

from telemd import faultpoint


def main() -> None:
    _, point, passes, *program = sys.argv
    faultpoint.arm(point, int(passes))
    sys.argv = program
    runpy.run_path(program[0], run_name="__main__")


main()
