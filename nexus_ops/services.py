"""Which release of which service runs where, compared with what nexus.yml says."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from nexus_ops.asking import Replies, ask_nodes
from nexus_ops.environment import Environment
from nexus_ops.errors import ExitCode
from nexus_ops.intent.model import Intent, Role
from nexus_ops.monitoring import no_answer
from nexus_ops.rollout import last_verdicts

PLAYBOOK = "services_status"


@dataclass(frozen=True)
class Placed:
    """A service on one worker. `since` is in seconds of the epoch; `problem`: why it is not healthy.

    `drift`: what differs from nexus.yml; `held`: the release that it means, in whose place an earlier one runs.
    """

    release: str
    since: float | None
    by: str
    problem: str
    drift: tuple[str, ...] = ()
    held: str = ""
    releases: tuple[str, ...] = ()
    history: tuple[Mapping[str, Any], ...] = ()

    def document(self) -> dict[str, Any]:
        """Return what `--json` shows."""
        return {
            "release": self.release,
            "since": moment(self.since),
            "healthy": not self.problem,
            "by": self.by,
            "problem": self.problem,
            "drift": list(self.drift),
            "held": self.held,
        }


@dataclass(frozen=True)
class Services:
    """All services by name and worker; `silent`: workers that do not answer, with the reason."""

    placed: Mapping[str, Mapping[str, Placed]]
    silent: Mapping[str, str]
    failed: Mapping[str, str]

    @property
    def exit_code(self) -> ExitCode:
        """Return DONE, FAILED when one is not healthy or not as declared, UNREACHABLE when no worker answers."""
        if self.silent and all(worker in self.silent for workers in self.placed.values() for worker in workers):
            return ExitCode.UNREACHABLE
        every = [placed for workers in self.placed.values() for placed in workers.values()]
        return ExitCode.FAILED if any(placed.problem or placed.drift for placed in every) else ExitCode.DONE

    def releases(self, service: str) -> list[tuple[str, str]]:
        """Return the releases that lie on workers, the one that ran last first, and the last verdict on each."""
        verdicts = last_verdicts(placed.history for placed in self.placed[service].values())
        there = {release for placed in self.placed[service].values() for release in placed.releases}
        ordered = sorted(there, key=lambda release: verdicts.get(release, (0.0, "")), reverse=True)
        return [(release, verdicts.get(release, (0.0, ""))[1]) for release in ordered]

    def document(self) -> dict[str, Any]:
        """Return what `--json` shows."""
        return {
            "ok": self.exit_code is ExitCode.DONE,
            "services": {
                name: {
                    "nodes": {worker: placed.document() for worker, placed in workers.items()},
                    "releases": [release for release, _ in self.releases(name)],
                    "verdicts": dict(self.releases(name)),
                }
                for name, workers in self.placed.items()
            },
        }


def moment(seconds: float | None) -> str | None:
    """Return a time, given in seconds of the epoch, as ISO 8601 writes it in UTC."""
    return (
        None
        if seconds is None
        else datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat(timespec="seconds")
    )


def ask_services(environment: Environment, intent: Intent, on_tick: Callable[[], None] = lambda: None) -> Services:
    """Ask the workers and return what comes of it. Raises NexusError when Ansible could not ask anybody."""
    return evaluate(intent, ask_nodes(environment, intent, PLAYBOOK, on_tick, greeted=True))


def evaluate(intent: Intent, replies: Replies) -> Services:
    """Return the services by what the workers said: those of nexus.yml, and others that are still there."""
    placed: dict[str, dict[str, Placed]] = {
        service.name: {worker: _placed(service.name, worker, replies) for worker in service.nodes}
        for service in intent.services.values()
    }
    for node in intent.with_role(Role.WORKER):
        for name, entry in (replies.reports.get(node.name, {}).get("services") or {}).items():
            if not entry["wanted"]:
                placed.setdefault(name, {})[node.name] = _placed(name, node.name, replies)
    failed = {name: reason for name, reason in replies.failed.items() if name not in replies.reports}
    return Services(placed, dict(replies.silent), failed)


def _placed(service: str, worker: str, replies: Replies) -> Placed:
    found = (replies.reports.get(worker, {}).get("services") or {}).get(service)
    if found is None:
        return Placed("", None, "", no_answer(worker, replies) or "it is not deployed there yet")
    return Placed(
        release=found["release"],
        since=found["since"],
        by=found["by"],
        problem=found["problem"],
        drift=tuple(found["drift"]),
        held=found["held"],
        releases=tuple(found["releases"]),
        history=tuple(found["history"]),
    )
