# SPDX-License-Identifier: Apache-2.0
"""What the kernel says when something is wrong with it: found among its lines, read, and made into records.

`patterns` knows how reports begin, `assembly` joins their lines, `lines`, `frames`, `memory` and `masking` read them,
`fingerprint` tells equal ones, `payload` writes, `sending` sends. Nothing may be imported here.
"""

from __future__ import annotations
