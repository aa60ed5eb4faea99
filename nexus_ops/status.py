"""How the cluster is: its nodes, load balancers, services and streams, and what is not as nexus.yml says."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from nexus_ops.asking import Replies, ask_nodes
from nexus_ops.environment import Environment
from nexus_ops.errors import ExitCode, NexusError
from nexus_ops.intent.model import Intent, Role
from nexus_ops.inventory import refresh_inventory, retired_hosts
from nexus_ops.locking import Holder, describe, show_locks
from nexus_ops.monitoring import NodeStatus, State, join, no_answer
from nexus_ops.monitoring import evaluate as evaluate_monitoring
from nexus_ops.ssh import silence
from nexus_ops.variables import upstream_address

PLAYBOOK = "status"
RETIRED_TIMEOUT = 1.0  # seconds
UNDONE = "the rollout failed"
"""The reason in the history of a worker that had switched and went back since another one failed."""
MIB = 1024**2
LITTLE_ROOM = 100 * MIB
"""Bytes that a parent has to have left."""


@dataclass(frozen=True)
class LoadBalancer:
    """A load balancer: whether it holds the floating IP, and by service and worker why that gets no requests, or "".

    `problem` is why it serves nobody, empty when it does; `front`: by service why clients get no good answer, or "".
    """

    holds_virtual_ip: bool = False
    upstreams: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    problem: str = ""
    front: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ServiceOnNode:
    """A service on one worker: the release that runs, since when (seconds of the epoch), by whom, and what is wrong."""

    release: str
    since: float | None
    by: str
    problem: str

    @property
    def healthy(self) -> bool:
        """Whether it answered well just now."""
        return not self.problem


@dataclass(frozen=True)
class ClusterStatus:
    """All of it. `silent`: nodes that ssh does not reach, with the reason; `problems`: one sentence each.

    `holders`: nodes that hold the floating IP; `locks`: by node that keeps the lock who has it (None: nobody).
    """

    nodes: tuple[str, ...]
    silent: Mapping[str, str]
    lbs: Mapping[str, LoadBalancer]
    services: Mapping[str, Mapping[str, ServiceOnNode]]
    streaming: Mapping[str, str]
    problems: tuple[str, ...]
    holders: tuple[str, ...] = ()
    locks: Mapping[str, Holder | None] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether everything is as declared."""
        return not self.problems

    @property
    def exit_code(self) -> ExitCode:
        """Return DONE, FAILED when something is not as declared, UNREACHABLE when no node answers at all."""
        if self.nodes and set(self.nodes) == set(self.silent):
            return ExitCode.UNREACHABLE
        return ExitCode.DONE if self.ok else ExitCode.FAILED

    def document(self, intent: Intent, last_run: Mapping[str, Any] | None) -> dict[str, Any]:
        """Return what `--json` shows."""
        return {
            "ok": self.ok,
            "nodes": {
                name: {
                    "reachable": name not in self.silent,
                    "roles": [role.value for role in Role if role in intent.nodes[name].roles],
                    "reason": self.silent.get(name, ""),
                }
                for name in self.nodes
            },
            "lbs": {
                name: {
                    "holds_virtual_ip": lb.holds_virtual_ip,
                    "problem": lb.problem,
                    "upstreams": {
                        service: {worker: "down" if doubt else "up" for worker, doubt in workers.items()}
                        for service, workers in lb.upstreams.items()
                    },
                }
                for name, lb in self.lbs.items()
            },
            "services": {
                service: {
                    "nodes": {
                        worker: {
                            "release": found.release,
                            "since": found.since,
                            "by": found.by,
                            "healthy": found.healthy,
                            "problem": found.problem,
                        }
                        for worker, found in workers.items()
                    }
                }
                for service, workers in self.services.items()
            },
            "virtual_ip_holders": list(self.holders),
            "lock": dict(self.locks),
            "streaming": dict(self.streaming),
            "problems": list(self.problems),
            "last_run": last_run,
        }


def ask_status(environment: Environment, intent: Intent, on_tick: Callable[[], None] = lambda: None) -> ClusterStatus:
    """Ask all nodes at once and return what comes of it. Raises NexusError when Ansible could not ask anybody."""
    from nexus_ops.dashboard_check import DashboardCheck

    check = DashboardCheck(environment, intent)
    with ThreadPoolExecutor(max_workers=2) as pool:
        retired = pool.submit(still_there, refresh_inventory(environment, intent))
        locks = pool.submit(_locks, environment, intent)
        replies = ask_nodes(environment, intent, PLAYBOOK, on_tick, greeted=True)
        return evaluate(intent, replies, check.finish(), retired.result(), locks.result())


def _locks(environment: Environment, intent: Intent) -> dict[str, Holder | None]:
    """Return by node who has the lock there, nothing where no node can say so: its silence is told anyway."""
    try:
        return show_locks(environment, intent)[0]
    except NexusError:
        return {}


def still_there(inventory: Mapping[str, Any]) -> list[str]:
    """Return the machines in `inventory` that are to be cleaned up and whose ssh server can be connected to.

    A machine that is gone for good is no problem of the cluster.
    """
    retired = sorted(retired_hosts(inventory))
    if not retired:
        return []
    hosts = inventory["all"]["hosts"]

    def answers(name: str) -> bool:
        variables = hosts.get(name) or {}
        place = (str(variables.get("ansible_host", name)), int(variables.get("ansible_port", 22)))
        return not silence(str(variables.get("ansible_user", "root")), *place, RETIRED_TIMEOUT)

    with ThreadPoolExecutor(max_workers=32) as pool:
        return [name for name, there in zip(retired, pool.map(answers, retired), strict=True) if there]


def evaluate(
    intent: Intent,
    replies: Replies,
    dashboards: Mapping[str, str] = MappingProxyType({}),
    retired: Collection[str] = (),
    locks: Mapping[str, Holder | None] = MappingProxyType({}),
) -> ClusterStatus:
    """Return the status by what the nodes said. Reads and asks nothing.

    `dashboards`: by load balancer why its dashboard shows no data; `retired`: machines that are still to be cleaned up;
    `locks`: by node who has the lock there.
    """
    lbs = {node.name: _load_balancer(node.name, replies) for node in intent.with_role(Role.LB)}
    services = {
        service.name: {worker: _on_node(service.name, worker, replies) for worker in service.nodes}
        for service in intent.services.values()
    }
    streaming = _streaming(intent, replies)
    holders = _holders(lbs, replies)
    problems = [
        *(f"{name} does not answer: {reason}" for name, reason in replies.silent.items()),
        *_problems_of_load_balancers(intent, lbs, holders, replies),
        *_problems_of_services(intent, services, lbs, replies),
        *_problems_of_streaming(streaming, replies),
        *_problems_of_parents(intent, replies),
        *(
            f"dashboard through {name}: {reason}"
            for name, reason in dashboards.items()
            if reason and not lbs[name].problem
        ),
        *(f"{name} has something left of what nexus.yml no longer names there: run apply" for name in retired),
        *(
            f"{describe({'node': name, **who})}: end it there"
            for name, who in locks.items()
            if who and "stranger" in who
        ),
    ]
    silent = dict(replies.silent)
    return ClusterStatus(tuple(intent.nodes), silent, lbs, services, streaming, tuple(problems), holders, locks)


def _holders(lbs: Mapping[str, LoadBalancer], replies: Replies) -> tuple[str, ...]:
    """Return the nodes that hold the floating IP, load balancers first."""
    others = [name for name, report in replies.reports.items() if name not in lbs and report.get("has_virtual_ip")]
    return (*(name for name, lb in lbs.items() if lb.holds_virtual_ip), *others)


def _load_balancer(name: str, replies: Replies) -> LoadBalancer:
    found = replies.reports.get(name, {}).get("lb")
    if not found:
        return LoadBalancer(problem=no_answer(name, replies) or replies.failed.get(name) or "it cannot be asked")
    problem = found["problem"]
    stopped = [unit.removesuffix(".service") for unit, state in found["units"].items() if state != "active"]
    if not found["routing"] and stopped:
        problem = "it is not set up yet"
    elif stopped:
        problem = f"{join(stopped)} {'does' if len(stopped) == 1 else 'do'} not run"
    return LoadBalancer(found["holds_virtual_ip"], found["upstreams"], problem, found.get("front") or {})


def _on_node(service: str, worker: str, replies: Replies) -> ServiceOnNode:
    found = (replies.reports.get(worker, {}).get("services") or {}).get(service)
    if found is None:
        known = "services" in replies.reports.get(worker, {})
        return ServiceOnNode("", None, "", "it is not deployed there yet" if known else "its worker does not answer")
    return ServiceOnNode(found["release"], found["since"], found["by"], found["problem"])


def _streaming(intent: Intent, replies: Replies) -> dict[str, str]:
    """Return the state of each node's stream, nothing where nobody is watched."""
    if not (intent.monitoring.enabled and intent.parents):
        return {}
    parents = {node.name for node in intent.parents}
    views = {name: report for name, report in replies.reports.items() if name in parents and "sender" in report}
    only_parents = Replies(views, replies.received, replies.silent, replies.failed)
    return {
        name: (node.state if node.complete else _worst(node)).value
        for name, node in evaluate_monitoring(intent, only_parents).nodes.items()
    }


def _worst(node: NodeStatus) -> State:
    """Return the worst state that a parent says: a node that is its own parent always sees itself live."""
    states = {seen.state for seen in node.parents.values()}
    return next((state for state in (State.GONE, State.STALE) if state in states), State.GONE)


def _problems_of_parents(intent: Intent, replies: Replies) -> Iterable[str]:
    """Yield the parents that take no streams, and those without room for what they get."""
    if not intent.monitoring.enabled:
        return
    for node in intent.parents:
        report = replies.reports.get(node.name, {})
        if problem := (report.get("view") or {}).get("problem"):
            yield f"monitoring: parent {node.name}: {problem}"
        free = report.get("free")
        if free is not None and free < LITTLE_ROOM:
            yield f"monitoring: parent {node.name}: {free // MIB} MiB are free for what Netdata records"


def _problems_of_load_balancers(
    intent: Intent, lbs: Mapping[str, LoadBalancer], holders: Collection[str], replies: Replies
) -> Iterable[str]:
    for name, lb in lbs.items():
        if lb.problem and name not in replies.silent:
            yield f"load balancer {name}: {lb.problem}"
    if not intent.ha.virtual_ip:
        return
    address = intent.ha.virtual_ip.ip
    if wrong := [name for name in holders if name not in lbs]:
        verb = "is no load balancer" if len(wrong) == 1 else "are no load balancers"
        yield f"the floating IP {address} is held by {join(holders)}; {join(wrong)} {verb} in nexus.yml: run apply"
    elif len(holders) > 1:
        yield f"the floating IP {address} is held by {join(holders)}"
    elif not holders and any(name not in replies.silent for name in lbs):
        yield f"nobody holds the floating IP {address}"


def _problems_of_services(
    intent: Intent,
    services: Mapping[str, Mapping[str, ServiceOnNode]],
    lbs: Mapping[str, LoadBalancer],
    replies: Replies,
) -> Iterable[str]:
    for name, workers in services.items():
        for worker, found in workers.items():
            if worker in replies.silent:
                continue
            if found.problem:
                yield f"{name} on {worker}: {found.problem}"
                continue
            yield from (f"{name} on {worker}: {reason}" for reason in _drift(name, worker, replies))
            yield from _not_served(intent, name, worker, lbs, replies)
        for lb_name, lb in lbs.items():
            if not lb.problem and (reason := lb.front.get(name)):
                yield f"{name}: clients of {lb_name} get no good answer: {reason}"
        releases = {found.release for found in workers.values() if found.release}
        if len(releases) > 1:
            yield f"{name} runs in {len(releases)} releases: {join(sorted(releases))}"
        yield from _abandoned(name, workers, replies)
    for node in intent.with_role(Role.WORKER):
        for name, entry in (replies.reports.get(node.name, {}).get("services") or {}).items():
            if not entry["wanted"]:
                yield f"{name} on {node.name}: nexus.yml does not name it there"


def _abandoned(service: str, workers: Iterable[str], replies: Replies) -> Iterable[str]:
    """Yield the release that the last rollout gave up, with the reason of the worker that knows it best.

    The last entry of a worker's history is another one as soon as a rollout went through, or somebody rolled back.
    """
    found: dict[str, dict[str, str]] = {}
    for worker in workers:
        entry = (replies.reports.get(worker, {}).get("services") or {}).get(service) or {}
        last = (entry.get("history") or [{}])[-1]
        if last.get("verdict") == "abandoned" and last["release"] != entry["release"]:
            found.setdefault(last["release"], {})[worker] = " ".join(str(last.get("reason", "")).split())
    for release, reasons in found.items():
        worker, reason = next(((w, r) for w, r in reasons.items() if r != UNDONE), next(iter(reasons.items())))
        yield (
            f"{service}: release {release} was abandoned ({worker}: {reason}); "
            "mend it and run apply, or keep what runs: give nexus.yml that source and run apply"
        )


def _drift(service: str, worker: str, replies: Replies) -> list[str]:
    drift: list[str] = replies.reports[worker]["services"][service]["drift"]
    return drift


def _not_served(
    intent: Intent, service: str, worker: str, lbs: Mapping[str, LoadBalancer], replies: Replies
) -> Iterable[str]:
    """Yield why load balancers send nothing to a worker that is well, those with the same reason together."""
    wanted = upstream_address(intent.nodes[worker], intent.services[service])
    reasons: dict[str, list[str]] = {}
    for name, lb in lbs.items():
        if lb.problem:
            continue
        routing = replies.reports[name]["lb"]["routing"].get(service) or {"upstreams": {}}
        if routing["upstreams"].get(worker) != wanted:
            reasons.setdefault("does not have it as nexus.yml says", []).append(name)
        elif doubt := lb.upstreams.get(service, {}).get(worker, ""):
            reasons.setdefault(f"sends it no requests: {doubt}", []).append(name)
    for reason, names in reasons.items():
        yield f"{service} on {worker}: {join(names)} {reason}"


def _problems_of_streaming(streaming: Mapping[str, str], replies: Replies) -> Iterable[str]:
    late = [name for name, state in streaming.items() if state != "live" and name not in replies.silent]
    if late:
        yield f"monitoring: {join(late)} not live; see: monitor status"
