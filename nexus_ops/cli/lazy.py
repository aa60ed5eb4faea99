"""Commands that are loaded when they are called: a command pays for itself only. `--help` loads all of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup

MODULES = {
    **{name: name for name in ("init", "bootstrap", "inventory")},
    **dict.fromkeys(("plan", "apply"), "apply"),
    **dict.fromkeys(("deploy", "rollback"), "deploy"),
    **{name: name for name in ("services", "status", "doctor", "drill", "dashboard", "demo")},
    **{name: name for name in ("node", "monitor", "runs", "lock", "sandbox")},
}
"""By command, in the order of the help, the module of this package that has a function or a group of that name."""


class _Commands(Mapping[str, Any]):
    def __init__(self) -> None:
        self._loaded: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._loaded:
            found = getattr(import_module(f"nexus_ops.cli.{MODULES[name]}"), name)
            alone = typer.Typer(rich_markup_mode=None)
            if isinstance(found, typer.Typer):
                alone.add_typer(found, name=name)
            else:
                alone.command(name)(found)
            self._loaded[name] = typer.main.get_group(alone).commands[name]
        return self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(MODULES)

    def __len__(self) -> int:
        return len(MODULES)


class LazyGroup(TyperGroup):
    """The group of the root command."""

    def __init__(self, **options: Any) -> None:
        """Take what a TyperGroup takes; the commands are those of MODULES."""
        super().__init__(**options)
        self.commands = _Commands()  # type: ignore[assignment]
