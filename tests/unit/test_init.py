"""`nexus-ops init`: nothing is written before everything is right, and bad answers are asked for again at once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from nexus_ops.cli.app import Application
from nexus_ops.cli.main import cli
from tests.unit.conftest import Called

Call = Callable[..., Called]
NODE = ("--worker", "w1=192.0.2.1", "--lb", "w1=192.0.2.1")


@pytest.mark.parametrize("name", ["../../esc", "", "we ird;{{x}}", "a/b", "Prod", "a\n"])
def test_the_name_of_an_environment_is_checked(call: Call, tmp_path: Path, name: str) -> None:
    called = call("init", name, *NODE, "--cluster", "fine")
    assert called.code == 2, called
    assert "cannot be a name" in called.err
    assert list(tmp_path.iterdir()) == []


def test_the_environment_may_come_from_the_global_option(call: Call, tmp_path: Path) -> None:
    assert call("--env", "staging", "init", *NODE).code == 0
    assert call("init", *NODE, NEXUS_ENV="third").code == 0
    assert {path.name for path in (tmp_path / "inventories").iterdir()} == {"staging", "third"}
    assert call("--env", "staging", "init", "other", *NODE).code == 2


@pytest.mark.parametrize(
    "arguments",
    [("--ssh-port", "99999"), ("--virtual-ip", "foo"), ("--worker", "w2=no address"), ("--worker", "W2=192.0.2.2")],
)
def test_faults_of_flags_name_no_line_of_a_file(call: Call, tmp_path: Path, arguments: tuple[str, str]) -> None:
    called = call("init", "new", *NODE, *arguments)
    assert called.code == 2
    assert "nexus.yml:" not in called.err
    assert len(called.err.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_no_inventories_folder(call: Call, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    called = call("--inventories", str(tmp_path / "file"), "init", *NODE)
    assert called.code == 2
    assert "is not a folder" in called.err


def test_bad_answers_are_asked_for_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nexus_ops.cli.init.is_terminal", lambda: True)
    lines = [
        *("Bad Name", "good", "ops user", "ops"),
        *("W1 192.0.2.1 worker", "w1 192.0.2.1 boss", "w1 127.0.0.1 worker", "w1 192.0.2.1 worker,lb"),
        *("w2 192.0.2.1 worker", ""),
        *("nonsense", "198.51.100.1/24", "192.0.2.100/24", "internal"),
    ]
    application = Application(inventories_given=tmp_path)
    arguments = ["--inventories", str(tmp_path), "init", "prod", "--json"]
    result = CliRunner().invoke(cli, arguments, input="".join(f"{line}\n" for line in lines), obj=application)
    assert result.exit_code == 0, result.output
    text = (tmp_path / "prod" / "nexus.yml").read_text()
    for part in ("cluster: good", "user: ops,", "w1: {address: 192.0.2.1, roles: [lb, worker]}", "192.0.2.100/24"):
        assert part in text
    assert "w2" not in text
    assert "Name of the cluster" in result.stderr
    assert "Name of the cluster" not in result.stdout


def test_acme_waits_for_the_first_domain(call: Call, tmp_path: Path) -> None:
    assert call("init", "prod", *NODE, "--tls", "acme").code == 2
    called = call("init", "prod", *NODE, "--tls", "acme", "--acme-email", "ops@example.com")
    assert called.code == 0, called
    assert "until a service has a domain" in called.out
    assert "acme: {email: ops@example.com}" in (tmp_path / "inventories" / "prod" / "nexus.yml").read_text()
