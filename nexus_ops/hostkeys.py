"""Host keys: asked from the nodes, shown as fingerprints, pinned per environment in known_hosts."""

from __future__ import annotations

import base64
import hashlib
import subprocess
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from nexus_ops.errors import NexusError
from nexus_ops.files import write_atomically
from nexus_ops.intent.model import Node

SCAN_TIMEOUT = 10
"""Seconds that a node has to show its keys."""

PREFERRED = "ssh-ed25519"


@dataclass(frozen=True)
class HostKey:
    """A public host key: its type and its base64 text."""

    kind: str
    text: str

    @property
    def fingerprint(self) -> str:
        """Return the fingerprint as `ssh-keygen -l` prints it: SHA256 in base64 without padding."""
        digest = hashlib.sha256(base64.b64decode(self.text)).digest()
        return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


@dataclass(frozen=True)
class PinnedKeys:
    """What a known_hosts file says: keys by name. Hashed names cannot be read; then every node counts as known."""

    keys: dict[str, frozenset[HostKey]]
    hashed: bool = False

    def of(self, node: Node) -> frozenset[HostKey]:
        """Return the keys that are pinned for `node`."""
        return self.keys.get(known_hosts_name(node), frozenset())

    def knows(self, node: Node) -> bool:
        """Whether a key is pinned for `node`."""
        return self.hashed or bool(self.of(node))


def known_hosts_name(node: Node) -> str:
    """Return the name that ssh looks up for `node` (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT)."""
    return node.address if node.ssh.port == 22 else f"[{node.address}]:{node.ssh.port}"


def read_pinned(path: Path) -> PinnedKeys:
    """Return what is pinned in `path`, nothing when there is no such file."""
    keys: dict[str, set[HostKey]] = {}
    hashed = False
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    for line in lines:
        fields = line.split()
        if len(fields) < 3 or line.startswith(("#", "@")):
            continue
        for name in fields[0].split(","):
            hashed = hashed or name.startswith("|1|")
            keys.setdefault(name, set()).add(HostKey(fields[1], fields[2]))
    return PinnedKeys({name: frozenset(found) for name, found in keys.items()}, hashed)


def scan_host_keys(nodes: Iterable[Node]) -> dict[str, frozenset[HostKey] | str]:
    """Ask all `nodes` at once; return by node name its keys, or the reason in words when it did not answer.

    Raises NexusError when ssh-keyscan is not installed.
    """
    nodes = list(nodes)
    with ThreadPoolExecutor(max_workers=max(1, min(32, len(nodes)))) as pool:
        return dict(zip((node.name for node in nodes), pool.map(_scan, nodes), strict=True))


def _scan(node: Node) -> frozenset[HostKey] | str:
    command = ["ssh-keyscan", "-T", str(SCAN_TIMEOUT), "-p", str(node.ssh.port), node.address]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=SCAN_TIMEOUT * 3)
    except FileNotFoundError:
        raise NexusError("ssh-keyscan is not installed", next_step="install openssh-client") from None
    except subprocess.TimeoutExpired:
        return "no answer"
    keys = {HostKey(*line.split()[1:3]) for line in done.stdout.splitlines() if line and not line.startswith("#")}
    if keys:
        return frozenset(keys)
    reasons = [line for line in done.stderr.splitlines() if line and not line.startswith("#")]
    return reasons[-1] if reasons else "no answer"


def best_key(keys: frozenset[HostKey]) -> HostKey:
    """Return the key to show a person: the one that ssh would prefer."""
    return min(keys, key=lambda key: (key.kind != PREFERRED, key.kind))


@dataclass
class Survey:
    """What the nodes' host keys say, before anything is changed."""

    known: list[Node] = field(default_factory=list)
    new: dict[str, tuple[Node, frozenset[HostKey]]] = field(default_factory=dict)
    silent: dict[str, str] = field(default_factory=dict)  # node → reason
    refused: dict[str, str] = field(default_factory=dict)  # node → explanation


def survey_host_keys(known_hosts: Path, nodes: Iterable[Node]) -> Survey:
    """Ask `nodes` for their host keys and compare them with those pinned in `known_hosts`. A changed one is refused."""
    survey = Survey()
    nodes = list(nodes)
    pinned = read_pinned(known_hosts)
    remote = [node for node in nodes if node.address != "localhost"]
    survey.known += [node for node in nodes if node.address == "localhost"]
    answers = scan_host_keys(remote)
    for node in remote:
        answer, before = answers[node.name], pinned.of(node)
        if isinstance(answer, str):
            survey.silent[node.name] = answer
        elif not before:
            survey.new[node.name] = (node, answer)
        elif before & answer:
            survey.known.append(node)
        else:
            survey.refused[node.name] = (
                f"the host key of {node.name} ({known_hosts_name(node)}) has changed: pinned is"
                f" {best_key(before).fingerprint}, it shows {best_key(answer).fingerprint}."
                " Either the machine was installed again, or somebody stands between you and it."
                f" Compare the fingerprint on its console (ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub); if it is"
                f" right, run: ssh-keygen -R '{known_hosts_name(node)}' -f {known_hosts}"
            )
    return survey


def pin(path: Path, nodes: Iterable[tuple[Node, frozenset[HostKey]]]) -> None:
    """Add the keys of `nodes` to the file at `path`; what is there stays."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    if text and not text.endswith("\n"):
        text += "\n"
    for node, keys in nodes:
        for key in sorted(keys, key=lambda key: key.kind):
            line = f"{known_hosts_name(node)} {key.kind} {key.text}\n"
            if line not in text:
                text += line
    write_atomically(path, text)


def unpin(path: Path, node: Node) -> None:
    """Remove what is pinned for `node` from the file at `path`."""
    if not path.exists():
        return
    name = known_hosts_name(node)
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    write_atomically(path, "".join(line for line in lines if line.split(" ", 1)[0] != name))
