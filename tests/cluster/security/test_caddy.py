"""A service cannot take over the load balancer that runs beside it."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.cluster.cluster import Cluster
    from tests.cluster.security.conftest import Attacker

ADMIN = "import socket; socket.socket(socket.AF_UNIX).connect('/run/caddy/admin.sock')"
FORMER_ADMIN = "import socket; socket.create_connection(('127.0.0.1', 2019), 2)"
TAKE = """
import socket, time
ends = time.monotonic() + 12
while time.monotonic() < ends:
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        try:
            taken.bind(("127.0.0.1", 2020))
        except OSError:
            time.sleep(0.002)
            continue
        taken.listen()
        print("taken", flush=True)
        time.sleep(5)
        break
"""


def test_the_admin_interface_is_closed_to_a_service(service: Attacker) -> None:
    assert service.run(ADMIN).startswith("PermissionError")
    assert service.run(FORMER_ADMIN).startswith("ConnectionRefusedError")
    assert service.run("open('/etc/caddy/pki/ca.key')").startswith("PermissionError")


def test_no_service_takes_caddys_ports_while_it_restarts(attacked: Cluster, service: Attacker) -> None:
    with subprocess.Popen(service.command(TAKE), stdout=subprocess.PIPE, text=True) as thief:
        for verb in ("restart", "kill --signal=KILL", "restart"):
            attacked.run("n1", "sh", "-c", f"systemctl {verb} caddy.service; sleep 2")
        attacked.run("n1", "systemctl", "is-active", "caddy.service")
        assert thief.communicate(timeout=30)[0] == ""
    attacked.cli("status").expect(0)
