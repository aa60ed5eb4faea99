import os
import shutil
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from nexus_ops.environment import Environment
from nexus_ops.errors import UsageError
from nexus_ops.intent.load import load_intent
from nexus_ops.sandbox import environment
from nexus_ops.sandbox.topology import Host, Request, plan_client, plan_hosts

SUBNET = IPv4Network("10.77.1.0/24")


@pytest.fixture
def folder(tmp_path: Path) -> Environment:
    made = Environment(tmp_path / "demo")
    made.folder.mkdir()
    (made.folder / environment.MARKER).touch()
    environment.key_file(made).touch()
    return made


def write(folder: Environment, request: Request, ssh_user: str = "root") -> list[Host]:
    hosts = plan_hosts(request, SUBNET)
    folder.intent.write_text(environment.render_intent(folder, [*hosts, plan_client(SUBNET)], ssh_user, SUBNET))
    return hosts


def test_the_intent_is_valid_and_says_what_was_planned(folder: Environment) -> None:
    hosts = write(folder, Request(ssh_ports={"w2": 2222}), "ops")
    intent = load_intent(folder.intent)
    assert intent.cluster == "demo"
    assert [(node.name, node.address, node.ssh.port) for node in intent.nodes.values()] == [
        (host.name, host.address, host.ssh_port) for host in hosts
    ]
    assert {node.ssh.user for node in intent.nodes.values()} == {"ops"}
    assert str(intent.ha.virtual_ip) == "10.77.1.100/24"
    assert "bootstrap --user root" in folder.intent.read_text()


def test_without_load_balancers_there_is_no_floating_ip(folder: Environment) -> None:
    write(folder, Request(lbs=0))
    assert load_intent(folder.intent).ha.virtual_ip is None


def test_what_was_written_is_read_back(folder: Environment) -> None:
    assert environment.read_hosts(folder) == []
    hosts = write(folder, Request(all_in_one=2, ssh_ports={"n2": 2222}))
    assert environment.read_hosts(folder) == hosts
    assert environment.subnet_of(hosts, folder) == SUBNET
    assert environment.subnet_of([], folder) is None


def test_hosts_are_added_and_the_rest_stays_as_the_person_wrote_it(folder: Environment) -> None:
    write(folder, Request(workers=1))
    before = folder.intent.read_text().replace("ha:", "# mine\nha:")
    folder.intent.write_text(before)
    environment.add_hosts(folder, [Host("w2", "10.77.1.32", ("worker",), 2222)])
    added = "  w2: {address: 10.77.1.32, roles: [worker], ssh: {port: 2222}}"
    lines = folder.intent.read_text().splitlines()
    assert added in lines
    assert [line for line in lines if line != added] == before.splitlines()
    assert list(load_intent(folder.intent).nodes) == ["mgr1", "lb1", "lb2", "w1", "w2"]


@pytest.mark.parametrize("text", ["nodes: {w1: {roles: [worker]}}", "nodes: [w1]", "cluster: x", "{", "- a", ""])
def test_an_unreadable_intent_is_a_usage_error(folder: Environment, text: str) -> None:
    folder.intent.write_text(text)
    with pytest.raises(UsageError):
        environment.read_hosts(folder)


def test_a_sandbox_has_one_network(folder: Environment) -> None:
    with pytest.raises(UsageError, match="in 2"):
        environment.subnet_of([Host("a", "10.77.1.11", ()), Host("b", "10.77.2.11", ())], folder)


def test_an_address_that_is_none_is_a_usage_error(folder: Environment) -> None:
    with pytest.raises(UsageError, match="localhost"):
        environment.subnet_of([Host("mgr1", "localhost", ())], folder)


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="needs ssh-keygen")
def test_the_key_is_made_once_and_for_its_owner_only(tmp_path: Path) -> None:
    folder = Environment(tmp_path / "inventories" / "demo")
    public = environment.ensure_key(folder)
    assert public.startswith("ssh-ed25519 ")
    assert environment.ensure_key(folder) == public
    assert environment.key_file(folder).stat().st_mode & 0o777 == 0o600
    assert "/ssh_key" in (folder.folder / ".gitignore").read_text()


def test_real_environments_are_never_taken_over(folder: Environment) -> None:
    folder.intent.write_text("cluster: production\n")
    (folder.folder / environment.MARKER).unlink()  # a key of that name proves nothing
    with pytest.raises(UsageError, match="not made by the sandbox"):
        environment.ensure_key(folder)
    folder.intent.unlink()
    with pytest.raises(UsageError, match="not made by the sandbox"):
        environment.ensure_key(folder)
    with pytest.raises(UsageError, match="not made by the sandbox"):
        environment.require_sandbox(folder)


def test_all_of_a_sandbox_and_nothing_else_is_handed_over(folder: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.secrets.mkdir()
    (folder.secrets / "deep").touch()
    (folder.folder / "link").symlink_to("/etc")
    given: dict[Path, int] = {}
    monkeypatch.setenv("SUDO_UID", "1234")
    monkeypatch.setenv("SUDO_GID", "1234")
    monkeypatch.setattr("os.chown", lambda path, user, _, follow_symlinks: given.update({path: user}))
    monkeypatch.setattr(Path, "lstat", lambda _: os.stat_result((0,) * 10))
    environment.hand_over(folder)
    assert set(given) == {folder.folder, *folder.folder.iterdir(), folder.secrets / "deep"}
    given.clear()
    (folder.folder / environment.MARKER).unlink()
    environment.hand_over(folder)
    assert given == {}


def test_pinned_keys_of_new_hosts_are_forgotten_and_no_others(folder: Environment) -> None:
    environment.forget_host_keys(folder, {"10.77.1.31"})
    lines = [
        "10.77.1.31 ssh-ed25519 A\n",
        "[10.77.1.32]:2222 ssh-ed25519 B\n",
        "w9,10.77.1.39 ssh-ed25519 C\n",
        "10.77.1.3 ssh-ed25519 D\n",
    ]
    folder.known_hosts.write_text("".join(lines))
    environment.forget_host_keys(folder, {"10.77.1.31", "10.77.1.32", "10.77.1.39"})
    assert folder.known_hosts.read_text() == lines[3]
