# SPDX-License-Identifier: Apache-2.0
"""metrics.prometheus and listen: what Prometheus reads, and who is answered."""

from __future__ import annotations

import re

import pytest

from telemetry_probes.metrics.listen import Latest, answer
from telemetry_probes.metrics.model import COUNTER, GAUGE, Metric
from telemetry_probes.metrics.prometheus import SAMPLES_MAX, name_of, text

LINE = re.compile(
    r'(?:[a-zA-Z_][a-zA-Z0-9_]*(?:\{(?:[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*",?)*\})? -?[0-9][0-9.e+-]*'
    r"|# (?:HELP|TYPE) [a-zA-Z_][a-zA-Z0-9_]* [^\n]*)"
)


@pytest.mark.parametrize(
    ("name", "unit", "kind", "shown"),
    [
        ("system.cpu.time", "s", COUNTER, "system_cpu_time_seconds_total"),
        ("system.memory.usage", "By", GAUGE, "system_memory_usage_bytes"),
        ("system.cpu.logical.count", "{cpu}", GAUGE, "system_cpu_logical_number"),
        ("system.network.packet.count", "{packet}", COUNTER, "system_network_packet_count_total"),
        ("x.load.1m", "1", GAUGE, "x_load_1m"),
        ("x.statsd.counter.a-b c", "1", COUNTER, "x_statsd_counts_a_b_c_total"),
        ("x.system.info", "1", GAUGE, "x_system_info_value"),
        ("hw.temperature", "Cel", GAUGE, "hw_temperature_celsius"),
        ("9 ü", "", GAUGE, "_9__"),
        ("gauge", "", GAUGE, "level"),
    ],
)
def test_names(name: str, unit: str, kind: str, shown: str) -> None:
    assert name_of(Metric(name, unit, kind, "Text.")) == shown


def test_a_name_stands_once_with_all_its_samples() -> None:
    time = Metric("system.cpu.time", "s", COUNTER, "Time.\nOf\\all.")
    one, other = time.series(("cpu.mode", "user")), time.series(("cpu.mode", 'i"\\\nü'))
    load = Metric("x.load.1m", "1", GAUGE, "Load.").series()
    wait = Metric("x.wait", "ms", GAUGE, "Wait.").series()
    assert text([([one, load], [1.5, None]), ([other, wait, load], [2, 250, 0.25])]).decode() == (
        "# HELP system_cpu_time_seconds_total Time.\\nOf\\\\all.\n"
        "# TYPE system_cpu_time_seconds_total counter\n"
        'system_cpu_time_seconds_total{cpu_mode="user"} 1.5\n'
        'system_cpu_time_seconds_total{cpu_mode="i\\"\\\\\\nü"} 2\n'
        "# HELP x_load_1m Load.\n# TYPE x_load_1m gauge\nx_load_1m 0.25\n"
        "# HELP x_wait_seconds Wait.\n# TYPE x_wait_seconds gauge\nx_wait_seconds 0.25\n"
    )


def test_hostile_names_make_good_lines() -> None:
    names = ["a\nb", 'x"} 1\n#', "", "__reserved", "é", "0", "le", "quantile", "\udc80"]
    series = [
        Metric(name, unit, kind, "T\n#").series(*[(label, label) for label in names])
        for name in names
        for unit in ("s", "\n", "By")
        for kind in (COUNTER, GAUGE)
    ]
    lines = text([(series, list(range(len(series))))]).decode().splitlines()
    assert all(LINE.fullmatch(line) for line in lines), [line for line in lines if not LINE.fullmatch(line)]
    samples = [line.rpartition(" ")[0] for line in lines if line[0] != "#"]
    assert len(samples) == len(set(samples)) > len(names)
    types = [line for line in lines if line.startswith("# TYPE")]
    assert len(types) == len({line.split()[2] for line in types}), "a name has one type"


def test_of_two_of_one_name_the_first_counts() -> None:
    load = Metric("load", "1", GAUGE, "Load.")
    assert text([([load.series(), load.series()], [1, 2])]).count(b"\nload ") == 1


def test_metrics_that_prometheus_would_take_for_one_are_numbered() -> None:
    names = [Metric("a.b", "s", COUNTER, "T."), Metric("a_b", "s", COUNTER, "T."), Metric("a b", "ms", COUNTER, "T.")]
    lines = [line for line in text([([each.series()], [4]) for each in names]).decode().splitlines() if line[0] != "#"]
    assert lines == ["a_b_2_seconds_total 4", "a_b_3_seconds_total 0.004", "a_b_seconds_total 4"]


def test_the_text_has_an_end() -> None:
    load = Metric("load", "1", GAUGE, "Load.")
    series = [load.series(("n", str(at))) for at in range(SAMPLES_MAX + 10)]
    assert text([(series, [1] * len(series))]).count(b"\nload{") == SAMPLES_MAX


# ---- who is answered ------------------------------------------------------------------------------------------------


def latest() -> Latest:
    kept = Latest()
    kept.take("load", [Metric("x.load.1m", "1", GAUGE, "Load.").series()], 0, [0.5])
    return kept


@pytest.mark.parametrize(
    ("request_", "private", "status"),
    [
        (b"GET /metrics HTTP/1.1\r\nHost: localhost:9101\r\n\r\n", False, 200),
        (b"GET /metrics?x=1 HTTP/1.0\r\nHOST: 127.0.0.1\r\n\r\n", False, 200),
        (b"GET /metrics HTTP/1.1\r\nHost: [::1]:9101\r\n\r\n", False, 200),
        (b"HEAD /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n", False, 200),
        (b"GET /metrics HTTP/1.1\r\n\r\n", True, 200),
        (b"GET /metrics HTTP/1.1\r\n\r\n", False, 421),
        (b"GET /metrics HTTP/1.1\r\nHost: evil.example\r\n\r\n", False, 421),
        (b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n", False, 421),
        (b"GET /metrics HTTP/1.1\r\nHost: localhost.evil.example\r\n\r\n", False, 421),
        (b"GET /metrics HTTP/1.1\r\nHost: [::1].evil.example\r\n\r\n", False, 421),
        (b"GET /metrics HTTP/1.1\r\nHost: [::1]\r\n\r\n", False, 200),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", False, 404),
        (b"POST /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n", False, 405),
        (b"GET /metrics HTTP/2\r\n\r\n", True, 400),
        (b"", True, 400),
        (b"\xff\x00\r\n\r\n", True, 400),
    ],
)
def test_answers(request_: bytes, private: bool, status: int) -> None:
    head, _, body = answer(request_, latest(), private).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert (b"x_load_1m 0.5" in body) == (status == 200 and not request_.startswith(b"HEAD"))
    if not request_.startswith(b"HEAD"):
        assert b"Content-Length: %d\r\n" % len(body) in head


def test_what_a_collector_failed_to_tell_is_not_told() -> None:
    kept = latest()
    said = {"load": ""}
    kept.said = said
    assert len(list(kept.rows())) == 1
    said["load"] = "it is gone"
    assert list(kept.rows()) == []
