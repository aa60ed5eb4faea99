"""`nexus-ops init`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nexus_ops.cli.app import Application
from nexus_ops.errors import UsageError
from nexus_ops.intent.model import Role, Tls

if TYPE_CHECKING:
    from nexus_ops.intent.initial import Answers

NodeOption = Annotated[list[str] | None, typer.Option(metavar="NAME=ADDRESS", help="A machine; may be repeated.")]


def init(
    context: typer.Context,
    env: Annotated[str, typer.Argument(help="Name of the environment.")] = "production",
    cluster: Annotated[str | None, typer.Option(help="Name of the cluster; default: the environment's.")] = None,
    manager: NodeOption = None,
    lb: NodeOption = None,
    worker: NodeOption = None,
    ssh_user: Annotated[str, typer.Option(help="User to log in as.")] = "root",
    ssh_port: Annotated[int, typer.Option(help="Port of ssh.")] = 22,
    ssh_key: Annotated[str, typer.Option(help="Private key file; default: ssh's own choice.")] = "",
    virtual_ip: Annotated[str, typer.Option(help="Floating IP with prefix length, as 192.0.2.100/24.")] = "",
    tls: Annotated[Tls, typer.Option(help="Where certificates come from.")] = Tls.OFF,
    acme_email: Annotated[str, typer.Option(help="Address for the certificate authority (--tls acme).")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Make an environment: a commented nexus.yml and its secrets. Without flags it asks."""
    application: Application = context.obj
    application.json = as_json
    from nexus_ops.environment import Environment, find_inventories
    from nexus_ops.intent.initial import Answers, initial_text
    from nexus_ops.intent.write import write_intent
    from nexus_ops.secrets import ensure_secrets

    if application.inventories_given is not None:
        inventories = application.inventories_given.absolute()
    else:
        try:
            inventories = find_inventories()
        except UsageError:
            inventories = Path.cwd() / "inventories"
    environment = Environment(inventories / env)
    if environment.intent.exists():
        raise UsageError(f"{environment.intent} is there already", next_step="edit it, or choose another name")
    answers = Answers(cluster or env, {}, ssh_user, ssh_port, ssh_key, virtual_ip, tls.value, acme_email)
    for role, given in ((Role.MANAGER, manager), (Role.LB, lb), (Role.WORKER, worker)):
        for text in given or []:
            name, separator, address = text.partition("=")
            if not separator or not name or not address:
                raise UsageError(f"--{role} {text!r} is not NAME=ADDRESS", next_step=f"write: --{role} m1=192.0.2.10")
            answers.add_node(name, address, [role])
    if not answers.nodes:
        if not sys.stdin.isatty():
            raise UsageError(
                "init needs machines, and there is no terminal to ask on",
                next_step="name them: --manager m1=192.0.2.10 --lb l1=192.0.2.21 --worker w1=192.0.2.31",
            )
        _ask(application, answers)
    write_intent(environment, initial_text(answers))
    made = ensure_secrets(environment)
    if as_json:
        application.answer({"ok": True, "path": str(environment.intent), "secrets": made})
    application.say(f"{environment.intent} is written, and secrets for it in {environment.secrets}")
    application.say("next: add your services to it, then run:")
    for command in ("bootstrap", "plan", "apply all"):
        application.say(f"  nexus-ops --env {environment.name} {command}")


def _ask(application: Application, answers: Answers) -> None:
    from ipaddress import ip_interface

    answers.cluster = typer.prompt("Name of the cluster", answers.cluster)
    answers.ssh_user = typer.prompt("User to log in to the machines as (root, or one that may sudo)", answers.ssh_user)
    application.say("The machines, one a line: NAME ADDRESS ROLES (manager,lb,worker); an empty line ends.")
    while True:
        words = typer.prompt("Machine", default="", show_default=False).split(maxsplit=2)
        if not words and answers.nodes:
            break
        if len(words) != 3:
            application.say("  like this: w1 192.0.2.31 worker    or: n1 192.0.2.11 manager,lb,worker")
            continue
        try:
            answers.add_node(words[0], words[1], words[2].replace(",", " ").split())
        except UsageError as error:
            answers.nodes = {name: node for name, node in answers.nodes.items() if node[1]}
            application.say(f"  {error.lines()[0]}")
    while True:
        answers.virtual_ip = typer.prompt("Floating IP, as 192.0.2.100/24 (empty: none)", "", show_default=False)
        try:
            if answers.virtual_ip:
                ip_interface(answers.virtual_ip)
            break
        except ValueError:
            application.say(f"  {answers.virtual_ip} is no address with a prefix length")
    choices = ", ".join(Tls)
    while (tls := typer.prompt(f"Certificates ({choices})", answers.tls)) not in set(Tls):
        application.say(f"  choose from: {choices}")
    answers.tls = tls
    if tls == Tls.ACME:
        answers.acme_email = typer.prompt("Your email address, for the certificate authority")
