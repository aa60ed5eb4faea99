"""Which hosts a sandbox has: names, addresses and roles, decided by counts alone, so that growing moves nobody."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Network, IPv6Network

from nexus_ops.errors import UsageError
from nexus_ops.intent.model import Role
from nexus_ops.sandbox import NetworkMode, System

Subnet = IPv4Network | IPv6Network

VIRTUAL_IP = 100  # the last number of the floating IP's address
CLIENT = "client"  # the role label of hosts that only send load
NAME = re.compile(r"[a-z]([a-z0-9-]{0,29}[a-z0-9])?")  # as nexus.yml has it for the cluster, which is called the same


@dataclass(frozen=True)
class Kind:
    """A kind of host: how its names begin, the number that addresses count from, how many fit, and what it is for."""

    prefix: str
    base: int
    most: int
    roles: tuple[str, ...]


MANAGERS = Kind("mgr", 10, 9, (Role.MANAGER,))
LBS = Kind("lb", 20, 9, (Role.LB,))
WORKERS = Kind("w", 30, 69, (Role.WORKER,))
ALL_IN_ONE = Kind("n", 110, 80, (Role.MANAGER, Role.LB, Role.WORKER))
CLIENTS = Kind("client", 200, 9, (CLIENT,))


@dataclass(frozen=True)
class Host:
    """A host as planned. `roles` are the values of `Role`, or CLIENT alone.

    `address` is the one in nexus.yml, `second_address` that of the other family; empty: it has none.
    """

    name: str
    address: str
    roles: tuple[str, ...]
    ssh_port: int = 22
    system: System = System.DEBIAN_12
    second_address: str = ""

    @property
    def is_client(self) -> bool:
        """Return whether this host is no node of the cluster but sends load to it."""
        return CLIENT in self.roles

    @property
    def ipv4(self) -> str:
        """Return its IPv4 address, which every host has."""
        return self.second_address if ":" in self.address else self.address

    @property
    def ipv6(self) -> str:
        """Return its IPv6 address; empty: it has none."""
        return self.address if ":" in self.address else self.second_address

    @property
    def mac_address(self) -> str:
        """Return a locally administered MAC address made from the IPv4 address: the same after every power cycle."""
        return ":".join(["02", "4e", *(f"{int(part):02x}" for part in self.ipv4.split("."))])


@dataclass(frozen=True)
class Request:
    """What `sandbox up` was asked for. None: not said."""

    managers: int | None = None
    lbs: int | None = None
    workers: int | None = None
    all_in_one: int | None = None
    client: bool = False
    ssh_user: str | None = None
    ssh_ports: dict[str, int] = field(default_factory=dict)
    system: System = System.DEBIAN_12
    systems: dict[str, System] = field(default_factory=dict)
    network: NetworkMode | None = None

    @property
    def names_hosts(self) -> bool:
        """Return whether it says how many hosts there shall be."""
        return any(count is not None for count in (self.managers, self.lbs, self.workers, self.all_in_one))


def check_name(sandbox: str) -> str:
    """Return `sandbox` when it can be part of container and network names. Raises UsageError."""
    if not NAME.fullmatch(sandbox):
        raise UsageError(
            f"{sandbox!r} cannot name a sandbox",
            next_step="use up to 31 lower-case letters, digits and hyphens, a letter first",
        )
    return sandbox


def address_in(subnet: Subnet, number: int) -> str:
    """Return the address of host `number` (from 1 to 254): `10.77.1.31`, and `fd77:0:0:1::31` with the same digits."""
    return str(subnet[number if subnet.version == 4 else int(str(number), 16)])


def with_second_address(host: Host, subnet: Subnet | None) -> Host:
    """Return `host` with the address in `subnet` that has the same number; as it is when there is no `subnet`.

    Raises UsageError for an IPv6 address that has no such number.
    """
    if subnet is None:
        return host
    last = host.address.rpartition(":" if ":" in host.address else ".")[2]
    if not (last.isdigit() and 1 < int(last) < 255):
        raise UsageError(
            f"{host.name} has the address {host.address}", next_step="let it end in decimal digits from 2 to 254"
        )
    return replace(host, second_address=address_in(subnet, int(last)))


def plan_hosts(request: Request, subnet: Subnet) -> list[Host]:
    """Return the nodes that `request` asks for, by default 1 manager, 2 load balancers and 3 workers.

    Raises UsageError for counts that do not fit and for ports of nodes that are not planned.
    """
    plain = request.all_in_one is None
    counts = (
        (MANAGERS, request.managers, 1),
        (LBS, request.lbs, 2),
        (WORKERS, request.workers, 3),
        (ALL_IN_ONE, request.all_in_one, 0),
    )
    hosts = [
        _host(kind, number, subnet, request)
        for kind, count, default in counts
        for number in range(1, _checked(kind, count, default if plain else 0) + 1)
    ]
    if not hosts:
        raise UsageError(
            "a sandbox without hosts", next_step="ask for some: --managers, --lbs, --workers, --all-in-one"
        )
    return hosts


def plan_client(subnet: Subnet, number: int = 1) -> Host:
    """Return the load client with this number (from 1)."""
    return _host(CLIENTS, _checked(CLIENTS, number, 1), subnet, Request())


def merge_hosts(known: list[Host], request: Request, subnet: Subnet) -> list[Host]:
    """Return the `known` nodes and those that `request` adds to them, all with the system that it asks for.

    Raises UsageError for what does not fit.
    """
    wanted = [replace(host, system=request.systems.get(host.name, request.system)) for host in known]
    if request.names_hosts or not known:
        names = {host.name for host in known}
        wanted += [host for host in plan_hosts(request, subnet) if host.name not in names]
    check_names(request, wanted)
    return wanted


def check_names(request: Request, hosts: list[Host]) -> None:
    """Raise UsageError when `request` gives an ssh port or a system to a node that is none of `hosts`."""
    for option, given in (("--ssh-port-of", request.ssh_ports), ("--system-of", request.systems)):
        unknown = sorted(set(given) - {host.name for host in hosts})
        if unknown:
            names = ", ".join(host.name for host in hosts)
            raise UsageError(f"{option}: no node {', '.join(unknown)}", next_step=f"the nodes are {names}")


def _checked(kind: Kind, count: int | None, default: int) -> int:
    count = default if count is None else count
    if not 0 <= count <= kind.most:
        raise UsageError(f"{count} hosts named {kind.prefix}N", next_step=f"ask for 0 to {kind.most}")
    return count


def _host(kind: Kind, number: int, subnet: Subnet, request: Request) -> Host:
    name = f"{kind.prefix}{number}"
    return Host(
        name,
        address_in(subnet, kind.base + number),
        tuple(kind.roles),
        request.ssh_ports.get(name, 22),
        request.systems.get(name, request.system),
    )
