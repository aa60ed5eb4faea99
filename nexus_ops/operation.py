"""One run from beginning to end: inventory, record, Ansible, result."""

from __future__ import annotations

import contextlib
import difflib
import re
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, TextIO

from nexus_ops.content import find_content
from nexus_ops.environment import Environment
from nexus_ops.errors import ExitCode, NexusError, UnreachableError, UsageError
from nexus_ops.events import Event
from nexus_ops.intent.model import Intent, Role
from nexus_ops.inventory import RETIRED, RETIRED_NODE, refresh_inventory, retired_hosts
from nexus_ops.locking import Lock, environment_lock
from nexus_ops.runner import Outcome, execute, load_ahead, plan_invocation
from nexus_ops.runs import RunRecord, start_record
from nexus_ops.secrets import ensure_secrets, require_password_hash
from nexus_ops.text import visible

PLAYBOOKS = {
    "ha": "ha",
    "monitoring": "monitoring",
    "monitoring_removed": "monitoring_removed",
    "all": "site",
    "bootstrap": "bootstrap",
    "deploy": "deploy",
}

CLEANED = {"ha": RETIRED, "all": RETIRED, "monitoring": (RETIRED_NODE,), "monitoring_removed": (RETIRED_NODE,)}
"""The groups of retired hosts that a target cleans up."""

UNLOCKED = {"bootstrap"}
"""Targets that do not take the lock: the nodes that keep it need not be reachable yet."""


@dataclass(frozen=True)
class Problem:
    """Why a run did not succeed: the first cause, and what to do about it."""

    node: str
    task: str
    message: str
    next_step: str


@dataclass(frozen=True)
class Result:
    """What came out of a run."""

    run: str
    outcome: Outcome
    exit_code: ExitCode
    problems: tuple[Problem, ...]
    retired_left: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def document(self) -> dict[str, Any]:
        """Return what `--json` shows."""
        document: dict[str, Any] = {
            "ok": self.exit_code == ExitCode.DONE,
            "changed": self.outcome.changed,
            "may_have_changed": self.outcome.may_have_changed,
            "nodes": self.outcome.stats,
            "run": self.run,
            "seconds": round(self.outcome.seconds, 1),
        }
        if self.problems:
            first = self.problems[0]
            document["error"] = {"node": first.node, "task": first.task, "message": first.message}
        return document


def run_playbook(
    environment: Environment,
    intent: Intent,
    target: str,
    *,
    command: str,
    stream: TextIO,
    check: bool = False,
    limit: str | None = None,
    verbosity: int = 0,
    extra_variables_file: Path | None = None,
    skipped: Mapping[str, str] = MappingProxyType({}),
    lock_wait: float = 0.0,
) -> Result:
    """Run the playbook of `target` and return what came out of it; progress goes to `stream`.

    Nodes in `skipped` (with the reason) are left out, and the result says so: it is a partial one.
    Unless it only checks, it holds the environment's lock, for which it waits `lock_wait` seconds.
    Raises UsageError for a limit that names nobody and for an encrypted password that was never hashed,
    UnreachableError when a node's host key was never pinned or no node can keep the lock, LockedError when another
    run has it.
    """
    from nexus_ops.ui.progress import show_progress

    ensure_secrets(environment)
    needed = needed_roles(intent, target)
    if target == "monitoring" or (target == "all" and intent.monitoring.enabled):
        require_password_hash(environment)
    inventory = refresh_inventory(environment, intent)
    cleaned = CLEANED.get(target, ())
    retired = retired_hosts(inventory, cleaned)
    if skipped:
        limit = ":".join([limit or "all", *(f"!{name}" for name in skipped)])
    nodes = [name for name in select_nodes(intent, inventory, limit) if intent.nodes[name].roles & needed]
    if not nodes:
        roles = ", ".join(sorted(needed))
        raise UsageError(f"no node that {target} is about ({roles})", next_step="add one, or widen --limit")
    if target != "bootstrap":
        require_pinned_keys(environment, intent, nodes)
    invocation = plan_invocation(
        find_content(),
        PLAYBOOKS[target],
        environment.hosts,
        check=check,
        limit=limit,
        extra_variables_file=extra_variables_file,
        verbosity=max(0, verbosity - 1),
        sudo_password=environment.sudo_password,
    )
    record = start_record(environment, command, PLAYBOOKS[target], limit)
    identity = f"{record.identifier} {record.document['by']} {command}"
    invocation = replace(invocation, environment={**invocation.environment, "NEXUS_OPS_RUN": identity})
    began = time.monotonic()
    lock: contextlib.AbstractContextManager[Lock] = contextlib.nullcontext(Lock([]))
    if not check and target not in UNLOCKED:
        load_ahead()
        lock = environment_lock(
            environment, intent, command, run=record.identifier, wait=lock_wait, say=lambda text: _tell(record, text)
        )
    try:
        with lock as held, record.log.open("a", encoding="utf-8", buffering=1) as log:
            title = f"{command} · {environment.name}"
            with show_progress(stream, log, title, nodes, verbosity) as progress:
                outcome = execute(invocation, progress.handle, progress.tick, held.look)
    except BaseException as error:
        record.save(seconds=round(time.monotonic() - began, 1), **_ended_early(error))
        raise
    result = _with_skipped(_with_lock(judge(record.identifier, outcome, retired, {}), held), skipped)
    record.save(**{"result": result.exit_code.name.lower(), **result.document()})
    if outcome.unreachable and not outcome.interrupted:
        refused = _refused_keys(environment, intent, outcome)
        result = _with_skipped(_with_lock(judge(record.identifier, outcome, retired, refused), held), skipped)
    if retired and not check and limit is None and result.exit_code is ExitCode.DONE:
        refresh_inventory(environment, intent, cleaned=retired - set(result.retired_left), groups=cleaned)
    return result


def _tell(record: RunRecord, text: str) -> None:
    """Say something before the run has begun: on stderr, and in its log."""
    text = visible(text)
    sys.stderr.write(text + "\n")
    with record.log.open("a", encoding="utf-8") as log:
        log.write(text + "\n")


def _ended_early(error: BaseException) -> dict[str, Any]:
    """Return what the record of a run says that Ansible did not end."""
    if isinstance(error, NexusError):
        return {"result": error.exit_code.name.lower(), "error": {"node": "", "task": "", "message": error.message}}
    return {"result": "interrupted" if isinstance(error, KeyboardInterrupt) else "crashed"}


def _with_lock(result: Result, lock: Lock) -> Result:
    """Return `result` with what has happened to the lock of the run."""
    result = replace(result, warnings=tuple(lock.warnings))
    if not lock.lost or result.exit_code is not ExitCode.INTERRUPTED:
        return result
    lost = Problem("", "", f"{lock.lost}; the run was interrupted", "run the same command again to complete it")
    return replace(result, problems=(*result.problems[:-1], lost))


def needed_roles(intent: Intent, target: str) -> set[Role]:
    """Return the roles whose nodes a run of `target` needs. A manager that is gone stops no run without monitoring."""
    if target in {"ha", "deploy"} or (target == "all" and not intent.monitoring.enabled):
        return {Role.LB, Role.WORKER}
    return set(Role)


def select_nodes(intent: Intent, inventory: dict[str, Any], limit: str | None) -> list[str]:
    """Return the nodes of the intent that a run with `limit` is about.

    The limit is Ansible's: names, groups and their patterns with `*`, `!` to leave out, `&` for those in both; what is
    left out counts last, wherever it stands. Raises UsageError for a word that names nothing, and for ranges (`[0:1]`)
    and regular expressions (`~`), which are not read here.
    """
    names = list(inventory["all"]["hosts"])
    groups = {group: list(body["hosts"]) for group, body in inventory["all"]["children"].items()}
    if not limit:
        return list(intent.nodes)
    members: dict[str, list[set[str]]] = {"": [], "&": [], "!": []}
    for word in filter(None, re.split(r"[,:]", limit)):
        sign = word[0] if word[0] in "&!" else ""
        members[sign].append(_members(word.removeprefix(sign), names, groups))
    chosen = set().union(*members[""]) if members[""] else set(names)
    chosen = chosen.intersection(*members["&"]).difference(*members["!"])
    if not chosen:
        raise UsageError(f"--limit {limit!r} leaves no node", next_step="name at least one")
    return [name for name in intent.nodes if name in chosen]


def _members(word: str, names: list[str], groups: dict[str, list[str]]) -> set[str]:
    import fnmatch

    if "[" in word or word.startswith("~"):
        raise UsageError(f"--limit {word!r} is a range or a regular expression", next_step="name nodes and groups")
    if word in {"all", "*"}:
        return set(names)
    found = set(fnmatch.filter(names, word))
    for group in fnmatch.filter(groups, word):
        found |= set(groups[group])
    if not found and word not in groups:
        near = difflib.get_close_matches(word, [*names, *groups], 1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join([*names, *groups])}"
        raise UsageError(f"--limit names {word!r}, which is no node or group", next_step=hint)
    return found


def require_pinned_keys(environment: Environment, intent: Intent, nodes: Iterable[str]) -> None:
    """Raise UnreachableError when one of `nodes` was never bootstrapped: no host key of it is pinned."""
    from nexus_ops.hostkeys import read_pinned

    pinned = read_pinned(environment.known_hosts)
    missing = [
        name for name in nodes if intent.nodes[name].address != "localhost" and not pinned.knows(intent.nodes[name])
    ]
    if missing:
        names = " ".join(missing)
        raise UnreachableError(
            f"no host key is pinned for {', '.join(missing)}; nothing was changed",
            next_step=f"run: nexus-ops --env {environment.name} bootstrap {names}",
        )


def judge(run: str, outcome: Outcome, retired: set[str], refused: Mapping[str, str]) -> Result:
    """Return the result of `outcome`, with every cause and the next step for the person.

    `retired` are the nodes that were only to be cleaned up; `refused` says of nodes that their host key has changed.
    """
    problems = [
        Problem(event.host, event.task, event.message, f"see: nexus-ops runs show {run}") for event in outcome.failures
    ]
    problems += [_unreachable(event, outcome, refused.get(event.host)) for event in outcome.unreachable]
    if outcome.interrupted:
        code = ExitCode.INTERRUPTED
        problems.append(Problem("", "", "interrupted", "run the same command again to complete it"))
    elif outcome.failures:
        code = ExitCode.FAILED
    elif outcome.unreachable:
        code = ExitCode.UNREACHABLE
    elif outcome.ok:
        code = ExitCode.DONE
    else:
        code = ExitCode.FAILED
        text = (
            "; ".join(outcome.output[-3:]) or f"ansible-playbook ended without a result (returned {outcome.returned})"
        )
        problems.append(Problem("", "", text, f"see: nexus-ops runs show {run}"))
    left = tuple(sorted({event.host for event in outcome.ignored} & retired))
    return Result(run, outcome, code, tuple(problems), left)


def _with_skipped(result: Result, skipped: Mapping[str, str]) -> Result:
    """Return `result` with the nodes that were left out: a run without them is never a whole success."""
    if not skipped:
        return result
    for name in skipped:
        result.outcome.stats[name] = {"ok": 0, "changed": 0, "failed": 0, "unreachable": 1}
    problems = [
        Problem(name, "", f"left out: {reason}", "bring it back, then run this again")
        for name, reason in skipped.items()
    ]
    code = ExitCode.UNREACHABLE if result.exit_code is ExitCode.DONE else result.exit_code
    return replace(result, exit_code=code, problems=(*result.problems, *problems))


def _refused_keys(environment: Environment, intent: Intent, outcome: Outcome) -> dict[str, str]:
    """Return why nodes that could not be reached are refused, by name: those whose host key is not the pinned one."""
    from nexus_ops.hostkeys import survey_host_keys

    silent = [intent.nodes[event.host] for event in outcome.unreachable if event.host in intent.nodes]
    return survey_host_keys(environment.known_hosts, silent).refused


def _unreachable(event: Event, outcome: Outcome, refused: str | None) -> Problem:
    nothing = "" if outcome.changed or outcome.may_have_changed else "; nothing was changed"
    if refused:
        return Problem(event.host, event.task, f"{refused}{nothing}", "then run this again")
    message = " ".join(event.message.split())  # ssh may answer with a whole banner
    next_step = f"bring it back, or leave it out: --limit '!{event.host}'"
    return Problem(event.host, event.task, f"{message}{nothing}", next_step)
