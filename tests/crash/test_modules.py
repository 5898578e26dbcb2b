# SPDX-License-Identifier: Apache-2.0
"""Which files a core's modules are: real programs that were replaced, deleted, moved below a root, or tell lies."""

from __future__ import annotations

import os
import random
import shutil
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import handmade
import pytest
from handmade import NT_FILE, PAGE, W, as_the_kernel, piped

from telemetry_probes.crash import elf, identity, modules, stream, sysroot
from telemetry_probes.crash.model import Module

SOURCE = r"""
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
int seven(void);
volatile char *data;
int main(int count, char **values) {
    int file = open(values[1], O_RDONLY);
    data = mmap(0, 4096, PROT_READ, MAP_PRIVATE, file, 0);
    if (count > 1 && seven() == data[0]) abort();
    return 0;
}
"""
LIBRARY = "int seven(void) { return 7; }\n"
NO_BUILD_ID = "-Wl,--build-id=none"


def listed(raw: bytes, path: bytes) -> bytes:
    """The core with a PT_LOAD for a file that was mapped for reading: the kernel lists it, gdb doesn't."""
    taken = handmade.take_apart(raw)
    (files,) = (content for kind, content, _name in taken.notes if kind == NT_FILE)
    count = struct.unpack_from("<Q", files)[0]
    at = files[16 + 24 * count :].split(b"\0").index(path)
    start, end, _page = struct.unpack_from("<QQQ", files, 16 + 24 * at)
    parts = sorted([*taken.parts, handmade.Part(start, b"", handmade.R, end - start)])
    return handmade.core(parts, joined(taken.notes), notes_first=False)


def joined(notes: list[tuple[int, bytes, bytes]], without: int = 0) -> bytes:
    return b"".join(handmade.note(*one) for one in notes if one[0] != without)


class Place:
    """A program and its library in a folder of their own, and the core of it."""

    def __init__(self, folder: Path, *flags: str) -> None:
        self.folder = folder
        self.library = handmade.compile_c(LIBRARY, folder / "library.so", "-shared", "-fPIC", *flags)
        self.program = handmade.compile_c(SOURCE, folder / "program", str(self.library), *flags)
        self.fifo = folder / "fifo"
        os.mkfifo(self.fifo)
        (folder / "data.bin").write_bytes(b"\x07no program\n" * 1000)
        raw = handmade.gdb_core(self.program, folder / "core", str(folder / "data.bin"))
        self.raw = listed(raw, str(folder / "data.bin").encode())

    def modules(self, raw: bytes | None = None, root: str = "/") -> modules.Modules:
        return modules.find(self.core(raw), root)

    def core(self, raw: bytes | None = None) -> stream.Core:
        with piped(as_the_kernel(self.raw) if raw is None else raw) as fd:
            return stream.read(fd)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(tmp_path_factory.mktemp("modules"))


@pytest.fixture
def own(tmp_path: Path) -> Place:
    return Place(tmp_path)


def mapped_paths(place: Place) -> set[str]:
    return {mapping.path for mapping in place.core().notes.mappings}


def by_name(found: modules.Modules) -> dict[str, Module]:
    return {module.path.rpartition("/")[2]: module for module in found.all}


def test_each_module_has_its_file_and_place(place: Place) -> None:
    core = place.core()
    found = by_name(modules.find(core))
    assert {"program", "library.so", "libc.so.6", "[vdso]"} <= found.keys()
    assert "data.bin" not in found and str(place.folder / "data.bin") in mapped_paths(place)
    for module in found.values():
        assert module.image is not None and not module.why_unread
        assert module.image.build_id == module.build_id and len(module.build_id) == 40
        text = module.image.header(".text")
        assert text is not None
        where = text.address + module.bias
        assert any(start <= where < end for start, end in module.ranges)
    read = subprocess.run(["readelf", "-n", place.library], capture_output=True, text=True, check=True).stdout
    assert f"Build ID: {found['library.so'].build_id}" in read


def test_an_address_belongs_to_one_module(place: Place) -> None:
    core = place.core()
    found = modules.find(core)
    for mapping in core.notes.mappings:
        for address in (mapping.start, mapping.end - 1):
            module = found.at(address)
            assert module is None if "data.bin" in mapping.path else module is not None and module.path == mapping.path
    pc = core.notes.threads[0].registers[16]
    assert pc is not None
    at_pc = found.at(pc)
    assert at_pc is not None and at_pc.path.endswith("libc.so.6") and at_pc is found.at(pc)
    assert found.at(0) is None and found.at((1 << 64) - 1) is None and found.at(-1) is None
    vdso = found.at(core.notes.auxv[33] + 100)
    assert vdso is not None and vdso.path == "[vdso]"


def test_text_is_read_from_the_file_and_data_is_not(place: Place) -> None:
    core = place.core()
    found = modules.find(core)
    memory = modules.memory(core, found)
    (library,) = found.named(lambda path: path.endswith("library.so"))
    assert library.image is not None
    text = library.image.header(".text")
    assert text is not None
    assert core.memory.read(text.address + library.bias, 32) is None
    want = library.image.section(".text")
    assert want is not None and memory.read(text.address + library.bias, 32) == bytes(want[:32])
    assert memory.word(text.address + library.bias) == int.from_bytes(want[:8], "little")
    # a core without data: what was relocated there must not come out of the file
    taken = handmade.take_apart(as_the_kernel(place.raw))
    bare = [part if not part.flags & W else part._replace(content=b"", size=len(part.content)) for part in taken.parts]
    bare_core = place.core(handmade.core(bare, joined(taken.notes)))
    found = modules.find(bare_core)
    (library,) = found.named(lambda path: path.endswith("library.so"))
    assert library.image is not None and not library.why_unread
    got = library.image.header(".got")
    assert got is not None and library.image.at(got.address, 8) is not None
    assert modules.memory(bare_core, found).word(got.address + library.bias) is None


def test_files_are_opened_only_when_asked_for(place: Place) -> None:
    opened: list[str] = []

    def open_file(path: str) -> sysroot.Opened:
        opened.append(path)
        return sysroot.open_regular(path)

    core = place.core()
    found = modules.find(core, open_file=open_file)
    assert opened == []
    pc = core.notes.threads[0].registers[16]
    assert pc is not None
    for _ in range(3):
        found.at(pc)
    assert len(opened) == 1 and opened[0].endswith("libc.so.6")
    assert len(found.all) >= 5 and len(opened) == len(set(opened)) == len(found.all) - 1  # the vdso has no file


def test_a_refusal_to_open_is_told(place: Place) -> None:
    module = by_name(modules.find(place.core(), open_file=lambda _path: "a private path"))["program"]
    assert module.why_unread == "a private path"
    assert isinstance(module.image, elf.MemoryImage) and len(module.build_id) == 40


def rebuilt(own: Place) -> None:
    own.library.unlink()
    handmade.compile_c(LIBRARY.replace("7", "3 + 4 + 0 * sizeof(long)"), own.library, "-shared", "-fPIC", "-O2")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (rebuilt, "the file has another build-id"),
        (lambda own: own.library.unlink(), "No such file or directory"),
        (lambda own: (own.library.unlink(), shutil.copy("/etc/passwd", own.library)), "not an ELF file of this kind"),
        (lambda own: own.library.write_bytes(b""), "not an ELF file of this kind"),
        (lambda own: subprocess.run(["ln", "-sfT", own.fifo, own.library], check=True), "not a regular file"),
        (lambda own: (own.library.unlink(), own.library.symlink_to("/dev/zero")), "not a regular file"),
        (lambda own: (own.library.unlink(), own.library.mkdir()), "not a regular file"),
        (lambda own: (own.library.unlink(), own.library.symlink_to(own.library)), "Too many levels of symbolic links"),
        (
            lambda own: subprocess.run(["objcopy", "--remove-section=.note.gnu.build-id", own.library], check=True),
            "the file has no build-id, what was mapped had",
        ),
    ],
)
def test_a_file_that_is_another_now_is_not_used(own: Place, change: Callable[[Place], object], why: str) -> None:
    before = by_name(own.modules())["library.so"].build_id
    change(own)
    module = by_name(own.modules())["library.so"]
    assert module.why_unread == why
    assert module.build_id == before
    assert module.image is None or isinstance(module.image, elf.MemoryImage)


def renamed(place: Place, old: bytes, new: bytes) -> bytes:
    """The core with another name in its list of mapped files."""
    taken = handmade.take_apart(as_the_kernel(place.raw))
    notes = [(kind, content.replace(old + b"\0", new + b"\0"), name) for kind, content, name in taken.notes]
    return handmade.core(taken.parts, joined(notes))


def test_a_deleted_file_that_is_there_again_counts_by_its_build_id(own: Place) -> None:
    library = str(own.library).encode()
    module = by_name(own.modules(renamed(own, library, library + b" (deleted)")))["library.so"]
    assert module.path == str(own.library) and not module.why_unread
    rebuilt(own)
    module = by_name(own.modules(renamed(own, library, library + b" (deleted)")))["library.so"]
    assert module.why_unread == "the file has another build-id"


def test_without_build_id_the_first_page_decides(tmp_path: Path) -> None:
    place = Place(tmp_path, NO_BUILD_ID)
    module = by_name(place.modules())["library.so"]
    assert module.image is not None and not module.why_unread and module.build_id == ""
    library = str(place.library).encode()
    gone = by_name(place.modules(renamed(place, library, library + b" (deleted)")))["library.so"]
    assert gone.why_unread.startswith("the file was deleted")
    handmade.compile_c(LIBRARY + "int eight(void) { return 8; }\n", place.library, "-shared", "-fPIC", NO_BUILD_ID)
    assert by_name(place.modules())["library.so"].why_unread == "the file isn't the one that was mapped"


def without_first_pages(place: Place, constants: bool) -> bytes:
    """The core as qemu or a coredump_filter without bit 4 leaves it; `constants`: with what was relocated."""
    taken = handmade.take_apart(place.raw)
    parts = []
    for part in sorted(taken.parts):
        relocated = bool(part.flags & W) or (constants and not part.content.startswith(b"\x7fELF"))
        parts.append(part if relocated else part._replace(content=b"", size=max(len(part.content), part.size)))
    return handmade.core(parts, joined(taken.notes))


def test_without_first_pages_the_dynamic_section_decides(own: Place) -> None:
    raw = without_first_pages(own, True)
    found = by_name(own.modules(raw))
    want = by_name(own.modules())
    for name in ("program", "library.so", "libc.so.6"):
        assert not found[name].why_unread
        assert (found[name].bias, found[name].build_id) == (want[name].bias, want[name].build_id)
    own.library.unlink()
    handmade.compile_c(LIBRARY + "int eight(void) { return 8; }\n", own.library, "-shared", "-fPIC")
    changed = by_name(own.modules(raw))["library.so"]
    assert (changed.why_unread, changed.image, changed.build_id) == (identity.ANOTHER, None, "")


def test_without_first_pages_and_constants_nothing_is_believed(place: Place) -> None:
    found = by_name(place.modules(without_first_pages(place, False)))
    assert found["program"].why_unread == identity.NOT_IN_CORE and found["program"].image is None
    assert found["[vdso]"].why_unread == "the core doesn't hold it"


def test_a_static_program_is_known_by_its_constants(tmp_path: Path) -> None:
    program = handmade.compile_c("#include <stdlib.h>\nint main(void) { abort(); }\n", tmp_path / "program", "-static")
    taken = handmade.take_apart(handmade.gdb_core(program, tmp_path / "core"))
    parts = [
        part if not part.content.startswith(b"\x7fELF") else part._replace(content=b"", size=len(part.content))
        for part in sorted(taken.parts)
    ]
    raw = handmade.core(parts, joined(taken.notes))

    def module() -> Module:
        with piped(raw) as fd:
            return by_name(modules.find(stream.read(fd)))["program"]

    assert module().image is not None and not module().why_unread
    source = '#include <stdio.h>\n#include <stdlib.h>\nint main(void) { puts("other"); abort(); }\n'
    program.unlink()
    handmade.compile_c(source, program, "-static")
    assert module().why_unread == identity.ANOTHER


def test_below_a_root_symlinks_stay_inside(place: Place, tmp_path: Path) -> None:
    root = tmp_path / "root"
    inside_folder = root / str(place.folder).lstrip("/")
    inside_folder.mkdir(parents=True)
    (root / "elsewhere").mkdir()
    shutil.copy(place.library, root / "elsewhere/library.so")
    (inside_folder / "library.so").symlink_to("/link/library.so")  # absolute: from the root again
    (root / "link").symlink_to("../../../elsewhere")  # above the root is the root

    def inside() -> dict[str, Module]:
        return by_name(modules.find(place.core(), open_file=sysroot.opener(str(root), inside=True)))

    assert not inside()["library.so"].why_unread and inside()["library.so"].path == str(place.library)
    assert inside()["program"].why_unread == "No such file or directory"
    (inside_folder / "program").symlink_to(place.program)  # that is itself, below the root
    assert inside()["program"].why_unread == "too many symlinks"
    assert not by_name(place.modules(root=str(root)))["program"].why_unread  # a root of one's own may lead out
    (inside_folder / "program").unlink()
    os.mkfifo(inside_folder / "program")
    assert inside()["program"].why_unread == "not a regular file"


@pytest.mark.parametrize("path", ["/a\0b", "/" + "a/" * 3000, "/" + "a" * 300, "/\udcff", ""])
def test_paths_that_are_none(path: str, tmp_path: Path) -> None:
    assert isinstance(sysroot.opener(str(tmp_path))(path), str)
    assert isinstance(sysroot.opener(str(tmp_path), inside=True)(path), str)
    assert isinstance(sysroot.open_regular(path), str)


def whole(place: Place) -> bytes:
    """All of gdb's core with its notes first and without NT_FILE, as qemu writes them."""
    taken = handmade.take_apart(place.raw)
    return handmade.core(taken.parts, joined(taken.notes, NT_FILE))


def test_without_a_list_of_files_the_link_map_has_the_same_modules(place: Place) -> None:
    found = place.modules(whole(place)).all
    want = place.modules().all
    paths = [one.path if "[" in one.path else os.path.realpath(one.path) for one in found]
    assert paths == [one.path for one in want]
    assert [(one.start, one.bias, one.build_id) for one in found] == [
        (one.start, one.bias, one.build_id) for one in want
    ]
    assert not any(one.why_unread for one in found)
    for one, other in zip(found, want, strict=True):
        assert {start for start, _end in other.ranges} >= {start for start, _end in one.ranges}


def test_a_link_map_that_goes_round_ends(place: Place) -> None:
    core = place.core(whole(place))
    (library,) = modules.find(core).named(lambda path: path.endswith("library.so"))
    raw = whole(place)
    taken = handmade.take_apart(raw)
    parts, entries = [], 0
    for part in taken.parts:
        content = bytearray(part.content)
        for at in range(0, len(content) - 40, 8):
            # the library's struct link_map: its address, and l_next becomes the entry itself
            if part.flags & W and struct.unpack_from("<Q", content, at)[0] == library.bias:
                name, _dynamic, _next, before = struct.unpack_from("<QQQQ", content, at + 8)
                if name and before and core.memory.word(before + 24) == part.address + at:
                    struct.pack_into("<Q", content, at + 24, part.address + at)
                    entries += 1
        parts.append(part._replace(content=bytes(content)))
    assert entries == 1
    found = by_name(place.modules(handmade.core(parts, joined(taken.notes, NT_FILE))))
    assert "library.so" in found and "program" in found


def test_files_that_overlap_or_go_backwards(place: Place) -> None:
    taken = handmade.take_apart(as_the_kernel(place.raw))
    path = str(place.program).encode()
    chance = random.Random(5)
    for _turn in range(200):
        starts = [chance.randrange(1, 1 << 34) * PAGE for _ in range(chance.randrange(1, 30))]
        files = [(start, start + chance.randrange(1, 1 << 30), chance.randrange(4), path) for start in starts]
        raw = handmade.core(taken.parts, joined(taken.notes, NT_FILE) + handmade.mapped(files))
        found = place.modules(raw)
        for start, end, _offset, _path in files:
            found.at(start)
            found.at(end)
        assert len(found.all) <= len(files) + 1
