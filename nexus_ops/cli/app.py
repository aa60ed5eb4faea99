"""The Application: what every command shares: the environment, where output goes, and how it looks."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nexus_ops.environment import Environment, find_inventories, require_trust, select_environment
from nexus_ops.errors import UsageError
from nexus_ops.text import visible

if TYPE_CHECKING:
    from nexus_ops.intent.model import Intent

LOOK_FIRST = "look at the plan, then add --yes"


@dataclass
class Application:
    """One invocation of the CLI. `json` is set by a command's `--json`: then stdout carries one document only.

    `lock_wait` is in seconds: `--lock-wait` of the commands that change machines. `ask_become_pass`: the password that
    sudo asks for on the nodes is to be asked, once, when the environment is opened.
    """

    environment_name: str | None = None
    inventories_given: Path | None = None
    verbosity: int = 0
    lock_wait: float = 0.0
    ask_become_pass: bool = False
    json: bool = False
    opened: list[Environment] = field(default_factory=list, repr=False)
    reason: str = field(default="", repr=False)
    _answered: bool = field(default=False, repr=False)

    @cached_property
    def inventories(self) -> Path:
        """Return the inventories folder; raises UsageError where there is none."""
        return find_inventories(self.inventories_given)

    @cached_property
    def environment(self) -> Environment:
        """Return the selected environment; raises UsageError when the choice is not clear."""
        found = self.open(select_environment(self.inventories, self.environment_name))
        return replace(found, sudo_password=ask_sudo_password()) if self.ask_become_pass else found

    def open(self, environment: Environment) -> Environment:
        """Return `environment`, and remember that this command works in it. Raises UsageError, see `require_trust`."""
        if self.inventories_given is None:
            for path in filter(Path.exists, (environment.folder, environment.intent)):
                require_trust(path)
        self.opened.append(environment)
        return environment

    @cached_property
    def intent(self) -> Intent:
        """Return the validated intent of the environment; raises IntentError with all faults."""
        from nexus_ops.intent.load import load_intent

        return load_intent(self.environment.intent)

    def say(self, text: str = "") -> None:
        """Write a line for the person: to stdout, or to stderr when stdout belongs to a JSON document."""
        text = visible(text)
        sys.stderr.write(text + "\n") if self.json else sys.stdout.write(text + "\n")

    def complain(self, text: str) -> None:
        """Write a line to stderr; the last one is the reason given in JSON where no other is known."""
        self.reason = text.removeprefix("error: ")
        sys.stderr.write(visible(text) + "\n")

    def answer(self, document: Any) -> None:
        """Write the one JSON document of a `--json` call to stdout."""
        self._answered = True
        sys.stdout.write(json.dumps(document, indent=2) + "\n")

    @property
    def answered(self) -> bool:
        """Whether the JSON document is out already."""
        return self._answered

    def leave_stdout(self) -> None:
        """Leave stdout to another program, whatever becomes of it: no JSON document of ours."""
        self._answered = True

    def confirm(self, question: str, *, yes: bool, next_step: str = LOOK_FIRST) -> bool:
        """Return whether to go ahead: `yes`, or the person's answer. Raises UsageError when nobody can be asked."""
        if yes:
            return True
        self.require_terminal(next_step)
        sys.stderr.write(f"{visible(question)} [y/N] ")
        sys.stderr.flush()
        return sys.stdin.readline().strip().lower() in {"y", "yes"}

    def require_terminal(self, next_step: str = LOOK_FIRST) -> None:
        """Raise UsageError with `next_step` when there is no terminal to ask a person on."""
        if not is_terminal():
            raise UsageError("this wants an answer, and there is no terminal to ask on", next_step=next_step)


def ask_sudo_password() -> str:
    """Return the password that the person types, without echo. Raises UsageError without a terminal, and for none."""
    if not is_terminal():
        raise UsageError(
            "--ask-become-pass asks for the password on a terminal, and there is none",
            next_step="write it into secrets/sudo_password of the environment (mode 0600), and leave the option out",
        )
    import getpass

    password = getpass.getpass("Password of sudo on the nodes: ", sys.stderr)
    if not password:
        raise UsageError("--ask-become-pass got no password", next_step="type it, or leave the option out")
    return password


def is_terminal() -> bool:
    """Return whether a person can be asked."""
    return sys.stdin is not None and sys.stdin.isatty()
