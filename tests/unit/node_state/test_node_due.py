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


@pytest.fixture
def systemctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What systemd is told, in order; unit files are below `tmp_path`, every unit there runs."""
    told: list[str] = []

    def tell(verb: str) -> Any:
        return lambda unit, **_: told.append(f"{verb} {unit}")

    for verb in ("start", "stop", "restart", "reload"):
        monkeypatch.setattr(units, verb, tell(verb))
    monkeypatch.setattr(units, "enable", lambda unit, *, wanted: told.append(f"{'en' if wanted else 'dis'}able {unit}"))
    monkeypatch.setattr(units, "reload_systemd", lambda: None)
    monkeypatch.setattr(units, "FOLDER", tmp_path)
    monkeypatch.setattr(
        units, "show", lambda names: {n: units.Unit((tmp_path / n).exists(), True, "active") for n in names}
    )
    return told


def test_a_changed_socket_starts_while_its_service_is_stopped(
    markers: Any, tmp_path: Path, systemctl: list[str]
) -> None:
    socket = tmp_path / "x.socket"
    markers.add(UNIT, "restart", {socket: Snapshot.of(socket)})
    socket.write_text("new")
    assert activation.activate("test", UNIT) == "restart"
    assert systemctl == ["stop x.socket", "stop x.service", "start x.socket", "restart x.service"]


def test_an_unchanged_socket_holds_its_ports_during_a_restart(
    markers: Any, tmp_path: Path, systemctl: list[str]
) -> None:
    (tmp_path / "x.socket").write_text("old")
    markers.add(UNIT, "restart", {})
    assert activation.activate("test", UNIT) == "restart"
    assert systemctl == ["restart x.service"]


def test_a_new_socket_is_taken_back_with_its_service(
    markers: Any, tmp_path: Path, systemctl: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(unit: str, **_: Any) -> None:
        raise StateError(f"cannot start {unit}")

    socket = tmp_path / "x.socket"
    markers.add(UNIT, "restart", {socket: Snapshot.of(socket)})
    socket.write_text("new")
    monkeypatch.setattr(units, "start", refuse)
    with pytest.raises(StateError, match=r"x[.]socket; its previous files are back and it runs with them"):
        activation.activate("test", UNIT)
    assert not socket.exists()
    assert systemctl[-2:] == ["disable x.socket", "restart x.service"]
