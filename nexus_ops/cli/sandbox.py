"""`nexus-ops sandbox …`: the cluster as local containers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from nexus_ops.cli.options import AsJson
from nexus_ops.errors import ExitCode, UsageError
from nexus_ops.sandbox import Fault, NetworkMode, System

if TYPE_CHECKING:
    from nexus_ops.cli.app import Application
    from nexus_ops.environment import Environment
    from nexus_ops.sandbox.cluster import Sandbox
    from nexus_ops.sandbox.hosts import Container

DEFAULT_NAME = "sandbox"

sandbox = typer.Typer(
    help="The same cluster as local containers that boot real systemd (needs Linux, root and podman).",
    no_args_is_help=True,
    rich_markup_mode=None,
)


def _sandbox(application: Application) -> Sandbox:
    """Return the sandbox that is meant. Raises NexusError where none can be, or be seen: only root sees them."""
    from nexus_ops.environment import chosen_name
    from nexus_ops.sandbox.cluster import Sandbox
    from nexus_ops.sandbox.controller import check_requirements

    check_requirements()
    return Sandbox(chosen_name(application.environment_name, DEFAULT_NAME))


def _environment(application: Application, name: str) -> Environment:
    from nexus_ops.environment import environment_to_make

    return application.open(environment_to_make(application.inventories_given, name))


def _ports(given: list[str]) -> dict[str, int]:
    ports = {}
    for text in given:
        node, separator, port = text.partition("=")
        is_number = port.isascii() and port.isdigit() and len(port) <= 5  # not every digit is one for int()
        if not (separator and node and is_number and 0 < int(port) < 65536):
            raise UsageError(f"--ssh-port-of {text}", next_step="write NODE=PORT, as in w2=2222")
        ports[node] = int(port)
    return ports


def _systems(given: list[str]) -> dict[str, System]:
    systems = {}
    for text in given:
        node, _, system = text.partition("=")
        if not node or system not in set(System):
            choices = " or ".join(System)
            raise UsageError(f"--system-of {text}", next_step=f"write NODE=SYSTEM, the system being {choices}")
        systems[node] = System(system)
    return systems


def _describe(containers: list[Container]) -> dict[str, Any]:
    from nexus_ops.sandbox.faults import is_cut

    return {
        container.host.name: {
            "address": container.host.address,
            "ssh_port": container.host.ssh_port,
            "second_address": container.host.second_address or None,
            "system": container.host.system,
            "roles": list(container.host.roles),
            "state": "cut" if is_cut(container) else container.state,
        }
        for container in containers
    }


@sandbox.command()
def up(
    context: typer.Context,
    managers: Annotated[int | None, typer.Option(help="Manager nodes; default 1.")] = None,
    lbs: Annotated[int | None, typer.Option(help="Load balancers; default 2.")] = None,
    workers: Annotated[int | None, typer.Option(help="Workers; default 3.")] = None,
    all_in_one: Annotated[
        int | None, typer.Option(help="Nodes with all three roles, in place of the defaults.")
    ] = None,
    ssh_user: Annotated[str | None, typer.Option(help="User for nexus.yml, made by bootstrap; default root.")] = None,
    ssh_port_of: Annotated[list[str] | None, typer.Option(metavar="NODE=PORT", help="Another ssh port.")] = None,
    system: Annotated[
        System, typer.Option(help="System of the hosts that are made now.", show_default=True)
    ] = System.DEBIAN_12,
    system_of: Annotated[list[str] | None, typer.Option(metavar="NODE=SYSTEM", help="Another system.")] = None,
    network: Annotated[
        NetworkMode | None,
        typer.Option(
            help="Addresses of the hosts; default ipv4. With ipv6, nexus.yml names IPv6 addresses only, and hosts keep "
            "an IPv4 address to reach package sources. With dual, they have both and nexus.yml names the IPv4 ones."
        ),
    ] = None,
    client: Annotated[bool, typer.Option("--client", help="Also a host outside the cluster that sends load.")] = False,
    as_json: AsJson = False,
) -> None:
    """Bring the sandbox up: make what is missing, start what is down, write its nexus.yml."""
    from nexus_ops.sandbox.topology import Request

    application: Application = context.obj
    application.json = as_json
    meant = _sandbox(application)
    folder = _environment(application, meant.name)
    request = Request(
        managers,
        lbs,
        workers,
        all_in_one,
        client,
        ssh_user,
        _ports(ssh_port_of or []),
        system,
        _systems(system_of or []),
        network,
    )
    containers = meant.up(folder, request, application.say)
    if as_json:
        application.answer(
            {"ok": True, "sandbox": meant.name, "intent": str(folder.intent), "nodes": _describe(containers)}
        )
        return
    for container in containers:
        host = container.host
        application.say(f"{host.name:10} {host.address:16} {host.system:10} {', '.join(host.roles)}")
    application.say(
        f"all answer ssh; the intent is {folder.intent}; next: nexus-ops -e {meant.name} bootstrap --user root"
    )


@sandbox.command()
def down(
    context: typer.Context,
    everything: Annotated[bool, typer.Option("--all", help="All sandboxes of this machine.")] = False,
    purge: Annotated[bool, typer.Option("--purge", help="Also the environment's folder.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before a folder is removed.")] = False,
    as_json: AsJson = False,
) -> None:
    """Remove the sandbox's hosts and network; the image stays for the next time."""
    from nexus_ops.sandbox.cluster import all_sandboxes
    from nexus_ops.sandbox.environment import require_sandbox

    application: Application = context.obj
    application.json = as_json
    removed: dict[str, list[str]] = {}
    meant = _sandbox(application)
    folders = [(each, _environment(application, each.name)) for each in (all_sandboxes() if everything else [meant])]
    for _, folder in folders if purge else []:
        require_sandbox(folder)
        question = f"Remove {folder.folder} with everything in it?"
        if folder.folder.exists() and not application.confirm(question, yes=yes, next_step="add --yes"):
            application.complain("nothing was removed")
            raise typer.Exit(ExitCode.FAILED)
    for each, folder in folders:
        removed[each.name] = [container.host.name for container in each.down(folder)]
        if purge:
            each.purge(folder)
        application.say(f"{each.name}: removed {', '.join(removed[each.name]) or 'nothing: it has no hosts'}")
    if as_json:
        application.answer({"ok": True, "removed": removed})


@sandbox.command("list")
def list_(context: typer.Context, as_json: AsJson = False) -> None:
    """List the sandboxes of this machine (with --env: that one), their hosts, addresses and states."""
    from nexus_ops.sandbox.controller import check_requirements
    from nexus_ops.sandbox.hosts import list_containers

    application: Application = context.obj
    application.json = as_json
    check_requirements()
    containers = list_containers(application.environment_name)
    names = sorted({container.sandbox for container in containers})
    found = {name: _describe([each for each in containers if each.sandbox == name]) for name in names}
    if as_json:
        application.answer({"ok": True, "sandboxes": {name: {"nodes": nodes} for name, nodes in found.items()}})
        return
    for name, nodes in found.items():
        for node, about in nodes.items():
            columns = f"{about['address']:16} {about['system']:10} {about['state']:8} {', '.join(about['roles'])}"
            application.say(f"{name:12} {node:10} {columns}")
    if not found:
        application.say("no sandbox here; make one: nexus-ops sandbox up")


@sandbox.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
def ssh(
    context: typer.Context,
    node: Annotated[str, typer.Argument(help="The host.")],
    command: Annotated[list[str] | None, typer.Argument(help="What to run there; default: a shell.")] = None,
) -> None:
    """Log in to a host as root, or run a command there; the exit status is the command's."""
    import subprocess

    application: Application = context.obj
    meant = _sandbox(application)
    application.leave_stdout()
    call = meant.ssh_command(_environment(application, meant.name), node, command or [])
    raise typer.Exit(subprocess.run(call, check=False).returncode)


@sandbox.command()
def fault(
    context: typer.Context,
    node: Annotated[str, typer.Argument(help="The host.")],
    what: Annotated[Fault, typer.Argument(help="What happens to it.")],
    as_json: AsJson = False,
) -> None:
    """Break a host as machines break, or repair it: power, network cable, or a freeze of all it does."""
    application: Application = context.obj
    application.json = as_json
    meant = _sandbox(application)
    meant.fault(node, what)
    state = _describe([meant.container(node)])[node]["state"]
    application.say(f"{node}: {state}")
    if as_json:
        application.answer({"ok": True, "node": node, "state": state})
