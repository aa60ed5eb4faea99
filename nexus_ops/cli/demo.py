"""`nexus-ops demo`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from nexus_ops.cli.app import Application
from nexus_ops.cli.options import AsJson
from nexus_ops.errors import ExitCode
from nexus_ops.sandbox import NetworkMode, System

DEFAULT_NAME = "demo"


def demo(
    context: typer.Context,
    system: Annotated[System, typer.Option(help="System of the hosts that are made now.")] = System.DEBIAN_12,
    network: Annotated[NetworkMode | None, typer.Option(help="Addresses, as for sandbox up; default ipv4.")] = None,
    as_json: AsJson = False,
) -> int:
    """See it work: six local containers, a service on three of them, a dashboard of all, and the URLs of both."""
    application: Application = context.obj
    application.json = as_json
    from nexus_ops import bootstrap as bootstrapping
    from nexus_ops import demo as domain
    from nexus_ops.environment import chosen_name, environment_to_make
    from nexus_ops.hostkeys import survey_host_keys
    from nexus_ops.operation import run_playbook
    from nexus_ops.secrets import PASSWORD
    from nexus_ops.ui.results import show_result

    name = chosen_name(application.environment_name, DEFAULT_NAME)
    environment = application.open(environment_to_make(application.inventories_given, name))
    stream = sys.stderr if as_json else sys.stdout
    application.say(f"1/5  a sandbox of six hosts ({environment.folder})")
    intent = domain.start_sandbox(environment, application.say, system, network)
    application.say("2/5  bootstrap")
    nodes = list(intent.nodes.values())
    survey = survey_host_keys(environment.known_hosts, nodes)
    bootstrapping.pin_new_keys(environment, survey)
    result = bootstrapping.bootstrap_nodes(environment, intent, nodes, user="root", password=None, stream=stream)
    if result.exit_code is ExitCode.DONE:
        application.say("3/5  apply all")
        result = run_playbook(environment, intent, "all", command="apply all", stream=stream)
    show_result(application, result)
    if result.exit_code is not ExitCode.DONE:
        if as_json:
            application.answer(result.document())
        return result.exit_code
    application.say("4/5  ask the service")
    answers = domain.ask_service(environment, intent)
    for text in answers.texts:
        application.say(f"     {text}")
    application.say("5/5  look for the dashboard")
    dashboard = domain.find_dashboard(environment, intent).url
    password = environment.secrets / PASSWORD
    if as_json:
        application.answer(
            {"ok": True, "url": answers.url, "dashboard": dashboard, "password_file": str(password), "run": result.run}
        )
    application.say()
    application.say(f"The service is at   {answers.url} (a floating IP; try: curl {answers.url})")
    application.say(f"The dashboard is at {dashboard}")
    application.say(f"                    user {intent.monitoring.dashboard.user}, password in {password}")
    prefix = f"nexus-ops -e {environment.name}"
    application.say(f"Break something and ask again:  {prefix} sandbox fault w1 power-off")
    application.say(f"Remove it all:                  {prefix} sandbox down --purge")
    return ExitCode.DONE
