"""What is particular about the machines of a cell, done to them before the first command, as their owner would have."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cluster.cluster import Cluster
    from tests.matrix.axes import Cell

PASSWORD = "correct horse {{ battery }}"
UMASK = r"""
sed -i '/^UMASK/d' /etc/login.defs; echo 'UMASK 077' >>/etc/login.defs
grep -q pam_umask /etc/pam.d/common-session || echo 'session optional pam_umask.so' >>/etc/pam.d/common-session
"""


def install(cluster: Cluster, node: str, package: str) -> None:
    """Install a package that a service needs."""
    script = f"apt-get update -qq && apt-get install -qq --yes --no-install-recommends {package} >/dev/null"
    command = ["podman", "exec", "--env", "DEBIAN_FRONTEND=noninteractive", cluster.container(node), "sh", "-c", script]
    subprocess.run(command, check=True, timeout=300)


def prepare(cluster: Cluster, cell: Cell) -> None:
    """Do it."""
    for node in cluster.nodes():
        if cell.umask == "077":
            cluster.run(node, "sh", "-ec", UMASK)
        if cell.service == "node" and node in cluster.nodes("worker"):
            install(cluster, node, "nodejs")
    if cell.ssh == "jump host":
        hide(cluster)


def jump_host(cluster: Cluster) -> str:
    """Return the node over which all others are reached."""
    return cluster.nodes("manager")[0]


def hide(cluster: Cluster) -> None:
    """Let all nodes but the jump host refuse ssh, without a word, from everybody else, until they boot again."""
    jump = jump_host(cluster)
    address = cluster.address(jump)
    family = "ip6" if ":" in address else "ip"
    rule = f"type filter hook input priority -10; tcp dport 22 {family} saddr != {address} drop"
    for node in cluster.nodes():
        if node != jump:
            ask = ["podman", "inspect", "--format", "{{.State.Pid}}", cluster.container(node)]
            process = subprocess.run(ask, check=True, capture_output=True, text=True).stdout.strip()
            rules = ["nft", f"table inet behind {{ chain input {{ {rule}; }}; }}"]
            subprocess.run(["nsenter", "--net", "--target", process, *rules], check=True)


def ssh_configuration(cluster: Cluster, cell: Cell, folder: Path) -> None:
    """Write the person's ~/.ssh/config."""
    folder.mkdir(mode=0o700)
    config = folder / "config"
    config.write_text("")
    if cell.ssh != "jump host":
        return
    jump = jump_host(cluster)
    others = " ".join(cluster.address(node) for node in cluster.nodes() if node != jump)
    config.write_text(
        f"Host {cluster.address(jump)}\n  User root\n  IdentityFile {cluster.folder / 'ssh_key'}\n"
        f"  StrictHostKeyChecking accept-new\n  UserKnownHostsFile {cluster.folder / 'known_hosts'}\n"
        f"Host {others}\n  ProxyJump root@[{cluster.address(jump)}]\n"
    )


def ask_for_passwords(cluster: Cluster) -> None:
    """Let sudo ask the ssh user for a password, and tell the environment which one."""
    for node in cluster.nodes():
        rules = "rm /etc/sudoers.d/nexus-ops-ops; echo 'ops ALL=(ALL:ALL) ALL' >/etc/sudoers.d/ops"
        cluster.run(node, "sh", "-ec", f"{rules}; echo 'ops:{PASSWORD}' | chpasswd")
    secret = cluster.folder / "secrets/sudo_password"
    secret.parent.mkdir(mode=0o700, exist_ok=True)
    secret.touch(mode=0o600)
    secret.write_text(f"{PASSWORD}\n")
