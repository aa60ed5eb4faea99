"""What the commands that run a playbook share: plan, ask, run, show."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from nexus_ops.errors import ExitCode

if TYPE_CHECKING:
    from pathlib import Path

    from nexus_ops.cli.app import Application
    from nexus_ops.intent.model import Intent
    from nexus_ops.operation import Result


@dataclass(frozen=True)
class Order:
    """What to run: `target` is one of operation.PLAYBOOKS, `command` the name that the record gets.

    `variables` win over those of hosts.yml. None of them is secret. `skipped`: nodes to be left out, with the reason.
    """

    target: str
    command: str
    limit: str | None = None
    variables: Mapping[str, Any] = field(default_factory=dict)
    skipped: Mapping[str, str] = field(default_factory=dict)


def run(application: Application, order: Order, intent: Intent, *, check: bool) -> Result:
    """Run `order` and return its result; progress goes where the person looks."""
    from nexus_ops.operation import run_playbook

    with _variables_file(order.variables) as path:
        return run_playbook(
            application.environment,
            intent,
            order.target,
            command=order.command,
            stream=sys.stderr if application.json else sys.stdout,
            check=check,
            limit=order.limit,
            verbosity=application.verbosity,
            extra_variables_file=path,
            skipped=order.skipped,
            lock_wait=application.lock_wait,
        )


def change(
    application: Application,
    order: Order,
    *,
    question: str,
    check: bool,
    yes: bool,
    foreword: str = "",
    prepare: Callable[[], Intent] | None = None,
) -> ExitCode:
    """Carry out `order`: show the plan and ask `question` unless `yes`, run, show the result; return the exit code.

    `foreword` says what happens beside the plan. `prepare` is called once the person agreed and returns the intent to
    run with. With `check` nothing is asked, prepared or changed.
    """
    checked = replace(order, command=f"{order.command} --check")
    if check:
        return finish(application, run(application, checked, application.intent, check=True))
    if not yes:
        application.require_terminal()
        from nexus_ops.plan import pending_changes
        from nexus_ops.ui.changes import show_changes

        planned = run(application, checked, application.intent, check=True)
        if planned.exit_code is not ExitCode.DONE:
            return finish(application, planned)
        show_changes(application, pending_changes(planned))
        if foreword:
            application.say(foreword)
        if not application.confirm(question, yes=False):
            application.complain("nothing was changed")
            return ExitCode.FAILED
    if prepare is None:
        return finish(application, run(application, order, application.intent, check=False))
    with _put_back_when_refused(application) as results:
        results.append(run(application, order, prepare(), check=False))
    return finish(application, results[0])


@contextlib.contextmanager
def _put_back_when_refused(application: Application) -> Iterator[list[Result]]:
    """Give nexus.yml its text back when the run that was prepared by an edit fails before it has changed anything.

    The result of that run is put into the list. Without that, every later run would fail for the same reason.
    """
    from nexus_ops.errors import NexusError
    from nexus_ops.files import read_text, rewrite
    from nexus_ops.inventory import refresh_inventory

    environment = application.environment
    before = read_text(environment.intent)
    results: list[Result] = []
    try:
        yield results
    except NexusError:
        rewrite(environment.intent, before)
        refresh_inventory(environment, application.intent)
        raise
    failed = results[0].exit_code in {ExitCode.FAILED, ExitCode.UNREACHABLE}
    outcome = results[0].outcome
    if failed and not (outcome.changed or outcome.may_have_changed) and read_text(environment.intent) != before:
        rewrite(environment.intent, before)
        refresh_inventory(environment, application.intent)
        application.complain(f"{environment.intent} is as it was before this command")


def finish(application: Application, result: Result) -> ExitCode:
    """Show `result` and return its exit code."""
    from nexus_ops.ui.results import show_result

    show_result(application, result)
    if application.json:
        application.answer(result.document())
    return result.exit_code


@contextlib.contextmanager
def _variables_file(variables: Mapping[str, Any]) -> Iterator[Path | None]:
    if not variables:
        yield None
        return
    import json
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory(prefix="nexus-ops-") as folder:
        path = Path(folder) / "variables.json"
        path.write_text(json.dumps(variables), encoding="utf-8")
        yield path
