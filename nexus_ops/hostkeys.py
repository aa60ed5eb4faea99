"""Host keys: asked from the nodes, shown as fingerprints, pinned per environment in known_hosts."""

from __future__ import annotations

import base64
import hashlib
import hmac
import shlex
import subprocess
from collections.abc import Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from nexus_ops.errors import NexusError
from nexus_ops.files import write_atomically
from nexus_ops.intent.model import Node
from nexus_ops.ssh import proxy_command, shown_host_key

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
    """What a known_hosts file says: names, plain or hashed, each with a key."""

    entries: tuple[tuple[str, HostKey], ...]

    def of(self, node: Node) -> frozenset[HostKey]:
        """Return the keys that are pinned for `node`."""
        name = known_hosts_name(node)
        return frozenset(key for pinned, key in self.entries if _is_name(pinned, name))

    def elsewhere(self, node: Node) -> dict[str, frozenset[HostKey]]:
        """Return the keys that are pinned for the address of `node` at other ports, by name.

        Hashed names cannot be read: they are found for port 22 only.
        """
        address, own = node.address.lower(), known_hosts_name(node)
        found: dict[str, set[HostKey]] = {}
        for pinned, key in self.entries:
            name = address if _is_name(pinned, address) else pinned.lower()
            if name != own and (name == address or name.startswith(f"[{address}]:")):
                found.setdefault(name, set()).add(key)
        return {name: frozenset(keys) for name, keys in found.items()}

    def knows(self, node: Node) -> bool:
        """Whether a key is pinned for `node`."""
        return bool(self.of(node))


def known_hosts_name(node: Node) -> str:
    """Return the name that ssh looks up for `node` (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT)."""
    address = node.address.lower()
    return address if node.ssh.port == 22 else f"[{address}]:{node.ssh.port}"


def _is_name(pinned: str, name: str) -> bool:
    """Whether `pinned` is `name`, or its hash: `|1|salt|HMAC-SHA1 of the name with the salt as the key`."""
    if not pinned.startswith("|1|"):
        return pinned.lower() == name
    try:
        salt, digest = map(base64.b64decode, pinned.split("|")[2:])
    except ValueError:
        return False
    return hmac.digest(salt, name.encode(), "sha1") == digest


def read_pinned(path: Path) -> PinnedKeys:
    """Return what is pinned in `path`, nothing when there is no such file."""
    entries: list[tuple[str, HostKey]] = []
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    for line in lines:
        fields = line.split()
        if len(fields) >= 3 and not line.startswith(("#", "@")):
            entries += [(name, HostKey(fields[1], fields[2])) for name in fields[0].split(",")]
    return PinnedKeys(tuple(entries))


def scan_host_keys(nodes: Iterable[Node]) -> dict[str, frozenset[HostKey] | str]:
    """Ask all `nodes` at once; return by node name its keys, or the reason in words when it did not answer.

    Raises NexusError when ssh-keyscan is not installed.
    """
    nodes = list(nodes)
    with ThreadPoolExecutor(max_workers=max(1, min(32, len(nodes)))) as pool:
        return dict(zip((node.name for node in nodes), pool.map(_scan, nodes), strict=True))


def _scan(node: Node) -> frozenset[HostKey] | str:
    if proxy_command(node.ssh.user, node.address, node.ssh.port):  # which ssh-keyscan knows nothing of
        line, reason = shown_host_key(node.ssh.user, node.address, node.ssh.port, SCAN_TIMEOUT)
        return frozenset({HostKey(*line.split()[1:3])}) if line else reason
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


def best_key(keys: Collection[HostKey]) -> HostKey:
    """Return the key to show a person: the one that ssh would prefer."""
    return min(keys, key=lambda key: (key.kind != PREFERRED, key.kind))


def find_change(pinned: frozenset[HostKey], shown: frozenset[HostKey]) -> tuple[HostKey, HostKey] | None:
    """Return a pinned key and the one shown in its place, None when nothing has changed.

    Every shown key of a type that is pinned must be pinned; further types are no change as long as one type is common.
    """
    common = {key.kind for key in pinned} & {key.kind for key in shown}
    wrong = {key for key in shown if key.kind in common} - pinned
    if common and not wrong:
        return None
    new = best_key(wrong or shown)
    return best_key({key for key in pinned if key.kind == new.kind} or pinned), new


@dataclass
class Survey:
    """What the nodes' host keys say, before anything is changed."""

    known: list[Node] = field(default_factory=list)
    new: dict[str, tuple[Node, HostKey]] = field(default_factory=dict)  # with the one key to show and to pin
    silent: dict[str, str] = field(default_factory=dict)  # node → reason
    refused: dict[str, str] = field(default_factory=dict)  # node → explanation


def survey_host_keys(known_hosts: Path, nodes: Iterable[Node]) -> Survey:
    """Ask `nodes` for their host keys and compare them with those pinned in `known_hosts`. A changed one is refused.

    A node that is not pinned, but its address is at another port, is new only with the keys that are pinned there.
    """
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
            continue
        compared = {known_hosts_name(node): before} if before else pinned.elsewhere(node)
        changes = {name: change for name, keys in compared.items() if (change := find_change(keys, answer))}
        if changes:
            survey.refused[node.name] = _explain(node, changes, known_hosts)
        elif before:
            survey.known.append(node)
        else:
            elsewhere = frozenset[HostKey]().union(*compared.values())
            survey.new[node.name] = (node, best_key(answer & elsewhere or answer))
    return survey


def _explain(node: Node, changes: dict[str, tuple[HostKey, HostKey]], known_hosts: Path) -> str:
    name, (old, new) = next(iter(changes.items()))
    pinned_for = "" if name == known_hosts_name(node) else f" for {name}"
    algorithm = new.kind.removeprefix("ssh-").partition("-")[0]  # ecdsa-sha2-nistp256 → ecdsa
    removals = [shlex.join(["ssh-keygen", "-R", name, "-f", str(known_hosts)]) for name in changes]
    return (
        f"the host key of {node.name} ({known_hosts_name(node)}) has changed: pinned{pinned_for} is"
        f" {old.fingerprint}, it shows {new.fingerprint}."
        " Either the machine was installed again, or somebody stands between you and it."
        f" Compare the fingerprint on its console (ssh-keygen -lf /etc/ssh/ssh_host_{algorithm}_key.pub); if it is"
        f" right, run: {' && '.join(removals)}"
    )


def pin(path: Path, keys: Iterable[tuple[Node, HostKey]]) -> None:
    """Add a key for each of some nodes to the file at `path`; what is there stays.

    Nothing but the key that a person was shown: a server has not proved to have the others that it names.
    """
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    for node, key in keys:
        line = f"{known_hosts_name(node)} {key.kind} {key.text}"
        if line not in lines:
            lines.append(line)
    write_atomically(path, "".join(f"{line}\n" for line in lines))
