"""`nexus-ops lock show` and `lock release`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from nexus_ops.cli.app import Application
from nexus_ops.cli.options import AsJson, AskBecomePass, Yes
from nexus_ops.errors import ExitCode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nexus_ops.locking import Holder

lock = typer.Typer(name="lock", help="One run at a time: who is at work on the environment.", no_args_is_help=True)


@lock.command()
def show(
    context: typer.Context,
    ask_become_pass: AskBecomePass = False,  # noqa: ARG001  its callback keeps it
    as_json: AsJson = False,
) -> None:
    """Show who holds the lock, per node that keeps it."""
    application: Application = context.obj
    application.json = as_json
    from nexus_ops.locking import show_locks

    holders, reasons = show_locks(application.environment, application.intent)
    if as_json:
        application.answer({"locked": any(holders.values()), "nodes": holders, "silent": reasons})
        return
    _say_holders(application, holders, "free")
    _complain_of_silent(application, reasons)


@lock.command()
def release(
    context: typer.Context,
    yes: Yes = False,
    ask_become_pass: AskBecomePass = False,  # noqa: ARG001  its callback keeps it
    as_json: AsJson = False,
) -> ExitCode:
    """Interrupt the run that holds the lock."""
    application: Application = context.obj
    application.json = as_json
    from nexus_ops.locking import describe, release_locks, show_locks

    environment, intent = application.environment, application.intent
    if not yes:
        application.require_terminal("look at: nexus-ops lock show, then add --yes")
        found = {describe(holder) for holder in show_locks(environment, intent)[0].values() if holder}
        if not found:
            application.say("nobody holds the lock")
            return ExitCode.DONE
        if not application.confirm(f"{'; '.join(sorted(found))}. Interrupt it?", yes=False):
            application.complain("nothing was released")
            return ExitCode.FAILED
    released, reasons = release_locks(environment, intent)
    strangers = {name: holder for name, holder in released.items() if holder and "stranger" in holder}
    released = {name: None if name in strangers else holder for name, holder in released.items()}
    if as_json:
        application.answer({"ok": not strangers, "released": released, "silent": reasons})
    elif any(released.values()):
        _say_holders(application, released, "was free", "released: ")
    elif not strangers:
        application.say("nobody held the lock")
    _complain_of_silent(application, reasons)
    for name, holder in strangers.items():
        application.complain(f"error: {name}: {describe(holder)}; nothing was done to it; end it there")
    return ExitCode.FAILED if strangers else ExitCode.DONE


def _say_holders(application: Application, holders: Mapping[str, Holder | None], free: str, prefix: str = "") -> None:
    from nexus_ops.locking import describe

    width = max(map(len, holders))
    for name, holder in holders.items():
        application.say(f"{name:{width}}  {prefix + describe(holder) if holder else free}")


def _complain_of_silent(application: Application, reasons: Mapping[str, str]) -> None:
    for name, reason in reasons.items():
        application.complain(f"warning: {name} cannot be asked: {reason}")
