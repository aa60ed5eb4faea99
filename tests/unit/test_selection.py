"""Which environment a command makes or means."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import pytest

from nexus_ops.cli.app import Application
from nexus_ops.environment import chosen_name, environment_to_make, find_inventories
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


@pytest.mark.skipif(os.geteuid() != 0, reason="is about root")
def test_root_takes_no_orders_from_a_folder_of_somebody_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inventories = tmp_path / "inventories"
    (tmp_path / "below").mkdir()
    inventories.mkdir()
    os.chown(inventories, 65534, 65534)
    monkeypatch.chdir(tmp_path / "below")
    monkeypatch.delenv("SUDO_UID", raising=False)
    for find in (find_inventories, partial(environment_to_make, None, "x")):
        with pytest.raises(UsageError, match="can be written by others than root") as refused:
            find()
        assert "--inventories" in str(refused.value.next_step)
    assert find_inventories(inventories) == inventories, "who names it trusts it"
    monkeypatch.setenv("SUDO_UID", "65534")
    assert find_inventories() == inventories, "that of the person who called sudo"
    os.chown(inventories, 0, 0)
    inventories.chmod(0o777)
    with pytest.raises(UsageError):
        find_inventories()
    inventories.rmdir()
    inventories.symlink_to(tmp_path / "below")
    monkeypatch.delenv("SUDO_UID")
    assert find_inventories() == inventories, "a link of root's"
    os.chown(inventories, 65534, 65534, follow_symlinks=False)
    with pytest.raises(UsageError):
        find_inventories()


@pytest.mark.skipif(os.geteuid() != 0, reason="is about root")
def test_root_takes_no_environment_of_somebody_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "inventories/x"
    folder.mkdir(parents=True)
    (folder / "nexus.yml").touch()
    os.chown(folder / "nexus.yml", 65534, 65534)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SUDO_UID", raising=False)
    with pytest.raises(UsageError, match=r"nexus\.yml can be written by others"):
        _ = Application(environment_name="x").environment
    assert Application(environment_name="x", inventories_given=tmp_path / "inventories").environment.folder == folder
