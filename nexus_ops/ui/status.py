"""The cluster on one screen."""

from __future__ import annotations

import datetime
import time
from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from nexus_ops.environment import Environment
from nexus_ops.errors import ExitCode
from nexus_ops.intent.model import Intent, Role
from nexus_ops.runs import last_record
from nexus_ops.status import ClusterStatus, ServiceOnNode, ask_status
from nexus_ops.ui.tables import make_console, make_table

INTERVAL = 3.0
"""Seconds between two questions of `--watch`."""

GOOD, BAD, DIM = "green", "bold red", "dim"


def show_status(environment: Environment, intent: Intent, status: ClusterStatus) -> None:
    """Print it."""
    make_console().print(render_status(intent, status, last_record(environment)))


def watch_status(environment: Environment, intent: Intent) -> ExitCode:
    """Show it again and again, until Ctrl-C; return the exit code of what was seen last."""
    from rich.live import Live

    code = ExitCode.DONE
    with Live(console=make_console(), screen=False, auto_refresh=False) as live:
        try:
            while True:
                status = ask_status(environment, intent)
                code = status.exit_code
                clock = Text(f"{datetime.datetime.now().astimezone():%H:%M:%S}, every few seconds; Ctrl-C ends", DIM)
                live.update(Group(render_status(intent, status, last_record(environment)), clock), refresh=True)
                time.sleep(INTERVAL)
        except KeyboardInterrupt:
            return code


def render_status(intent: Intent, status: ClusterStatus, last_run: Mapping[str, Any] | None) -> RenderableType:
    """Return the screen: nodes, load balancers, services, what is wrong, and the last run."""
    parts: list[RenderableType] = [_nodes(intent, status)]
    if status.services:
        parts += [Text(), _services(status)]
    parts.append(Text())
    parts += [Text(f"✗ {problem}", style=BAD) for problem in status.problems]
    if status.ok:
        parts.append(Text(f"all is as nexus.yml says, on {len(status.nodes)} nodes", style="bold green"))
    if last_run is not None:
        when, what = str(last_run["started"]).replace("T", " ")[:16], last_run["command"]
        parts.append(Text(f"last run: {what}, {last_run['result']}, {when} UTC, by {last_run['by']}", style=DIM))
    return Group(*parts)


def _nodes(intent: Intent, status: ClusterStatus) -> RenderableType:
    rows = []
    for name in status.nodes:
        node = intent.nodes[name]
        here = name not in status.silent
        lb = status.lbs.get(name)
        state = Text("up", style=GOOD) if here else Text("no answer", style=BAD)
        balancing = Text("")
        if lb is not None and here:
            ups = [doubt for workers in lb.upstreams.values() for doubt in workers.values()]
            words = lb.problem or f"{sum(not doubt for doubt in ups)} of {len(ups)} upstreams up"
            balancing = Text(words, style=BAD if lb.problem or any(ups) else GOOD)
            if lb.holds_virtual_ip and intent.ha.virtual_ip:
                balancing = Text.assemble((f"holds {intent.ha.virtual_ip.ip}", "bold"), ", ", balancing)
        roles = " ".join(role.value for role in Role if role in node.roles)
        row: list[object] = [Text(name, style="bold"), node.address, roles, state, balancing]
        if status.streaming:
            stream = status.streaming.get(name, "")
            row.append(Text(stream, style=GOOD if stream == "live" else BAD))
        rows.append(row)
    columns = ["node", "address", "roles", "state", "load balancing", *(["stream"] if status.streaming else [])]
    return make_table(columns, rows)


def _services(status: ClusterStatus) -> RenderableType:
    rows = []
    for name, workers in status.services.items():
        for worker, found in workers.items():
            rows.append(
                [
                    Text(name, style="bold"),
                    worker,
                    found.release,
                    _since(found),
                    _health(found),
                    _served(name, worker, status),
                ]
            )
    return make_table(["service", "worker", "release", "since", "health", "gets requests from"], rows)


def _health(found: ServiceOnNode) -> Text:
    return Text("healthy", style=GOOD) if found.healthy else Text("not healthy", style=BAD)


def _served(service: str, worker: str, status: ClusterStatus) -> Text:
    able = [
        name for name, lb in status.lbs.items() if not lb.problem and lb.upstreams.get(service, {}).get(worker) == ""
    ]
    return Text(" ".join(able), style=GOOD) if able else Text("nobody", style=BAD)


def _since(found: ServiceOnNode) -> str:
    if found.since is None:
        return ""
    return f"{datetime.datetime.fromtimestamp(found.since).astimezone():%Y-%m-%d %H:%M}"
