"""`nexus-ops dashboard`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from nexus_ops.cli.app import Application
from nexus_ops.cli.options import AsJson
from nexus_ops.errors import ExitCode

if TYPE_CHECKING:
    from nexus_ops.dashboard import Resolution
    from nexus_ops.tunnel import Tunnel

WHY = {
    "domain": "the domain, through the load balancers",
    "virtual_ip": "the floating IP",
    "lb": "load balancer {node} itself",
    "parent": "the parent on this machine ({node})",
    "tunnel": "a tunnel to parent {node}",
}


def dashboard(
    context: typer.Context,
    open_it: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
    tunnel: Annotated[
        bool, typer.Option("--tunnel", help="Through ssh to a parent, exposing nothing; stays until Ctrl-C.")
    ] = False,
    as_json: AsJson = False,
) -> ExitCode:
    """Say at which URL the dashboard answers now, and why there."""
    application: Application = context.obj
    application.json = as_json
    from nexus_ops.monitoring import require_monitoring

    environment, intent = application.environment, application.intent
    require_monitoring(environment, intent)
    if tunnel:
        from nexus_ops.tunnel import Tunnel, ended_by_signals

        with ended_by_signals():
            return _stay(application, Tunnel(environment, intent), open_it)
    from nexus_ops.dashboard import resolve_dashboard

    return _show(application, resolve_dashboard(environment, intent), open_it)


def _stay(application: Application, tunnel: Tunnel, open_it: bool) -> ExitCode:
    """Show the URL of `tunnel` and keep it; Ctrl-C is how it ends, once it is up."""
    try:
        code = _show(application, tunnel.open(), open_it)
        if code is ExitCode.DONE:
            application.say("Ctrl-C ends the tunnel.")
            try:
                tunnel.stay(application.complain)
            except KeyboardInterrupt:
                application.say("the tunnel is closed")
        return code
    finally:
        tunnel.close()


def _show(application: Application, found: Resolution, open_it: bool) -> ExitCode:
    environment, intent = application.environment, application.intent
    document: dict[str, Any] = found.document()
    chosen = found.chosen
    for attempt in found.tried:
        if not attempt.ok:
            whose = f" ({attempt.candidate.node})" if attempt.candidate.node else ""
            application.complain(f"no: {attempt.candidate.url}{whose}: {attempt.reason}")
    if chosen is None:
        application.complain(
            f"error: the dashboard answers nowhere ({len(found.tried)} addresses tried); try --tunnel, or make it so:"
            f" nexus-ops --env {environment.name} monitor enable"
        )
        if application.json:
            application.answer({**document, "error": {"message": application.reason}})
        return ExitCode.UNREACHABLE
    why = WHY[chosen.via].format(node=chosen.node)
    application.say(f"{chosen.url}  ({why})")
    if chosen.with_password:
        password = environment.secrets / "dashboard_password"
        user = intent.monitoring.dashboard.user
        document |= {"user": user, "password_file": str(password)}
        application.say(f"user {user}, password in {password}")
    if application.json:
        application.answer(document)
    if open_it:
        _open(application, chosen.url)
    return ExitCode.DONE


def _open(application: Application, url: str) -> None:
    import webbrowser

    if not webbrowser.open(url):
        application.complain("warning: no browser was found on this machine; open the URL yourself")
