"""The first nexus.yml of an environment: commented, from a few answers."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from pathlib import Path

from nexus_ops.errors import IntentError, UsageError
from nexus_ops.intent.edit import scalar
from nexus_ops.intent.load import parse_intent
from nexus_ops.intent.model import Role, Tls
from nexus_ops.intent.schema import check_name


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

    def add_node(self, name: str, address: str, roles: Collection[str]) -> None:
        """Add `roles` to the node `name`. Raises UsageError for a bad name or role, or a second address."""
        check_name(name, "node")
        known, present = self.nodes.get(name, (address, set()))
        if known != address:
            raise UsageError(f"node {name} has two addresses, {known} and {address}", next_step="give it one")
        for role in roles:
            if role not in set(Role):
                choices = ", ".join(Role)
                raise UsageError(f"{role!r} is no role of a node", next_step=f"choose from: {choices}")
        self.nodes[name] = known, present | {Role(role) for role in roles}


def check_answers(answers: Answers, file: Path) -> None:
    """Raise UsageError with what nexus.yml at `file` could not say of `answers`, which may have no nodes yet."""
    some = answers if answers.nodes else replace(answers, nodes={"n1": ("192.0.2.1", set(Role))})
    try:
        parse_intent(initial_text(some).encode(), file)
    except IntentError as error:  # its lines are those of a file that nobody has seen
        raise UsageError(f"init: {'; '.join(f'{fault.message}; {fault.remedy}' for fault in error.faults)}") from None


def initial_text(answers: Answers) -> str:
    """Return the text of nexus.yml for `answers`, with comments that say what else there is."""
    ssh = [f"user: {scalar(answers.ssh_user)}", f"port: {answers.ssh_port}"]
    if answers.ssh_key:
        ssh.append(f"private_key_file: {scalar(answers.ssh_key)}")
    lines = [
        "# What this cluster is meant to be. After a change: nexus-ops plan, then nexus-ops apply all",
        "# yaml-language-server: $schema=./.nexus.schema.json",
        f"cluster: {scalar(answers.cluster)}",
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
        lines.append(f"  {name + ':':<{width}} {{address: {scalar(address)}, roles: [{ordered}]}}")
    lines += ["", "ha:"]
    if answers.virtual_ip:
        lines.append(f"  virtual_ip: {scalar(answers.virtual_ip)}  # a floating IP, held by one lb at a time")
    else:
        lines.append(
            "  # virtual_ip: 192.0.2.100/24  # a floating IP, held by one lb at a time; free, in the lbs' network"
        )
    if answers.tls == Tls.ACME:
        lines.append('  tls: "off"  # write acme here once a service has a domain: certificates are for domains')
    else:
        lines.append(f'  tls: "{answers.tls}"  # off, internal (an own CA) or acme (certificates that browsers trust)')
    if answers.acme_email:
        lines.append(f"  acme: {{email: {scalar(answers.acme_email)}}}")
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
