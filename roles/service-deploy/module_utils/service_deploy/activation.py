"""Switching a service to what is wanted: started, seen healthy, or taken back to what worked."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

from ansible.module_utils.node_state import StateError, units
from ansible.module_utils.node_state.commands import last_words, run
from ansible.module_utils.node_state.snapshot import Snapshot
from ansible.module_utils.service_deploy import drain, health, history, records, releases, render, rollouts
from ansible.module_utils.service_deploy.model import Place, Service, seconds_of
from ansible.module_utils.service_deploy.records import Good

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ansible.module_utils.node_state import State

READ_LINES, LOG_LINES = 50, 15  # of a service's log: read, and shown
LONE_PATIENCE = (
    1.0  # seconds for requests in flight where no other node takes the new ones: load balancers hold them for 4
)
PATIENCE = 60.0  # seconds that systemd gets beyond a service's own time to stop


def wanted_good(service: Service, by: str, previous: str = "") -> Good:
    """Return what the record says once `service` is seen healthy."""
    return Good(
        release=service.release,
        unit=render.unit_text(service),
        environment=render.filled_in(render.environment_text(service), render.secrets_of(service)),
        port=service.port,
        health_path=service.health_path,
        health_timeout=service.health_timeout,
        drain_timeout=service.drain_timeout,
        since=time.time(),
        by=by,
        previous=previous,
    )


def _snapshots(place: Place, good: Good | None) -> dict[Path, Snapshot]:
    """Return what the files of a service are when it runs as `good`; None: nothing is there."""
    if good is None:
        return dict.fromkeys((place.unit_file, place.environment_file, place.current), Snapshot())
    return {
        place.unit_file: Snapshot(good.unit.encode()),
        place.environment_file: Snapshot(good.environment.encode(), mode=0o600),
        place.current: Snapshot(target=f"releases/{good.release}"),
    }


def reasons(service: Service, unit: units.Unit) -> list[str]:
    """Return why the service has to be activated, in words; empty when it runs as wanted."""
    place, wanted = service.place, wanted_good(service, "")
    good = records.read_good(place)
    if good is None:
        return [f"first release {service.release}"]
    found = []
    if service.release and good.release != service.release:
        found.append(f"release {good.release} becomes {wanted.release}")
    if good.environment != wanted.environment:
        found.append("its variables changed")
    if good.unit != wanted.unit:
        found.append("its unit changed")
    if place.pending.exists():
        found.append("the last activation was interrupted")
    if not found and any(Snapshot.of(path) != shot for path, shot in _snapshots(place, good).items()):
        found.append("its files were changed on the node")
    if not unit.active:
        found.append(f"it is {unit.state}")
    elif unit.enabled != "enabled":
        found.append("it is not started at boot")
    return found


class Activation:
    """The switch of one service on one node. `by` is who does it, for the record; `limit` is in seconds."""

    def __init__(
        self, state: State, service: Service, *, by: str, run_id: str, limit: float, others: list[Place]
    ) -> None:
        """Change nothing yet. `others` are the node's other services, which may have to leave the port."""
        self.state = state
        self.service = service
        self.place = service.place
        self.limit = limit
        self.by = by
        self.run_id = run_id
        self.previous = records.read_good(self.place)
        self.others = others

    def run(self, why: list[str], keep: int, *, taken_back: bool) -> None:
        """Drain, switch, start, see it healthy, keep `keep` releases. `taken_back`: somebody wants the former one gone.

        Raises StateError after everything was taken back.
        """
        self.state.note(f"activate release {self.service.release} of {self.service.name}: {', '.join(why)}")
        if self.state.check_mode:
            self._write_files()
            return
        unfinished = self.place.pending.exists()
        records.begin(self.place)
        rollouts.begin(self.place, self.previous)
        drain.end_forward(self.service.port)
        former = self._former_release()
        with self._drained(self.service.port):
            self._switch(unfinished=unfinished)
            records.write_good(self.place, wanted_good(self.service, self.by, former))
            rollouts.seen_healthy(self.place, self.run_id)
            history.add(self.place, self.service.release, history.GOOD, self.by)
            if taken_back and self.previous is not None and self.previous.release != self.service.release:
                history.add(self.place, self.previous.release, history.ROLLED_BACK, self.by)
            records.end(self.place)
        releases.prune(self.place, keep, {self.service.release, former, *self._before()})

    def undo(self, rollout: rollouts.Rollout) -> str:
        """Make it run what ran before `rollout`, drained as well; return what came of it, as a sentence.

        Raises StateError when it does not run healthy again.
        """
        good, left = rollout.before, self.previous
        release = good.release if good else "nothing"
        self.state.note(f"take {self.service.name} back to {release}")
        if self.state.check_mode:
            return f"would run {release} again"
        records.begin(self.place)
        drain.end_forward(good.port if good else self.service.port)
        with self._drained(good.port if good else self.service.port):
            outcome, healthy = self._go_back(good)
        if healthy and good is not None:
            history.add(self.place, good.release, history.GOOD, self.by)
        if left is not None and release != left.release:  # the last entry: status tells of an abandoned rollout by it
            history.add(self.place, left.release, history.ABANDONED, self.by, "the rollout failed")
        if not healthy:
            raise StateError(f"{self.service.name}: {outcome}")
        if good is None:
            for part in (self.place.record, self.place.rollout):
                part.unlink(missing_ok=True)
        else:
            records.write_good(self.place, good)
            rollouts.write_rollout(self.place, rollouts.Rollout(good, settled="undone"))
        return outcome

    @contextlib.contextmanager
    def _drained(self, port: int) -> Iterator[None]:
        """Keep new requests away, and let those in flight end, before the body changes anything."""
        running = self.previous is not None and units.show([self.place.unit])[self.place.unit].active
        old = self.previous.port if self.previous is not None else port
        try:
            with drain.drained({port, old}):
                if running:
                    patience = seconds_of(self.service.drain_timeout)
                    left = drain.wait_for_requests(
                        old, min(patience, LONE_PATIENCE) if self.service.alone else patience
                    )
                    if left:
                        self.state.note(f"{left} connections to {self.service.name} were still open and are ended")
                yield
        except drain.DrainError as error:
            raise StateError(f"{self.service.name} was left as it was: {error}") from error

    def _switch(self, *, unfinished: bool) -> None:
        """Write, restart, see it healthy. Raises StateError after everything was taken back."""
        began = time.time()
        stopped: list[Place] = []
        try:
            self._free_the_port(stopped)
            self._write_files()  # all or nothing
        except (StateError, OSError) as cause:
            _start_again(stopped)
            if not unfinished:
                records.end(self.place)
            raise StateError(f"{self.service.name} was left as it was: {cause}") from cause
        try:
            units.enable(self.place.unit, wanted=True)
            _restart(self.place.unit, self.service.drain_timeout)
            self._see_healthy(self.service.port, self.service.health_path, self.service.health_timeout)
        except (StateError, OSError) as cause:
            said = releases.last_lines(log_of(self.place.unit, began), self.service.environment, LOG_LINES)
            outcome, _ = self._go_back(self.previous)
            _start_again(stopped)
            if self.previous is None or self.previous.release != self.service.release:
                history.add(self.place, self.service.release, history.ABANDONED, self.by, str(cause))
            raise StateError(
                f"release {self.service.release} of {self.service.name} is not healthy: {cause}; {outcome}. "
                f"Its last log lines:\n{said}"
            ) from cause

    def _before(self) -> list[str]:
        """Return the release that an unfinished rollout would go back to."""
        found = rollouts.read_rollout(self.place)
        return [found.before.release] if found is not None and found.before is not None else []

    def _former_release(self) -> str:
        """Return the release before this one (a restart with other variables is not another release)."""
        if self.previous is None:
            return ""
        return self.previous.previous if self.previous.release == self.service.release else self.previous.release

    def _write_files(self) -> None:
        place = self.place
        self.state.files(
            [
                {
                    "path": str(place.environment_file),
                    "content": render.environment_text(self.service),
                    "mode": "0600",
                },
                {"path": str(place.unit_file), "content": render.unit_text(self.service)},
                {"path": str(place.current), "link": f"releases/{self.service.release}"},
            ]
        )

    def _free_the_port(self, stopped: list[Place]) -> None:
        """Stop other services on the port that this one gets (they move, or are unwanted) and add them to `stopped`."""
        for place in self.others:
            good = records.read_good(place)
            if good is None or good.port != self.service.port or not units.show([place.unit])[place.unit].active:
                continue
            self.state.note(f"stop {place.unit}, which has port {good.port}")
            stopped.append(place)
            stop(place.unit, good.drain_timeout)

    def _see_healthy(self, port: int, path: str, timeout: float) -> None:
        health.wait_until_healthy(self.place.unit, port, path, timeout, self.limit)

    def _go_back(self, good: Good | None) -> tuple[str, bool]:
        """Make it run as `good` says (None: not at all); return what came of it, as a sentence, and whether it did."""
        place = self.place
        try:
            if good is None:
                stop(place.unit, self.service.drain_timeout)
                if place.unit_file.exists():
                    units.enable(place.unit, wanted=False)
            for path, snapshot in _snapshots(place, good).items():
                snapshot.put(path)
            units.reload_systemd()
            if good is None:
                records.end(place)
                return "it was the first release here, so the service is stopped", True
            _restart(place.unit, self.service.drain_timeout)
            self._see_healthy(good.port, good.health_path, good.health_timeout)
        except (StateError, OSError) as error:
            return f"and going back to {good.release if good else 'nothing'} failed: {error}", False
        records.end(place)
        return f"it runs release {good.release} again, healthy", True


def _restart(unit: str, drain_timeout: str) -> None:
    run(["systemctl", "reset-failed", unit])
    done = run(["systemctl", "restart", unit], timeout=seconds_of(drain_timeout) + PATIENCE)
    if done.returncode != 0:
        raise StateError(f"systemd cannot start it: {last_words(done, 1)}")


def stop(unit: str, drain_timeout: str) -> None:
    """Stop a service; `drain_timeout` is what it may take. Raises StateError."""
    done = run(["systemctl", "stop", unit], timeout=seconds_of(drain_timeout) + PATIENCE)
    if done.returncode != 0:
        raise StateError(f"systemd cannot stop {unit}: {last_words(done, 1)}")


def _start_again(places: list[Place]) -> None:
    """Start services that had to leave their port in vain. If that fails, the next run sees it."""
    for place in places:
        run(["systemctl", "start", place.unit])


def log_of(unit: str, since: float) -> str:
    """Return what a service said since a time, in seconds of the epoch; what systemd said of it when it was silent."""
    try:
        own = units.last_log_lines([f"_SYSTEMD_UNIT={unit}"], since, READ_LINES)
        return "\n".join(own or units.last_log_lines(["--unit", unit], since, READ_LINES))
    except StateError as error:
        return str(error)
