"""The rules across fields that a schema cannot express: nodes, the floating IP, TLS, monitoring, names."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from nexus_ops.intent.draft import parse_address
from nexus_ops.intent.model import IPAddress, IPInterface, Role
from nexus_ops.intent.service_checks import check_services

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nexus_ops.errors import Fault
    from nexus_ops.intent.document import Path
    from nexus_ops.intent.draft import Draft, Section

# Ansible's own groups and host, and the groups of hosts.yml: a node of that name would be mixed up with them.
RESERVED_NODE_NAMES = frozenset({"all", "ungrouped", "localhost", *Role})


def check_rules(draft: Draft) -> list[Fault]:
    """Return the faults across the fields of `draft`, in no particular order."""
    checks = (_check_names, _check_addresses, _check_virtual_ip, _check_acme, _check_keys, _check_monitoring)
    return [fault for check in (*checks, check_services) for fault in check(draft)]


def _check_names(draft: Draft) -> Iterator[Fault]:
    for name in draft.nodes:
        if name in RESERVED_NODE_NAMES:
            yield draft.fault(
                ("nodes", name), f"no node can be called '{name}': Ansible uses the name", "choose another"
            )


def _check_addresses(draft: Draft) -> Iterator[Fault]:
    seen: dict[str, str] = {}
    for name, node in draft.nodes.items():
        if "address" not in node:
            continue
        path, text = ("nodes", name, "address"), node["address"]
        address = parse_address(text)
        roles = [role for role in ("lb", "worker") if role in node.get("roles", ())]
        if address is None and roles:
            message = f"node {name} is {' and '.join(roles)}, so '{text}' does not do as its address"
            yield draft.fault(path, message, "write the IP address by which the other nodes reach it")
        elif address is None and not _is_host_name(text):
            message = f"nodes.{name}.address '{text}' is neither an IP address nor a host name"
            yield draft.fault(path, message, "write an address such as 192.0.2.31")
        elif address is not None and (
            address.is_unspecified or address.is_multicast or (address.is_loopback and roles)
        ):
            message = f"nodes.{name}.address {text} is not an address by which other nodes reach this one"
            yield draft.fault(path, message, "write the address of its network interface")
        known = str(address or text.lower())
        if known in seen:
            message = f"nodes {seen[known]} and {name} both have the address {text}"
            yield draft.fault(path, message, "give each node its own address")
        seen.setdefault(known, name)


def _is_host_name(text: str) -> bool:
    # What ends in digits is an address gone wrong, not a name.
    return ":" not in text and ".." not in text and not text.rsplit(".", 1)[-1].isdigit()


def _check_virtual_ip(draft: Draft) -> Iterator[Fault]:
    text = draft.ha.get("virtual_ip")
    if text is None:
        return
    path = ("ha", "virtual_ip")
    try:
        virtual_ip = ipaddress.ip_interface(text)
    except ValueError:
        example = "such as 192.0.2.100/24"
        yield draft.fault(
            path, f"ha.virtual_ip '{text}' is not an address with a prefix length", f"write one {example}"
        )
        return
    if draft.roles_known and not draft.lbs:
        remedy = "give a node the role lb, or remove virtual_ip"
        yield draft.fault(path, f"no load balancer could hold ha.virtual_ip {text}: no node has the role lb", remedy)
    if _is_no_host(virtual_ip):
        message = f"ha.virtual_ip {text} is the address of the whole network {virtual_ip.network}, not of a host"
        yield draft.fault(path, message, "choose a free address inside that network")
    for name, node in draft.nodes.items():
        address = parse_address(node.get("address", ""))
        if address == virtual_ip.ip:
            message = f"ha.virtual_ip {text} is the address of node {name}"
            yield draft.fault(path, message, "choose an address that no machine has")
    if outside := _outside(draft, virtual_ip):
        message = f"ha.virtual_ip {text} is outside the network of {', '.join(outside)}"
        yield draft.fault(path, message, "choose a free address of the load balancers' network, with its prefix length")


def _is_no_host(virtual_ip: IPInterface) -> bool:
    network = virtual_ip.network
    if network.num_addresses <= 2:
        return False
    is_broadcast = virtual_ip.version == 4 and virtual_ip.ip == network.broadcast_address
    return is_broadcast or virtual_ip.ip == network.network_address


def _outside(draft: Draft, virtual_ip: IPInterface) -> list[str]:
    """Return the load balancers, with addresses, that do not share a network with `virtual_ip`."""
    found: list[tuple[str, IPAddress | None]] = [
        (name, parse_address(draft.nodes[name].get("address", ""))) for name in draft.lbs
    ]
    return [f"{name} ({address})" for name, address in found if address and address not in virtual_ip.network]


def _check_acme(draft: Draft) -> Iterator[Fault]:
    if draft.ha.get("tls") != "acme":
        return
    path = ("ha", "tls")
    if "acme" not in draft.ha and not draft.is_unusable(("ha", "acme")):
        remedy = "add 'acme: {email: you@example.com}' below ha"
        yield draft.fault(path, "tls: acme needs an email address for the CA", remedy)
    if any(draft.is_unusable(("services", name, "domain")) for name in draft.services):
        return
    domains = [service.get("domain") for service in draft.services.values()]
    if draft.is_monitored:
        domains.append((draft.monitoring.get("dashboard") or {}).get("domain"))
    if not any(domains):
        message = "tls: acme gets certificates for domains, and no service and no dashboard has one"
        yield draft.fault(path, message, "give a service a domain, or write tls: internal")


def _check_keys(draft: Draft) -> Iterator[Fault]:
    places: dict[Path, Section] = {("ssh",): draft.ssh}
    places.update({("nodes", name, "ssh"): node.get("ssh") or {} for name, node in draft.nodes.items()})
    for place, section in places.items():
        key = section.get("private_key_file")
        if key is not None and not draft.local_path(key).is_file():
            remedy = f"make one: ssh-keygen -t ed25519 -f {key}, or name the one you have"
            yield draft.fault((*place, "private_key_file"), f"there is no private key {key}", remedy)


def _check_monitoring(draft: Draft) -> Iterator[Fault]:
    if not draft.roles_known:
        return
    managers = draft.names_with_role(Role.MANAGER)
    if draft.is_monitored and not managers:
        message = "monitoring keeps its data on managers, and no node has the role manager"
        remedy = "give a node the role manager"
        if draft.wants_monitoring:
            yield draft.fault(("monitoring",), message, f"{remedy}, or remove the section")
        else:
            yield draft.fault(("nodes",), message, remedy)
    for name in managers if draft.is_monitored and len(draft.nodes) > 1 else ():
        text = draft.nodes[name].get("address", "")
        if text and parse_address(text) is None and _is_host_name(text):
            message = f"the other nodes send their metrics to manager {name}, and '{text}' is no IP address"
            remedy = "write the IP address by which they reach it"
            if draft.wants_monitoring:
                remedy += ", or enabled: false below monitoring"
            yield draft.fault(("nodes", name, "address"), message, remedy)
    dashboard = draft.monitoring.get("dashboard") or {}
    if "domain" in dashboard and not draft.lbs:
        message = "the load balancers serve the dashboard's domain, and no node has the role lb"
        remedy = "give a node the role lb, or remove the domain"
        yield draft.fault(("monitoring", "dashboard", "domain"), message, remedy)
