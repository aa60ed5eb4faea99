"""install.sh without side effects: its questions, its usage and its exit codes. The rest is in tests/cluster."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.terminal import END_OF_INPUT, INTERRUPT, converse

SCRIPT = Path(__file__).parents[2] / "install.sh"
MANAGER = "Install Nexus Manager? (y/n)"
WORKER = "Is this a Worker node? (y/n)"

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="a worker is a Linux machine")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Return what install.sh does where nobody can be asked; it must not wait for anyone."""
    return subprocess.run(
        [SCRIPT, *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20, check=False
    )


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_names_every_option(flag: str) -> None:
    result = run(flag)
    assert result.returncode == 0
    assert result.stderr == ""
    for option in ("--role", "--yes", "--demo", "--uninstall"):
        assert option in result.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "there is no terminal to ask on"),
        (["--yes"], "there is no terminal to ask on"),
        (["--role", "manager"], "add --yes"),
        (["--role"], "--role needs a value"),
        (["--role", "lb", "--yes"], "unknown role 'lb'"),
        (["--role=", "--yes"], "unknown role ''"),
        (["--frobnicate"], "unknown argument: --frobnicate"),
        (["manager"], "unknown argument: manager"),
        (["--demo", "--uninstall"], "exclude each other"),
        (["--uninstall", "--role", "manager"], "takes no --role"),
        (["--demo", "--role", "worker"], "--demo sets up a manager"),
    ],
)
def test_wrong_usage_exits_2_with_the_reason_and_the_usage(arguments: list[str], message: str) -> None:
    result = run(*arguments)
    assert result.returncode == 2
    assert result.stdout == ""
    first, *rest = result.stderr.splitlines()
    assert first.startswith("error: ")
    assert message in first
    assert rest[0].startswith("usage: ")


def test_asks_for_the_manager_then_for_the_worker() -> None:
    code, shown = converse([str(SCRIPT)], [(MANAGER, "n\n"), (WORKER, "n\n")])
    assert code == 0
    assert shown.count("(y/n)") == 2
    assert "Nothing to do" in shown


def test_asks_again_after_an_answer_that_is_neither_yes_nor_no() -> None:
    answers = [(MANAGER, "maybe\n"), (MANAGER, "\n"), (MANAGER, "NO\n"), (WORKER, "n\n")]
    code, shown = converse([str(SCRIPT)], answers)
    assert code == 0
    assert shown.count("Please answer y or n.") == 2


@pytest.mark.parametrize(
    "dialogue", [[(MANAGER, END_OF_INPUT)], [(MANAGER, "n\n"), (WORKER, END_OF_INPUT)]], ids=["manager", "worker"]
)
def test_the_end_of_the_input_ends_it_with_2(dialogue: list[tuple[str, str]]) -> None:
    code, shown = converse([str(SCRIPT)], dialogue)
    assert code == 2
    assert "no answer" in shown


def test_an_interrupt_ends_it_with_130() -> None:
    code, shown = converse([str(SCRIPT)], [(MANAGER, INTERRUPT)])
    assert code == 130
    assert "interrupted" in shown


@on_linux
def test_a_system_that_is_not_supported_is_named(tmp_path: Path) -> None:
    """A `uname` of ours comes first on the PATH: the one thing that is not as on a real machine."""
    other = tmp_path / "uname"
    other.write_text("#!/bin/sh\necho FreeBSD\n")
    other.chmod(0o755)
    result = subprocess.run(
        ["sh", "-c", 'PATH="$0:$PATH" exec "$1" --role worker', tmp_path, SCRIPT],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert result.returncode == 1
    assert result.stderr.startswith("error: this is FreeBSD:")
