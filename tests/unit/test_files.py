"""A person's file keeps what is theirs: its mode, its place, its line ends."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from nexus_ops.environment import Environment
from nexus_ops.files import read_text, write_atomically
from nexus_ops.intent.write import write_intent
from tests.unit.conftest import INTENT, Called


def test_the_mode_stays(environment: Environment) -> None:
    write_intent(environment, INTENT)
    environment.intent.chmod(0o600)
    write_intent(environment, INTENT + "# more\n")
    assert environment.intent.stat().st_mode & 0o777 == 0o600


def test_a_link_is_followed(environment: Environment) -> None:
    real = environment.folder.parent / "elsewhere.yml"
    real.touch()
    environment.intent.symlink_to(real)
    write_intent(environment, INTENT)
    assert environment.intent.is_symlink()
    assert real.read_text() == INTENT


def test_line_ends_stay(environment: Environment) -> None:
    text = INTENT.replace("\n", "\r\n")
    write_intent(environment, text)
    assert read_text(environment.intent) == text


def test_line_ends_stay_through_a_command(environment: Environment, call: Callable[..., Called]) -> None:
    text = INTENT.replace("\n", "\r\n")
    write_intent(environment, text)
    assert call("node", "add", "w3", "--address", "192.0.2.33", "--role", "worker").code == 0
    assert call("node", "remove", "w3").code == 0
    assert read_text(environment.intent) == text


@pytest.mark.usefixtures("no_room")
def test_a_write_that_fails_names_the_file(tmp_path: Path) -> None:
    file = tmp_path / "hosts.yml"
    with pytest.raises(OSError, match=r"hosts\.yml"):
        write_atomically(file, "x" * 100)
    assert list(tmp_path.iterdir()) == []
