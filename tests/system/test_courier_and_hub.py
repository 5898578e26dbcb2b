# SPDX-License-Identifier: Apache-2.0
"""Courier and hub as systemd runs them: called for work, gone without it, trusted with secrets that nobody else has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from booted import wait_until
from sending import WATCHDOG_S, Hub, configure, send, starts_after_a_hang, wait_told

if TYPE_CHECKING:
    from booted import Machine

SECRET = "/etc/telemetrics/client.key"
COURIERS = "telemd-courier.socket"

# A server that wants a certificate of who comes, and says whose it was.
ASKING_SERVER = """
import http.server, ssl, sys

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        print("came", self.connection.getpeercert()["subject"], flush=True)
        self.send_response(201)
        self.send_header("Content-Length", "0")
        self.end_headers()

server = http.server.HTTPServer(("127.0.0.1", 8443), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.verify_mode = ssl.CERT_REQUIRED
context.load_cert_chain("/opt/tls/server.pem", "/opt/tls/server.key")
context.load_verify_locations("/opt/tls/client.pem")
server.socket = context.wrap_socket(server.socket, server_side=True)
print("serving", flush=True)
server.serve_forever()
"""

CERTIFICATES = """
mkdir -p /opt/tls; cd /opt/tls
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=127.0.0.1 \
    -addext subjectAltName=IP:127.0.0.1 -keyout server.key -out server.pem 2>/dev/null
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=this-machine \
    -keyout client.key -out client.pem 2>/dev/null
install -m 0644 client.pem /etc/telemetrics/client.pem
install -m 0600 client.key /etc/telemetrics/client.key
"""


def couriers(machine: Machine) -> str:
    return machine.systemctl("list-units", "--plain", "--no-legend", "telemd-courier@*")


def test_it_comes_for_work_and_leaves_without_it(running: Machine, hub: Hub) -> None:
    running.drop_in("telemd-courier@.service", "ExecStart=", "ExecStart=/usr/bin/telemd-courier --linger 1")
    configure(running, server=f"{hub.url}/")
    running.run("telemctl", "restart")
    for first in (0, 100):
        came = int(running.shown(COURIERS, "NAccepted"))
        assert send(running, range(first, first + 100)) == list(range(first, first + 100))
        hub.wait_for(range(first, first + 100))
        wait_until(lambda: couriers(running) == "", "the courier has left")
        # as often as a busy machine let it wait a second for more of them
        assert came < int(running.shown(COURIERS, "NAccepted")) < came + 20
    assert running.state(COURIERS) == "active"


def test_a_courier_that_is_killed_costs_nothing(running: Machine, hub: Hub) -> None:
    configure(running, server=f"{hub.url}/", retry_max_s=1)
    running.run("telemctl", "restart")
    for number in range(5):
        assert send(running, [number]) == [number]
        running.shell("systemctl kill --signal=KILL 'telemd-courier@*' || :")
    hub.wait_for(range(5))


def test_a_courier_that_hangs_makes_room_for_another(running: Machine, hub: Hub) -> None:
    running.drop_in("telemd-courier@.service", f"WatchdogSec={WATCHDOG_S}")
    configure(running, server=f"{hub.url}/", retry_max_s=1)
    running.run("telemctl", "restart")
    since = running.cursor()
    assert send(running, [0]) == [0]
    hub.wait_for([0])
    wait_told(running, couriers(running).split()[0])  # while it waits
    running.shell("systemctl kill --signal=STOP 'telemd-courier@*'")
    assert send(running, [1]) == [1]
    running.wait_journal("Watchdog timeout", since)
    hub.wait_for([1])


def test_a_key_that_only_root_may_read(running: Machine) -> None:
    running.shell(CERTIFICATES)
    running.write("/opt/tls/server.py", ASKING_SERVER)
    since = running.cursor()
    running.run("systemd-run", "--quiet", "--unit=asking", "/usr/bin/python3", "/opt/tls/server.py")
    try:
        running.wait_journal("serving", since, unit="asking.service")
        configure(
            running,
            server="https://127.0.0.1:8443/",
            transport="backend-json",
            cainfo="/opt/tls/server.pem",
            client_certificate="/etc/telemetrics/client.pem",
            client_key=SECRET,
        )
        running.run("telemctl", "restart")
        assert send(running, [1]) == [1]
        assert "this-machine" in running.wait_journal("came", since, unit="asking.service")
        assert running.shell(
            "setpriv --reuid telemetry --clear-groups cat " + SECRET + " 2>&1 || echo refused"
        ).endswith("refused\n")
    finally:
        running.systemctl("stop", "asking.service", good=(0, 5))
        for name in ("client.pem", "client.key"):
            running.path(f"/etc/telemetrics/{name}").unlink()


def test_a_hub_that_hangs_is_started_anew(system: Machine, hub: Hub) -> None:
    try:
        assert starts_after_a_hang(system, hub.unit) >= 1
        system.wait_state(hub.unit, "active")
    finally:
        system.path(f"/run/systemd/system/{hub.unit}.d/test.conf").unlink()
        system.systemctl("daemon-reload")
