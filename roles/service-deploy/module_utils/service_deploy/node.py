"""All services of one node: made ready, activated, removed."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible.module_utils.node_state import StateError, accounts, units
from ansible.module_utils.service_deploy import drain, firewall, health, history, images, records, releases, rollouts
from ansible.module_utils.service_deploy.activation import LOG_LINES, Activation, log_of, reasons, stop
from ansible.module_utils.service_deploy.model import SETTINGS, Place, Service

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ansible.module_utils.node_state import State

Archives = dict[str, dict[str, Any]]


class Node:
    """The services that are wanted on this node. `root` is service_deploy_root."""

    def __init__(self, state: State, services: list[Service], root: Path, allowed: list[str], only: str = "") -> None:
        """Read nothing yet. `allowed`: who may reach the ports, by address; `only`: the one service it is about."""
        self.state = state
        self.services = services
        self.root = root
        self.allowed = allowed
        self.only = only

    def in_use(self) -> list[str]:
        """Return the names of the services that have run here, wanted ones or not."""
        names = records.names_known(self.root)
        return sorted(name for name in names if records.read_good(Place(name, self.root)) is not None)

    def unwanted(self) -> list[str]:
        """Return the names of services that run here and are not wanted any more."""
        names = records.names_known(self.root) - {service.name for service in self.services}
        return sorted(name for name in names if self.only in ("", name))

    def former(self) -> list[str]:
        """Return the addresses that may reach the ports and are not allowed any more.

        None where this is about one service: the load balancers are then left as they are.
        """
        return [] if self.only else firewall.former(self.allowed)

    def confirm(self, due: Iterable[str], by: str) -> None:
        """Note for services that run as wanted, all but those that are `due`, that no abandoned release is wanted."""
        if self.state.check_mode:
            return
        for service in self.services:
            if service.name not in due and service.release:
                history.confirm(service.place, service.release, by)

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
        for place in places:
            accounts.check_free(place.user, f"service {place.name}")
        self.state.users([{"name": place.user, "home": str(place.home)} for place in places])
        self.state.directories([{"path": str(self.root)}, {"path": str(SETTINGS)}])
        for place in places:
            own = {"owner": place.user, "group": place.user, "mode": "0750"}
            self.state.directories(
                [{"path": str(place.folder)}, {"path": str(place.releases)}, {"path": str(place.home), **own}]
            )
        self.guard()

    def guard(self, gone: Iterable[str] = (), *, narrow: bool = False) -> None:
        """Guard the ports that are wanted and those still in use by services that are not `gone`.

        Load balancers that are admitted already stay so unless this is to `narrow`: one that is to be no load balancer
        any more serves until the others have taken over, also when the run fails before that.
        """
        running = records.names_known(self.root) - set(gone)
        ports = {service.port for service in self.services} | records.ports_known(running, self.root)
        allowed = self.allowed if narrow else [*self.allowed, *firewall.former(self.allowed)]
        firewall.enforce(self.state, ports, allowed)

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

    def activate(self, by: str, run: str, limit: float, keep: int, *, taken_back: bool = False) -> dict[str, list[str]]:
        """Activate what is due, one service after the other, and return why."""
        due = self.due()
        for service in self.services:
            if service.name in due:
                before = records.read_good(service.place)
                self._activation(service, by, run, limit).run(due[service.name], keep, taken_back=taken_back)
                if before is not None and not self.state.check_mode:
                    self._lead(before.port, service.port)
        if due and not self.state.check_mode:
            self.guard()  # a port that was left is free again
        return due

    def unsettled(self) -> list[str]:
        """Return the services with a rollout that nobody has seen through to its end."""
        found = {service.name: rollouts.read_rollout(service.place) for service in self.services}
        return [name for name, rollout in found.items() if rollout is not None and not rollout.settled]

    def settle(self, run: str, observe: float, limit: float) -> list[str]:
        """See that what was switched still runs, for `observe` seconds; note that `run` saw it, and return which.

        What another run switched, or this one before the node was booted again, is seen healthy anew first, within
        `limit` seconds. Raises StateError with the service's last log lines.
        """
        names = self.unsettled()
        places = [service.place for service in self.services if service.name in names]
        for place in places:
            self._see_anew(place, run, limit)
        watched = [(place, rollouts.read_rollout(place)) for place in places]
        services = {service.name: service for service in self.services}
        ends = time.monotonic() + observe
        while True:
            for place, rollout in watched:
                try:
                    if rollout is not None and rollout.invocation:
                        rollouts.check_process(place, rollout)
                except StateError as error:
                    good = records.read_good(place)
                    since = good.since if good else 0.0
                    said = releases.last_lines(log_of(place.unit, since), services[place.name].environment, LOG_LINES)
                    release = good.release if good else services[place.name].release
                    raise StateError(
                        f"release {release} of {place.name}: {error}. Its last log lines:\n{said}"
                    ) from error
            if time.monotonic() >= ends:
                break
            time.sleep(min(1.0, max(0.0, ends - time.monotonic())))
        for place, rollout in watched:
            if rollout is not None:
                rollouts.write_rollout(place, replace(rollout, settled=run))
        return names

    def _see_anew(self, place: Place, run: str, limit: float) -> None:
        rollout, good = rollouts.read_rollout(place), records.read_good(place)
        if rollout is None or good is None or rollout.is_comparable(run):
            return
        try:
            health.wait_until_healthy(place.unit, good.port, good.health_path, good.health_timeout, limit)
        except StateError as error:
            raise StateError(f"release {good.release} of {place.name} is not healthy any more: {error}") from error
        rollouts.seen_healthy(place, run)

    def undo(self, run: str, by: str, limit: float) -> dict[str, str]:
        """Take back what the failed `run` rolled out here; return what came of it by service. Raises StateError."""
        outcomes, failed = {}, []
        for service in self.services:
            rollout = rollouts.to_undo(service.place, records.read_good(service.place), run)
            if rollout is None:
                continue
            try:
                outcomes[service.name] = self._activation(service, by, run, limit).undo(rollout)
            except StateError as error:
                failed.append(str(error))
        if outcomes and not self.state.check_mode:
            self.guard()
        if failed:
            raise StateError("; ".join(failed))
        return outcomes

    def _activation(self, service: Service, by: str, run: str, limit: float) -> Activation:
        names = records.names_known(self.root) - {service.name}
        others = [Place(name, self.root) for name in names]
        return Activation(self.state, service, by=by, run_id=run, limit=limit, others=others)

    def _lead(self, old: int, new: int) -> None:
        """Lead a port that was left to the new one, until the load balancers have learned of it."""
        if old != new and old not in records.ports_known(records.names_known(self.root), self.root):
            drain.forward(old, new)

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
            parts = (place.environment_file, place.folder, place.pending, place.record, place.history, place.rollout)
            self.state.absent([str(part) for part in parts])
        if unwanted or self.former():
            self.guard(gone=unwanted, narrow=True)
        return unwanted

    def _stop(self, place: Place) -> None:
        """Give a running service the time it was promised."""
        good = records.read_good(place)
        if good is not None and not self.state.check_mode and units.show([place.unit])[place.unit].active:
            self.state.note(f"stop {place.unit}")
            stop(place.unit, good.drain_timeout)
