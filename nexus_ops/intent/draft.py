"""What of an intent file can be used although the rest of it may be faulty: what the checks across fields read."""

from __future__ import annotations

import ipaddress
from functools import cached_property
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any

from nexus_ops.errors import Fault
from nexus_ops.intent.model import IPAddress, Role

if TYPE_CHECKING:
    from nexus_ops.intent.document import Document, Path

Section = dict[str, Any]

DEFAULT_SSH_PORT = 22


def parse_address(text: str) -> IPAddress | None:
    """Return the IP address that `text` is, None where it is a host name or nothing."""
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


class Draft:
    """The sections of a document without the values at `unusable` paths. Sections that are empty or missing are {}."""

    def __init__(self, document: Document, unusable: set[Path], *, assume_monitoring: bool = False) -> None:
        """Keep `document`; nothing of it is changed. With `assume_monitoring` it is read as if that were enabled."""
        self.document = document
        self._assume_monitoring = assume_monitoring
        self.folder = document.file.absolute().parent
        self._unusable = {_whole_list(path) for path in unusable}
        self._value = self._without_unusable(document.value, ())
        self.cluster: str = self._value.get("cluster", "")
        self.ssh: Section = self._value.get("ssh") or {}
        self.nodes: dict[str, Section] = self._value.get("nodes") or {}
        self.ha: Section = self._value.get("ha") or {}
        self.services: dict[str, Section] = self._value.get("services") or {}
        self.monitoring: Section = self._value.get("monitoring") or {}

    def _without_unusable(self, value: Any, path: Path) -> Any:
        if not isinstance(value, dict):
            return value
        return {
            key: self._without_unusable(child, (*path, key))
            for key, child in value.items()
            if (*path, key) not in self._unusable
        }

    def fault(self, path: Path, message: str, remedy: str) -> Fault:
        """Return a fault on the line of `path`."""
        return Fault(self.document.file, self.document.line(path), message, remedy)

    def is_unusable(self, path: Path) -> bool:
        """Return whether something stands at `path` that cannot be used: a fault of its own, not a missing value."""
        return path in self._unusable

    def has_section(self, name: str) -> bool:
        """Return whether the file has a section `name` that says something."""
        return bool(self._value.get(name))

    @property
    def wants_monitoring(self) -> bool:
        """Whether the file says that nodes are watched: the section says something, and not `enabled: false`."""
        return self.has_section("monitoring") and bool(self.monitoring.get("enabled", True))

    @property
    def is_monitored(self) -> bool:
        """Whether nodes are watched, in the file or because that is assumed."""
        return self._assume_monitoring or self.wants_monitoring

    @cached_property
    def roles_known(self) -> bool:
        """Whether every node's roles are readable: only then does a missing lb or worker mean anything."""
        is_whole = not any(path[:1] == ("nodes",) and len(path) <= 2 for path in self._unusable)
        return is_whole and bool(self.nodes) and all("roles" in node for node in self.nodes.values())

    def names_with_role(self, role: Role) -> list[str]:
        """Return the names of the nodes with `role`, in the file's order."""
        return [name for name, node in self.nodes.items() if role in node.get("roles", ())]

    @cached_property
    def workers(self) -> list[str]:
        """The names of the workers, in the file's order."""
        return self.names_with_role(Role.WORKER)

    @cached_property
    def lbs(self) -> list[str]:
        """The names of the load balancers, in the file's order."""
        return self.names_with_role(Role.LB)

    def ssh_of(self, name: str) -> Section:
        """Return the ssh keys that hold for the node `name`, without defaults."""
        return {**self.ssh, **(self.nodes[name].get("ssh") or {})}

    def placement(self, service: str) -> list[str]:
        """Return the workers that run `service`: those it names, or the first `replicas`, or all; none if unclear."""
        section = self.services[service]
        if any(self.is_unusable(("services", service, key)) for key in ("nodes", "replicas")):
            return []
        if "nodes" in section:
            return [name for name in section["nodes"] if name in self.workers]
        return self.workers[: section.get("replicas", len(self.workers))]

    def local_path(self, text: str) -> FilePath:
        """Return the absolute path of a file that the intent names: `~` expanded, relative to the intent's folder."""
        try:
            path = FilePath(text).expanduser()
        except RuntimeError:  # a home folder of somebody who does not exist
            path = FilePath(text)
        return FilePath(self.folder / path)


def _whole_list(path: Path) -> Path:
    """Return the path of the outermost list in `path`, or `path`: a list with a bad item is not used at all."""
    for position, step in enumerate(path):
        if isinstance(step, int):
            return path[:position]
    return path
