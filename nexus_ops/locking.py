"""One run at a time per environment: a lock that lives on nodes, so that every controller sees it.

It is on two of the first three nodes: any two such pairs have a node in common, so two controllers exclude each other
also while one of the three is away. `lock_holder.py` says how it is kept, and how it ends with its controller.
"""

from __future__ import annotations

import contextlib
import datetime
import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nexus_ops.errors import LockedError, UnreachableError

if TYPE_CHECKING:
    from nexus_ops.environment import Environment
    from nexus_ops.intent.model import Intent, Node
    from nexus_ops.lock_link import Link

CANDIDATES = 3
WANTED = 2
"""On how many of the candidates the lock is taken."""

FURTHER = 9
"""Among how many nodes the others are looked for when too few of the first ones answer."""

PATIENCE = 12.0
"""Seconds that a node has to answer; ssh itself gives up connecting sooner."""

GRACE = 0.3
"""Seconds that is waited for the first nodes once enough others have answered."""

HEARTBEAT = 5.0
RETRY = 2.0
"""Seconds until a lock that is taken is tried again."""

Holder = Mapping[str, Any]


def nobody_listens(_: str) -> None:
    """Say nothing."""


@dataclass
class Lock:
    """A lock that this process holds. `lost` says why it is no longer held, empty while it is."""

    links: list[Link]
    who: Holder = field(default_factory=dict)
    lost: str = ""
    warnings: list[str] = field(default_factory=list)
    _ended: threading.Event = field(default_factory=threading.Event)

    def keep(self) -> None:
        """Give signs of life in the background until `end`."""
        threading.Thread(target=self._beat, daemon=True).start()

    def look(self) -> bool:
        """Return whether the lock is still held; what has happened to it is in `lost` and `warnings`."""
        for link in list(self.links):
            try:
                message = link.messages.get_nowait()
            except queue.Empty:
                continue
            self.links.remove(link)
            if message is not None and "released" in message:
                by = message["released"]
                self.lost = self.lost or f"the lock was released by {by}" if by else "the lock's process was ended"
            elif self.links:
                self.warnings.append(
                    f"{link.name} no longer holds the lock of this run ({link.reason}); the other node does"
                )
            else:
                self.lost = self.lost or f"the lock is lost: {link.name} no longer holds it ({link.reason})"
        return not self.lost

    def strengthen(self, environment: Environment, intent: Intent) -> None:
        """Take the lock on further nodes where those that kept it have gone: the next one may go as well."""
        held = {link.name for link in self.links}
        nodes = [node for node in list(intent.nodes.values())[:CANDIDATES] if node.name not in held]
        missing = WANTED - len(held)
        links = _connect_to(environment, nodes, missing)[0] if missing > 0 else []
        for link in links:
            answer = link.ask({"do": "take", "who": dict(self.who)}, PATIENCE) if len(self.links) < WANTED else None
            if answer is None or "holder" in answer:
                link.close()
            else:
                self.links.append(link)

    def end(self) -> None:
        """Give the lock back."""
        self._ended.set()
        for link in self.links:
            link.close()

    def _beat(self) -> None:
        while not self._ended.wait(HEARTBEAT):
            for link in list(self.links):
                link.beat()


@contextlib.contextmanager
def environment_lock(
    environment: Environment,
    intent: Intent,
    command: str,
    *,
    run: str = "",
    wait: float = 0.0,
    say: Callable[[str], None] = nobody_listens,
) -> Iterator[Lock]:
    """Hold the environment's lock for the length of a `with` block; `command` and `run` (an id) tell others what for.

    When somebody else has it, `say` is told whom is waited for, `wait` seconds at most. Call `look` of what is yielded
    from time to time: the lock can be lost. Raises LockedError, and UnreachableError when no node can keep it.
    """
    lock = _acquire(environment, intent, _identity(environment, intent, command, run), wait, say)
    try:
        yield lock
    finally:
        lock.end()


def _acquire(environment: Environment, intent: Intent, who: Holder, wait: float, say: Callable[[str], None]) -> Lock:
    deadline = time.monotonic() + wait
    told = ""
    while True:
        with contextlib.ExitStack() as undo:
            links, reasons = connect(environment, intent)
            for link in links:
                undo.callback(link.close)
            if not links:
                raise nobody_answers(environment, reasons, "no node can keep the lock of this run; nothing was changed")
            other = _take(links, who)
            if other is None:
                undo.pop_all()
                lock = Lock(links, who)
                lock.keep()
                return lock
        words = describe(other)
        if time.monotonic() >= deadline:
            waiting = f"{'wait longer' if wait else 'wait for it'}: --lock-wait 10m,"
            if "stranger" in other:
                waiting = "end it there,"
            raise LockedError(
                f"{environment.name} is locked: {words}; nothing was changed",
                next_step=f"{waiting} or look: nexus-ops --env {environment.name} lock show",
            )
        if words != told:
            say(f"waiting for the lock of {environment.name}: {words}")
            told = words
        time.sleep(min(RETRY, max(0.1, deadline - time.monotonic())))


def _take(links: list[Link], who: Holder) -> Holder | None:
    """Take the lock on `links` in their order; return who has it on one of them, None when it is ours on all left.

    A node that is lost meanwhile leaves `links`, unless it is the last one: then UnreachableError is raised.
    """
    for link in list(links):
        answer = link.ask({"do": "take", "who": dict(who)}, PATIENCE)
        if answer is None:
            links.remove(link)
            link.close()
            if not links:
                raise UnreachableError(f"{link.name} was to keep the lock and is gone: {link.reason}")
        elif "holder" in answer:
            found: Holder = answer["holder"]
            return {**found, "node": link.name}
    return None


def connect(environment: Environment, intent: Intent, wanted: int = WANTED) -> tuple[list[Link], dict[str, str]]:
    """Return the first nodes that can keep the lock, `wanted` at most and in the intent's order, and why others cannot.

    The first three are tried at once, and further ones only when fewer than `WANTED` of those answer.
    """
    nodes = list(intent.nodes.values())
    found: list[Link] = []
    reasons: dict[str, str] = {}
    for batch in filter(None, (nodes[:CANDIDATES], nodes[CANDIDATES:FURTHER])):
        links, silent = _connect_to(environment, batch, wanted)
        reasons.update(silent)
        found += links
        if len(found) >= WANTED:
            break
    for link in found[wanted:]:
        link.close()
    return found[:wanted], reasons


def _connect_to(environment: Environment, nodes: list[Node], wanted: int) -> tuple[list[Link], dict[str, str]]:
    """Return those of `nodes` that are ready, and why the others are not. All are tried at once."""
    from nexus_ops.lock_link import Link, link_command
    from nexus_ops.secrets import read_sudo_password

    password = read_sudo_password(environment)
    with contextlib.ExitStack() as undo:
        links = []
        for node in nodes:
            links.append(Link(node.name, link_command(environment, node, with_password=bool(password)), password))
            undo.callback(links[-1].close)
        _await(links, wanted)
        ready = [link for link in links if link.state == "ready"]
        for link in links:
            if link not in ready:
                link.close()
        undo.pop_all()
    return ready, {link.name: link.reason or "no answer" for link in links if link not in ready}


def _await(links: list[Link], wanted: int) -> None:
    """Wait until the first `wanted` of `links` that are not gone are ready, or as many others and the grace is over."""
    deadline, graceful = time.monotonic() + PATIENCE, 0.0
    while time.monotonic() < deadline:
        there = [link for link in links if link.state != "gone"]
        if all(link.state == "ready" for link in there[:wanted]):
            return
        if sum(link.state == "ready" for link in there) >= wanted:
            graceful = graceful or time.monotonic() + GRACE
            if time.monotonic() > graceful:
                return
        time.sleep(0.005)


def nobody_answers(environment: Environment, reasons: Mapping[str, str], what: str) -> UnreachableError:
    """Return the error for `what` cannot be done since none of the nodes answers."""
    causes = "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
    return UnreachableError(
        f"{what} ({causes})",
        next_step=f"bring one of them back, or see what they lack: nexus-ops --env {environment.name} doctor",
    )


def describe(holder: Holder) -> str:
    """Return who `holder` is, since when and what for, as a sentence."""
    if "stranger" in holder:
        where = f" on {holder['node']}" if "node" in holder else ""
        return f"{holder['stranger']} has the lock{where}, and is no run of Nexus Ops"
    who = str(holder.get("by") or "somebody")
    started = str(holder.get("started") or "").removesuffix("+00:00").replace("T", " ")
    since = f" since {started} UTC" if started else ""
    run = f" (run {holder['run']})" if holder.get("run") else ""
    return f"{who} runs {holder.get('command') or 'something'}{run}{since}"


def _identity(environment: Environment, intent: Intent, command: str, run: str) -> Holder:
    from nexus_ops.runs import person

    return {
        "by": person(),
        "command": command,
        "run": run,
        "environment": environment.name,
        "cluster": intent.cluster,
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def show_locks(environment: Environment, intent: Intent) -> tuple[dict[str, Holder | None], dict[str, str]]:
    """Return by node who holds the lock there (None: nobody), and why other nodes cannot be asked.

    Raises UnreachableError when none can.
    """
    return _ask_all(environment, intent, {"do": "show"}, "holder", "no node can be asked who holds the lock")


def release_locks(environment: Environment, intent: Intent) -> tuple[dict[str, Holder | None], dict[str, str]]:
    """Take the lock away from who holds it; return by node who that was (None: nobody), and why others were not asked.

    The run that held it is interrupted; a `stranger` that holds it is left alone. Raises UnreachableError when no node
    can be asked.
    """
    from nexus_ops.runs import person

    order = {"do": "release", "by": person()}
    return _ask_all(environment, intent, order, "released", "no node can be asked to release the lock")


def _ask_all(
    environment: Environment, intent: Intent, order: Mapping[str, Any], key: str, what: str
) -> tuple[dict[str, Holder | None], dict[str, str]]:
    links, reasons = connect(environment, intent, CANDIDATES)
    answers: dict[str, Holder | None] = {}
    for link in links:
        answer = link.ask(order, PATIENCE)
        if answer is None:
            reasons[link.name] = link.reason or "no answer"
        else:
            answers[link.name] = answer.get(key)
        link.close()
    if not answers:
        raise nobody_answers(environment, reasons, what)
    return answers, reasons
