"""Host keys: fingerprints as OpenSSH prints them, names as it looks them up."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from nexus_ops.hostkeys import HostKey, Survey, known_hosts_name, pin, read_pinned, survey_host_keys
from nexus_ops.intent.model import Node, Ssh


def make_node(address: str, port: int = 22) -> Node:
    return Node("w1", address, frozenset(), Ssh("ops", port, None))


def make_key(folder: Path, kind: str = "ed25519") -> HostKey:
    path = folder / "key"
    path.unlink(missing_ok=True)
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-f", str(path)], check=True)
    kind, text, *_ = path.with_suffix(".pub").read_text().split()
    return HostKey(kind, text)


def test_fingerprint_is_openssh_s(tmp_path: Path) -> None:
    key = make_key(tmp_path)
    shown = subprocess.run(
        ["ssh-keygen", "-lf", str(tmp_path / "key.pub")], capture_output=True, text=True, check=True
    ).stdout
    assert key.fingerprint == shown.split()[1]


def test_names() -> None:
    assert known_hosts_name(make_node("192.0.2.1")) == "192.0.2.1"
    assert known_hosts_name(make_node("192.0.2.1", 2222)) == "[192.0.2.1]:2222"
    assert known_hosts_name(make_node("2001:db8::1")) == "2001:db8::1"


def test_pin_and_read(tmp_path: Path) -> None:
    path, key = tmp_path / "known_hosts", make_key(tmp_path)
    first, second = make_node("192.0.2.1"), make_node("192.0.2.10", 2222)
    path.write_text("other.example ssh-ed25519 AAAA")
    pin(path, [(first, key)])
    pin(path, [(first, key), (second, key)])
    assert len(path.read_text().splitlines()) == 3, "nothing twice, and what was there stays"
    pinned = read_pinned(path)
    assert pinned.of(first) == {key}
    assert pinned.knows(second)
    assert not pinned.knows(make_node("192.0.2.10")), "another port is another server"
    found = subprocess.run(["ssh-keygen", "-F", "[192.0.2.10]:2222", "-f", str(path)], capture_output=True, check=False)
    assert found.returncode == 0, "OpenSSH finds it too"


def test_nothing_pinned(tmp_path: Path) -> None:
    assert not read_pinned(tmp_path / "none").knows(make_node("192.0.2.1"))


def test_pin_compares_whole_lines(tmp_path: Path) -> None:
    path, key = tmp_path / "known_hosts", make_key(tmp_path)
    pin(path, [(make_node("110.0.0.1"), key)])
    pin(path, [(make_node("10.0.0.1"), key)])
    assert read_pinned(path).of(make_node("10.0.0.1")) == {key}


Look = Callable[[Node, set[HostKey]], Survey]


@pytest.fixture
def look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Look:
    """Survey a node that shows certain keys, against `known_hosts` in `tmp_path`."""

    def look(node: Node, shown: set[HostKey]) -> Survey:
        monkeypatch.setattr("nexus_ops.hostkeys.scan_host_keys", lambda _: {node.name: frozenset(shown)})
        return survey_host_keys(tmp_path / "known_hosts", [node])

    return look


@pytest.mark.parametrize("port", [22, 2222])
def test_hashed_names_are_compared(tmp_path: Path, look: Look, port: int) -> None:
    path, node, key = tmp_path / "known_hosts", make_node("192.0.2.1", port), make_key(tmp_path)
    pin(path, [(node, key), (make_node("192.0.2.2", port), key)])
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", str(path)], check=True, capture_output=True)
    assert "192.0.2.1" not in path.read_text()
    assert look(node, {key}).known == [node]
    refused = look(node, {make_key(tmp_path)}).refused["w1"]
    assert key.fingerprint in refused
    assert look(make_node("192.0.2.3", port), {key}).new


def test_broken_hash_is_no_name(tmp_path: Path) -> None:
    (tmp_path / "known_hosts").write_text("|1|x ssh-ed25519 AAAA\n|1|x|y ssh-ed25519 AAAA\n")
    assert not read_pinned(tmp_path / "known_hosts").knows(make_node("192.0.2.1"))


@pytest.mark.parametrize("hashed", [False, True])
def test_other_port_does_not_make_a_changed_key_new(tmp_path: Path, look: Look, hashed: bool) -> None:
    path, key = tmp_path / "known_hosts", make_key(tmp_path)
    pin(path, [(make_node("192.0.2.1"), key)])
    if hashed:
        subprocess.run(["ssh-keygen", "-q", "-H", "-f", str(path)], check=True, capture_output=True)
    moved = make_node("192.0.2.1", 2222)
    assert look(moved, {key}).new["w1"] == (moved, key), "the same machine"
    other = make_key(tmp_path)
    survey = look(moved, {other})
    assert not survey.new
    refused = survey.refused["w1"]
    assert f"pinned for 192.0.2.1 is {key.fingerprint}, it shows {other.fingerprint}" in refused
    command = refused.rsplit("run: ")[1]
    subprocess.run(command, shell=True, check=True, capture_output=True)
    assert look(moved, {other}).new, "the command that it names helps"


def test_other_port_to_the_default_one(tmp_path: Path, look: Look) -> None:
    key = make_key(tmp_path)
    pin(tmp_path / "known_hosts", [(make_node("192.0.2.1", 2222), key)])
    assert "ssh-keygen -R '[192.0.2.1]:2222'" in look(make_node("192.0.2.1"), {make_key(tmp_path)}).refused["w1"]
    assert look(make_node("192.0.2.11"), {make_key(tmp_path)}).new, "another address"


def test_the_one_key_that_is_shown_is_pinned(tmp_path: Path, look: Look) -> None:
    """Whoever stands in between knows the machine's public keys, and may add one of their own."""
    path, node = tmp_path / "known_hosts", make_node("192.0.2.1")
    machines, strangers = make_key(tmp_path), make_key(tmp_path, "ecdsa")
    pin(path, look(node, {machines, strangers}).new.values())
    assert read_pinned(path).of(node) == {machines}
    assert look(node, {machines, make_key(tmp_path, "rsa")}).known


def test_a_machine_at_another_port_keeps_its_key(tmp_path: Path, look: Look) -> None:
    machines, strangers = make_key(tmp_path, "rsa"), make_key(tmp_path)
    pin(tmp_path / "known_hosts", [(make_node("192.0.2.1"), machines)])
    moved = make_node("192.0.2.1", 2222)
    assert look(moved, {machines, strangers}).new["w1"] == (moved, machines)


def test_every_type_of_key_is_compared(tmp_path: Path, look: Look) -> None:
    node, first, second = make_node("192.0.2.1"), make_key(tmp_path), make_key(tmp_path, "ecdsa")
    pin(tmp_path / "known_hosts", [(node, first), (node, second)])
    assert look(node, {first, second}).known
    assert look(node, {first}).known, "a type that it offers no more"
    assert look(node, {first, make_key(tmp_path, "rsa")}).known, "a type that it offers in addition"
    changed = make_key(tmp_path)
    assert changed.fingerprint in look(node, {changed, second}).refused["w1"]
    assert look(node, {make_key(tmp_path, "rsa")}).refused, "no type in common"
