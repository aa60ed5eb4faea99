"""Which environment a command makes or means."""

from __future__ import annotations

from pathlib import Path

import pytest

from nexus_ops.environment import chosen_name, environment_to_make
from nexus_ops.errors import UsageError


def test_the_name_is_the_one_given_or_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NEXUS_ENV", raising=False)
    assert chosen_name(None, "demo") == "demo"
    monkeypatch.setenv("NEXUS_ENV", "other")
    assert chosen_name(None, "demo") == "other"
    assert chosen_name("given", "demo") == "given"


def test_it_is_made_here_unless_there_is_a_place_above(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    below = tmp_path / "below"
    below.mkdir()
    monkeypatch.chdir(below)
    assert environment_to_make(None, "demo").folder == below / "inventories" / "demo"
    (tmp_path / "inventories").mkdir()
    assert environment_to_make(None, "demo").folder == tmp_path / "inventories" / "demo"
    assert environment_to_make(Path("new"), "demo").folder == below / "new" / "demo"
    (below / "file").touch()
    with pytest.raises(UsageError, match="is not a folder"):
        environment_to_make(below / "file", "demo")
