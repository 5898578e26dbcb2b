# SPDX-License-Identifier: Apache-2.0
"""Installed programs, a C program and the Python binding through a real telemd to a real hub: what was said arrives."""

from __future__ import annotations

import base64
import os
import random
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from hubprocess import HubProcess, hub_at
from installed import PREFIX
from running import BIN, TIMEOUT_S, Root, Telemd, running, state_root

import libtelemetry
from libtelemetry import DURABLE, JSON, Client, Record

if TYPE_CHECKING:
    from collections.abc import Iterator

TESTS = Path(__file__).parents[1]
PAYLOAD_MAX = 65_536


class Service(NamedTuple):
    root: Root
    telemd: Telemd
    hub: HubProcess

    def arrived(self, classification: str) -> list[dict[str, Any]]:
        """All records of that class at the hub, once nothing waits any more."""
        self.telemd.wait_delivered()
        return self.hub.records(classification=classification)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    data = tmp_path_factory.mktemp("hub")
    with hub_at(data) as hub, state_root(server=hub.url, spool_max_size=1 << 20) as root, running(root) as telemd:
        yield Service(root, telemd, hub)


def program(service: Service, name: str, *arguments: str, given: bytes = b"") -> str:
    """Run an installed program to its good end; what it printed."""
    done = subprocess.run(
        [BIN / name, "-f", service.root.config_file, *arguments], input=given, capture_output=True, timeout=TIMEOUT_S
    )
    assert (done.returncode, done.stderr) == (0, b""), done
    return done.stdout.decode()


def test_hprobe(service: Service) -> None:
    assert program(service, "hprobe") == "Successfully sent record to daemon.\n"
    program(service, "hprobe", "-H")
    (hello,) = service.arrived("org.clearlinux/hello/world")
    (ping,) = service.arrived("org.clearlinux/heartbeat/ping")
    assert hello["payload"] == ping["payload"] == "hello\n"
    assert (hello["severity"], hello["payload_version"]) == (1, 1)
    assert hello["machine_id"] == ping["machine_id"] == service.telemd.status()["machine_id"]
    assert hello["facts"]["kernel_version"] == os.uname().release
    assert hello["id"] != ping["id"]


@pytest.mark.parametrize("way", ["stdin", "file", "argument"])
def test_largest_payload_of_record_gen(service: Service, tmp_path: Path, way: str) -> None:
    chance = random.Random(way)
    payload = bytes(chance.choices(range(32, 127), k=PAYLOAD_MAX - 1)) + b"\n"
    classification = f"org.test/generated/{way}"
    common = ("-c", classification, "-s", "4", "-R", "7", "-e", "ab" * 16)
    if way == "stdin":
        program(service, "telem-record-gen", *common, given=payload)
    elif way == "file":
        path = tmp_path / "payload"
        path.write_bytes(payload)
        program(service, "telem-record-gen", *common, "-P", str(path))
    else:
        program(service, "telem-record-gen", *common, "-p", payload.decode())
    (found,) = service.arrived(classification)
    assert found["payload"].encode() == payload
    assert (found["severity"], found["payload_version"], found["event_id"]) == (4, 7, "ab" * 16)


def test_payload_over_the_limit_is_cut_and_that_is_said(service: Service) -> None:
    done = subprocess.run(
        [BIN / "telem-record-gen", "-f", service.root.config_file, "-c", "org.test/generated/large"],
        input=b"x" * (PAYLOAD_MAX + 1),
        capture_output=True,
        timeout=TIMEOUT_S,
    )
    assert done.returncode == 0
    assert b"ignoring the rest" in done.stderr
    (found,) = service.arrived("org.test/generated/large")
    assert found["payload"] == "x" * PAYLOAD_MAX


def test_c_program_built_by_pkg_config(service: Service, tmp_path: Path) -> None:
    if shutil.which("pkg-config") is None or shutil.which("cc") is None:
        pytest.skip("needs cc and pkg-config (apt install gcc pkg-config)")
    library = PREFIX / "lib"
    flags = subprocess.run(
        ["pkg-config", "--cflags", "--libs", "libtelemetry"],
        env={**os.environ, "PKG_CONFIG_PATH": str(library / "pkgconfig")},
        capture_output=True,
        text=True,
        check=True,
        timeout=TIMEOUT_S,
    ).stdout.split()
    source, binary = tmp_path / "sender.c", tmp_path / "sender"
    source.write_text(C_PROGRAM)
    command = ["cc", "-std=c11", "-Wall", "-Wextra", "-Werror", str(source), "-o", str(binary), *flags]
    subprocess.run(command, check=True, timeout=TIMEOUT_S)
    sent = subprocess.run(
        [binary, service.root.config_file],
        env={**os.environ, "LD_LIBRARY_PATH": str(library)},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    assert (sent.returncode, sent.stderr) == (0, "")
    (old,) = service.arrived("org.test/c/old")
    assert old["payload"] == "x" * 8192
    kept = service.arrived("org.test/c/kept")
    assert len(kept) == 300
    assert {base64.b64decode(each["payload_base64"]) for each in kept} == {
        b"\0" + number.to_bytes(2, "little") for number in range(300)
    }
    assert sorted(each["id"] for each in kept) == sorted(sent.stdout.split())


C_PROGRAM = r"""
#include <stdio.h>
#include <string.h>
#include <telemetry.h>

enum { COUNT = 300 };

static int old_interface(void)
{
        static char classification[] = "org.test/c/old", payload[TM_TEXT_PAYLOAD_MAX + 1];
        struct telem_ref *ref;
        int r;

        memset(payload, 'x', TM_TEXT_PAYLOAD_MAX);
        r = tm_create_record(&ref, 2, classification, 1);
        if (r < 0)
                return r;
        r = tm_set_payload(ref, payload);
        if (r == 0)
                r = tm_send_record(ref);
        tm_free_record(ref);
        return r;
}

static int kept_connection(void)
{
        static char classification[] = "org.test/c/kept";
        static struct telem_ref *refs[COUNT];
        static struct tm_ack acks[COUNT];
        struct tm_client *client;

        for (int i = 0; i < COUNT; i++) {
                unsigned char payload[3] = { 0, (unsigned char)i, (unsigned char)(i >> 8) };

                if (tm_create_record(&refs[i], 1, classification, 1) < 0 ||
                    tm_set_payload_bytes(refs[i], TM_PAYLOAD_TEXT, payload, sizeof payload) < 0)
                        return -1;
        }
        if (tm_client_open(&client, 60000) < 0)
                return -2;
        int answered = tm_client_send_many(client, refs, COUNT, acks);
        tm_client_close(client);
        for (int i = 0; i < answered; i++) {
                if (acks[i].verdict != TM_DURABLE)
                        return -3;
                for (int k = 0; k < TM_ID_SIZE; k++)
                        printf("%02x", acks[i].record_id[k]);
                printf("\n");
        }
        for (int i = 0; i < COUNT; i++)
                tm_free_record(refs[i]);
        return answered == COUNT ? 0 : -4;
}

int main(int argc, char **argv)
{
        int r;

        if (argc != 2 || tm_set_config_file(argv[1]) < 0 || !tm_is_opted_in())
                return 2;
        r = old_interface();
        if (r == 0)
                r = kept_connection();
        if (r < 0)
                fprintf(stderr, "%d\n", r);
        return r < 0;
}
"""


def test_python_binding(service: Service) -> None:
    libtelemetry.set_config_file(str(service.root.config_file))
    classification = "org.test/python/binding"
    records = [Record(classification, f'{{"n": {n}}}', payload_kind=JSON, attributes={4: "1.2.3"}) for n in range(1000)]
    with Client(TIMEOUT_S) as client:
        assert {ack.verdict for ack in client.send_many(records)} == {DURABLE}
    found = service.arrived(classification)
    assert {each["id"] for each in found} == {each.record_id.hex() for each in records}
    assert {each["payload"] for each in found} == {f'{{"n": {n}}}' for n in range(1000)}
    assert {each["facts"]["kernel_version"] for each in found} == {"1.2.3"}
