# SPDX-License-Identifier: Apache-2.0
"""Records to a telemetrics-backend with their metadata in HTTP headers and the payload as the body, one a POST, to the
address as it is configured (as in / or /v2/collector).

Only the form is made here. Names are spelled with hyphens, since web servers drop headers with an underscore; to that
server they are the same. It refuses any value that is not printable ASCII, and HTTP any line break, so each such
character becomes `?`: a record with a strange board name is worth more than none.
"""

from __future__ import annotations

from telemd.transport._single import SingleTransport

TYPE_CHECKING = False
if TYPE_CHECKING:
    from telemd.courierframes import Destination


def open_transport(destination: Destination) -> SingleTransport:
    return SingleTransport(destination, form)


def form(values: dict[str, str], payload: str) -> tuple[bytes, dict[str, str]]:
    """Body and headers of the request."""
    headers = {name.replace("_", "-").title(): _header_value(value) for name, value in values.items()}
    return payload.encode("utf-8"), {**headers, "Content-Type": "text/plain; charset=utf-8"}


def _header_value(value: str) -> str:
    if not (value.isascii() and value.isprintable()):
        value = "".join(char if " " <= char <= "~" else "?" for char in value)
    return value.strip()
