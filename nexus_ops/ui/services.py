"""The services and their releases, as a person sees them."""

from __future__ import annotations

import datetime

from rich.text import Text

from nexus_ops.environment import Environment
from nexus_ops.services import Placed, Services
from nexus_ops.ui.tables import make_console, make_table

STYLES = {"good": "green", "abandoned": "red", "rolled back": "yellow"}


def show_services(environment: Environment, services: Services) -> None:
    """Print what runs where, what is wrong or differs, and which releases there are to go back to."""
    console = make_console()
    rows = [
        [Text(name, style="bold"), worker, placed.release, local_time(placed.since), placed.by, _state(placed)]
        for name, workers in services.placed.items()
        for worker, placed in workers.items()
    ]
    console.print(make_table(["service", "worker", "release", "since", "by", "state"], rows))
    console.print()
    for name in services.placed:
        words = Text.assemble((name, "bold"), " releases: ")
        for index, (release, verdict) in enumerate(services.releases(name)):
            words.append(f"{', ' if index else ''}{release}")
            words.append(f" ({verdict or 'never ran'})", style=STYLES.get(verdict, "dim"))
        console.print(words)
    for name, workers in services.placed.items():
        for worker, placed in workers.items():
            for trouble in [*([placed.problem] if placed.problem else []), *placed.drift]:
                console.print(Text(f"✗ {name} on {worker}: {trouble}", style="red"))
        held = {placed.held for placed in workers.values() if placed.held}
        for release in sorted(held):
            again = f"nexus-ops --env {environment.name} deploy {name}"
            kept = f"{name}: release {release} was rolled back, and apply leaves it so; to try it again: {again}"
            console.print(Text(kept, style="yellow"))
    for worker, reason in services.failed.items():
        console.print(Text(f"✗ {worker}: {reason}", style="red"))


def local_time(seconds: float | None) -> str:
    """Return a time, given in seconds of the epoch, by this machine's clock and zone."""
    return "" if seconds is None else f"{datetime.datetime.fromtimestamp(seconds).astimezone():%Y-%m-%d %H:%M:%S}"


def _state(placed: Placed) -> Text:
    if placed.problem:
        return Text("not healthy", style="bold red")
    return Text("healthy, differs", style="yellow") if placed.drift else Text("healthy", style="green")
