"""Rollouts of one service: what is to be run for a deploy or a rollback. Decides; runs and asks nothing."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from nexus_ops.errors import UnreachableError, UsageError
from nexus_ops.intent.model import Intent, Service

BAD = {"abandoned", "rolled back"}
"""Verdicts of the nodes' history on releases that nobody is to be given by default."""


def find_service(intent: Intent, name: str) -> Service:
    """Return the service called `name`. Raises UsageError when there is none."""
    if name in intent.services:
        return intent.services[name]
    near = difflib.get_close_matches(name, intent.services, 1)
    known = ", ".join(intent.services) or "none yet"
    hint = f"did you mean {near[0]!r}?" if near else f"there are: {known}"
    raise UsageError(f"no service {name!r} in nexus.yml", next_step=hint)


def deploy_variables(service: Service, *, batch: int, observe: float) -> dict[str, Any]:
    """Return the variables of playbooks/deploy.yml; `observe` in seconds. Raises UsageError for a batch of everybody.

    A release that was rolled back before is tried again.
    """
    workers = len(service.nodes)
    if batch < 1 or (batch >= workers > 1):
        raise UsageError(
            f"--batch {batch}: of {workers} workers of {service.name} at least one has to go on serving",
            next_step=f"choose 1 to {workers - 1}" if workers > 2 else "leave --batch out",
        )
    return {
        "service_deploy_only": service.name,
        "service_deploy_hold": False,
        "service_deploy_batch": str(batch),
        "service_deploy_observe": observe,
    }


def rollback_variables(service: Service, release: str, *, batch: int, observe: float) -> dict[str, Any]:
    """Return the variables of playbooks/deploy.yml that bring an earlier `release`."""
    return {**deploy_variables(service, batch=batch, observe=observe), "service_deploy_release": release}


def earlier_release(service: Service, reports: Mapping[str, Mapping[str, Any]], wanted: str | None) -> str:
    """Return the release to go back to: the one whose id begins with `wanted`, or the last good one.

    `reports` are what the workers say of the service, by worker. A release that was abandoned, or that somebody rolled
    back, is passed over unless it is asked for. Raises UsageError when there is none, UnreachableError for no reports.
    """
    if not reports:
        raise UnreachableError(f"no worker of {service.name} answers", next_step="see: nexus-ops status")
    current: set[str] = {report["release"] for report in reports.values()}
    there: set[str] = {release for report in reports.values() for release in report["releases"]}
    if wanted:
        matches = sorted(release for release in there if release.startswith(wanted))
        if len(matches) != 1:
            what = "no release" if not matches else f"{len(matches)} releases"
            raise UsageError(
                f"{what} of {service.name} called {wanted!r} on its workers",
                next_step=f"there are: {', '.join(sorted(there))}",
            )
        if current == set(matches):
            raise UsageError(f"{service.name} runs release {matches[0]} already", next_step="name another one")
        return matches[0]
    verdicts = last_verdicts(report["history"] for report in reports.values())
    good = {release: when for release, (when, verdict) in verdicts.items() if verdict not in BAD}
    known = [release for release in sorted(good, key=lambda one: good[one]) if release in there - current]
    if not known:
        raise UsageError(
            f"there is no earlier good release of {service.name} on its workers",
            next_step=f"nexus-ops services shows what is there; name one: rollback {service.name} RELEASE",
        )
    return known[-1]


def last_verdicts(histories: Iterable[Iterable[Mapping[str, Any]]]) -> dict[str, tuple[float, str]]:
    """Return for each release when (seconds of the epoch) the last verdict was passed on it, anywhere, and which."""
    last: dict[str, tuple[float, str]] = {}
    for history in histories:
        for entry in history:
            found = (float(entry["time"]), str(entry["verdict"]))
            last[entry["release"]] = max(found, last.get(entry["release"], found))
    return last
