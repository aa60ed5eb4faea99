"""A drill from beginning to end: load, one fault at a time, and never the next one before the cluster is whole."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from nexus_ops.drill.faults import CannotError, Injector, Strike
from nexus_ops.drill.load import Load, targets_of
from nexus_ops.drill.measure import Outcome, Row, Window, measure
from nexus_ops.drill.plan import BASELINE, Plan, Step
from nexus_ops.errors import ExitCode, NexusError
from nexus_ops.ssh import silence
from nexus_ops.status import ask_status

if TYPE_CHECKING:
    from nexus_ops.environment import Environment
    from nexus_ops.intent.model import Intent
    from nexus_ops.locking import Lock
    from nexus_ops.status import ClusterStatus

PATIENCE = 180.0
"""Seconds that a cluster gets to become whole, at least; an objective may grant it more."""

TICK = 0.1


class Watcher(Protocol):
    """Something that shows what goes on."""

    def say(self, text: str, *, count: str = "") -> None:
        """Take what happens now; `count` is such as 3/12."""

    def show(self, rows: list[Row]) -> None:
        """Take what a fault cost."""

    def tick(self) -> None:
        """Show that time passes."""


@dataclass
class Drill:
    """What came of it. `problems`: why it is not whole, empty otherwise; `begun`: where `outcomes` count from."""

    plan: Plan
    rows: list[Row] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    windows: list[tuple[Step, float, float]] = field(default_factory=list)
    begun: float = 0.0
    interrupted: bool = False
    seconds: float = 0.0

    @property
    def exit_code(self) -> ExitCode:
        """Return DONE when every fault was done and met the objective, INTERRUPTED, or FAILED."""
        if self.interrupted:
            return ExitCode.INTERRUPTED
        return ExitCode.DONE if not self.problems and all(row.ok for row in self.rows) else ExitCode.FAILED


def run_drill(
    environment: Environment, intent: Intent, plan: Plan, watcher: Watcher, *, sandbox: bool, held: Lock
) -> Drill:
    """Do `plan` and return what came of it. When the lock `held` is lost, it ends as by Ctrl-C.

    Raises NexusError when the cluster is not whole, or fails requests as it is: nothing was done then.
    """
    drill = Drill(plan)
    watcher.say("asking whether the cluster is whole")
    status = ask_status(environment, intent, watcher.tick)
    if not status.ok:
        raise NexusError(
            f"the cluster is not whole: {'; '.join(status.problems)}; nothing was done",
            next_step=f"put it right, see: nexus-ops --env {environment.name} status",
        )
    load = Load(targets_of(intent, plan.services, plan.options.path), plan.options.rate, environment, intent)
    drill.begun = time.monotonic()
    with _stop_signals():
        load.start()
        try:
            _Course(
                environment, intent, drill, load, watcher, Injector(environment, sandbox=sandbox), status, held
            ).run()
        finally:
            load.stop()
            drill.outcomes = list(load.outcomes)
            drill.seconds = time.monotonic() - drill.begun
    return drill


@dataclass
class _Course:
    """The course of a drill, step by step."""

    environment: Environment
    intent: Intent
    drill: Drill
    load: Load
    watcher: Watcher
    injector: Injector
    status: ClusterStatus
    held: Lock
    strike: Strike | None = None
    step: Step | None = None

    def run(self) -> None:
        plan = self.drill.plan
        try:
            for number, step in enumerate(plan.steps):
                self.watcher.say("load without a fault", count=f"{number + 1}/{len(plan.steps)}")
                if reason := self._calm():
                    if not self.drill.windows:
                        raise NexusError(f"{reason}; nothing was done", next_step="see: nexus-ops status")
                    self.drill.problems.append(f"{reason}; the drill ends before {step.title}")
                    return
                self.step, self.strike = step, None
                self.held.strengthen(
                    self.environment, self.intent
                )  # the last fault may have been on a node that keeps it
                try:
                    whole = self._do(step)
                except CannotError as error:
                    self.drill.problems.append(str(error))
                    continue
                if not whole:
                    return
        except KeyboardInterrupt:
            self.drill.interrupted = True
            self.drill.problems += [*([self.held.lost] if self.held.lost else []), self._interrupted()]

    def _do(self, step: Step) -> bool:
        """Do `step`, see it through, and return whether the cluster is whole again."""
        before = time.monotonic() - BASELINE
        held = step.node in self.status.lbs and self.status.lbs[step.node].holds_virtual_ip
        hold = self.drill.plan.options.hold
        self.watcher.say(step.title)
        try:
            strike = self.strike = self.injector.strike(step, hold, self.watcher.tick)
        except CannotError:
            raise
        except NexusError as error:
            self.drill.problems.append(f"{error}; the drill ends there")
            return False
        over = strike.end
        self._wait(over - time.monotonic())
        self.watcher.say(f"waiting until the cluster is whole after {step.title}")
        moment = self._whole(step, over)
        recovered = None if moment is None else max(0.0, moment - over)
        end = max(moment or time.monotonic(), strike.begin + hold)
        self._wait(end - time.monotonic())
        self._settle(end)
        self.drill.windows.append((step, strike.begin, over))
        window = Window(before, strike.begin, end, time.time() - time.monotonic(), recovered, held)
        outcomes = list(self.load.outcomes)
        goal = self.drill.plan.goal
        rows = [measure(step, service.name, window, outcomes, goal) for service in self.drill.plan.services]
        self.drill.rows += rows
        self.watcher.show(rows)
        if moment is None:
            problems = "; ".join(self.status.problems) or "its nodes do not answer"
            self.drill.problems.append(
                f"not whole within {self._patience:g} s after {step.title}: {problems}; the drill ends there"
            )
        return moment is not None

    @property
    def _patience(self) -> float:
        return max(PATIENCE, 2 * self.drill.plan.goal.recovered)

    def _calm(self) -> str:
        """Return once all requests of BASELINE seconds succeeded, or why that does not happen."""
        began = since = time.monotonic()
        seen = len(self.load.outcomes)
        while time.monotonic() - since < BASELINE:
            self._wait(TICK)
            fresh = self.load.outcomes[seen:]
            seen += len(fresh)
            failed = [outcome for outcome in fresh if outcome.error and outcome.ended >= since]
            if not failed:
                continue
            since = time.monotonic()
            if not self.drill.windows or since - began > self._patience:
                last = failed[-1]
                return f"requests to {last.service} fail without a fault: {last.error}"
        return ""

    def _whole(self, step: Step, since: float) -> float | None:
        """Return when the cluster was found whole, None: not in time. A node is asked when its ssh port answers."""
        answers = False
        while time.monotonic() - since < self._patience:
            self.watcher.tick()
            # Once it answers, `ask_status` sees to that: sshd refuses who connects too often without a login.
            answers = answers or self._answers(step.node)
            if answers:
                with contextlib.suppress(NexusError):
                    self.status = ask_status(self.environment, self.intent, self.watcher.tick)
                    if self.status.ok:
                        return time.monotonic()
                    answers = step.node not in self.status.silent
            self._wait(TICK)
        return None

    def _answers(self, name: str) -> bool:
        node = self.intent.nodes[name]
        return node.address == "localhost" or not silence(node.ssh.user, node.address, node.ssh.port, 1)

    def _settle(self, until: float) -> None:
        """Wait for the answers to all requests that were due by then, as long as those may take."""
        deadline = time.monotonic() + max(target.timeout for target in self.load.targets) + 1
        while not self.load.settled(until) and time.monotonic() < deadline:
            self._wait(TICK)

    def _wait(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self.watcher.tick()
            if not self.held.look():
                raise KeyboardInterrupt
            time.sleep(min(TICK, left))

    def _interrupted(self) -> str:
        """Heal what can be healed, and return what is left."""
        if self.step is None:
            return "interrupted before the first fault"
        step, strike = self.step, self.strike
        over = strike is not None and time.monotonic() >= strike.end
        if over or (self.drill.windows and self.drill.windows[-1][0] is step):
            return f"interrupted after {step.title}"
        self.watcher.say(f"healing {step.title}")
        if self.injector.heal(step, self.watcher.tick):
            return f"interrupted during {step.title}, which was healed"
        left = self.drill.plan.options.hold if strike is None else strike.end - time.monotonic()
        return f"interrupted during {step.title}, which ends by itself within {max(1, round(left)):d} s"


@contextlib.contextmanager
def _stop_signals() -> Iterator[None]:
    """Take SIGTERM and SIGHUP as Ctrl-C for the length of a `with` block."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    numbers = (signal.SIGTERM, signal.SIGHUP)
    before: dict[signal.Signals, Callable[..., object] | int | None] = {
        number: signal.signal(number, interrupt) for number in numbers
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
