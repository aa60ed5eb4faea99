from ipaddress import IPv4Network, IPv6Network, ip_network
from itertools import pairwise

import pytest

from nexus_ops.errors import NexusError
from nexus_ops.sandbox import NetworkMode, network, podman
from nexus_ops.sandbox.network import Subnets
from nexus_ops.sandbox.topology import Subnet


def test_the_first_free_subnet_is_chosen() -> None:
    assert network.choose_subnet([]) == IPv4Network("10.77.1.0/24")
    taken = [IPv4Network("10.77.1.128/25"), IPv4Network("10.77.2.0/23")]
    assert network.choose_subnet(taken) == IPv4Network("10.77.4.0/24")


def test_a_routed_company_network_moves_the_sandbox_elsewhere() -> None:
    assert network.choose_subnet([IPv4Network("10.0.0.0/8")]) == IPv4Network("172.30.1.0/24")


def test_no_subnet_is_free() -> None:
    with pytest.raises(NexusError, match="no private /24"):
        network.choose_subnet([IPv4Network("0.0.0.0/0")])


def test_candidates_are_private_and_apart() -> None:
    candidates = sorted(network.candidates())
    assert all(subnet.is_private and subnet.prefixlen == 24 for subnet in candidates)
    assert not any(one.overlaps(other) for one, other in pairwise(candidates))


def test_default_routes_take_nothing() -> None:
    routes = [
        {"dst": "default", "gateway": "192.0.2.1"},
        {"dst": "0.0.0.0/1"},  # a VPN's way to say default
        {"dst": "128.0.0.0/1"},
        {"dst": "192.0.2.0/24", "dev": "eth0"},
        {"dst": "198.51.100.7", "type": "local"},
        {"dst": "192.0.2.255", "type": "broadcast"},
    ]
    assert network.routed_networks(routes) == [IPv4Network("192.0.2.0/24"), IPv4Network("198.51.100.7/32")]


def test_the_network_is_labelled_and_as_narrow_as_the_uplink() -> None:
    assert network.create_arguments("demo", Subnets(IPv4Network("10.77.1.0/24")), 1400) == [
        "network",
        "create",
        "--subnet",
        "10.77.1.0/24",
        "--opt",
        "mtu=1400",
        "--disable-dns",
        "--label",
        "nexus-ops.sandbox=demo",
        "nexus-demo",
    ]


def test_an_ipv6_subnet_is_beside_the_other() -> None:
    both = Subnets(IPv4Network("10.77.1.0/24"), IPv6Network("fd77:0:0:1::/64"))
    arguments = network.create_arguments("demo", both, 1400)
    assert arguments[2:7] == ["--subnet", "10.77.1.0/24", "--ipv6", "--subnet", "fd77:0:0:1::/64"]
    assert both.of_cluster(None, NetworkMode.IPV6) == both.ipv6
    assert both.of_cluster(None, NetworkMode.DUAL) == both.ipv4
    assert both.of_cluster(both.ipv6, None) == both.ipv6
    assert (both.beside(both.ipv4), both.beside(IPv6Network("fd77:0:0:1::/64"))) == (both.ipv6, both.ipv4)


def test_a_free_ipv6_subnet_is_chosen() -> None:
    taken = network.routed_networks([{"dst": "fd77:0:0:1::/64"}, {"dst": "default"}, {"dst": "10.0.0.0/8"}])
    assert network.choose_ipv6_subnet(taken) == IPv6Network("fd77:0:0:2::/64")


class FakeMachine:
    """Stands for podman and the kernel's routes; refuses subnets that `others` have by now."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, existing: str | None = None) -> None:
        self.others: set[str] = set()
        self.seen: set[str] = set()
        self.made: list[str] = []
        found = Subnets(IPv4Network(existing)) if existing else None
        monkeypatch.setattr(network, "existing_subnets", lambda _: found)
        monkeypatch.setattr(network, "uplink_mtu", lambda: 1500)
        monkeypatch.setattr(network, "taken_networks", self.taken)
        monkeypatch.setattr(podman, "call", self.call)

    def taken(self) -> list[Subnet]:
        taken, self.seen = self.seen, set(self.others)
        return [ip_network(subnet) for subnet in taken]

    def call(self, arguments: list[str]) -> None:
        subnet = arguments[3]
        if subnet in self.others:
            raise podman.PodmanError(arguments, "subnet is already used")
        self.made += [word for word in arguments if "/" in word]


def test_an_existing_network_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = FakeMachine(monkeypatch, existing="10.77.3.0/24")
    assert network.ensure_network("demo", None) == Subnets(IPv4Network("10.77.3.0/24"))
    assert machine.made == []
    with pytest.raises(NexusError, match=r"on 10\.77\.3\.0/24, its nexus\.yml says 10\.77\.9\.0/24"):
        network.ensure_network("demo", IPv4Network("10.77.9.0/24"))
    with pytest.raises(NexusError, match=r"on 10\.77\.3\.0/24, which is not --network dual"):
        network.ensure_network("demo", None, NetworkMode.DUAL)


@pytest.mark.parametrize("mode", [None, *NetworkMode])
def test_the_family_of_the_intent_is_made_again(monkeypatch: pytest.MonkeyPatch, mode: NetworkMode | None) -> None:
    machine = FakeMachine(monkeypatch)
    wanted = IPv6Network("fd77:0:0:9::/64")
    assert network.ensure_network("demo", wanted, mode) == Subnets(IPv4Network("10.77.1.0/24"), wanted)
    assert machine.made == ["10.77.1.0/24", "fd77:0:0:9::/64"]


@pytest.mark.parametrize("mode", [NetworkMode.IPV6, NetworkMode.DUAL])
def test_both_families_where_ipv6_is_asked_for(monkeypatch: pytest.MonkeyPatch, mode: NetworkMode) -> None:
    machine = FakeMachine(monkeypatch)
    machine.seen = {"fd77:0:0:1::/64"}
    network.ensure_network("demo", None, mode)
    assert machine.made == ["10.77.1.0/24", "fd77:0:0:2::/64"]


def test_a_subnet_lost_to_a_quicker_sandbox_is_chosen_again(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = FakeMachine(monkeypatch)
    machine.others = {"10.77.1.0/24"}
    assert network.ensure_network("demo", None) == Subnets(IPv4Network("10.77.2.0/24"))
    assert machine.made == ["10.77.2.0/24"]


def test_the_subnet_of_an_intent_that_is_taken_by_now_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = FakeMachine(monkeypatch)
    machine.seen = {"10.77.9.0/24"}
    with pytest.raises(NexusError, match="taken on this machine") as caught:
        network.ensure_network("demo", IPv4Network("10.77.9.0/24"))
    assert "--purge" in caught.value.next_step
    assert machine.made == []
