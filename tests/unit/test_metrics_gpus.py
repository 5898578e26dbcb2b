# SPDX-License-Identifier: Apache-2.0
"""What programs say of graphics cards, in full, in part and wrong."""

from __future__ import annotations

import json

import pytest

from telemetry_probes.metrics import gpus
from telemetry_probes.metrics.gpus import Card, of_nvidia, of_nvtop, of_rocm, of_tegra

NVIDIA = b"00000000:01:00.0, NVIDIA GeForce RTX 4090, 87, 15230, 24564, 312.45, 71, 2520"
TEGRA = (
    b"RAM 2690/6854MB (lfb 6x1MB) SWAP 479/3427MB (cached 3MB) CPU [3%@1904,off] EMC_FREQ 0%@1600 GR3D_FREQ 41%@[510]"
    b" AUX@39C GPU@37.5C PMIC@50C VDD_IN 5079mW/5079mW VDD_CPU_GPU_CV 696mW/696mW"
)
ROCM = (
    b'{"card0": {"Temperature (Sensor edge) (C)": "47.0", "Current Socket Graphics Package Power (W)": "9.215",'
    b' "GPU use (%)": "3", "VRAM Total Memory (B)": "536870912", "VRAM Total Used Memory (B)": "482263040"}}'
)
NVTOP = (
    b'[{"device_name": "Mali", "gpu_clock": "910MHz", "temp": "52C", "power_draw": "2W", "gpu_util": "12%",'
    b' "mem_total": "8324644864", "mem_used": "249561088"}]'
)


def values(card: Card | None) -> dict[str, int | float | None]:
    assert card is not None
    return {metric.name: value for metric, value in card.values}


def test_nvidia() -> None:
    card = of_nvidia(NVIDIA)
    assert values(card) == {
        "hw.gpu.utilization": 0.87,
        "hw.gpu.memory.usage": 15230 << 20,
        "hw.gpu.memory.limit": 24564 << 20,
        "hw.power": 312.45,
        "hw.temperature": 71.0,
        "x.gpu.frequency": 2_520_000_000,
    }
    assert card is not None and (card.id, card.vendor, card.model) == (
        "0000:01:00.0",
        "NVIDIA",
        "NVIDIA GeForce RTX 4090",
    )


@pytest.mark.parametrize("said", [b"[N/A]", b"[Not Supported]", b"[Unknown Error]", b"nan", b"-1", b"1e9", b"", b"1_0"])
def test_nvidia_says_that_it_does_not_know(said: bytes) -> None:
    card = of_nvidia(b"00000000:01:00.0, Tesla T4, " + b", ".join([said] * 6))
    assert set(values(card).values()) == {None}


@pytest.mark.parametrize("said", ["101", "18446744073709551615", "9" * 30, "0x10", "²"])
def test_no_share_is_more_than_all(said: str) -> None:
    assert gpus.share(said) is None


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"No devices were found",
        b"NVIDIA-SMI has failed because it couldn't communicate, with the driver",
        NVIDIA + b", 1",
    ],
)
def test_lines_that_are_no_card(line: bytes) -> None:
    assert of_nvidia(line) is None
    assert of_tegra(line, "Jetson") is None


def test_tegra() -> None:
    assert values(of_tegra(TEGRA, "Jetson Xavier NX")) == {
        "hw.gpu.utilization": 0.41,
        "hw.gpu.memory.usage": 2690 << 20,
        "hw.gpu.memory.limit": 6854 << 20,
        "hw.power": 0.696,
        "hw.temperature": 37.5,
        "x.gpu.frequency": 510_000_000,
    }


@pytest.mark.parametrize(
    ("said", "hertz"),
    [(b"GR3D_FREQ 7%@114", 114_000_000), (b"GR3D_FREQ 7%@[305,306]", 305_000_000), (b"GR3D_FREQ 7%", None)],
)
def test_tegra_says_its_clock_in_three_ways(said: bytes, hertz: int | None) -> None:
    found = values(of_tegra(said, "Jetson"))
    assert (found["hw.gpu.utilization"], found["x.gpu.frequency"]) == (0.07, hertz)


def test_older_tegra_says_its_power_without_a_unit() -> None:
    assert values(of_tegra(b"GR3D_FREQ 0%@921 POM_5V_GPU 480/490", "Jetson"))["hw.power"] == 0.48


def test_rocm_as_text_and_as_numbers() -> None:
    as_numbers = json.loads(ROCM)
    as_numbers["card0"] = {name: float(text) for name, text in as_numbers["card0"].items()}
    for output in (ROCM, json.dumps(as_numbers).encode()):
        (card,) = of_rocm(output)
        assert values(card) == {
            "hw.gpu.utilization": 0.03,
            "hw.gpu.memory.usage": 482263040,
            "hw.gpu.memory.limit": 536870912,
            "hw.power": 9.215,
            "hw.temperature": 47.0,
        }


def test_nvtop() -> None:
    (card,) = of_nvtop(NVTOP)
    assert card.model == "Mali"
    assert values(card)["hw.gpu.utilization"] == 0.12
    assert values(card)["x.gpu.frequency"] == 910_000_000


@pytest.mark.parametrize("output", [ROCM, NVTOP])
def test_json_cut_anywhere_is_refused(output: bytes) -> None:
    understood = of_rocm if output is ROCM else of_nvtop
    for size in range(len(output)):
        with pytest.raises(ValueError):
            understood(output[:size])


@pytest.mark.parametrize(
    "output", [b"[]", b"{}", b"null", b"7", b'"card0"', b"[[]]", b'{"card0": 7}', b'[{"temp": []}]']
)
def test_json_of_another_form_has_no_values(output: bytes) -> None:
    for card in (*of_rocm(output), *of_nvtop(output)):
        assert set(values(card).values()) == {None}


@pytest.mark.parametrize("line", [NVIDIA, TEGRA])
def test_lines_cut_anywhere_have_no_nonsense(line: bytes) -> None:
    for size in range(len(line)):
        for card in (of_nvidia(line[:size]), of_tegra(line[:size], "Jetson")):
            if card is not None:
                assert all(value is None or value >= 0 for value in values(card).values())


def test_a_card_that_is_silent_has_the_same_series() -> None:
    card = of_nvidia(NVIDIA)
    assert card is not None
    silent = card.silent()
    assert [(point.metric, point.attributes) for point in silent.points()] == [
        (point.metric, point.attributes) for point in card.points()
    ]
    assert set(values(silent).values()) == {None}


def test_names_from_hardware_are_one_printable_line() -> None:
    card = of_nvidia(b"00000000:01:00.0, \x1b[31m\xffEvil\nCard" + b"x" * 500 + b", 0, 0, 0, 0, 0, 0")
    assert card is not None
    assert card.model.isprintable() and len(card.model) <= 64
