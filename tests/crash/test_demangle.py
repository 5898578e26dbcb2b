# SPDX-License-Identifier: Apache-2.0
"""Readable names against c++filt's, and names that were made to do harm."""

from __future__ import annotations

import random
import re
import subprocess
import time
from pathlib import Path

import pytest

from telemetry_probes.crash import cxxnames, rustnames, rustv0
from telemetry_probes.crash.demangle import Demangler, undecorated

PATIENT_S = 60.0
"""No test but those of time itself depends on how much of it there is."""
LIBRARY = next(Path("/usr/lib").glob("*/libstdc++.so.6"))
V0 = """
_RNvCs1234_7mycrate3foo
_RNvMs1_NtCsgvbsrvnw3yD_9hashbrown3mapINtB5_7HashMapNtNtCsdadwybgsbvk_12rustc_middle2ty2TyuNtNtB7_3foo3BarE6insert
_RINvNtCsgEmfK2I1SDS_4core3ptr13drop_in_placeNtNtCs61nHkvlE5qF_9rustc_ast3ast12AttrItemKindECsaspd4q2l9mR_4main
_RNCNvNtCs3YjAvEO9FMr_4main5inner4work0B5_
_RNvXs_NtCs4_4main3abcRSeNtB4_5Trait6method
_RINvCs4_4main4takeKj7_E
_RINvCs4_4main4takeKlnff_E
_RINvCs4_4main4takeFUKCjEuE
_RINvCs4_4main4takeDNtB2_5TraitEL_E
_RINvCs4_4main4takeAtj8_TaEThmEE
_RINvCs4_4main4takeFG_RL0_eEB8_E
_RNvCs4_4mainu8gdel_5qa
""".split()
LEGACY = """
_ZN4core3ptr13drop_in_place17h0123456789abcdefE
_ZN77_$LT$alloc..vec..Vec$LT$T$GT$$u20$as$u20$core..ops..index..Index$LT$I$GT$$GT$5index17hfedcba9876543210E
_ZN3std9panicking11begin_panic28_$u7b$$u7b$closure$u7d$$u7d$17h00000000deadbeefE
""".split()


def filtered(names: list[str]) -> list[str]:
    """What c++filt makes of them; without hashes, numbers of crates and types of constants, which we don't show."""
    said = subprocess.run(
        ["c++filt", "--no-verbose"], input="\n".join(names), capture_output=True, text=True, check=True, timeout=60
    )
    plain = [re.sub(r"::h[0-9a-f]{16}$|\[[0-9a-f]+\]", "", line) for line in said.stdout.splitlines()]
    return [re.sub(r": ([iu](8|16|32|64|size)|bool|char)(?=[>,\]])", "", line) for line in plain]


def library_names() -> list[str]:
    said = subprocess.run(["nm", "-D", LIBRARY], capture_output=True, text=True, check=True, timeout=60).stdout
    names = {line.split()[-1].partition("@")[0] for line in said.splitlines()}
    return sorted(name for name in names if name.startswith("_Z"))[::4]


def test_names_of_the_cxx_library_are_as_cxxfilt_has_them() -> None:
    names = library_names()
    assert len(names) > 500
    assert Demangler().readable(names, PATIENT_S) == filtered(names)


@pytest.mark.parametrize("name", [*V0, *LEGACY])
def test_names_of_rust_are_as_cxxfilt_has_them(name: str) -> None:
    readable = rustnames.readable(name)
    assert readable is not None and readable != name
    assert readable == filtered([name])[0]


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("__libc_start_main@@GLIBC_2.34", "__libc_start_main"),
        ("memcpy@GLIBC_2.2.5", "memcpy"),
        ("work.cold", "work"),
        ("work.part.0", "work"),
        ("work.constprop.0.isra.0", "work"),
        ("work.lto_priv.17.cold", "work"),
        ("work.llvm.1234567", "work"),
        ("inner.0", "inner"),
        ("_Z3foov.cold", "foo()"),
        ("main.main.func1.2", "main.main.func1.2"),
        ("net/http.(*Server).Serve", "net/http.(*Server).Serve"),
        ("main.cold", "main"),
        ("@odd", "@odd"),
        (".L1", ".L1"),
        ("plain", "plain"),
        ("_Znot_a_mangled_name", "_Znot_a_mangled_name"),
        ("", ""),
    ],
)
def test_marks_of_compiler_and_linker_are_left_out(name: str, plain: str) -> None:
    assert Demangler().readable([name], PATIENT_S) == [plain]
    assert undecorated(undecorated(name)) == undecorated(name)


def enormous() -> str:
    """A name of 650 bytes whose readable form has more bytes than there are atoms."""
    digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"

    def substitution(number: int) -> str:
        text = ""
        while True:
            text = digits[number % 36] + text
            number //= 36
            if not number:
                return f"S{text}_"

    return "_Z1f1aIiiE" + "".join(f"S_I{substitution(at)}{substitution(at)}E" for at in range(60))


def test_a_name_that_unfolds_without_end_costs_only_itself() -> None:
    before = time.monotonic()
    names = ["_Z5firstv", enormous(), "_Z4lastv"]
    assert Demangler().readable(names, PATIENT_S) == ["first()", enormous(), "last()"]
    assert time.monotonic() - before < PATIENT_S / 2  # ended by its second of processor time, not by its half of these


def test_without_time_names_stay_mangled() -> None:
    assert Demangler().readable(["_Z5firstv", "plain"], 0.0) == ["_Z5firstv", "plain"]


def test_names_that_are_too_long_or_odd_stay() -> None:
    names = ["_Z" + "P" * 5000 + "i", "_Zß", "_R" + "N" * 9000, "_RNvC3fooB_3bar", "_RYB_B_"]
    assert cxxnames.readable(names[:2], PATIENT_S) == {}
    assert Demangler().readable(names, PATIENT_S) == names


def test_changed_names_never_raise() -> None:
    choose = random.Random(7)
    letters = "_RNvCsIKjBpEDFGTAS0123456789aehjlmxyzu"
    for _ in range(20_000):
        name = list(choose.choice(V0 + LEGACY))
        for _ in range(choose.randrange(1, 4)):
            name[choose.randrange(len(name))] = choose.choice(letters)
        readable = rustnames.readable("".join(name))
        assert readable is None or len(readable) <= rustv0.TEXT_MAX


def test_each_name_is_worked_out_once(monkeypatch: pytest.MonkeyPatch) -> None:
    demangler = Demangler()
    assert demangler.readable(["_Z5firstv", "_Z5firstv"], PATIENT_S) == ["first()", "first()"]
    monkeypatch.setattr(cxxnames, "LIBRARIES", ())
    assert demangler.readable(["_Z5firstv"]) == ["first()"]
    assert demangler.readable(["_Z6secondv"], PATIENT_S) == ["_Z6secondv"]
