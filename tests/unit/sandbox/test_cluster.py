from ipaddress import IPv4Network, IPv6Network, ip_address
from pathlib import Path

import pytest
from typer.testing import CliRunner

from nexus_ops.cli.app import Application
from nexus_ops.cli.main import cli
from nexus_ops.demo import start_sandbox
from nexus_ops.environment import Environment
from nexus_ops.errors import NexusError, UsageError
from nexus_ops.intent.load import load_intent
from nexus_ops.sandbox import (
    NetworkMode,
    System,
    cluster,
    controller,
    environment,
    faults,
    hosts,
    image,
    limits,
    network,
    podman,
)
from nexus_ops.sandbox.cluster import Sandbox
from nexus_ops.sandbox.hosts import Container
from nexus_ops.sandbox.network import Subnets
from nexus_ops.sandbox.topology import Host, Request, Subnet

SUBNET = IPv4Network("10.77.1.0/24")
IPV6 = IPv6Network("fd77:0:0:1::/64")


class FakeMachine:
    """Stands for podman: hosts exist once they were booted, and answer at once."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.containers: dict[str, Container] = {}
        self.said: list[str] = []
        self.podman: list[list[str]] = []
        monkeypatch.setattr(controller, "check_requirements", lambda: None)
        monkeypatch.setattr(image, "ensure_image", lambda system, _: f"{system}:1")
        monkeypatch.setattr(image, "ensure_client_image", lambda *_: "client:1")
        monkeypatch.setattr(limits, "ensure_room", lambda *_: None)
        self.subnets: Subnets | None = None
        monkeypatch.setattr(network, "ensure_network", self.ensure_network)
        monkeypatch.setattr(network, "existing_subnets", lambda _: self.subnets if self.containers else None)
        monkeypatch.setattr(network, "remove_network", lambda _: None)
        monkeypatch.setattr(environment, "_ssh_keygen", self.ssh_keygen)
        monkeypatch.setattr(hosts, "list_containers", lambda *_: self.in_order())
        monkeypatch.setattr(hosts, "boot", self.boot)
        monkeypatch.setattr(hosts, "wait_for_ssh", lambda *_: None)
        monkeypatch.setattr(hosts, "execute", lambda *_: "ssh-ed25519 AAAA root@w1\n")
        monkeypatch.setattr(faults, "is_cut", lambda _: False)
        monkeypatch.setattr(podman, "call", lambda arguments, **_: self.podman.append(arguments))

    def ensure_network(self, _: str, wanted: Subnet | None, mode: NetworkMode | None) -> Subnets:
        if isinstance(wanted, IPv4Network):
            self.subnets = Subnets(wanted, IPV6 if mode is NetworkMode.DUAL else None)
        else:
            self.subnets = self.subnets or Subnets(SUBNET, None if mode in {None, NetworkMode.IPV4} else IPV6)
        return self.subnets

    def ssh_keygen(self, *arguments: str) -> str:
        Path(arguments[-1]).touch()
        return "ssh-ed25519 KEY\n"

    def in_order(self) -> list[Container]:
        """Several hosts boot at once, so the order in which they were made says nothing."""
        return sorted(self.containers.values(), key=lambda container: ip_address(container.host.address))

    def boot(self, sandbox: str, host: Host, image_name: str, key: str) -> None:
        self.containers[host.name] = Container(sandbox, host, "running", 7, f"{key} {image_name}")


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> FakeMachine:
    return FakeMachine(monkeypatch)


@pytest.fixture
def folder(tmp_path: Path) -> Environment:
    return Environment(tmp_path / "inventories" / "demo")


def test_up_makes_the_hosts_and_the_intent(machine: FakeMachine, folder: Environment) -> None:
    made = Sandbox("demo").up(folder, Request(client=True))
    assert [container.host.name for container in made if container.key.endswith("debian-12:1")] == [
        *("mgr1", "lb1", "lb2", "w1", "w2", "w3"),
    ]
    assert machine.containers["client1"].key.endswith("client:1")
    assert "client1" not in folder.intent.read_text()


def test_up_again_changes_nothing(machine: FakeMachine, folder: Environment) -> None:
    Sandbox("demo").up(folder, Request())
    intent, before = folder.intent.read_bytes(), dict(machine.containers)
    Sandbox("demo").up(folder, Request(), machine.said.append)
    assert folder.intent.read_bytes() == intent
    assert machine.containers == before
    assert machine.said == ["0 hosts to make, 6 there, on 10.77.1.0/24"]


def test_the_intent_decides_what_is_made(machine: FakeMachine, folder: Environment) -> None:
    Sandbox("demo").up(folder, Request(all_in_one=2))
    text = folder.intent.read_text().replace("10.77.1.", "10.77.8.").replace("n2:", "other:")
    folder.intent.write_text(text)
    machine.containers.clear()
    Sandbox("demo").up(folder, Request())
    assert {name: made.host.address for name, made in machine.containers.items()} == {
        "n1": "10.77.8.111",
        "other": "10.77.8.112",
    }


def test_up_with_counts_adds_to_the_intent(machine: FakeMachine, folder: Environment) -> None:
    Sandbox("demo").up(folder, Request())
    Sandbox("demo").up(folder, Request(workers=4))
    assert set(machine.containers) == {"mgr1", "lb1", "lb2", "w1", "w2", "w3", "w4"}
    assert "w4: {address: 10.77.1.34" in folder.intent.read_text()


def test_hosts_of_another_system_join(machine: FakeMachine, folder: Environment) -> None:
    Sandbox("demo").up(folder, Request(workers=1))
    Sandbox("demo").up(folder, Request(workers=3, system=System.DEBIAN_13, systems={"w3": System.DEBIAN_12}))
    made = {name: container for name, container in machine.containers.items() if name in {"w1", "w2", "w3"}}
    assert {name: container.host.system for name, container in made.items()} == {
        "w1": System.DEBIAN_12,
        "w2": System.DEBIAN_13,
        "w3": System.DEBIAN_12,
    }
    assert made["w2"].key.endswith("debian-13:1")
    with pytest.raises(UsageError, match="w1 is there already, with debian-12"):
        Sandbox("demo").up(folder, Request(systems={"w1": System.DEBIAN_13}))


def test_a_cluster_on_ipv6(machine: FakeMachine, folder: Environment) -> None:
    Sandbox("demo").up(folder, Request(workers=1, network=NetworkMode.IPV6))
    intent = load_intent(folder.intent)
    assert [node.address for node in intent.nodes.values()] == [f"fd77:0:0:1::{last}" for last in (11, 21, 22, 31)]
    assert str(intent.ha.virtual_ip) == "fd77:0:0:1::100/64"
    Sandbox("demo").up(folder, Request(workers=2, client=True))
    assert {name: (made.host.address, made.host.ipv4) for name, made in machine.containers.items()} == {
        "mgr1": ("fd77:0:0:1::11", "10.77.1.11"),
        "lb1": ("fd77:0:0:1::21", "10.77.1.21"),
        "lb2": ("fd77:0:0:1::22", "10.77.1.22"),
        "w1": ("fd77:0:0:1::31", "10.77.1.31"),
        "w2": ("fd77:0:0:1::32", "10.77.1.32"),
        "client1": ("fd77:0:0:1::201", "10.77.1.201"),
    }
    with pytest.raises(UsageError, match="have IPv6 addresses"):
        Sandbox("demo").up(folder, Request(network=NetworkMode.IPV4))


def test_in_a_dual_stack_the_intent_has_ipv4_addresses(machine: FakeMachine, folder: Environment) -> None:
    Sandbox("demo").up(folder, Request(all_in_one=1, network=NetworkMode.DUAL))
    assert machine.containers["n1"].host.ipv6 == "fd77:0:0:1::111"
    assert load_intent(folder.intent).nodes["n1"].address == "10.77.1.111"
    assert "virtual_ip: 10.77.1.100/24" in folder.intent.read_text()
    with pytest.raises(UsageError, match="have IPv4 addresses"):
        Sandbox("demo").up(folder, Request(network=NetworkMode.IPV6))


def test_a_lost_folder_is_written_again_from_the_labels(machine: FakeMachine, folder: Environment) -> None:
    Sandbox("demo").up(folder, Request(all_in_one=3))
    Sandbox("demo").purge(folder)
    assert not folder.folder.exists()
    Sandbox("demo").up(folder, Request())
    assert [host.name for host in environment.read_hosts(folder)] == ["n1", "n2", "n3"]


@pytest.mark.usefixtures("machine")
def test_up_forgets_the_keys_of_hosts_it_makes(folder: Environment) -> None:
    folder.folder.mkdir(parents=True)
    folder.known_hosts.write_text("10.77.1.31 ssh-ed25519 OLD\n192.0.2.9 ssh-ed25519 OTHER\n")
    Sandbox("demo").up(folder, Request())
    assert folder.known_hosts.read_text() == "192.0.2.9 ssh-ed25519 OTHER\n"


def test_down_removes_hosts_with_their_disks(machine: FakeMachine, folder: Environment) -> None:
    Sandbox("demo").up(folder, Request(managers=1, lbs=0, workers=1))
    machine.podman.clear()
    assert [container.host.name for container in Sandbox("demo").down(folder)] == ["mgr1", "w1"]
    assert machine.podman == [["rm", "--force", "--volumes", "--time", "0", "nexus-demo-mgr1", "nexus-demo-w1"]]
    assert folder.intent.exists()


def test_purge_leaves_folders_of_others_alone(folder: Environment) -> None:
    folder.folder.mkdir(parents=True)
    folder.intent.write_text("cluster: production\n")
    with pytest.raises(UsageError, match="not made by the sandbox"):
        Sandbox("demo").purge(folder)
    assert folder.intent.exists()


@pytest.mark.usefixtures("machine")
def test_ssh_trusts_the_key_on_the_hosts_disk_and_no_other(folder: Environment) -> None:
    Sandbox("demo").up(folder, Request(ssh_ports={"w1": 2222}))
    command = Sandbox("demo").ssh_command(folder, "w1", ["--", "uname", "-n"])
    assert command[-4:] == ["--", "root@10.77.1.31", "uname", "-n"]
    assert "KnownHostsCommand=/bin/echo %H ssh-ed25519 AAAA" in command
    assert "StrictHostKeyChecking=yes" in command
    assert command[command.index("-p") + 1] == "2222"


def test_a_frozen_host_is_not_asked(machine: FakeMachine, folder: Environment) -> None:
    Sandbox("demo").up(folder, Request())
    machine.containers["w1"] = Container("demo", machine.containers["w1"].host, "paused", 7, "k")
    with pytest.raises(NexusError, match="w1 is frozen") as caught:
        Sandbox("demo").run("w1", ["true"])
    assert caught.value.next_step.endswith("sandbox fault w1 thaw")


def test_hosts_that_are_not_there(machine: FakeMachine, folder: Environment) -> None:
    with pytest.raises(UsageError, match="has no hosts"):
        Sandbox("demo").address("w1")
    with pytest.raises(UsageError, match="is not up"):
        Sandbox("demo").add_client()
    Sandbox("demo").up(folder, Request(workers=1))
    with pytest.raises(UsageError, match="no host 'w9'") as caught:
        Sandbox("demo").address("w9")
    assert caught.value.next_step == "its hosts are mgr1, lb1, lb2, w1"
    assert [sandbox.name for sandbox in cluster.all_sandboxes()] == ["demo"]
    assert Sandbox("demo").add_client().host.address == "10.77.1.201"
    assert len(machine.containers) == 5


@pytest.mark.parametrize("request_", [Request(workers=-1), Request(workers=70), Request(ssh_ports={"w9": 2222})])
def test_a_refused_request_leaves_nothing_behind(
    machine: FakeMachine, folder: Environment, monkeypatch: pytest.MonkeyPatch, request_: Request
) -> None:
    monkeypatch.setattr(network, "ensure_network", lambda *_: pytest.fail("a network was made"))
    with pytest.raises(UsageError):
        Sandbox("demo").up(folder, request_)
    assert not folder.folder.parent.exists()
    assert machine.podman == []


@pytest.mark.usefixtures("machine")
def test_the_demo_keeps_what_the_person_wrote(folder: Environment) -> None:
    start_sandbox(folder, lambda _: None)
    Sandbox("demo").purge(folder)
    Sandbox("demo").up(folder, Request())
    mine = "monitoring: {retention_days: 7}  # mine\n"
    folder.intent.write_text(folder.intent.read_text() + mine)
    intent = start_sandbox(folder, lambda _: None)
    assert list(intent.services) == ["web"]
    assert mine in folder.intent.read_text()
    assert environment.SERVICES_HINT not in folder.intent.read_text()
    before = folder.intent.read_text()
    start_sandbox(folder, lambda _: None)
    assert folder.intent.read_text() == before


@pytest.mark.usefixtures("machine")
def test_the_demo_wants_its_own_service(folder: Environment) -> None:
    start_sandbox(folder, lambda _: None)
    folder.intent.write_text(folder.intent.read_text().replace("  web:", "  other:"))
    with pytest.raises(UsageError, match="no service web"):
        start_sandbox(folder, lambda _: None)


def test_down_decides_before_it_removes(
    machine: FakeMachine, folder: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    Sandbox("demo").up(folder, Request())
    machine.podman.clear()
    arguments = ["--inventories", str(folder.folder.parent), "--env", "demo", "sandbox", "down", "--purge"]
    no_terminal = CliRunner().invoke(cli, arguments, obj=Application())
    assert isinstance(no_terminal.exception, UsageError)
    assert no_terminal.exception.next_step == "add --yes"
    monkeypatch.setattr("nexus_ops.cli.app.is_terminal", lambda: True)
    assert CliRunner().invoke(cli, arguments, input="n\n", obj=Application()).exit_code == 1
    marker = folder.folder / environment.MARKER
    marker.unlink()
    refused = CliRunner().invoke(cli, [*arguments, "--yes"], obj=Application())
    assert isinstance(refused.exception, UsageError)
    assert machine.podman == []
    marker.touch()
    assert CliRunner().invoke(cli, [*arguments, "--yes"], obj=Application()).exit_code == 0
    assert machine.podman[0][0] == "rm"
    assert not folder.folder.exists()


def test_ports_are_numbers_for_everybody(machine: FakeMachine, folder: Environment) -> None:
    for port in ("²", "0", "65536", "9" * 5000, "x"):
        arguments = ["--inventories", str(folder.folder.parent), "sandbox", "up", "--ssh-port-of", f"w1={port}"]
        assert isinstance(CliRunner().invoke(cli, arguments, obj=Application()).exception, UsageError)
    assert machine.containers == {}
