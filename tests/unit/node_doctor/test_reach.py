"""Ways between nodes, tried on loopback, and chains that can drop packets, as nft lists them."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor

import pytest
from ansible.module_utils.node_doctor.firewalls import read_ruleset
from ansible.module_utils.node_doctor.reach import Way, explore, ways

SERVICES = {"web": {"upstreams": {"w1": "192.0.2.31:8080", "lb1": "[2001:db8::21]:8080"}}}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_load_balancers_go_to_services_and_all_nodes_to_parents() -> None:
    lbs = {"lb1": "2001:db8::21", "lb2": "192.0.2.22"}
    found = ways(SERVICES, lbs, {"m1": "192.0.2.10"}, ["m1", "lb1", "lb2", "w1"])
    assert {(way.start, way.end, way.address, way.port) for way in found} == {
        ("lb1", "w1", "192.0.2.31", 8080),
        ("lb2", "w1", "192.0.2.31", 8080),
        ("lb2", "lb1", "2001:db8::21", 8080),
        ("lb1", "m1", "192.0.2.10", 19999),
        ("lb2", "m1", "192.0.2.10", 19999),
        ("w1", "m1", "192.0.2.10", 19999),
        ("lb1", "m1", "192.0.2.10", 19997),
        ("lb2", "m1", "192.0.2.10", 19997),
    }


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_a_port_where_nothing_is_set_up_is_opened_while_others_come(address: str) -> None:
    way = Way("lb1", "w1", address, free_port(), "nexus-service-missing.service", "service web")
    with ThreadPoolExecutor() as pool:
        worker = pool.submit(explore, "w1", [way], set(), 5.0)
        lb = pool.submit(explore, "lb1", [way], set(), 5.0)
        assert worker.result() == {"listening": [way.port], "reach": []}
        (found,) = lb.result()["reach"]
    assert found == {"node": "w1", "port": way.port, "purpose": "service web", "source": address, "error": ""}


def test_a_closed_port_is_refused_until_the_time_is_over() -> None:
    way = Way("lb1", "w1", "127.0.0.1", free_port(), "nexus-service-missing.service", "service web")
    (found,) = explore("lb1", [way], set(), 0.5)["reach"]
    assert found["error"] == "refused"


def chain(name: str, **more: object) -> dict[str, object]:
    return {"chain": {"family": "inet", "table": "ufw", "name": name, **more}}


def rule(name: str, *expressions: object) -> dict[str, object]:
    return {"rule": {"family": "inet", "table": "ufw", "chain": name, "expr": list(expressions)}}


def test_base_chains_that_drop_are_found_also_through_other_chains() -> None:
    document = {
        "nftables": [
            {"metainfo": {}},
            chain("in", hook="input", policy="drop"),
            chain("in2", hook="input", policy="accept"),
            chain("last"),
            chain("quiet", hook="input", policy="accept"),
            chain("out", hook="output", policy="accept"),
            rule("in2", {"jump": {"target": "last"}}),
            rule("last", {"jump": {"target": "in2"}}, {"reject": None}),
            rule("quiet", {"accept": None}),
            rule("out", {"match": {}}, {"drop": None}),
            {
                "chain": {
                    "family": "inet",
                    "table": "nexus_services",
                    "name": "input",
                    "hook": "input",
                    "policy": "drop",
                }
            },
        ]
    }
    assert read_ruleset(document) == {
        "input": ["chain in of table inet ufw, policy drop", "chain in2 of table inet ufw"],
        "output": ["chain out of table inet ufw"],
    }
