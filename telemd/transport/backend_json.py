# SPDX-License-Identifier: Apache-2.0
"""Records to a telemetrics-backend as JSON, one a POST, to the address as it is configured (as in /v3/collector).

One object: the fifteen names in their order, then payload, all values strings, `/` as it is. Never more than the form.
"""

from __future__ import annotations

import json

from telemd.transport._single import SingleTransport

TYPE_CHECKING = False
if TYPE_CHECKING:
    from telemd.courierframes import Destination


def open_transport(destination: Destination) -> SingleTransport:
    return SingleTransport(destination, form)


def form(values: dict[str, str], payload: str) -> tuple[bytes, dict[str, str]]:
    """Body and headers of the request."""
    body = json.dumps({**values, "payload": payload}, separators=(",", ":"))
    return body.encode("ascii"), {"Content-Type": "application/json"}
