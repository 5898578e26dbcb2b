# SPDX-License-Identifier: Apache-2.0
"""Prometheus' text format as operators write it, well and badly."""

from __future__ import annotations

import random

import pytest

from telemetry_probes.metrics import exposition
from telemetry_probes.metrics.exposition import samples

GOOD = b"""\
# HELP http_requests_total The total number of HTTP requests.
# TYPE http_requests_total counter
http_requests_total{method="post",code="200"} 1027
http_requests_total{ code = "400" , method="post", }    3

# a remark
# TYPE disk gauge
disk{path="C:\\\\DIR\\\\F.TXT",error="no \\"x\\"\\nfound"} 1.458255915e9
metric_without_kind 12.47
too_large 1e301
not_a_number NaN
without_end +Inf
# TYPE rpc summary
rpc{quantile="0.5"} -4773
rpc_sum 17.5
rpc_count 2693
# TYPE took histogram
took_bucket{le="+Inf"} 144320
took_sum 53423\r
took_count 144320
:colons:are_fine 0x1p3
"""


def test_samples_are_read_as_they_are_meant() -> None:
    found = {(each.name, each.labels): (each.value, each.counts) for each in samples(GOOD.replace(b"0x1p3", b"8"))}
    assert found == {
        ("http_requests_total", (("code", "200"), ("method", "post"))): (1027, True),
        ("http_requests_total", (("code", "400"), ("method", "post"))): (3, True),
        ("disk", (("error", 'no "x"\nfound'), ("path", "C:\\DIR\\F.TXT"))): (1.458255915e9, False),
        ("metric_without_kind", ()): (12.47, False),
        ("rpc", (("quantile", "0.5"),)): (-4773, False),
        ("rpc_sum", ()): (17.5, True),
        ("rpc_count", ()): (2693, True),
        ("took_bucket", (("le", "+Inf"),)): (144320, True),
        ("took_sum", ()): (53423, True),
        ("took_count", ()): (144320, True),
        (":colons:are_fine", ()): (8, False),
    }


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (b"a", "expected `NAME VALUE`"),
        (b"a one", "no number"),
        (b"a 1_000", "no number"),
        (b"a 1 1395066363000", "time of its own"),
        (b"a 1\na 2", "line 2: that sample is there already"),
        (b'a{x="1",y="2"} 1\na{y="2",x="1"} 1', "line 2: that sample"),
        (b"1a 1", "a name begins with"),
        (b"a{1x=\"\"} 1", "a name begins with"),
        (b"a{x:y=\"\"} 1", "expected `LABEL"),
        (b"a{x=1} 1", "expected `LABEL"),
        (b'a{x="1} 1', "doesn't end"),
        (b'a{x="\\t"} 1', "behind \\"),
        (b'a{x="1" y="2"} 1', "expected `,` or `}`"),
        (b'a{x="1",x="2"} 1', "a label twice"),
        (b"a{ 1", "a name begins with"),
        (b"# TYPE a\na 1", "expected `# TYPE"),
        (b"# TYPE a thing\na 1", "expected `# TYPE"),
        (b"# TYPE a gauge\n# TYPE a gauge", "a second TYPE"),
        (b"\xff 1", "UTF-8"),
        (b"\x00 1", "a name begins with"),
        ("naïve 1".encode(), "expected `NAME VALUE`"),
        (b"a" * 121 + b" 1", "more than 120 characters"),
        (b"a{" + b"b" * 65 + b'="c"} 1', "more than 64 characters"),
        (b'a{x="' + b"y" * 257 + b'"} 1', "more than 256 characters"),
        (b"a " + b" " * 17_000 + b"1", "more than 16384 characters"),
        (b"a{" + b",".join(b'x%d="1"' % number for number in range(17)) + b"} 1", "more than 16 labels"),
        (b"\n" * 20_001, "more than 20000 lines"),
        (b"".join(b"a%d 1\n" % number for number in range(10_001)), "more than 10000 samples"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(text: bytes, complaint: str) -> None:
    with pytest.raises(ValueError, match=".") as raised:
        samples(text)
    assert complaint in str(raised.value)
    assert len(str(raised.value)) < 200


def test_any_text_is_read_or_refused() -> None:
    """Cut at every byte, and changed at random: a value is finite, or there is a sentence."""
    chance = random.Random(1)
    texts = [GOOD[:size] for size in range(0, len(GOOD), 3)]
    for _ in range(300):
        changed = bytearray(GOOD)
        for _ in range(3):
            changed[chance.randrange(len(changed))] = chance.choice(b'{}",=\\\n 1a#\xff')
        texts.append(bytes(changed))
    refused = 0
    for text in texts:
        try:
            found = samples(text)
        except ValueError as error:
            refused += 1
            assert str(error).startswith(("line ", "it "))
        else:
            assert all(abs(each.value) < exposition.FINITE for each in found)
    assert 0 < refused < len(texts)
