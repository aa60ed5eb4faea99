"""The first nexus.yml of an environment: commented, from a few answers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from nexus_ops.errors import UsageError
from nexus_ops.intent.model import Role


@dataclass
class Answers:
    """What `init` needs to know. `nodes` maps a name to its address and roles."""

    cluster: str
    nodes: dict[str, tuple[str, set[Role]]] = field(default_factory=dict)
    ssh_user: str = "root"
    ssh_port: int = 22
    ssh_key: str = ""
    virtual_ip: str = ""
    tls: str = "off"
    acme_email: str = ""

    def add_node(self, name: str, address: str, roles: Iterable[str]) -> None:
        """Add `roles` to the node `name`. Raises UsageError for an unknown role or a second address."""
        known, present = self.nodes.setdefault(name, (address, set()))
        if known != address:
            raise UsageError(f"node {name} has two addresses, {known} and {address}", next_step="give it one")
        for role in roles:
            if role not in set(Role):
                choices = ", ".join(Role)
                raise UsageError(f"{role!r} is no role of a node", next_step=f"choose from: {choices}")
            present.add(Role(role))


def initial_text(answers: Answers) -> str:
    """Return the text of nexus.yml for `answers`, with comments that say what else there is."""
    ssh = [f"user: {answers.ssh_user}", f"port: {answers.ssh_port}"]
    if answers.ssh_key:
        ssh.append(f"private_key_file: {answers.ssh_key}")
    lines = [
        "# What this cluster is meant to be. After a change: nexus-ops plan, then nexus-ops apply all",
        "# yaml-language-server: $schema=./.nexus.schema.json",
        f"cluster: {answers.cluster}",
        "",
        "# How the machines are reached; each node may override any key.",
        f"ssh: {{{', '.join(ssh)}}}",
        "",
        "# The machines. Roles, in any mix: manager (runs nexus-ops, keeps the dashboard), lb (load balancer), worker.",
        "nodes:",
    ]
    width = max((len(name) for name in answers.nodes), default=0) + 1
    for name, (address, roles) in answers.nodes.items():
        ordered = ", ".join(role.value for role in Role if role in roles)
        lines.append(f"  {name + ':':<{width}} {{address: {_scalar(address)}, roles: [{ordered}]}}")
    lines += ["", "ha:"]
    if answers.virtual_ip:
        lines.append(f"  virtual_ip: {_scalar(answers.virtual_ip)}  # a floating IP, held by one lb at a time")
    else:
        lines.append(
            "  # virtual_ip: 192.0.2.100/24  # a floating IP, held by one lb at a time; free, in the lbs' network"
        )
    lines.append(f'  tls: "{answers.tls}"  # off, internal (an own CA) or acme (certificates that browsers trust)')
    if answers.acme_email:
        lines.append(f"  acme: {{email: {answers.acme_email}}}")
    lines += [
        "",
        "# Programs on the workers, for example:",
        "# services:",
        "#   web:",
        "#     source: {path: apps/web}     # a folder, relative to this file; or {git: URL, ref: main}",
        '#     setup: "python3 -m venv .venv && .venv/bin/pip install -r requirements.txt"  # once per release',
        '#     command: "python3 server.py"  # must listen on $PORT',
        "#     port: 8080",
        "#     health: {path: /healthz}",
        "#     domain: web.example.com       # without one it answers for every other host name",
        "",
    ]
    if any(Role.MANAGER in roles for _, roles in answers.nodes.values()):
        lines += ["monitoring:", "  retention_days: 14", ""]
    return "\n".join(lines)


def _scalar(text: str) -> str:
    """Return `text` as a YAML scalar of a flow mapping: IPv6 addresses need quotes."""
    return f'"{text}"' if ":" in text else text
