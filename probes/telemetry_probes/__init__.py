# SPDX-License-Identifier: Apache-2.0
"""The probes: programs that find something out about this machine and hand it to telemd as a record.

Nothing may be imported here: every probe is started for each record and pays for it.
"""

from __future__ import annotations

VERSION = "0.1.0"
"""The project's version, as meson.build has it."""
