"""The Ansible inventory: a pure function of the intent (and of who was in the last one), and its file."""

from __future__ import annotations

import ipaddress
import stat
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from nexus_ops.environment import Environment
from nexus_ops.errors import UsageError
from nexus_ops.files import write_atomically
from nexus_ops.intent.model import GitSource, ImageSource, Intent, Node, PathSource, Role, Service, Source, Tls

HEADER = "# Written by nexus-ops from nexus.yml. Edit that file instead; `nexus-ops inventory` writes this one again.\n"
RETIRED = {Role.WORKER: "retired_worker", Role.LB: "retired_lb"}
SSH_ARGUMENTS = (
    """-o {{ ('UserKnownHostsFile="' ~ inventory_dir ~ '/known_hosts"') | quote }}"""
    " -o StrictHostKeyChecking=yes -o ConnectTimeout=10"
    " -o ServerAliveInterval=5 -o ServerAliveCountMax=3"
)

Document = dict[str, Any]


class Unsafe(str):
    """Text of the person that Ansible must not read as a template (YAML tag `!unsafe`)."""

    __slots__ = ()


def _literal(text: str) -> str:
    return Unsafe(text) if "{{" in text or "{%" in text or "{#" in text else text


def build_inventory(intent: Intent, folder: Path, previous: Mapping[str, Any] | None = None) -> Document:
    """Return the inventory of `intent` for the environment in `folder`, as Ansible's YAML plugin reads it.

    Nodes that `previous` (the last inventory) knew as worker or load balancer, and the intent no more, are kept in the
    groups `retired_worker` and `retired_lb`, so that the next run stops there what it once started.
    """
    hosts: Document = {node.name: _host_variables(node, folder) for node in intent.nodes.values()}
    children: Document = {role.value: {"hosts": {node.name: {} for node in intent.with_role(role)}} for role in Role}
    for role, group in RETIRED.items():
        retired = _retired(role, intent, previous or {})
        children[group] = {"hosts": {name: {} for name in retired}}
        for name, variables in retired.items():
            hosts.setdefault(name, variables)
    return {"all": {"vars": _variables(intent, folder), "hosts": hosts, "children": children}}


def retired_hosts(inventory: Mapping[str, Any]) -> set[str]:
    """Return the hosts of `inventory` that are there only to be cleaned up, or that lost a role."""
    children = inventory.get("all", {}).get("children", {})
    return {name for group in RETIRED.values() for name in (children.get(group, {}).get("hosts") or {})}


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
    text = render_inventory(build_inventory(intent, environment.folder, previous))
    return previous is None or environment.hosts.read_text(encoding="utf-8") != text


def refresh_inventory(environment: Environment, intent: Intent, *, cleaned: Collection[str] = ()) -> Document:
    """Write hosts.yml where it differs from what `intent` says, and return it.

    Hosts in `cleaned` are not retired any more. Nobody may read it who may not read nexus.yml, whose `env` it repeats.
    """
    previous = read_inventory(environment.hosts)
    if previous is not None and cleaned:
        for role, group in RETIRED.items():
            for part in (group, role.value):
                members = previous["all"].get("children", {}).get(part, {}).get("hosts") or {}
                for name in cleaned:
                    members.pop(name, None)
    inventory = build_inventory(intent, environment.folder, previous)
    text = render_inventory(inventory)
    before = 0o644 if previous is None else stat.S_IMODE(environment.hosts.stat().st_mode)
    mode = before & stat.S_IMODE(environment.intent.stat().st_mode)
    if previous is None or mode != before or environment.hosts.read_text(encoding="utf-8") != text:
        write_atomically(environment.hosts, text, mode=mode)
    return inventory


def _host_variables(node: Node, folder: Path) -> Document:
    if node.address == "localhost":
        return {"ansible_host": "localhost", "ansible_connection": "local"}
    variables: Document = {"ansible_host": node.address, "ansible_user": node.ssh.user}
    if node.ssh.port != 22:
        variables["ansible_port"] = node.ssh.port
    if node.ssh.private_key_file is not None:
        variables["ansible_ssh_private_key_file"] = portable_path(Path(node.ssh.private_key_file), folder)
    return variables


def portable_path(path: Path, folder: Path) -> str:
    """Return `path` relative to the environment's `folder` where it lies in the same project, else as it is.

    An inventory with such paths works from wherever the project is checked out.
    """
    if str(path).startswith("~"):
        return str(path)
    absolute = path if path.is_absolute() else folder / path
    project = folder.parent.parent
    if absolute.is_relative_to(folder):
        return "{{ inventory_dir }}/" + absolute.relative_to(folder).as_posix()
    if len(project.parts) > 1 and absolute.is_relative_to(project):
        return "{{ inventory_dir }}/../../" + absolute.relative_to(project).as_posix()
    return str(absolute)


def _variables(intent: Intent, folder: Path) -> Document:
    return {
        "nexus_cluster": intent.cluster,
        "nexus_intent_sha256": intent.sha256,
        "ansible_python_interpreter": "/usr/bin/python3",
        "ansible_ssh_common_args": SSH_ARGUMENTS,
        **_load_balancing(intent),
        **_services(intent, folder),
    }


def _secret(name: str) -> str:
    return f"{{{{ lookup('ansible.builtin.file', inventory_dir ~ '/secrets/{name}') }}}}"


def _load_balancing(intent: Intent) -> Document:
    ha = intent.ha
    internal = ha.tls is Tls.INTERNAL
    return {
        "caddy_lb_tls": ha.tls.value,
        "caddy_lb_acme_email": ha.acme.email if ha.acme else "",
        "caddy_lb_acme_directory": ha.acme.directory if ha.acme else "",
        "caddy_lb_ca_certificate": _secret("ca.crt") if internal else "",
        "caddy_lb_ca_key": _secret("ca.key") if internal else "",
        "caddy_lb_virtual_ip": str(ha.virtual_ip) if ha.virtual_ip else "",
        "caddy_lb_nodes": {node.name: node.address for node in intent.with_role(Role.LB)},
        "caddy_lb_services": {
            service.name: {
                "domain": service.domain,
                "upstreams": {name: upstream_address(intent.nodes[name], service) for name in service.nodes},
                "health": {
                    "path": service.health.path,
                    "interval": service.health.interval,
                    "timeout": service.health.timeout,
                },
                "response_timeout": service.response_timeout,
            }
            for service in intent.services.values()
        },
    }


def upstream_address(node: Node, service: Service) -> str:
    """Return `host:port` of `service` on `node`, an IPv6 address in brackets (RFC 3986, section 3.2.2)."""
    host = f"[{node.address}]" if ":" in node.address else node.address
    return f"{host}:{service.port}"


def _services(intent: Intent, folder: Path) -> Document:
    allowed = [node.address for node in intent.with_role(Role.LB)]
    if intent.ha.virtual_ip:
        allowed.append(str(intent.ha.virtual_ip.ip))
    return {
        "service_deploy_allowed_addresses": allowed,
        "service_deploy_services": {
            service.name: {
                "nodes": list(service.nodes),
                "source": _source(service.source, folder),
                "setup": _literal(service.setup),
                "command": _literal(service.command),
                "port": service.port,
                "env": {key: _literal(value) for key, value in service.env.items()},
                "health": {"path": service.health.path, "timeout": service.health.timeout},
                "drain_timeout": service.drain_timeout,
            }
            for service in intent.services.values()
        },
    }


def _source(source: Source, folder: Path) -> Document:
    if isinstance(source, PathSource):
        return {"path": portable_path(source.path, folder)}
    if isinstance(source, GitSource):
        return {"git": source.git, "ref": source.ref}
    if isinstance(source, ImageSource):
        archive = {"archive": portable_path(source.archive, folder)} if source.archive else {}
        return {"image": source.image, **archive}
    return {"archive": source.archive, "sha256": source.sha256}


def _retired(role: Role, intent: Intent, previous: Mapping[str, Any]) -> dict[str, Document]:
    """Return the machines that carried `role` in `previous` and do not now, with how they are reached.

    A machine is known by its address: it may have another name by now, and its name may belong to another machine.
    """
    document = previous.get("all", {})
    children, hosts = document.get("children", {}), document.get("hosts", {})
    nodes = {_machine(node.address): node for node in intent.nodes.values()}
    retired: dict[str, Document] = {}
    for group in (role.value, RETIRED[role]):
        for name in children.get(group, {}).get("hosts") or {}:
            variables = dict(hosts.get(name) or {})
            machine = _machine(str(variables.get("ansible_host", name)))
            node = nodes.get(machine)
            if node is None:
                retired[f"{name}-at-{machine}" if name in intent.nodes else name] = variables
            elif role not in node.roles:
                retired[node.name] = variables
    return retired


def _machine(address: str) -> str:
    """Return `address` in its one canonical form: IPv6 addresses can be written in many."""
    try:
        return str(ipaddress.ip_address(address))
    except ValueError:
        return address.lower()
