"""Options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout; progress goes to stderr.")]
Check = Annotated[bool, typer.Option("--check", help="Run in check mode: change nothing.")]
Limit = Annotated[str | None, typer.Option(help="Only these nodes or groups (Ansible's pattern; ! leaves out).")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
