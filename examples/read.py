# SPDX-License-Identifier: Apache-2.0
"""Reading what was sent: all records of a class that a hub has, newest first, a line each.

    python read.py URL CLASSIFICATION

A * in CLASSIFICATION stands for any characters. The standard library is enough, and records must only be read here.
"""

from __future__ import annotations

import json
import sys
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode
from urllib.request import urlopen

if TYPE_CHECKING:
    from collections.abc import Iterator

TIMEOUT_S = 30.0


def records(hub: str, classification: str) -> Iterator[dict[str, Any]]:
    """Page after page, as they stood when the first one was read."""
    parameters = {"classification": classification, "limit": "1000"}
    while True:
        with urlopen(f"{hub.rstrip('/')}/api/v1/records?{urlencode(parameters)}", timeout=TIMEOUT_S) as answer:
            page = json.load(answer)
        yield from page["records"]
        if page["next"] is None:
            return
        parameters["cursor"] = page["next"]


def main() -> int:
    hub, classification = sys.argv[1:]
    for record in records(hub, classification):
        created = datetime.fromtimestamp(record["created_us"] / 1e6, timezone.utc)
        payload = record.get("payload", "(bytes: see payload_base64)")
        # What a machine sent may hold anything, also what a terminal would obey: ascii() shows it as it is.
        print(f"{created:%Y-%m-%d %H:%M:%S} {record['severity']} {record['classification']} {ascii(payload)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
