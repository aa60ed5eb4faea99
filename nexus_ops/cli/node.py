"""`nexus-ops node add`, `remove` and `list`."""

from __future__ import annotations

from typing import Annotated

import typer

from nexus_ops.cli.app import Application
from nexus_ops.cli.options import AsJson
from nexus_ops.intent.model import Role

node = typer.Typer(name="node", help="The machines in nexus.yml.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="The node's name.")]


@node.command("list")
def list_nodes(context: typer.Context, as_json: AsJson = False) -> None:
    """List the nodes with their roles and addresses."""
    application: Application = context.obj
    application.json = as_json
    rows = [
        {
            "name": one.name,
            "address": one.address,
            "roles": sorted(one.roles),
            "ssh": f"{one.ssh.user}@{one.address}:{one.ssh.port}",
            "services": [service.name for service in application.intent.services.values() if one.name in service.nodes],
        }
        for one in application.intent.nodes.values()
    ]
    if as_json:
        application.answer({"nodes": {row.pop("name"): row for row in rows}})
        return
    from nexus_ops.ui.tables import make_console, make_table

    cells = [[row["name"], row["ssh"], ", ".join(row["roles"]), ", ".join(row["services"])] for row in rows]
    make_console().print(make_table(["node", "ssh", "roles", "services"], cells))


@node.command("add")
def add(
    context: typer.Context,
    name: Name,
    address: Annotated[str, typer.Option(help="IP address (a manager's may be a host name or localhost).")],
    role: Annotated[list[Role], typer.Option("--role", help="What it is for; repeat for several.")],
    ssh_user: Annotated[str | None, typer.Option(help="ssh user, where it is not the cluster's.")] = None,
    ssh_port: Annotated[int | None, typer.Option(help="ssh port, where it is not the cluster's.")] = None,
    ssh_key: Annotated[str | None, typer.Option(help="Private key file, where it is not the cluster's.")] = None,
    as_json: AsJson = False,
) -> None:
    """Add a machine to nexus.yml; comments in the file stay."""
    application: Application = context.obj
    application.json = as_json
    from nexus_ops.files import read_text
    from nexus_ops.intent.edit import add_node
    from nexus_ops.intent.schema import check_name
    from nexus_ops.intent.write import write_intent

    environment = application.environment
    wanted = {"user": ssh_user, "port": ssh_port, "private_key_file": ssh_key}
    ssh = {key: value for key, value in wanted.items() if value is not None}
    check_name(name, "node")
    _ = application.intent  # its faults, with their lines, before any edit
    text = add_node(read_text(environment.intent), name, address, [one.value for one in role], ssh)
    write_intent(environment, text)
    if as_json:
        application.answer({"ok": True, "node": name})
    application.say(f"{name} is in {environment.intent}; next: nexus-ops --env {environment.name} bootstrap {name}")


@node.command("remove")
def remove(context: typer.Context, name: Name, as_json: AsJson = False) -> None:
    """Take a machine out of nexus.yml; the next apply takes it out of the cluster."""
    application: Application = context.obj
    application.json = as_json
    from nexus_ops.files import read_text
    from nexus_ops.intent.edit import remove_node
    from nexus_ops.intent.write import write_intent
    from nexus_ops.inventory import refresh_inventory

    environment = application.environment
    refresh_inventory(environment, application.intent)  # so that the next one knows whom to clean up
    text, services = remove_node(read_text(environment.intent), name)
    refresh_inventory(environment, write_intent(environment, text))
    if as_json:
        application.answer({"ok": True, "node": name, "services": services})
    for service in services:
        application.say(f"{name} was also taken out of the nodes of service {service}")
    application.say(
        f"{name} is out of {environment.intent}; next: nexus-ops --env {environment.name} apply all, which takes it"
        " out of the load balancers and stops what runs there"
    )
