"""Ansible: `plan_invocation` says what to run (no side effects), `execute` runs it with ansible-runner."""

from __future__ import annotations

import contextlib
import importlib
import locale
import os
import queue
import shlex
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nexus_ops.content import Content
from nexus_ops.events import Event, Kind, read_event
from nexus_ops.files import named_pipe
from nexus_ops.text import visible

INTERRUPT_PATIENCE = 15.0
"""Seconds that Ansible has to end by itself once it was asked to; then it is killed."""

UTF8_LOCALES = ("C.UTF-8", "en_US.UTF-8")
"""Locales that need not be generated: on Linux, and on macOS."""

INTERRUPT_INTERVAL = 1.0
"""Seconds after which it is asked again: Python drops a signal that arrives while it forks."""


@dataclass(frozen=True)
class Invocation:
    """One call of ansible-playbook: absolute paths, further arguments, and the environment variables it needs.

    `sudo_password` goes to it through a pipe, and is written nowhere.
    """

    playbook: Path
    inventory: Path
    arguments: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    verbosity: int = 0
    sudo_password: str = field(default="", repr=False)


@dataclass
class Outcome:
    """How a run ended. `stats` is per host: ok, changed, failed, unreachable; `failures` and `unreachable` in order.

    `running`: by host the task that has begun and of which no end is known; `lost`: the one in which a host was lost
    that had `answered` before. `checked`: it ran in check mode.
    """

    stats: dict[str, dict[str, int]] = field(default_factory=dict)
    failures: list[Event] = field(default_factory=list)
    unreachable: list[Event] = field(default_factory=list)
    ignored: list[Event] = field(default_factory=list)
    changes: dict[str, list[Event]] = field(default_factory=dict)
    output: list[str] = field(default_factory=list)
    running: dict[str, str] = field(default_factory=dict)
    lost: dict[str, str] = field(default_factory=dict)
    answered: set[str] = field(default_factory=set)
    checked: bool = False
    returned: int | None = None
    interrupted: bool = False
    seconds: float = 0.0

    @property
    def changed(self) -> int:
        """Return how many tasks changed something, over all hosts; those that failed then are among them."""
        if self.stats:
            return sum(host["changed"] for host in self.stats.values())
        return sum(map(len, self.changes.values())) + len(self._failed_changes)  # it was ended before Ansible counted

    @property
    def _failed_changes(self) -> list[Event]:
        return [event for event in [*self.failures, *self.ignored] if event.changes]

    @property
    def may_have_changed(self) -> dict[str, str]:
        """Return by host the task that may have changed something there: its end is not known."""
        return {} if self.checked else {**self.lost, **self.running}

    @property
    def ok(self) -> bool:
        """Whether all went well. A run that was killed has no return code and is not well."""
        return self.returned == 0 and not self.interrupted and not self.unreachable

    def take(self, event: Event) -> None:
        """Note what `event` says."""
        self._follow(event)
        match event.kind:
            case Kind.FAILED:
                self.failures.append(event)
            case Kind.UNREACHABLE:
                self.unreachable.append(event)
            case Kind.IGNORED:
                self.ignored.append(event)
            case Kind.CHANGED:
                self.changes.setdefault(event.host, []).append(event)
            case Kind.STATS:
                self._count(event.stats)
            case Kind.OUTPUT if event.message:
                self.output.append(event.message)

    def _follow(self, event: Event) -> None:
        """Note which task runs on which host, and in which one a host was lost."""
        counted_for = event.counted_for or event.host
        match event.kind:
            case Kind.STARTED:
                self.running[event.host] = event.task
            case Kind.OK | Kind.CHANGED | Kind.SKIPPED | Kind.FAILED | Kind.IGNORED:
                self.running.pop(event.host, None)
                self.answered.add(event.host)
            case Kind.UNREACHABLE:
                self.running.pop(counted_for, None)
                if event.host == counted_for and event.host in self.answered:
                    self.lost[event.host] = event.task
            case Kind.STATS:
                self.running.clear()

    def _count(self, stats: Mapping[str, Mapping[str, int]]) -> None:
        """Take the statistics, which alone tell whether a play went on as if nothing were (`ignore_unreachable`)."""
        self.stats = {host: dict(columns) for host, columns in stats.items()}
        lost = {host for host, columns in self.stats.items() if columns["unreachable"]}
        self.ignored += [event for event in self.unreachable if event.counted_for not in lost]
        self.unreachable = [event for event in self.unreachable if event.counted_for in lost]
        for event in self._failed_changes:  # which Ansible counts as failed only
            if event.host in self.stats:
                self.stats[event.host]["changed"] += 1
        for event in self.unreachable:
            if event.host != event.counted_for:  # the other one is well
                nothing = {"ok": 0, "changed": 0, "failed": 0, "unreachable": 0}
                self.stats.setdefault(event.host, nothing)["unreachable"] += 1
                self.stats[event.counted_for]["unreachable"] -= 1


def plan_invocation(
    content: Content,
    playbook: str,
    inventory: Path,
    *,
    check: bool = False,
    limit: str | None = None,
    extra_variables_file: Path | None = None,
    verbosity: int = 0,
    sudo_password: str = "",
) -> Invocation:
    """Return what to run for `playbook`. Changes nothing and reads nothing but PATH.

    Secrets go into `extra_variables_file`, never into the arguments: ansible-runner keeps a copy of those.
    """
    arguments = ["--skip-tags", "fresh"]  # whoever calls this has just refreshed the inventory
    if check:
        arguments += ["--check", "--diff"]
    if limit:
        arguments += ["--limit", limit]
    if extra_variables_file:
        arguments += ["--extra-vars", f"@{extra_variables_file}"]
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    environment = {
        "ANSIBLE_CONFIG": str(content.configuration),
        "ANSIBLE_HOST_KEY_CHECKING": "True",  # ansible-runner would set False
        "ANSIBLE_NOCOLOR": "1",
        "NEXUS_OPS_PARENT": str(os.getpid()),  # playbooks/callback_plugins/nexus_parent.py
        "PATH": path,  # pipx puts only our own command on the PATH, not ansible-playbook
        **usable_locale(),
    }
    return Invocation(
        content.playbook(playbook), inventory.absolute(), tuple(arguments), environment, verbosity, sudo_password
    )


def usable_locale() -> dict[str, str]:
    """Return the variables that give Ansible a locale it accepts, none where this machine's settings do.

    Ansible ends at once where the locale that the environment names was never generated or is not UTF-8.
    """
    now = locale.setlocale(locale.LC_ALL)
    try:
        for wanted in ("", *UTF8_LOCALES):
            with contextlib.suppress(locale.Error):
                locale.setlocale(locale.LC_ALL, wanted)
                if (locale.getlocale(locale.LC_CTYPE)[1] or "").upper().replace("-", "") == "UTF8":
                    return {"LC_ALL": wanted} if wanted else {}
    finally:
        locale.setlocale(locale.LC_ALL, now)
    return {}


def load_ahead() -> None:
    """Load ansible-runner in the background: that takes about as long as nodes take to answer."""
    threading.Thread(target=importlib.import_module, args=("ansible_runner",), daemon=True).start()


def execute(
    invocation: Invocation,
    on_event: Callable[[Event], None],
    on_tick: Callable[[], None],
    may_go_on: Callable[[], bool] = lambda: True,
) -> Outcome:
    """Run `invocation`, calling `on_event` for each event and `on_tick` about ten times a second, both from here.

    SIGINT, SIGTERM and SIGHUP end the run in an orderly way, a second one at once; the outcome then says `interrupted`.
    So does the run when `may_go_on`, asked as often as `on_tick`, says no.
    What `on_event` or `on_tick` raises ends the run as well, and is raised again once Ansible is gone.
    """
    events: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
    outcome = Outcome(checked="--check" in invocation.arguments)
    cancel = threading.Event()
    started = time.monotonic()

    def enqueue(raw: Mapping[str, Any]) -> bool:
        # A slow or failing handler would stall or break ansible-runner's reading of the playbook's output.
        with contextlib.suppress(Exception):
            event = read_event(raw)
            if event is not None:
                events.put(event)
        return False  # keep no event file

    with tempfile.TemporaryDirectory(prefix="nexus-ops-") as folder, _stop_signals() as stops:
        thread = threading.Thread(target=_run, args=(invocation, folder, enqueue, cancel, events, outcome), daemon=True)
        thread.start()
        interruption = _Interruption(cancel)
        try:
            while (event := _next(events)) is not None:
                interruption.pid = event.pid or interruption.pid
                outcome.take(event)
                on_event(event)
                on_tick()
                if stops or not may_go_on():
                    outcome.interrupted = True
                    interruption.go_on(at_once=len(stops) > 1)
        except BaseException:
            while thread.is_alive():
                interruption.go_on(at_once=len(stops) > 1)
                thread.join(0.1)
            raise
        thread.join()
    outcome.seconds = time.monotonic() - started
    return outcome


def _next(events: queue.SimpleQueue[Event | None]) -> Event | None:
    """Return the next event, one that says nothing after a tenth of a second, None at the end of the run."""
    try:
        return events.get(timeout=0.1)
    except queue.Empty:
        return Event(Kind.OUTPUT)


@dataclass
class _Interruption:
    """Asks Ansible to end, again and again, and has it killed when it does not."""

    cancel: threading.Event
    pid: int = 0
    began: float = 0.0
    asked: float = 0.0

    def go_on(self, *, at_once: bool) -> None:
        """Ask once more where it is time to, or kill `at_once`."""
        now = time.monotonic()
        self.began = self.began or now
        if at_once or not self.pid or now - self.began > INTERRUPT_PATIENCE:
            self.cancel.set()
        elif now - self.asked > INTERRUPT_INTERVAL:
            self.asked = now
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGINT)


def _run(
    invocation: Invocation,
    folder: str,
    handler: Callable[[Mapping[str, Any]], bool],
    cancel: threading.Event,
    events: queue.SimpleQueue[Event | None],
    outcome: Outcome,
) -> None:
    import ansible_runner

    try:
        with _password_arguments(invocation.sudo_password) as further:
            run = ansible_runner.run(
                private_data_dir=folder,
                playbook=str(invocation.playbook),
                inventory=str(invocation.inventory),
                cmdline=shlex.join([*invocation.arguments, *further]),
                envvars=dict(invocation.environment),
                verbosity=invocation.verbosity or None,
                settings={"pexpect_timeout": 1, "suppress_ansible_output": True},
                suppress_env_files=True,
                fact_cache_type="memory",  # by default each fact is written to a file that nobody reads
                quiet=True,
                event_handler=handler,
                cancel_callback=cancel.is_set,
            )
        outcome.returned = run.rc
        if run.rc not in (0, 2, 4) and not outcome.output:
            said = Path(run.config.artifact_dir, "stdout").read_text(encoding="utf-8", errors="replace")
            outcome.output.append(visible(said[-2000:].strip()))
    except Exception as error:  # whatever goes wrong in that thread has to reach the person
        outcome.output.append(f"ansible-runner: {type(error).__name__}: {error}")
    finally:
        events.put(None)


@contextlib.contextmanager
def _password_arguments(password: str) -> Iterator[tuple[str, ...]]:
    """Yield the arguments that tell ansible-playbook the password of sudo, none where it was not typed."""
    if not password:
        yield ()
        return
    import json

    # The variable wins over the one of hosts.yml, which is that of secrets/sudo_password; braces are no template.
    with named_pipe(json.dumps({"ansible_become_password": {"__ansible_unsafe": password}})) as path:
        yield ("--extra-vars", f"@{path}")


@contextlib.contextmanager
def _stop_signals() -> Iterator[list[int]]:
    """Collect the signals that ask us to stop, and give the signals back afterwards."""
    stops: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield stops
        return
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, lambda number, _: stops.append(number)) for number in numbers}
    try:
        yield stops
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
