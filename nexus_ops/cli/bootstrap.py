"""`nexus-ops bootstrap`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from nexus_ops.cli.app import Application
from nexus_ops.cli.options import AsJson, AskBecomePass
from nexus_ops.errors import ExitCode


def bootstrap(
    context: typer.Context,
    nodes: Annotated[list[str] | None, typer.Argument(help="Nodes to bootstrap; default: all.")] = None,
    user: Annotated[str | None, typer.Option(help="Log in as this user, for example root; default: ssh.user.")] = None,
    ask_pass: Annotated[bool, typer.Option("--ask-pass", help="Ask for the password of that user.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Accept host keys on first sight and do not ask.")] = False,
    ask_become_pass: AskBecomePass = False,  # noqa: ARG001  its callback keeps it
    as_json: AsJson = False,
) -> int:
    """Make machines manageable: pin the host key, install python3, set up the user with key and sudo."""
    application: Application = context.obj
    application.json = as_json
    from nexus_ops import bootstrap as domain
    from nexus_ops.hostkeys import survey_host_keys
    from nexus_ops.ui.results import show_result

    environment, intent = application.environment, application.intent
    chosen = domain.choose_nodes(intent, nodes or [])
    survey = survey_host_keys(environment.known_hosts, chosen)
    for name, reason in survey.silent.items():
        application.complain(
            f"error: {name} ({intent.nodes[name].address}) does not answer: {reason}; bring it up, then run this again"
        )
    for explanation in survey.refused.values():
        application.complain(f"error: {explanation}")
    for name, (new, key) in survey.new.items():
        application.say(f"{name} ({new.address}) shows the host key {key.kind} {key.fingerprint}")
    todo = [*survey.known, *(node for node, _ in survey.new.values())]
    result = None
    if todo:
        if not application.confirm(domain.question(survey, todo), yes=yes):
            application.complain("nothing was changed")
            return ExitCode.FAILED
        password = domain.ask_password(user) if ask_pass else None
        domain.pin_new_keys(environment, survey)
        stream = sys.stderr if as_json else sys.stdout
        result = domain.bootstrap_nodes(
            environment, intent, todo, user=user, password=password, stream=stream, verbosity=application.verbosity
        )
        show_result(application, result)
    code = domain.exit_code(survey, result)
    if as_json:
        document = result.document() if result else {"ok": False, "changed": 0, "nodes": {}}
        problems = {**survey.silent, **survey.refused}
        document["ok"] = code == ExitCode.DONE
        if problems and "error" not in document:
            node, message = next(iter(problems.items()))
            document["error"] = {"node": node, "task": "", "message": message}
        application.answer(document)
    return code
