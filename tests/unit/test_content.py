"""The playbooks and roles are found wherever the package lives."""

from __future__ import annotations

from pathlib import Path

import pytest

from nexus_ops.content import OVERRIDE, find_content
from nexus_ops.errors import UsageError


def test_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(OVERRIDE, raising=False)
    content = find_content()
    assert content.playbook("ha").is_file()
    assert (content.example / "nexus.yml").is_file()


def test_override(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(OVERRIDE, str(tmp_path))
    with pytest.raises(UsageError, match="does not hold"):
        find_content()
    (tmp_path / "playbooks").mkdir()
    (tmp_path / "roles").mkdir()
    (tmp_path / "playbooks" / "ha.yml").touch()
    (tmp_path / "ansible.cfg").touch()
    assert find_content().root == tmp_path
