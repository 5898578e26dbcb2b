# SPDX-License-Identifier: Apache-2.0
"""How programs of the corpus say what they are, and how names are compared."""

from __future__ import annotations

from pathlib import Path

import binutils
import pytest
import sources
from sources import Part

TEXT = """\
// SPDX-License-Identifier: Apache-2.0
// case: one = gcc -O2 -DHOW="a b" ; separate .debug ; filter 0x10
// case: two = gcc -O0
// signal: SIGSEGV
// signal two: SIGABRT
// stack: (inner) <- boom|bang <- down*200 <- ... <- up*many <- main <- outermost
// thread two 8x: ... <- waiter <- lost
// thread 1x: main
int main(void) {
    return 0; // @main
}
"""


def programs(tmp_path: Path, text: str) -> list[sources.Program]:
    (tmp_path / "some.c").write_text(text)
    return sources.read(tmp_path / "some.c")


def test_what_a_program_says_of_itself(tmp_path: Path) -> None:
    one, two = programs(tmp_path, TEXT)
    assert (one.name, one.compiler, one.flags) == ("one", "gcc", ("-O2", "-DHOW=a b"))
    assert one.steps == (("separate", ".debug"), ("filter", "0x10"))
    assert (one.expect.signal, two.expect.signal) == ("SIGSEGV", "SIGABRT")
    assert one.expect.stack == (
        Part("inlined", ("inner",)), Part("function", ("boom", "bang")), Part("function", ("down",), 200), Part("wild"),
        Part("function", ("up",), None), Part("function", ("main",)), Part("outermost"),
    )  # fmt: skip
    assert one.expect.threads == ((1, (Part("function", ("main",)),)),)
    assert [count for count, _ in two.expect.threads] == [8, 1]
    assert one.expect.lines == {"main": frozenset({("some.c", 10)})}


def test_a_line_for_no_case_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="no such case"):
        programs(tmp_path, TEXT.replace("signal two", "signal too"))


def test_each_program_says_how_it_dies_and_where() -> None:
    for program in sources.programs():
        assert program.expect.signal.startswith("SIG"), program.name
        kinds = [part.kind for part in program.expect.stack]
        assert kinds and kinds[-1] in ("outermost", "lost", "wild"), program.name
        assert not program.expect.own or "function" in kinds or "trampoline" in kinds or "python" in kinds, program.name


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("boom", "boom"),
        ("exit@@GLIBC_2.2.5", "exit"),
        ("split.cold", "split"),
        ("work.constprop.0.isra.0", "work"),
        ("int corpus::box<std::pair<int, long> >::open<3>(int)", "corpus::box<std::pair<int, long> >::open<3>"),
        ("a::lambda(int)::{lambda(int)#1}::operator()(int) const", "a::lambda(int)::{lambda(int)#1}::operator()"),
        ("corpus::operator+(corpus::Sum const&, corpus::Sum const&)", "corpus::operator+"),
        ("panics::inner::writing::h0123456789abcdef", "panics::inner::writing"),
        ("panics[3a1fd5e9c2b4a687]::inner::writing", "panics::inner::writing"),
        ("<panics::Shape as panics::Deed>::deed", "<panics::Shape as panics::Deed>::deed"),
        ("main.(*Shape).Deed", "main.(*Shape).Deed"),
        ("(anonymous namespace)::quiet(int)", "(anonymous namespace)::quiet"),
        ("runtime.goexit.abi0", "runtime.goexit"),
    ],
)  # fmt: skip
def test_names_in_the_form_in_which_they_are_compared(name: str, wanted: str) -> None:
    assert binutils.normalised(name) == wanted
