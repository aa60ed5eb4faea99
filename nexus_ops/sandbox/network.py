"""The network of a sandbox: a bridge with private subnets that nothing else on this machine uses.

Every host has an IPv4 address, which package sources are reached from. Where nexus.yml names IPv6 addresses, or both
are wanted, there is an IPv6 subnet beside it.
"""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import TYPE_CHECKING, Any, TypeVar

from nexus_ops.errors import NexusError
from nexus_ops.sandbox import NetworkMode, podman
from nexus_ops.sandbox.topology import Subnet

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

DEFAULT_MTU = 1500
ATTEMPTS = 3
AnySubnet = TypeVar("AnySubnet", IPv4Network, IPv6Network)


@dataclass(frozen=True)
class Subnets:
    """The subnets of a sandbox's network. `ipv6` is None where hosts have IPv4 addresses alone."""

    ipv4: IPv4Network
    ipv6: IPv6Network | None = None

    def __str__(self) -> str:
        """Return them as they are shown."""
        return str(self.ipv4) if self.ipv6 is None else f"{self.ipv4} and {self.ipv6}"

    def of_cluster(self, wanted: Subnet | None, mode: NetworkMode | None) -> Subnet:
        """Return the one that nexus.yml uses: `wanted`, without one what `mode` says."""
        return wanted or (self.ipv6 if mode is NetworkMode.IPV6 and self.ipv6 is not None else self.ipv4)

    def beside(self, subnet: Subnet) -> Subnet | None:
        """Return the other one, None where there is none."""
        return self.ipv6 if subnet == self.ipv4 else self.ipv4


def network_name(sandbox: str) -> str:
    """Return the podman network's name of a sandbox."""
    return f"nexus-{sandbox}"


def candidates() -> Iterator[IPv4Network]:
    """Yield the private /24 networks to choose from, in order; rarely used ones first."""
    for number in range(1, 255):
        yield IPv4Network(f"10.77.{number}.0/24")
    for number in range(1, 255):
        yield IPv4Network(f"172.30.{number}.0/24")
    for number in range(100, 255):
        yield IPv4Network(f"192.168.{number}.0/24")


def candidates_ipv6() -> Iterator[IPv6Network]:
    """Yield the unique local /64 networks to choose from, in order."""
    for number in range(1, 1000):
        yield IPv6Network(f"fd77:0:0:{number}::/64")


def choose_subnet(taken: Iterable[Subnet]) -> IPv4Network:
    """Return the first candidate that overlaps none of `taken`. Raises NexusError when there is none."""
    return _first_free(candidates(), taken, "private /24")


def choose_ipv6_subnet(taken: Iterable[Subnet]) -> IPv6Network:
    """Return the first IPv6 candidate that overlaps none of `taken`. Raises NexusError when there is none."""
    return _first_free(candidates_ipv6(), taken, "unique local /64")


def _first_free(candidates: Iterator[AnySubnet], taken: Iterable[Subnet], kind: str) -> AnySubnet:
    used = list(taken)
    for subnet in candidates:
        if not any(overlap(subnet, other) for other in used):
            return subnet
    raise NexusError(f"no {kind} network is free on this machine", next_step="remove networks: podman network prune")


def overlap(one: Subnet, other: Subnet) -> bool:
    """Return whether two networks share addresses; those of different families never do."""
    return one.version == other.version and one.overlaps(other)


def routed_networks(routes: Iterable[dict[str, Any]]) -> list[Subnet]:
    """Return the destinations of `ip -json route` entries; default routes, also in two halves, are left out."""
    found = []
    for route in routes:
        destination = route.get("dst", "default")
        if destination == "default" or route.get("type") == "broadcast":
            continue
        network = ip_network(destination, strict=False)
        if network.prefixlen > 1:
            found.append(network)
    return found


def taken_networks() -> list[Subnet]:
    """Return the networks that this machine routes to and those that podman has promised to others."""
    taken = []
    for family in ("-4", "-6"):
        taken += routed_networks(json.loads(_ip("-json", family, "route", "show", "table", "all") or "[]"))
    for entry in podman.query(["network", "ls", "--format", "json"]):
        taken += [ip_network(subnet["subnet"]) for subnet in entry.get("subnets") or []]
    return taken


def uplink_mtu() -> int:
    """Return the largest packet in bytes that this machine's way out takes; DEFAULT_MTU where there is none."""
    routes = json.loads(_ip("-json", "-4", "route", "show", "default") or "[]")
    devices = {route["dev"] for route in routes if "dev" in route}
    links = json.loads(_ip("-json", "link", "show") or "[]")
    return min([DEFAULT_MTU, *(int(link["mtu"]) for link in links if link["ifname"] in devices)])


def existing_subnets(sandbox: str) -> Subnets | None:
    """Return the subnets of the sandbox's network, None: it has no network. Raises PodmanError."""
    name = network_name(sandbox)
    for entry in podman.query(["network", "ls", "--filter", f"label={podman.LABEL}={sandbox}", "--format", "json"]):
        if entry["name"] == name:
            return _sorted_out(ip_network(subnet["subnet"]) for subnet in entry["subnets"])
    return None


def _sorted_out(networks: Iterable[Subnet]) -> Subnets:
    """Return the subnets, which podman lists in no order that it promises."""
    ipv4, *rest = sorted(networks, key=lambda network: network.version)
    if not isinstance(ipv4, IPv4Network):
        raise NexusError(
            f"{ipv4} has no IPv4 network beside it", next_step="remove the sandbox: nexus-ops sandbox down"
        )
    return Subnets(ipv4, next((network for network in rest if isinstance(network, IPv6Network)), None))


def create_arguments(sandbox: str, subnets: Subnets, mtu: int) -> list[str]:
    """Return podman's arguments that make the network. Names are resolved by the controller's own servers."""
    label = f"{podman.LABEL}={sandbox}"
    ipv6 = [] if subnets.ipv6 is None else ["--ipv6", "--subnet", str(subnets.ipv6)]
    options = ["--subnet", str(subnets.ipv4), *ipv6, "--opt", f"mtu={mtu}", "--disable-dns", "--label", label]
    return ["network", "create", *options, network_name(sandbox)]


def ensure_network(sandbox: str, wanted: Subnet | None, mode: NetworkMode | None = None) -> Subnets:
    """Return the subnets of the sandbox's network, made unless it is there: `wanted`, and what is free.

    `wanted` is the one that nexus.yml uses. Raises NexusError when it, or `mode`, cannot be had.
    """
    existing = existing_subnets(sandbox)
    if existing is not None:
        if wanted is not None and wanted not in (existing.ipv4, existing.ipv6):
            raise NexusError(
                f"the hosts of sandbox {sandbox!r} are on {existing}, its nexus.yml says {wanted}",
                next_step=f"start over: nexus-ops -e {sandbox} sandbox down",
            )
        if mode is not None and (mode is NetworkMode.IPV4) != (existing.ipv6 is None):
            raise NexusError(
                f"the hosts of sandbox {sandbox!r} are on {existing}, which is not --network {mode}",
                next_step=f"start over: nexus-ops -e {sandbox} sandbox down --purge",
            )
        return existing
    taken = taken_networks()
    if wanted is not None and any(overlap(wanted, network) for network in taken):
        raise NexusError(
            f"{wanted}, which the nexus.yml of sandbox {sandbox!r} uses, is taken on this machine by now",
            next_step=f"make it anew: nexus-ops -e {sandbox} sandbox down --purge",
        )
    for _ in range(ATTEMPTS):
        try:
            return _create(sandbox, _choose(taken, wanted, mode))
        except podman.PodmanError:
            taken = taken_networks()  # another sandbox that comes up at this moment may have been quicker
    return _create(sandbox, _choose(taken, wanted, mode))


def _choose(taken: list[Subnet], wanted: Subnet | None, mode: NetworkMode | None) -> Subnets:
    ipv4 = wanted if isinstance(wanted, IPv4Network) else choose_subnet(taken)
    if isinstance(wanted, IPv6Network):
        return Subnets(ipv4, wanted)
    return Subnets(ipv4, None if mode in {None, NetworkMode.IPV4} else choose_ipv6_subnet(taken))


def _create(sandbox: str, subnets: Subnets) -> Subnets:
    podman.call(create_arguments(sandbox, subnets, uplink_mtu()))
    return subnets


def remove_network(sandbox: str) -> None:
    """Remove the sandbox's network, if it has one. Raises PodmanError when hosts of others are still on it."""
    if existing_subnets(sandbox) is not None:
        podman.call(["network", "rm", network_name(sandbox)])


def _ip(*arguments: str) -> str:
    return subprocess.run(["ip", *arguments], capture_output=True, text=True, check=True).stdout
