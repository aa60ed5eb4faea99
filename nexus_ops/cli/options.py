"""Options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer


def _set_lock_wait(context: typer.Context, given: str) -> str:
    from nexus_ops.durations import seconds_of

    context.obj.lock_wait = seconds_of(given, "--lock-wait")
    return given


def _set_ask_become_pass(context: typer.Context, given: bool) -> bool:
    context.obj.ask_become_pass = given
    return given


AskBecomePass = Annotated[
    bool,
    typer.Option(
        "--ask-become-pass", "-K", callback=_set_ask_become_pass, help="Ask for the password of sudo on the nodes."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout; progress goes to stderr.")]
Check = Annotated[bool, typer.Option("--check", help="Run in check mode: change nothing.")]
Limit = Annotated[str | None, typer.Option(help="Only these nodes or groups (Ansible's pattern; ! leaves out).")]
LockWait = Annotated[
    str,
    typer.Option(
        metavar="DURATION", callback=_set_lock_wait, help="Wait so long (10m) while another run has the lock."
    ),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
