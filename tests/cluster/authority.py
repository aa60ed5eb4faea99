"""A real ACME authority (Caddy's), on a host outside the cluster."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tests.cluster.measure import wait_until

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.cluster.cluster import Cluster

NAME = "ca.example.com"
PORT = 9443
DIRECTORY = f"https://{NAME}:{PORT}/acme/local/directory"
CONFIGURATION = f"""
{{
    skip_install_trust
    auto_https disable_redirects
}}
https://{NAME}:{PORT} {{
    tls internal
    acme_server
}}
"""
ROOT = "/root/.local/share/caddy/pki/authorities/local/root.crt"
TRUST = "cat >/usr/local/share/ca-certificates/test.crt && update-ca-certificates >/dev/null"


def run_authority(cluster: Cluster, outside: str, names: Mapping[str, str]) -> str:
    """Run the authority on the host `outside`, which finds each of `names` at an address, and let all lbs trust it.

    Returns its root certificate, as PEM.
    """
    program = Path(sys.executable).with_name("caddy")
    copied = f"{cluster.container(outside)}:/usr/local/bin/caddy"
    subprocess.run(["podman", "cp", program, copied], check=True, timeout=60)
    known = "".join(f"{address} {name}\n" for name, address in {**names, NAME: "127.0.0.1"}.items())
    cluster.run(outside, "sh", "-c", f"echo '{known}' >>/etc/hosts; echo '{CONFIGURATION}' >/root/Caddyfile")
    run = "systemd-run --unit authority --setenv HOME=/root caddy run --config /root/Caddyfile --adapter caddyfile"
    cluster.run(outside, "sh", "-c", run)
    wait_until("the ACME authority has its root", 20, lambda: cluster.succeeds(outside, "test", "-s", ROOT))
    root = cluster.run(outside, "cat", ROOT)
    address = cluster.run(outside, "hostname", "-I").split()[0]
    for lb in cluster.nodes("lb"):
        cluster.run(lb, "sh", "-c", f"echo '{address} {NAME}' >>/etc/hosts && echo '{root}' | ({TRUST})")
    return root
