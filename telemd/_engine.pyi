# SPDX-License-Identifier: Apache-2.0
# The C engine of telemd/src by way of cffi; what may be called is listed in _engine.cdef.h, which cffi checks against
# the headers at build time. Everything of it is wrapped in intake.py, frames.py, segment.py and recent.py.
from typing import Any

ffi: Any
lib: Any
