"""Every end that is no success: one line for the person, one document for a script, never "a bug" for a bad file."""

from __future__ import annotations

import errno
import io
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import typer

from nexus_ops.cli import main
from nexus_ops.cli.app import Application, ask_sudo_password
from nexus_ops.environment import Environment
from nexus_ops.errors import UsageError
from nexus_ops.intent.model import Intent
from tests.unit.conftest import Called

Call = Callable[..., Called]
ADD = ("node", "add", "w3", "--address", "192.0.2.33", "--role", "worker")


@pytest.mark.parametrize(
    "arguments",
    [["apply", "everything", "--json"], ["apply", "ha", "--json"], ["node", "add", "--json"], ["nonsense", "--json"]],
)
def test_usage_errors_are_one_document_too(intent: Intent, call: Call, arguments: list[str]) -> None:
    called = call(*arguments)
    assert called.code == 2
    assert called.document["ok"] is False
    assert called.document["error"]["message"]


@pytest.mark.parametrize("end", [ValueError("odd"), KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left", "/x")])
def test_crashes_are_one_document_too(
    end: BaseException, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def command(**_: object) -> None:
        raise end

    monkeypatch.setattr(sys, "argv", ["nexus-ops", "plan", "--json"])
    monkeypatch.setattr(typer.main, "get_command", lambda _: command)
    with pytest.raises(SystemExit) as caught:
        main.main()
    assert caught.value.code == (130 if isinstance(end, KeyboardInterrupt) else 1)
    captured = capsys.readouterr()
    assert captured.out.startswith('{\n  "ok": false')
    assert len(captured.err.splitlines()) == 1
    assert ("bug" in captured.err) == isinstance(end, ValueError)


def test_an_answer_of_no_is_one_document_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def command(obj: Application, **_: object) -> int:
        obj.complain("nothing was changed")
        return 1

    monkeypatch.setattr(sys, "argv", ["nexus-ops", "apply", "ha", "--json"])
    monkeypatch.setattr(typer.main, "get_command", lambda _: command)
    with pytest.raises(SystemExit):
        main.main()
    assert '"message": "nothing was changed"' in capsys.readouterr().out


@pytest.mark.parametrize("data", [b"nodes: [\n", b"cluster: caf\xe9\n", b"cluster: a\n---\ncluster: b\n"])
@pytest.mark.parametrize("arguments", [ADD, ("node", "remove", "w1")])
def test_edits_of_a_bad_file_name_its_lines(
    intent: Intent, call: Call, tmp_path: Path, data: bytes, arguments: tuple[str, ...]
) -> None:
    (tmp_path / "inventories" / "test" / "nexus.yml").write_bytes(data)
    called = call(*arguments)
    assert called.code == 2
    assert "test/nexus.yml:" in called.err


def test_what_the_machine_refuses_is_no_bug(intent: Intent, call: Call, tmp_path: Path) -> None:
    (tmp_path / "inventories" / "test" / ".nexus.schema.json").unlink()
    (tmp_path / "inventories" / "test" / ".nexus.schema.json").mkdir()
    called = call(*ADD)
    assert called.code == 1
    assert "bug" not in called.err
    assert ".nexus.schema.json: is a directory; move what is there out of the way" in called.err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_no_success(intent: Intent, tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "nexus_ops", "node", "list"],
            cwd=tmp_path, stdout=full, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.splitlines() == ["error: writing: no space left on device; make room there, then run this again"]


def test_a_bad_name_of_a_node_is_called_one(intent: Intent, call: Call) -> None:
    called = call("node", "add", "w3: x", "--address", "192.0.2.33", "--role", "worker")
    assert called.code == 2
    assert "cannot be a name" in called.err


def test_what_root_made_is_handed_over_when_the_command_ends(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    def command(obj: Application, **_: object) -> int:
        obj.open(environment)
        return 1

    given: list[Environment] = []
    monkeypatch.setenv("SUDO_UID", "1234")
    monkeypatch.setattr("nexus_ops.sandbox.environment.hand_over", given.append)
    monkeypatch.setattr(sys, "argv", ["nexus-ops", "demo"])
    monkeypatch.setattr(typer.main, "get_command", lambda _: command)
    with pytest.raises(SystemExit):
        main.main()
    assert given == [environment]


def test_a_password_is_asked_for_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("secret\n"))
    with pytest.raises(UsageError, match="on a terminal, and there is none") as refused:
        ask_sudo_password()
    assert "secrets/sudo_password" in refused.value.next_step
