import socket
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from nexus_ops.errors import NexusError
from nexus_ops.sandbox import Fault, System, controller, faults, hosts, podman
from nexus_ops.sandbox.hosts import Container
from nexus_ops.sandbox.topology import Host

HOST = Host("w2", "10.77.1.32", ("worker",), 2222)


def finished(output: str = "", returncode: int = 0) -> subprocess.CompletedProcess[str]:
    return subprocess.CompletedProcess([], returncode, output, "")


class Calls(list[list[str]]):
    """Stands for podman: remembers what it was asked."""

    def __call__(self, arguments: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        self.append(list(arguments))
        return finished()


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    calls = Calls()
    monkeypatch.setattr(podman, "call", calls)
    return calls


def test_a_host_boots_with_addresses_that_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(controller, "runtime_arguments", lambda: ["--runtime", "runc"])
    monkeypatch.setattr(controller, "limit_arguments", lambda: ["--ulimit", "nofile=1:1"])
    assert hosts.run_arguments("demo", HOST, "image:1", "ssh-ed25519 AAAA") == [
        *("--runtime", "runc", "run", "--detach"),
        *("--name", "nexus-demo-w2", "--hostname", "w2"),
        *("--systemd=always", "--privileged", "--ulimit", "nofile=1:1"),
        *("--volume", "/var/lib/containers"),
        *("--network", "nexus-demo", "--ip", "10.77.1.32", "--mac-address", "02:4e:0a:4d:01:20"),
        *("--env", "NEXUS_SSH_PORT=2222", "--env", "NEXUS_AUTHORIZED_KEY=ssh-ed25519 AAAA"),
        *("--label", "nexus-ops.sandbox=demo", "--label", "nexus-ops.sandbox.node=w2"),
        *("--label", "nexus-ops.sandbox.roles=worker", "--label", "nexus-ops.sandbox.address=10.77.1.32"),
        *("--label", "nexus-ops.sandbox.ssh-port=2222", "--label", "nexus-ops.sandbox.system=debian-12"),
        *("--label", "nexus-ops.sandbox.second-address=", "--label", "nexus-ops.sandbox.key=ssh-ed25519 AAAA"),
        *("image:1", "/sbin/init"),
    ]


def test_a_host_with_two_addresses_boots_with_both() -> None:
    for host in (
        Host("w2", "10.77.1.32", ("worker",), second_address="fd77:0:0:1::32"),
        Host("w2", "fd77:0:0:1::32", ("worker",), second_address="10.77.1.32"),
    ):
        arguments = hosts.run_arguments("demo", host, "image:1", "k")
        first = arguments.index("--ip")
        assert arguments[first : first + 4] == ["--ip", "10.77.1.32", "--ip6", "fd77:0:0:1::32"]
        assert arguments[arguments.index("--mac-address") + 1] == "02:4e:0a:4d:01:20"


def test_hosts_of_earlier_versions_are_debian_12(monkeypatch: pytest.MonkeyPatch) -> None:
    newer = entry("w2", "fd77:0:0:1::32")
    newer["Labels"] |= {"nexus-ops.sandbox.system": "debian-13", "nexus-ops.sandbox.second-address": "10.77.1.32"}
    monkeypatch.setattr(podman, "query", lambda _: [newer, entry("w1", "10.77.1.31")])
    assert [each.host for each in hosts.list_containers("demo")] == [
        Host("w1", "10.77.1.31", ("worker",)),
        Host("w2", "fd77:0:0:1::32", ("worker",), 22, System.DEBIAN_13, "10.77.1.32"),
    ]


def entry(node: str, address: str, roles: str = "worker") -> dict[str, Any]:
    labels = {"": "demo", ".node": node, ".address": address, ".roles": roles, ".ssh-port": "22", ".key": "k"}
    return {
        "Labels": {f"nexus-ops.sandbox{name}": value for name, value in labels.items()},
        "State": "running",
        "Pid": 7,
    }


def test_the_labels_are_all_that_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []

    def query(arguments: list[str]) -> list[dict[str, Any]]:
        asked.append(arguments)
        return [entry("n100", "10.77.1.100"), entry("n20", "10.77.1.20", "manager lb worker")]

    monkeypatch.setattr(podman, "query", query)
    assert [container.name for container in hosts.list_containers("demo")] == ["nexus-demo-n20", "nexus-demo-n100"]
    assert hosts.list_containers()[0].host.roles == ("manager", "lb", "worker")
    assert [arguments[3] for arguments in asked] == ["label=nexus-ops.sandbox=demo", "label=nexus-ops.sandbox"]


@pytest.fixture
def server() -> Iterator[Host]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(5)
        yield Host("w1", "127.0.0.1", ("worker",), listener.getsockname()[1])


def test_a_listening_port_is_not_yet_an_ssh_server(server: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(podman, "call", lambda *_, **__: finished("ssh.service: Failed\nlast words\n"))
    with pytest.raises(NexusError, match=r"w1: ssh\.service: Failed \| last words"):
        hosts.wait_for_ssh("demo", [server], seconds=0)


def test_a_host_that_stopped_at_boot_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosts, "LOOK_SECONDS", 0)
    monkeypatch.setattr(hosts, "greets", lambda _: False)
    monkeypatch.setattr(hosts, "list_containers", lambda _: [Container("demo", HOST, "exited", 0, "k")])
    monkeypatch.setattr(podman, "call", lambda *_, **__: finished("exited 255\n"))
    with pytest.raises(NexusError, match="w2: it stopped with status 255") as caught:
        hosts.wait_for_ssh("demo", [HOST], seconds=60)
    assert caught.value.next_step == "look at it: podman logs nexus-demo-w2"


@pytest.mark.parametrize(
    ("fault", "state", "expected"),
    [
        (Fault.POWER_OFF, "running", ["kill", "wait"]),
        (Fault.POWER_OFF, "paused", ["unpause", "kill", "wait"]),
        (Fault.POWER_OFF, "exited", []),
        (Fault.POWER_ON, "exited", ["start"]),
        (Fault.FREEZE, "running", ["pause"]),
        (Fault.FREEZE, "paused", []),
        (Fault.THAW, "paused", ["unpause"]),
        (Fault.THAW, "running", []),
    ],
)
def test_faults_are_what_podman_can_do(fault: Fault, state: str, expected: list[str], calls: Calls) -> None:
    faults.apply(fault, Container("demo", HOST, state, 7, "k"))
    assert [arguments[0] for arguments in calls] == expected
    assert all(arguments[1] == "nexus-demo-w2" for arguments in calls)


@pytest.mark.parametrize("fault", [Fault.FREEZE, Fault.CUT, Fault.HEAL])
def test_a_host_without_power_has_no_other_faults(fault: Fault, calls: Calls) -> None:
    with pytest.raises(NexusError, match="w2 is exited") as caught:
        faults.apply(fault, Container("demo", HOST, "exited", 0, "k"))
    assert caught.value.next_step == "put it right: nexus-ops -e demo sandbox fault w2 power-on"
    assert calls == []


def test_the_cable_ends_at_the_pair_of_eth0(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []

    def run(arguments: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        asked.append(arguments)
        if arguments[0] == "nsenter":
            return finished('[{"ifname": "eth0", "link_index": 23}]')
        return finished(
            '[{"ifindex": 22, "ifname": "veth1", "flags": ["UP"]}, {"ifindex": 23, "ifname": "veth2", "flags": ["UP"]}]'
        )

    monkeypatch.setattr(subprocess, "run", run)
    container = Container("demo", HOST, "running", 7, "k")
    faults.set_link(container, up=False)
    assert asked[0][:3] == ["nsenter", "--target", "7"]
    assert asked[-1] == ["ip", "link", "set", "dev", "veth2", "down"]
    assert not faults.is_cut(container)
