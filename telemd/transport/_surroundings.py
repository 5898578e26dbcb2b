# SPDX-License-Identifier: Apache-2.0
"""What the courier's environment says of proxies and CAs, for an owner who wants it to count (`use_environment`).

The only place among the transports that reads the environment for a decision; a setting always comes first.
"""

from __future__ import annotations

import os
import urllib.parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from telemd.courierframes import Destination


def cainfo(destination: Destination) -> str:
    """The file of CAs to trust; empty for the system's."""
    if destination.cainfo or not destination.use_environment:
        return destination.cainfo
    return os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or ""


def proxy(destination: Destination, url: str) -> str:
    """The proxy on the way to url; empty for none. ValueError where url is no address."""
    if destination.proxy or not destination.use_environment:
        return destination.proxy
    from urllib import request  # dear, and seldom wanted

    parts = urllib.parse.urlsplit(url)
    known = request.getproxies_environment()
    if request.proxy_bypass_environment(  # type: ignore[attr-defined] # typeshed has it for macOS alone
        parts.netloc.rpartition("@")[2], known
    ):
        return ""
    found = known.get(parts.scheme) or known.get("all") or ""
    return found if "://" in found or not found else f"http://{found}"
