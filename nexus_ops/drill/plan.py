"""Which fault is done to which node, in which order: a pure function of the intent and what was asked for."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from nexus_ops.drill import MAX_RATE, Fault
from nexus_ops.durations import seconds_of
from nexus_ops.errors import UsageError
from nexus_ops.intent.model import Intent, Node, Objective, Role, Service

MAX_TOTAL_RATE = 400
SHORTEST_HOLD, LONGEST_HOLD = 2.0, 300.0
BASELINE = 4.0
"""Seconds of load before each fault, with which the time under it is compared."""

OVERHEAD = 12.0
"""Seconds that a fault takes beside its own length and the baseline, roughly: doing it, asking all nodes after it."""

POWER = "power-off: it is for a sandbox, since nobody here could switch a real machine on again"
CADDY_UNITS = ("caddy.socket", "caddy.service")


@dataclass(frozen=True)
class Options:
    """What was asked for. Empty collections: all there are. `hold` is in seconds, `rate` per service and second."""

    faults: Collection[Fault] = ()
    nodes: Collection[str] = ()
    services: Collection[str] = ()
    rate: int = 20
    hold: float = 10.0
    path: str = ""


@dataclass(frozen=True)
class Step:
    """One fault of one node. `units` are what it hits where it does not hit all of the node; `killed`: that service."""

    fault: Fault
    node: str
    units: tuple[str, ...] = ()
    killed: str = ""

    @property
    def title(self) -> str:
        """Return it in words."""
        return f"{self.fault} {self.node}" + (f" ({self.killed})" if self.killed else "")


@dataclass(frozen=True)
class Goal:
    """The objective in numbers: `outage` and `recovered` in seconds, `failed` as a share from 0 to 1."""

    outage: float
    failed: float
    recovered: float


@dataclass(frozen=True)
class Plan:
    """What a drill does. `left_out` says why faults that one might expect are not in it; `warnings`: what to know."""

    steps: tuple[Step, ...]
    services: tuple[Service, ...]
    options: Options
    goal: Goal
    left_out: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def seconds(self) -> float:
        """Return about how long it takes."""
        lasting = sum(self.options.hold for step in self.steps)
        return lasting + len(self.steps) * (BASELINE + OVERHEAD)


def make_plan(intent: Intent, options: Options, *, sandbox: bool, is_here: Callable[[str], bool]) -> Plan:
    """Return what to do. `sandbox`: the machines can be switched on again; `is_here` tells this machine's addresses.

    A fault that nobody could survive is left out: of the only worker of a service, of the only load balancer. So is
    one that would cut off the machine that this runs on. Raises UsageError when the options do not fit the intent, or
    nothing is left.
    """
    services = _services(intent, options)
    _check(options, len(services))
    nodes = _named(options.nodes, list(intent.nodes), "--node", "no node of nexus.yml")
    left_out = [POWER] if Fault.POWER_OFF in options.faults and not sandbox else []
    steps: list[Step] = []
    for name in nodes:
        node = intent.nodes[name]
        wanted = [step for step in _steps(intent, node, services, sandbox=sandbox) if step.fault in _faults(options)]
        reasons = {step: _objection(intent, step, here=is_here(node.address)) for step in wanted}
        steps += [step for step in wanted if not reasons[step]]
        for reason in dict.fromkeys(filter(None, reasons.values())):
            faults = ", ".join(dict.fromkeys(step.title for step in wanted if reasons[step] == reason))
            left_out.append(f"{faults}: {reason}")
    if not steps:
        raise UsageError(_nothing(left_out), next_step="see: nexus-ops drill --help")
    warnings = []
    if intent.ha.virtual_ip is None and any(Role.LB in intent.nodes[step.node].roles for step in steps):
        warnings.append(
            "there is no floating IP: requests go to the lbs in turn, and those to one that is down fail; clients "
            "that try the next address lose fewer"
        )
    bare = [step.node for step in steps if step.fault is Fault.CUT and intent.nodes[step.node].roles == {Role.MANAGER}]
    if bare:  # everywhere else other roles have installed it
        warnings.append(f"cut needs nftables, and installs it on {', '.join(bare)} where it is missing")
    return Plan(tuple(steps), services, options, goal_of(intent.ha.objective), tuple(left_out), tuple(warnings))


def goal_of(objective: Objective) -> Goal:
    """Return the objective of nexus.yml in numbers."""
    return Goal(
        seconds_of(objective.outage, "ha.objective.outage"),
        float(objective.failed.removesuffix("%")) / 100,
        seconds_of(objective.recovered, "ha.objective.recovered"),
    )


def _faults(options: Options) -> Collection[Fault]:
    return options.faults or tuple(Fault)


def _services(intent: Intent, options: Options) -> tuple[Service, ...]:
    if not intent.services:
        raise UsageError("nexus.yml has no service to send requests to", next_step="describe one, and apply ha")
    return tuple(
        intent.services[name]
        for name in _named(options.services, list(intent.services), "--service", "no service of nexus.yml")
    )


def _named(names: Collection[str], known: Sequence[str], option: str, what: str) -> list[str]:
    """Return those of `known` that `names` has, all of them without any; raises UsageError for another name."""
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(known)}"
            raise UsageError(f"{option} {name!r} is {what}", next_step=hint)
    return [name for name in known if not names or name in names]


def _check(options: Options, services: int) -> None:
    if not 1 <= options.rate <= MAX_RATE or options.rate * services > MAX_TOTAL_RATE:
        most = min(MAX_RATE, MAX_TOTAL_RATE // services)
        raise UsageError(
            f"--rate {options.rate} for {services} services is out of bounds", next_step=f"write 1 to {most}"
        )
    if not SHORTEST_HOLD <= options.hold <= LONGEST_HOLD:
        raise UsageError(
            f"--hold is {options.hold:g} s", next_step=f"write {SHORTEST_HOLD:g}s to {LONGEST_HOLD / 60:g}m"
        )
    if options.path and (not options.path.startswith("/") or not options.path.isprintable() or " " in options.path):
        raise UsageError(f"--path {options.path!r} is no path", next_step="write one such as /healthz")


def _unit(service: Service) -> str:
    return f"nexus-service-{service.name}.service"  # roles/service-deploy


def _steps(intent: Intent, node: Node, services: Sequence[Service], *, sandbox: bool) -> list[Step]:
    """Return every fault that fits the roles of `node`: the union of what each role is exposed to."""
    here = [service for service in intent.services.values() if node.name in service.nodes]
    units = tuple(_unit(service) for service in here)
    serves = Role.LB in node.roles or bool(here)
    steps = [Step(Fault.KILL, node.name, (_unit(service),), service.name) for service in here if service in services]
    if Role.LB in node.roles:
        steps.append(Step(Fault.STOP, node.name, CADDY_UNITS))
        units = (*units, CADDY_UNITS[1])
    steps.append(Step(Fault.CUT, node.name))
    if serves:
        steps.append(Step(Fault.FREEZE, node.name, () if sandbox else units))
    if sandbox:
        steps.append(Step(Fault.POWER_OFF, node.name))
    return steps


def _objection(intent: Intent, step: Step, *, here: bool) -> str:
    """Return why `step` is not to be done, empty when it may be."""
    node = intent.nodes[step.node]
    if here and step.fault in {Fault.CUT, Fault.POWER_OFF}:
        return "nexus-ops itself runs on it"
    if step.fault is not Fault.KILL and Role.LB in node.roles and len(intent.with_role(Role.LB)) == 1:
        return "it is the only load balancer"
    alone = [
        service.name
        for service in (intent.services.values() if step.fault is not Fault.STOP else ())
        if service.nodes == (step.node,) and step.killed in {"", service.name}
    ]
    return f"{' and '.join(alone)} {'runs' if len(alone) == 1 else 'run'} on it alone" if alone else ""


def _nothing(left_out: Sequence[str]) -> str:
    if left_out:
        return f"no fault is left: {'; '.join(left_out)}"
    return "these nodes have none of these faults"
