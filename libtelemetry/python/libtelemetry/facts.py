# SPDX-License-Identifier: Apache-2.0
"""The facts of a host that telemd adds to every record.

Which they are, where they stand and what they are when they can't be read is the C core's (facts.c) to know.
"""

from __future__ import annotations

from libtelemetry._native import ffi, lib


def host_facts(root: str = "") -> dict[str, str]:
    """The eight facts by name, read anew at each call. root is put before every path that is read; "" is this system.

    What can't be read has a value that says so, such as `unknown` or `blank`; never an error.
    """
    facts = lib.host_facts_read(root.encode("utf-8", "surrogateescape"))
    if facts == ffi.NULL:
        raise MemoryError("no memory for the host's facts")
    facts = ffi.gc(facts, lib.host_facts_free)
    view = lib.host_facts_view(facts)
    found = {}
    for at in range(lib.WIRE_FACT_COUNT):
        name = ffi.string(lib.wire_attribute_name(at + 1)).decode("ascii")
        fact = view.value[at]
        found[name] = bytes(ffi.buffer(fact.data, fact.len)).decode()
    return found
