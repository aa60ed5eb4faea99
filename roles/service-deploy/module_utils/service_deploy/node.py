"""All services of one node: made ready, activated, removed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible.module_utils.node_state import StateError, units
from ansible.module_utils.service_deploy import firewall, images, records, releases
from ansible.module_utils.service_deploy.activation import Activation, reasons, stop
from ansible.module_utils.service_deploy.model import SETTINGS, Place, Service

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ansible.module_utils.node_state import State

Archives = dict[str, dict[str, Any]]


class Node:
    """The services that are wanted on this node. `root` is service_deploy_root."""

    def __init__(self, state: State, services: list[Service], root: Path, allowed: list[str]) -> None:
        """Read nothing yet. `allowed` are the addresses that may reach the ports."""
        self.state = state
        self.services = services
        self.root = root
        self.allowed = allowed

    def unwanted(self) -> list[str]:
        """Return the names of services that run here and are not wanted any more."""
        return sorted(records.names_known(self.root) - {service.name for service in self.services})

    def missing(self) -> list[str]:
        """Return the names of the services whose release is not on the node yet."""
        return [service.name for service in self.services if not releases.is_whole(service.place, service.release)]

    def due(self) -> dict[str, list[str]]:
        """Return why each service that does not run as wanted has to be activated."""
        names = [service.place.unit for service in self.services]
        try:
            known = units.show(names)
        except StateError:
            if not self.state.check_mode:
                raise
            known = {}  # check mode where there is no systemd yet
        found = {}
        for service in self.services:
            if why := reasons(service, known.get(service.place.unit, units.Unit())):
                found[service.name] = why
        return found

    def make_ready(self, packages: list[str], archives: Mapping[str, int]) -> None:
        """Bring about what releases need; nothing that runs is touched. `archives`: sizes in bytes, by service."""
        if not self.services:
            return
        missing = set(self.missing())
        for service in self.services:
            if service.name in missing:
                releases.check_space(service, archives.get(service.name, 0))
        runners = images.PACKAGES if any(service.image for service in self.services) else ()
        self.state.packages(["nftables", *packages, *runners])
        places = [service.place for service in self.services]
        self.state.users([{"name": place.user, "home": str(place.home)} for place in places])
        self.state.directories([{"path": str(self.root)}, {"path": str(SETTINGS)}])
        for place in places:
            own = {"owner": place.user, "group": place.user, "mode": "0750"}
            self.state.directories(
                [{"path": str(place.folder)}, {"path": str(place.releases)}, {"path": str(place.home), **own}]
            )
        self.guard()

    def guard(self, gone: Iterable[str] = ()) -> None:
        """Guard the ports that are wanted and those still in use by services that are not `gone`."""
        running = records.names_known(self.root) - set(gone)
        ports = {service.port for service in self.services} | records.ports_known(running, self.root)
        firewall.enforce(self.state, ports, self.allowed)

    def install(self, archives: Archives, by: str, setup_timeout: float) -> None:
        """Unpack and set up the releases that are missing."""
        missing = set(self.missing())
        for service in self.services:
            if service.name not in missing:
                continue
            if not self.state.check_mode:
                archive = archives[service.name]
                releases.install(service, archive.get("path", ""), archive["sha256"], by, setup_timeout)
            setup = " and set it up" if service.setup else ""
            self.state.note(f"unpack release {service.release} of {service.name}{setup}")

    def activate(self, by: str, limit: float, keep: int) -> dict[str, list[str]]:
        """Activate what is due, one service after the other, and return why."""
        due = self.due()
        every = {name: Place(name, self.root) for name in records.names_known(self.root)}
        for service in self.services:
            if service.name in due:
                others = [place for name, place in every.items() if name != service.name]
                Activation(self.state, service, by=by, limit=limit, others=others).run(due[service.name], keep)
        if due and not self.state.check_mode:
            self.guard()  # a port that was left is free again
        return due

    def remove(self) -> list[str]:
        """Stop and remove the services that are not wanted any more, and return their names.

        Their data below /var/lib/nexus-* and their accounts, which own it, are kept.
        """
        unwanted = self.unwanted()
        for name in unwanted:
            place = Place(name, self.root)
            self._stop(place)
            self.state.stop([{"name": place.unit, "state": "absent"}])
            if not self.state.check_mode:
                images.forget_all(place)
            parts = (place.environment_file, place.folder, place.pending, place.record)
            self.state.absent([str(part) for part in parts])
        if unwanted:
            self.guard(gone=unwanted)
        return unwanted

    def _stop(self, place: Place) -> None:
        """Give a running service the time it was promised."""
        good = records.read_good(place)
        if good is not None and not self.state.check_mode and units.show([place.unit])[place.unit].active:
            self.state.note(f"stop {place.unit}")
            stop(place.unit, good.drain_timeout)
