"""The environment folder of a sandbox: its nexus.yml, its own ssh key, and the host keys that were pinned."""

from __future__ import annotations

import contextlib
import os
import subprocess
from ipaddress import ip_network
from typing import TYPE_CHECKING

from nexus_ops.errors import NexusError, UsageError
from nexus_ops.files import read_text, rewrite, write_atomically
from nexus_ops.intent.edit import add_node, scalar
from nexus_ops.intent.load import load_intent
from nexus_ops.intent.model import Role
from nexus_ops.sandbox.topology import VIRTUAL_IP, Host, Subnet, address_in

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from nexus_ops.environment import Environment

KEY_NAME = "ssh_key"
MARKER = ".sandbox"
MARKER_TEXT = "nexus-ops sandbox made this folder; `nexus-ops sandbox down --purge` removes it.\n"
SERVICES_HINT = "# Services come here, see inventories/example/nexus.yml:\n# services:\n#   web: …\n"
IGNORED = "/runs/\n/.cache/\n/secrets/\n/ssh_key\n/ssh_key.pub\n"


def key_file(environment: Environment) -> Path:
    """Return the path of the private key that this sandbox's hosts accept for root."""
    return environment.folder / KEY_NAME


def is_sandbox(environment: Environment) -> bool:
    """Return whether the sandbox made this environment: it leaves a mark that no real one has."""
    return (environment.folder / MARKER).exists()


def require_sandbox(environment: Environment) -> None:
    """Raise UsageError when the environment's folder is there and the sandbox did not make it."""
    if environment.folder.exists() and not is_sandbox(environment):
        raise UsageError(
            f"{environment.folder} was not made by the sandbox", next_step="remove it yourself if you mean it"
        )


def ensure_key(environment: Environment) -> str:
    """Return the public key line of the environment's own ssh key, made (mode 0600) unless it is there.

    Raises UsageError when the environment is there and is not a sandbox: `up` must not take over real machines.
    """
    private = key_file(environment)
    if not is_sandbox(environment):
        for path in (environment.intent, private):
            if path.exists():
                raise UsageError(f"{path} was not made by the sandbox", next_step="choose another name with --env")
        environment.folder.mkdir(parents=True, exist_ok=True)
        write_atomically(environment.folder / MARKER, MARKER_TEXT)
    if not private.exists():
        comment = f"nexus-ops sandbox {environment.name}"
        _ssh_keygen("-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(private))
    ignore = environment.folder / ".gitignore"
    if not ignore.exists():
        write_atomically(ignore, IGNORED)
    return _ssh_keygen("-y", "-f", str(private)).strip()


def hand_over(environment: Environment) -> None:
    """Give what root made in a sandbox's folder to the person behind `sudo`: the sandbox needs root, they do not.

    Other environments, and what lies above the folder, stay as they are.
    """
    user, group = os.environ.get("SUDO_UID", ""), os.environ.get("SUDO_GID", "")
    if not (user.isdigit() and group.isdigit() and is_sandbox(environment)):
        return
    for path in (environment.folder, *environment.folder.rglob("*")):
        with contextlib.suppress(FileNotFoundError):
            if path.lstat().st_uid == 0:
                os.chown(path, int(user), int(group), follow_symlinks=False)


def _ssh_keygen(*arguments: str) -> str:
    done = subprocess.run(
        ["ssh-keygen", *arguments], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )
    if done.returncode != 0:
        raise NexusError(f"ssh-keygen failed: {done.stderr.strip()}")
    return done.stdout


def render_intent(environment: Environment, hosts: list[Host], ssh_user: str, subnet: Subnet) -> str:
    """Return the text of the sandbox's nexus.yml: the nodes, and a floating IP when there are load balancers."""
    nodes = [host for host in hosts if not host.is_client]
    lines = [
        "# A cluster of local containers, made by `nexus-ops sandbox up`. Edit it as you would a real one:",
        "# everything from here on works the same. `nexus-ops sandbox down` removes the containers.",
        f"cluster: {environment.name}",
        "",
        f"ssh: {{user: {ssh_user}, port: 22, private_key_file: {KEY_NAME}}}",
    ]
    if ssh_user != "root":
        lines.append(
            f"# Hosts know only root so far; this makes the user: nexus-ops -e {environment.name} bootstrap --user root"
        )
    lines += ["", "nodes:", *(f"  {host.name}: {_flow(host)}" for host in nodes)]
    if any("lb" in host.roles for host in nodes):
        virtual_ip = scalar(f"{address_in(subnet, VIRTUAL_IP)}/{subnet.prefixlen}")
        lines += [
            "",
            "ha:",
            f"  virtual_ip: {virtual_ip}  # held by one load balancer at a time",
            '  tls: "off"',
        ]
    return "".join(f"{line}\n" for line in [*lines, ""]) + SERVICES_HINT


def _flow(host: Host) -> str:
    ssh = "" if host.ssh_port == 22 else f", ssh: {{port: {host.ssh_port}}}"
    return f"{{address: {scalar(host.address)}, roles: [{', '.join(host.roles)}]{ssh}}}"


def read_hosts(environment: Environment) -> list[Host]:
    """Return the nodes of the sandbox's nexus.yml; empty: no such file. Raises IntentError when it has faults."""
    if not environment.intent.exists():
        return []
    return [
        Host(node.name, node.address, tuple(role for role in Role if role in node.roles), node.ssh.port)
        for node in load_intent(environment.intent).nodes.values()
    ]


def subnet_of(hosts: list[Host], environment: Environment) -> Subnet | None:
    """Return the network (/24, for IPv6 /64) that holds all of `hosts`, None without hosts.

    Raises UsageError for several.
    """
    try:
        networks = {ip_network(f"{host.address}/{64 if ':' in host.address else 24}", strict=False) for host in hosts}
    except ValueError as error:
        raise UsageError(
            f"{environment.intent}: a sandbox has IP addresses ({error})", next_step="correct it, or remove the file"
        ) from error
    if len(networks) > 1:
        raise UsageError(
            f"{environment.intent}: a sandbox has one network, these nodes are in {len(networks)}",
            next_step="give all of them addresses of the same /24 (IPv6: /64) network",
        )
    return networks.pop() if networks else None


def add_hosts(environment: Environment, hosts: list[Host]) -> None:
    """Add `hosts` to the nodes of nexus.yml; what else it says, comments included, stays as it is."""
    text = read_text(environment.intent)
    for host in hosts:
        ssh = {} if host.ssh_port == 22 else {"port": host.ssh_port}
        text = add_node(text, host.name, host.address, host.roles, ssh)
    rewrite(environment.intent, text)


def forget_host_keys(environment: Environment, addresses: Collection[str]) -> None:
    """Remove the pinned host keys of `addresses` from known_hosts: new hosts have new keys."""
    if not environment.known_hosts.exists():
        return
    lines = environment.known_hosts.read_text().splitlines(keepends=True)
    kept = [line for line in lines if not _is_key_of(line, addresses)]
    if kept != lines:
        write_atomically(environment.known_hosts, "".join(kept), mode=0o600)


def _is_key_of(line: str, addresses: Collection[str]) -> bool:
    names = line.partition(" ")[0].split(",")
    return any(name.removeprefix("[").partition("]")[0] in addresses for name in names)
