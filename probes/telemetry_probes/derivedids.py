# SPDX-License-Identifier: Apache-2.0
"""Ids derived from what a record is of, so that it has one id however often it is made: telemd and the hub then know
the second for the first. Pure: a secret and values in, ids out.
"""

from __future__ import annotations


def record_id(secret: bytes, purpose: bytes, content: bytes) -> bytes:
    """16 bytes laid out as docs/protocol.md, section 1.2, says. purpose has at most 16 bytes."""
    return laid_out(keyed(secret, purpose, content))


def laid_out(derived: bytes) -> bytes:
    """A record id of these 16 bytes."""
    return bytes(6) + bytes([0x70 | derived[6] & 0x0F, derived[7], 0x80 | derived[8] & 0x3F]) + derived[9:16]


def keyed(secret: bytes, purpose: bytes, content: bytes) -> bytes:
    """16 bytes that nobody can know without the secret (BLAKE2b, keyed); an event id, for instance."""
    from _blake2 import blake2b  # a small part of hashlib, in every version

    derived: bytes = blake2b(content, digest_size=16, key=secret, person=purpose).digest()
    return derived
