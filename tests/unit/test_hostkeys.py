"""Host keys: fingerprints as OpenSSH prints them, names as it looks them up."""

from __future__ import annotations

import subprocess
from pathlib import Path

from nexus_ops.hostkeys import HostKey, known_hosts_name, pin, read_pinned, unpin
from nexus_ops.intent.model import Node, Ssh


def make_node(address: str, port: int = 22) -> Node:
    return Node("w1", address, frozenset(), Ssh("ops", port, None))


def make_key(folder: Path) -> HostKey:
    path = folder / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    kind, text, *_ = path.with_suffix(".pub").read_text().split()
    path.unlink()
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


def test_pin_read_unpin(tmp_path: Path) -> None:
    path, key = tmp_path / "known_hosts", make_key(tmp_path)
    first, second = make_node("192.0.2.1"), make_node("192.0.2.10", 2222)
    path.write_text("other.example ssh-ed25519 AAAA")
    pin(path, [(first, frozenset({key}))])
    pin(path, [(first, frozenset({key})), (second, frozenset({key}))])
    assert len(path.read_text().splitlines()) == 3, "nothing twice, and what was there stays"
    pinned = read_pinned(path)
    assert pinned.of(first) == {key}
    assert pinned.knows(second)
    assert not pinned.knows(make_node("192.0.2.10")), "another port is another server"
    found = subprocess.run(["ssh-keygen", "-F", "[192.0.2.10]:2222", "-f", str(path)], capture_output=True, check=False)
    assert found.returncode == 0, "OpenSSH finds it too"
    unpin(path, first)
    assert not read_pinned(path).knows(first)
    assert read_pinned(path).knows(second)


def test_nothing_pinned(tmp_path: Path) -> None:
    assert not read_pinned(tmp_path / "none").knows(make_node("192.0.2.1"))
