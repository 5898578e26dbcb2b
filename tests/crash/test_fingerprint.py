# SPDX-License-Identifier: Apache-2.0
"""Two crashes of the same fault have the same fingerprint, those of two faults have not."""

from __future__ import annotations

import pytest

from telemetry_probes.crash.fingerprint import FRAMES_MAX, Point, by_name, by_offset, normalised


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("main", "main"),
        ("std::vector<int, std::allocator<int> >::push_back(int&&)", "std::vector::push_back"),
        ("foo(char const*)", "foo"),
        ("operator<<(std::ostream&, X const&)", "operator<<"),
        ("X::operator()(int) const", "X::operator() const"),
        ("X::operator->()", "X::operator->"),
        ("(anonymous namespace)::f(int)", "(anonymous namespace)::f"),
        ("core::panicking::panic::h0123456789abcdef", "core::panicking::panic"),
        ("main.main.func1", "main.main.func1"),
        ("runtime.(*mheap).alloc", "runtime..alloc"),
        ("", ""),
        ("<<<", "<<<"),
    ],
)
def test_names_without_what_a_rebuild_changes(name: str, plain: str) -> None:
    assert normalised(name) == plain


def stack(*names: str, build: str = "aa", first: int = 0x1000) -> list[Point]:
    return [Point(build, first + 16 * at, name) for at, name in enumerate(names)]


def test_another_build_has_another_place_and_the_same_name() -> None:
    one, other = stack("f", "g", "main"), stack("f", "g", "main", build="bb", first=0x2000)
    assert by_offset(one) != by_offset(other) and by_name(one) == by_name(other)


def test_another_way_to_the_fault_is_another_fault() -> None:
    assert by_name(stack("f", "g", "main")) != by_name(stack("f", "h", "main"))


def test_how_it_ended_does_not_matter() -> None:
    assert by_name(stack("raise", "abort", "f", "main")) == by_name(
        stack("pthread_kill", "gsignal", "abort", "f", "main")
    )
    assert by_name(stack("abort")) not in ("", by_name(stack("raise")))


def test_a_library_s_inner_function_between_how_it_ended_does_not_matter() -> None:
    """In libc.so itself pthread_kill's inner function has no name, and its place is another in each build."""
    one = [Point("c1", 0x8AE2C, ""), Point("c1", 0x3BFB2, "raise"), Point("c1", 0x26472, "abort"), *stack("f", "main")]
    other = [Point("c2", 0x9000, ""), Point("c2", 0x3000, "raise"), Point("c2", 0x2000, "abort"), *stack("f", "main")]
    assert by_name(one) == by_name(other) == by_name(stack("f", "main"))
    assert by_offset(one) == by_offset(stack("f", "main"))


def test_a_function_without_a_name_that_calls_plumbing_matters() -> None:
    assert by_name([*stack("abort"), *stack("", "main")]) != by_name([*stack("abort"), *stack("", "main", first=64)])
    assert by_name([Point("aa", 1, ""), Point("bb", 2, "abort"), *stack("main")]) != by_name(stack("main"))


def test_a_frame_without_name_counts_by_its_place() -> None:
    assert by_name(stack("", "main")) != by_name(stack("", "main", first=0x3000))


def test_frames_far_out_do_not_count() -> None:
    deep = ["f"] * FRAMES_MAX
    assert by_name(stack(*deep, "a")) == by_name(stack(*deep, "b"))


def test_nothing_has_no_fingerprint() -> None:
    assert by_name([]) == by_offset([]) == ""


def test_they_stay_what_they_are() -> None:
    """Hubs keep them: a change here makes every known fault a new one."""
    points = stack("f", "main")
    assert (by_offset(points), by_name(points)) == (GOLDEN_OFFSET, GOLDEN_NAME)


GOLDEN_OFFSET = "6410b7e91a5378342d8b6e6d3d0d456c"
GOLDEN_NAME = "36eb9ac3d75299d83bb667eba847151a"
