"""`nexus-ops init`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from nexus_ops.cli.app import Application, is_terminal
from nexus_ops.cli.options import AsJson
from nexus_ops.errors import UsageError
from nexus_ops.intent.model import Role, Tls

if TYPE_CHECKING:
    from pathlib import Path

    from nexus_ops.intent.initial import Answers

DEFAULT_NAME = "production"

NodeOption = Annotated[list[str] | None, typer.Option(metavar="NAME=ADDRESS", help="A machine; may be repeated.")]


def init(
    context: typer.Context,
    env: Annotated[str | None, typer.Argument(help="Name of the environment; default: --env's, or production.")] = None,
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
    as_json: AsJson = False,
) -> None:
    """Make an environment: a commented nexus.yml and its secrets. Without flags it asks."""
    application: Application = context.obj
    application.json = as_json
    from nexus_ops.environment import chosen_name, environment_to_make
    from nexus_ops.intent.initial import Answers, check_answers, initial_text
    from nexus_ops.intent.schema import check_name
    from nexus_ops.intent.write import write_intent
    from nexus_ops.secrets import ensure_secrets

    if env is not None and application.environment_name not in {None, env}:
        raise UsageError(f"init {env} and --env {application.environment_name} differ", next_step="name one of them")
    name = chosen_name(application.environment_name, DEFAULT_NAME) if env is None else env
    check_name(name, "environment")
    environment = environment_to_make(application.inventories_given, name)
    if environment.intent.exists():
        raise UsageError(f"{environment.intent} is there already", next_step="edit it, or choose another name")
    answers = Answers(cluster or name, {}, ssh_user, ssh_port, ssh_key, virtual_ip, tls.value, acme_email)
    for role, given in ((Role.MANAGER, manager), (Role.LB, lb), (Role.WORKER, worker)):
        for text in given or []:
            node, separator, address = text.partition("=")
            if not separator or not node or not address:
                raise UsageError(f"--{role} {text!r} is not NAME=ADDRESS", next_step=f"write: --{role} m1=192.0.2.10")
            answers.add_node(node, address, [role])
    if not answers.nodes:
        if not is_terminal():
            raise UsageError(
                "init needs machines, and there is no terminal to ask on",
                next_step="name them: --manager m1=192.0.2.10 --lb l1=192.0.2.21 --worker w1=192.0.2.31",
            )
        _ask(application, answers, environment.intent)
    check_answers(answers, environment.intent)
    if answers.tls == Tls.ACME and not answers.acme_email:
        raise UsageError("init: acme needs an email address", next_step="give one: --acme-email ops@example.com")
    write_intent(environment, initial_text(answers))
    made = ensure_secrets(environment)
    if as_json:
        application.answer({"ok": True, "path": str(environment.intent), "secrets": made})
    application.say(f"{environment.intent} is written, and secrets for it in {environment.secrets}")
    if answers.tls == Tls.ACME:
        application.say("tls is off until a service has a domain: then write acme in its place")
    application.say("next: add your services to it, then run:")
    for command in ("bootstrap", "plan", "apply all"):
        application.say(f"  nexus-ops --env {environment.name} {command}")


def _ask(application: Application, answers: Answers, file: Path) -> None:
    """Ask for what `answers` needs; what cannot be is said at once and asked again."""
    from nexus_ops.intent.initial import check_answers

    def ask(field: str, question: str, default: str | None) -> None:
        while True:
            before = getattr(answers, field)
            setattr(answers, field, typer.prompt(question, default, show_default=bool(default), err=True))
            if _accepted(application, answers, file):
                return
            setattr(answers, field, before)

    virtual_ip, answers.virtual_ip = answers.virtual_ip, ""  # nobody could hold it before there are machines
    check_answers(answers, file)  # the flags: a fault of theirs would be found in every answer
    ask("cluster", "Name of the cluster", answers.cluster)
    ask("ssh_user", "User to log in to the machines as (root, or one that may sudo)", answers.ssh_user)
    application.complain("The machines, one a line: NAME ADDRESS ROLES (manager,lb,worker); an empty line ends.")
    while True:
        words = typer.prompt("Machine", default="", show_default=False, err=True).split(maxsplit=2)
        if not words and answers.nodes:
            break
        if len(words) != 3:
            application.complain("  like this: w1 192.0.2.31 worker    or: n1 192.0.2.11 manager,lb,worker")
            continue
        before = dict(answers.nodes)
        try:
            answers.add_node(words[0], words[1], words[2].replace(",", " ").split())
        except UsageError as error:
            application.complain(f"  {error.lines()[0]}")
            continue
        if not _accepted(application, answers, file):
            answers.nodes = before
    ask("virtual_ip", "Floating IP, as 192.0.2.100/24 (empty: none)", virtual_ip)
    choices = ", ".join(Tls)
    while (tls := typer.prompt(f"Certificates ({choices})", answers.tls, err=True)) not in set(Tls):
        application.complain(f"  choose from: {choices}")
    answers.tls = tls
    if tls == Tls.ACME:
        ask("acme_email", "Your email address, for the certificate authority", answers.acme_email or None)


def _accepted(application: Application, answers: Answers, file: Path) -> bool:
    from nexus_ops.intent.initial import check_answers

    try:
        check_answers(answers, file)
    except UsageError as error:
        application.complain(f"  {error.lines()[0]}")
        return False
    return True
