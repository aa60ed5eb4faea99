"""How the monitoring of each node is: what the parents know of it, and why where it is not live."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from nexus_ops.asking import Replies, ask_nodes
from nexus_ops.environment import Environment
from nexus_ops.errors import ExitCode, UsageError
from nexus_ops.intent.model import Intent

PLAYBOOK = "monitoring_status"

CLOCK_TOLERANCE = 10.0
"""Seconds by which two clocks may differ before that is taken for the reason; asking takes some seconds itself."""

START_PATIENCE = 40
"""Seconds after its start in which a Netdata that is not seen yet is no wonder."""


class State(StrEnum):
    """How a parent sees a node. Unknown: the parent could not be asked."""

    LIVE = "live"
    STALE = "stale"
    GONE = "gone"
    UNKNOWN = "unknown"


BEST_FIRST = (State.LIVE, State.STALE, State.GONE)


@dataclass(frozen=True)
class Seen:
    """What one parent knows of a node. `lag_seconds`: age of its newest value; `hops`: 1 where it streams there."""

    state: State
    lag_seconds: float | None = None
    hops: int | None = None


@dataclass(frozen=True)
class NodeStatus:
    """A node: the best that any parent says of it, what each of them says, and why it is not live on all of them.

    `silent`: ssh did not reach it.
    """

    state: State
    lag_seconds: float | None
    parents: dict[str, Seen]
    streams_to: str | None
    reason: str
    silent: bool = False

    @property
    def complete(self) -> bool:
        """Whether the node is live on every parent that could be asked."""
        return _is_complete(self.parents.values())

    def document(self) -> dict[str, Any]:
        """Return what `--json` shows."""
        return {
            "state": self.state.value,
            "lag_seconds": self.lag_seconds,
            "streams_to": self.streams_to,
            "parents": {
                name: {"state": seen.state.value, "lag_seconds": seen.lag_seconds}
                for name, seen in self.parents.items()
            },
            "reason": self.reason,
        }


@dataclass(frozen=True)
class ParentStatus:
    """A parent: whether it could be asked, its Netdata's version, else the reason. `others`: foreign nodes it has."""

    asked: bool
    version: str = ""
    reason: str = ""
    others: tuple[str, ...] = ()
    silent: bool = False


@dataclass(frozen=True)
class Status:
    """The monitoring of a cluster."""

    nodes: dict[str, NodeStatus]
    parents: dict[str, ParentStatus] = field(default_factory=dict)

    @property
    def exit_code(self) -> ExitCode:
        """Return DONE when every node is live on every parent, UNREACHABLE when no parent was reached, else FAILED."""
        if all(parent.silent for parent in self.parents.values()):
            return ExitCode.UNREACHABLE
        whole = all(parent.asked for parent in self.parents.values()) and all(
            node.complete for node in self.nodes.values()
        )
        return ExitCode.DONE if whole else ExitCode.FAILED

    def document(self) -> dict[str, Any]:
        """Return what `--json` shows."""
        document: dict[str, Any] = {
            "ok": self.exit_code is ExitCode.DONE,
            "nodes": {name: node.document() for name, node in self.nodes.items()},
            "parents": {
                name: {
                    "answers": parent.asked,
                    "version": parent.version,
                    "reason": parent.reason,
                    "others": list(parent.others),
                }
                for name, parent in self.parents.items()
            },
        }
        if self.exit_code is ExitCode.UNREACHABLE:
            document["error"] = {"message": "no parent could be reached"}
        return document


def require_monitoring(environment: Environment, intent: Intent) -> None:
    """Raise UsageError when the intent wants no monitoring, or has no manager that could be a parent."""
    if not intent.monitoring.enabled:
        raise UsageError(
            f"monitoring is not enabled in {environment.intent}",
            next_step=f"run: nexus-ops --env {environment.name} monitor enable",
        )
    if not intent.parents:
        raise UsageError(
            f"{environment.intent} has no node with the role manager, and parents run on those",
            next_step="give one node that role, then run: nexus-ops monitor enable",
        )


def ask_monitoring(environment: Environment, intent: Intent, on_tick: Callable[[], None] = lambda: None) -> Status:
    """Ask the parents, and the nodes that are not live on them, and return what comes of it. Raises NexusError."""
    return evaluate(intent, ask_nodes(environment, intent, PLAYBOOK, on_tick))


def evaluate(intent: Intent, replies: Replies) -> Status:
    """Return the status of the intent's nodes by what the nodes said. Reads and asks nothing."""
    managers = [node.name for node in intent.parents]
    parents = {name: _parent(name, replies) for name in managers}
    nodes = {}
    for name in intent.nodes:
        seen = {parent: _seen(parent, name, replies) for parent in managers}
        best = min((each for each in seen.values()), key=_rank, default=Seen(State.UNKNOWN))
        direct = [parent for parent, each in seen.items() if each.hops == 1 and each.state is not State.GONE]
        nodes[name] = NodeStatus(
            state=best.state if best.state in BEST_FIRST else State.GONE,
            lag_seconds=best.lag_seconds,
            parents=seen,
            streams_to=direct[0] if direct else None,
            silent=name in replies.silent,
            reason="" if _is_complete(seen.values()) else _reason(name, seen, intent, replies),
        )
    return Status(nodes, parents)


def _is_complete(seen: Collection[Seen]) -> bool:
    states = {each.state for each in seen}
    return State.LIVE in states and states <= {State.LIVE, State.UNKNOWN}


def _rank(seen: Seen) -> tuple[int, float]:
    state = BEST_FIRST.index(seen.state) if seen.state in BEST_FIRST else len(BEST_FIRST)
    return state, float("inf") if seen.lag_seconds is None else seen.lag_seconds


def _seen(parent: str, node: str, replies: Replies) -> Seen:
    found = (_view(parent, replies).get("nodes") or {}).get(node)
    if not found:
        return Seen(State.UNKNOWN)
    return Seen(State(found["state"]), found["lag_seconds"], found["hops"])


def _view(parent: str, replies: Replies) -> Mapping[str, Any]:
    view: Mapping[str, Any] = replies.reports.get(parent, {}).get("view") or {}
    return view


def _parent(name: str, replies: Replies) -> ParentStatus:
    view = _view(name, replies)
    if "nodes" in view:
        return ParentStatus(True, view["version"], others=tuple(view["others"]))
    reason = no_answer(name, replies)
    if reason:
        return ParentStatus(False, reason=reason, silent=True)
    sender = replies.reports[name].get("sender") or {}
    return ParentStatus(False, reason=_not_running(sender) or view.get("problem", "its API was not asked"))


def no_answer(name: str, replies: Replies) -> str:
    """Return why nothing is known from `name` itself, empty when something is."""
    if name in replies.reports:
        return ""
    if name in replies.silent:
        return f"unreachable over ssh: {replies.silent[name]}"
    return f"cannot be asked: {replies.failed.get(name, 'Ansible never came to it')}"


def _not_running(sender: Mapping[str, Any]) -> str:
    if not sender.get("installed"):
        return "not set up yet: Netdata is not installed on it"
    if sender.get("running"):
        return ""
    state, result = sender["unit_state"], sender["unit_result"]
    how = "stopped" if state == "inactive" else state
    if result not in {"", "success"}:
        how = f"{state}, {result}"
    return f"Netdata is not running on it ({how})" + (f": {sender['log']}" if sender.get("log") else "")


def _reason(name: str, seen: Mapping[str, Seen], intent: Intent, replies: Replies) -> str:
    """Return why `name` is not live on all parents that could be asked, as far as it can be known."""
    missing = no_answer(name, replies)
    if missing:
        asked = name in replies.silent or name in replies.failed
        return missing if asked else ""
    report = replies.reports[name]
    sender = report.get("sender") or {}
    others = [parent for parent in seen if parent != name]
    absent = [parent for parent in others if seen[parent].state is not State.LIVE]
    plain = _not_running(sender)
    if plain or not others:
        return plain or _view(name, replies).get("problem", "")
    if not sender["streams"]:
        return "not set up yet: its Netdata has no parent to stream to"
    relaying = [parent for parent in others if seen[parent].hops == 1 and seen[parent].state is State.LIVE]
    if relaying:
        late = [parent for parent in absent if seen[parent].state is not State.UNKNOWN]
        return f"its values arrive at {relaying[0]}, which does not pass them on to {join(late)}" if late else ""
    causes = [*_refusals(report.get("probes") or {}), *_misled(absent, intent, sender)]
    twin = _twin(name, sender["guid"], seen, replies)
    if twin:
        causes.append(f"it has the GUID of {twin}, as cloned machines do: parents take the two for one")
    clock = _clock(name, replies, absent)
    return "; ".join([*causes, *([clock] if clock else [])]) or _no_cause(sender, seen, absent, intent)


_REFUSALS = {
    "key_refused": "wrong key: refused by {parents}",
    "no_key": "wrong key: its stream.conf has none",
    "address_refused": "its address may not stream to {parents}",
    "certificate_refused": "refused certificate: it does not trust {parents} ({detail})",
    "authority_missing": "refused certificate: its certificate authority is missing ({detail})",
    "authority_unusable": "refused certificate: its certificate authority cannot be read ({detail})",
    "tls_failed": "TLS with {parents} fails ({detail})",
    "unreachable": "it cannot reach {parents} ({detail})",
    "busy": "too busy to take its stream: {parents}",
    "odd_answer": "no proper answer from {parents} ({detail})",
}


def _refusals(probes: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Return what parents answered to a stream from the node, those who answered the same together."""
    grouped: dict[tuple[str, str], list[str]] = {}
    for parent, probe in probes.items():
        if probe["result"] in _REFUSALS:
            grouped.setdefault((probe["result"], probe["detail"]), []).append(parent)
    return [
        _REFUSALS[result].format(parents=join(parents), detail=detail or "no reason given")
        for (result, detail), parents in grouped.items()
    ]


def _misled(absent: Iterable[str], intent: Intent, sender: Mapping[str, Any]) -> list[str]:
    unknown = [parent for parent in absent if intent.nodes[parent].address not in sender["destinations"]]
    return [f"it is not set up to stream to {join(unknown)}"] if unknown else []


def _twin(name: str, guid: str, seen: Mapping[str, Seen], replies: Replies) -> str:
    for parent in seen:
        other = (_view(parent, replies).get("guids") or {}).get(guid)
        if other and other != name:
            return str(other)
    return ""


def _clock(name: str, replies: Replies, parents: Iterable[str]) -> str:
    """Return by how much the clock of `name` is off, seen from a parent for which it is: lags are differences."""
    for parent in parents:
        ahead = _ahead(name, replies) - _ahead(parent, replies) if "sender" in replies.reports.get(parent, {}) else 0.0
        if abs(ahead) > CLOCK_TOLERANCE:
            return f"its clock is {abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} that of {parent}"
    return ""


def _ahead(name: str, replies: Replies) -> float:
    clock: float = replies.reports[name]["sender"]["clock"]
    return clock - replies.received[name]


def _no_cause(sender: Mapping[str, Any], seen: Mapping[str, Seen], absent: list[str], intent: Intent) -> str:
    connected = [parent for parent in absent if intent.nodes[parent].address in sender["connected"]]
    if sender["outdated"]:
        return "its Netdata runs with older settings than its files have: restart it"
    if all(each.state is State.UNKNOWN for each in seen.values()):
        stream = f"; its stream is connected to {join(connected)}" if connected else ""
        return f"no parent could be asked about it{stream}"
    if sender["seconds_running"] < START_PATIENCE:
        return f"its Netdata started {sender['seconds_running']} s ago"
    if connected:
        return f"it is connected to {join(connected)}, where no new values arrive"
    return f"no cause found: {join(absent)} would take its stream; Netdata tries again within two minutes"


def join(names: Iterable[str]) -> str:
    """Return `a, b and c`."""
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last
