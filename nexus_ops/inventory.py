"""The Ansible inventory: a pure function of the intent (and of who was in the last one), and its file."""

from __future__ import annotations

import ipaddress
import stat
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from nexus_ops.environment import Environment
from nexus_ops.errors import UsageError
from nexus_ops.files import write_atomically
from nexus_ops.intent.model import Intent, Node, Role
from nexus_ops.secrets import SUDO_PASSWORD
from nexus_ops.variables import Document, Unsafe, inventory_variables, portable_path

HEADER = "# Written by nexus-ops from nexus.yml. Edit that file instead; `nexus-ops inventory` writes this one again.\n"
RETIRED_NODE = "retired_node"
RETIRED: dict[str, Role | None] = {"retired_worker": Role.WORKER, "retired_lb": Role.LB, RETIRED_NODE: None}
"""The groups of machines that have something to be removed: of the role that they lost, or of the whole cluster."""


def build_inventory(
    intent: Intent, folder: Path, previous: Mapping[str, Any] | None = None, *, sudo_password: bool = False
) -> Document:
    """Return the inventory of `intent` for the environment in `folder`, as Ansible's YAML plugin reads it.

    Nodes that `previous` (the last inventory) knew as worker or load balancer, and the intent no more, are kept in the
    groups `retired_worker` and `retired_lb`, and machines that left the intent altogether in `retired_node`, so that
    the next run stops there what it once started.
    """
    shared = inventory_variables(intent, folder, sudo_password=sudo_password)
    hosts: Document = {node.name: _host_variables(node, folder) for node in intent.nodes.values()}
    children: Document = {role.value: {"hosts": {node.name: {} for node in intent.with_role(role)}} for role in Role}
    for group in RETIRED:
        retired = _retired(group, intent, previous or {})
        children[group] = {"hosts": {name: {} for name in retired}}
        for name, variables in retired.items():
            hosts.setdefault(name, variables)
    return {"all": {"vars": shared, "hosts": hosts, "children": children}}


def retired_hosts(inventory: Mapping[str, Any], groups: Iterable[str] = RETIRED) -> set[str]:
    """Return the hosts in those `groups` of `inventory` whose members are there to be cleaned up."""
    children = inventory.get("all", {}).get("children", {})
    return {name for group in groups for name in (children.get(group, {}).get("hosts") or {})}


def render_inventory(inventory: Document) -> str:
    """Return the text of hosts.yml."""
    import yaml

    class Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
        """Writes Ansible's tag."""

        def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002  the library's signature
            return True

    Dumper.add_representer(Unsafe, lambda dumper, text: dumper.represent_scalar("!unsafe", str(text)))
    body = yaml.dump(inventory, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=1000)
    return f"{HEADER}{body}"


def read_inventory(path: Path) -> Document | None:
    """Return what the hosts.yml at `path` says, None where there is none.

    Raises UsageError when it is not an inventory of ours.
    """
    import yaml

    try:
        text = path.read_bytes().decode(errors="replace")
    except FileNotFoundError:
        return None

    class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
        """Reads Ansible's tag."""

    Loader.add_constructor("!unsafe", lambda loader, node: loader.construct_scalar(node))
    try:
        document = yaml.load(text, Loader=Loader)  # noqa: S506  a subclass of the safe loader
        body = document["all"]
        groups = [group["hosts"] for group in body["children"].values()]
        if not all(isinstance(hosts, dict) for hosts in (body["hosts"], *groups)):
            raise TypeError  # noqa: TRY301
    except (yaml.YAMLError, TypeError, KeyError, ValueError, AttributeError):
        raise UsageError(
            f"{path}: not an inventory that nexus-ops wrote", next_step="remove it, then run: nexus-ops inventory"
        ) from None
    return dict(document)


def is_stale(environment: Environment, intent: Intent) -> bool:
    """Return whether hosts.yml is missing or is not what the intent says now."""
    previous = read_inventory(environment.hosts)
    text = render_inventory(_build(environment, intent, previous))
    return previous is None or environment.hosts.read_text(encoding="utf-8") != text


def refresh_inventory(
    environment: Environment, intent: Intent, *, cleaned: Iterable[str] = (), groups: Iterable[str] = RETIRED
) -> Document:
    """Write hosts.yml where it differs from what `intent` says, and return it.

    Hosts in `cleaned` leave those `groups` of retired ones: what had to be removed there is gone. Nobody may read it
    who may not read nexus.yml, whose `env` it repeats.
    """
    previous = read_inventory(environment.hosts)
    gone = set(cleaned)
    groups_before = previous["all"]["children"] if previous is not None else {}
    for group in groups:
        for name in gone & set(groups_before.get(group, {}).get("hosts", ())):
            del groups_before[group]["hosts"][name]
    inventory = _build(environment, intent, previous)
    text = render_inventory(inventory)
    before = 0o644 if previous is None else stat.S_IMODE(environment.hosts.stat().st_mode)
    mode = before & stat.S_IMODE(environment.intent.stat().st_mode)
    if previous is None or mode != before or environment.hosts.read_text(encoding="utf-8") != text:
        write_atomically(environment.hosts, text, mode=mode)
    return inventory


def _build(environment: Environment, intent: Intent, previous: Document | None) -> Document:
    known = _renumbered(environment, intent, previous)
    sudo_password = (environment.secrets / SUDO_PASSWORD).exists()
    return build_inventory(intent, environment.folder, known, sudo_password=sudo_password)


def _host_variables(node: Node, folder: Path) -> Document:
    if node.address == "localhost":
        return {"ansible_host": "localhost", "ansible_connection": "local"}
    variables: Document = {"ansible_host": node.address, "ansible_user": node.ssh.user}
    if node.ssh.port != 22:
        variables["ansible_port"] = node.ssh.port
    if node.ssh.private_key_file is not None:
        variables["ansible_ssh_private_key_file"] = portable_path(Path(node.ssh.private_key_file), folder)
    return variables


def _retired(group: str, intent: Intent, previous: Mapping[str, Any]) -> dict[str, Document]:
    """Return the machines that belong in that `group` of retired ones, with how they are reached.

    A machine is known by its address: it may have another name by now, and its name may belong to another machine.
    """
    document = previous.get("all", {})
    children, hosts = document.get("children", {}), document.get("hosts", {})
    nodes = {_machine(node.address): node for node in intent.nodes.values()}
    role = RETIRED[group]
    roles = tuple(Role) if role is None else (role,)
    retired: dict[str, Document] = {}
    for source in (*roles, group):
        for name in children.get(source, {}).get("hosts") or {}:
            variables = dict(hosts.get(name) or {})
            machine = _machine(str(variables.get("ansible_host", name)))
            node = nodes.get(machine)
            if node is None:
                retired[f"{name}-at-{machine}" if name in intent.nodes else name] = variables
            elif role is not None and role not in node.roles:
                retired[node.name] = variables
    return retired


def _renumbered(environment: Environment, intent: Intent, previous: Document | None) -> Document | None:
    """Return `previous` with the new address of each node that has another one now and shows the same host key there.

    Otherwise the machine would be cleaned up at its old address, with what it runs now.
    """
    from nexus_ops.hostkeys import read_pinned

    hosts = previous["all"]["hosts"] if previous is not None else {}
    taken = {_machine(node.address) for node in intent.nodes.values()}
    moved = {
        name: (variables, intent.nodes[node])
        for name, variables in hosts.items()
        if (node := name.partition("-at-")[0] if name not in intent.nodes else name) in intent.nodes
        and "ansible_host" in (variables or {})
        and _machine(str(variables["ansible_host"])) not in taken
    }
    if moved:
        pinned = read_pinned(environment.known_hosts)
        for variables, node in moved.values():
            ssh = replace(node.ssh, port=int(variables.get("ansible_port", 22)))
            before = replace(node, address=str(variables["ansible_host"]), ssh=ssh)
            if pinned.of(before) & pinned.of(node):
                variables["ansible_host"] = node.address
    return previous


def _machine(address: str) -> str:
    """Return `address` in its one canonical form: IPv6 addresses can be written in many."""
    try:
        return str(ipaddress.ip_address(address))
    except ValueError:
        return address.lower()
