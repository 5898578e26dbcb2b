# SPDX-License-Identifier: Apache-2.0
"""`crashprobe --explain`: exactly what would be sent, and what was left out by which rule. Pure."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from telemetry_probes.crash.privacy import Decision


def explained(
    decision: Decision, classification: str, severity: int, payload: bytes, rules: Sequence[str], flags: Sequence[str],
    lifted: bool,
) -> str:  # fmt: skip
    """For people. The payload stands there byte for byte, between two lines of its own."""
    lines = [
        f"class      {classification}",
        f"severity   {severity}",
        f"payload    {len(payload)} bytes, as they would be sent:",
        "-----",
        payload.decode("utf-8", "replace").rstrip("\n"),
        "-----",
    ]
    kept_back = [decision.rule] if decision.rule else list(rules)
    if lifted:
        lines.append("privacy    the filters are lifted: opt-in-no-privacy-filters stands beside the opt-in")
    lines += [f"left out   {rule}" for rule in kept_back]
    lines += [f"note       {flag}" for flag in flags]
    return "\n".join(lines) + "\n"
