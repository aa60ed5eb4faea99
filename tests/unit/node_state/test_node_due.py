"""What is due is kept until it is done, with what the unit runs with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.node_state import activation, due, units
from ansible.module_utils.node_state.commands import readable
from ansible.module_utils.node_state.errors import StateError
from ansible.module_utils.node_state.snapshot import Snapshot

UNIT = "x.service"


@pytest.fixture
def markers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(due, "RUN", tmp_path / "run")
    return due.Due("test")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config"
    path.write_text("old")
    return path


def test_nothing_is_due_at_first(markers: Any) -> None:
    assert markers.pending() == {}


def test_a_restart_outweighs_a_reload(markers: Any) -> None:
    for by in ("reload", "restart", "reload"):
        markers.add(UNIT, by, {})
    assert markers.pending() == {UNIT: "restart"}


def test_the_first_content_is_kept(markers: Any, config: Path) -> None:
    markers.add(UNIT, "reload", {config: Snapshot.of(config)})
    config.write_text("newer")
    markers.add(UNIT, "reload", {config: Snapshot.of(config)})
    assert markers.previous(UNIT)[config].content == b"old"


def test_a_refused_reload_is_taken_back(markers: Any, config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(unit: str) -> None:
        raise StateError(f"cannot reload {unit}")

    monkeypatch.setattr(units, "show", lambda names: {name: units.Unit(True, True, "active") for name in names})
    monkeypatch.setattr(units, "reload", refuse)
    markers.add(UNIT, "reload", {config: Snapshot.of(config)})
    config.write_text("new")
    with pytest.raises(StateError, match=r"x[.]service; its previous files are back and it runs with them"):
        activation.activate("test", UNIT)
    assert config.read_text() == "old"
    assert markers.pending() == {}


def test_a_file_that_was_not_there_is_removed_again(markers: Any, tmp_path: Path) -> None:
    created = tmp_path / "created"
    markers.add(UNIT, "reload", {created: Snapshot.of(created)})
    created.write_text("new")
    markers.previous(UNIT)[created].put(created)
    assert not created.exists()


def test_of_structured_logs_the_errors_are_shown() -> None:
    said = ['{"level":"info","msg":"hello"}', "plain", '{"level":"error","msg":"no","error":"port taken"}']
    assert readable(said, 5) == "plain | no: port taken"
