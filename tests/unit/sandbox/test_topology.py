from dataclasses import replace
from ipaddress import IPv4Network, IPv6Network

import pytest

from nexus_ops.errors import UsageError
from nexus_ops.sandbox import System
from nexus_ops.sandbox.topology import (
    Host,
    Request,
    check_name,
    check_names,
    merge_hosts,
    plan_client,
    plan_hosts,
    with_second_address,
)

SUBNET = IPv4Network("10.77.1.0/24")
IPV6 = IPv6Network("fd77:0:0:1::/64")


def test_the_default_is_one_manager_two_load_balancers_three_workers() -> None:
    hosts = plan_hosts(Request(), SUBNET)
    assert [(host.name, host.address, host.roles) for host in hosts] == [
        ("mgr1", "10.77.1.11", ("manager",)),
        ("lb1", "10.77.1.21", ("lb",)),
        ("lb2", "10.77.1.22", ("lb",)),
        ("w1", "10.77.1.31", ("worker",)),
        ("w2", "10.77.1.32", ("worker",)),
        ("w3", "10.77.1.33", ("worker",)),
    ]


def test_growing_moves_nobody() -> None:
    small, large = plan_hosts(Request(), SUBNET), plan_hosts(Request(managers=2, workers=40), SUBNET)
    assert set(small) <= set(large)


def test_all_in_one_takes_the_place_of_the_defaults() -> None:
    hosts = plan_hosts(Request(all_in_one=3), SUBNET)
    assert [host.name for host in hosts] == ["n1", "n2", "n3"]
    assert {host.roles for host in hosts} == {("manager", "lb", "worker")}
    assert [host.name for host in plan_hosts(Request(all_in_one=1, workers=1), SUBNET)] == ["w1", "n1"]


def test_no_two_hosts_share_an_address_even_when_full() -> None:
    hosts = [*plan_hosts(Request(9, 9, 69, 80), SUBNET), *(plan_client(SUBNET, number) for number in range(1, 10))]
    addresses = {host.address for host in hosts} | {"10.77.1.1", "10.77.1.100"}
    assert len(addresses) == len(hosts) + 2
    assert len({host.mac_address for host in hosts}) == len(hosts)


@pytest.mark.parametrize("request_", [Request(workers=70), Request(lbs=-1), Request(0, 0, 0), Request(all_in_one=0)])
def test_counts_that_do_not_fit_are_refused(request_: Request) -> None:
    with pytest.raises(UsageError):
        plan_hosts(request_, SUBNET)


def test_a_host_keeps_its_mac_address_because_it_follows_from_the_address() -> None:
    assert Host("w1", "10.77.1.31", ("worker",)).mac_address == "02:4e:0a:4d:01:1f"


def test_ports_are_for_nodes_that_exist() -> None:
    request = Request(ssh_ports={"w2": 2222, "w9": 22})
    hosts = plan_hosts(request, SUBNET)
    assert {host.name: host.ssh_port for host in hosts}["w2"] == 2222
    with pytest.raises(UsageError, match="no node w9"):
        check_names(request, hosts)


def test_each_node_can_have_a_system_of_its_own() -> None:
    request = Request(system=System.DEBIAN_13, systems={"w2": System.DEBIAN_12})
    hosts = plan_hosts(request, SUBNET)
    assert {host.name for host in hosts if host.system is System.DEBIAN_12} == {"w2"}
    assert merge_hosts([replace(host, system=System.DEBIAN_12) for host in hosts], request, SUBNET) == hosts
    with pytest.raises(UsageError, match="--system-of: no node w9"):
        check_names(Request(systems={"w9": System.DEBIAN_13}), hosts)


def test_a_host_has_the_same_number_in_both_families() -> None:
    for host in plan_hosts(Request(1, 1, 69, 80), IPV6):
        both = with_second_address(host, SUBNET)
        assert both.ipv6 == host.address
        assert both.ipv4.rpartition(".")[2] == both.ipv6.rpartition(":")[2]
        assert with_second_address(replace(host, address=both.ipv4), IPV6).ipv6 == host.address
        assert both.mac_address.startswith("02:4e:0a:4d:01:")
        assert with_second_address(host, None) == host
    for address in ("fd77:0:0:1::1f", "fd77:0:0:1::", "fd77:0:0:1::999", "fd77:0:0:1::1"):
        with pytest.raises(UsageError, match="x has the address"):
            with_second_address(Host("x", address, ()), SUBNET)


@pytest.mark.parametrize("name", ["", "A", "a b", "-a", "1a", "a-", "a/b", "a" * 32, "a\n"])
def test_names_that_podman_could_not_carry_are_refused(name: str) -> None:
    with pytest.raises(UsageError):
        check_name(name)


def test_a_plain_name_is_fine() -> None:
    assert check_name("six-dev2") == "six-dev2"
