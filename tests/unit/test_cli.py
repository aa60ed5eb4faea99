"""The command line: exit codes, one-line errors, JSON alone on stdout."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import run

import pytest

from nexus_ops.intent.model import Intent
from tests.unit.conftest import Called

Call = Callable[..., Called]


@pytest.mark.parametrize(
    "arguments",
    [
        ["apply"],
        ["apply", "everything"],
        ["apply", "ha", "--nonsense"],
        ["plan", "ha", "--limit", "w9"],
        ["node", "add", "w1", "--address", "192.0.2.77", "--role", "worker"],
        ["node", "add", "w3", "--address", "192.0.2.31", "--role", "worker"],
        ["node", "add", "w3", "--address", "nonsense host", "--role", "worker"],
        ["node", "remove", "w9"],
        ["bootstrap", "w9"],
        ["runs", "show", "2020"],
        ["--env", "other", "inventory"],
        ["--inventories", "/nonexistent", "inventory"],
        ["init", "test", "--worker", "w1=192.0.2.1"],
        ["init", "new", "--worker", "w1"],
        ["init", "new", "--worker", "w1=192.0.2.1", "--virtual-ip", "nonsense"],
        ["init", "new"],
        ["sandbox", "fault", "w1", "explode"],
    ],
)
def test_wrong_input(intent: Intent, call: Call, arguments: list[str]) -> None:
    called = call(*arguments)
    assert called.code == 2, called
    assert called.out == ""
    assert called.err.strip()


def test_change_without_terminal_needs_yes(intent: Intent, call: Call) -> None:
    called = call("apply", "ha")
    assert called.code == 2
    assert "--yes" in called.err


def test_unpinned_nodes_are_unreachable(intent: Intent, call: Call) -> None:
    called = call("apply", "ha", "--yes", "--json")
    assert called.code == 3
    assert called.document["ok"] is False
    assert "no host key is pinned" in called.document["error"]["message"]


def test_json_of_faults_is_one_document(intent: Intent, call: Call, tmp_path: Path) -> None:
    (tmp_path / "inventories" / "test" / "nexus.yml").write_text("cluster: [\n")
    called = call("node", "list", "--json")
    assert called.code == 2
    assert called.document["ok"] is False
    assert "nexus.yml:" in called.document["error"]["message"]


def test_node_list_add_remove(intent: Intent, call: Call, tmp_path: Path) -> None:
    assert set(call("node", "list", "--json").document["nodes"]) == {"mgr1", "lb1", "lb2", "w1", "w2"}
    assert call("node", "add", "w3", "--address", "192.0.2.33", "--role", "worker").code == 0
    assert "w3" in call("node", "list").out
    assert call("node", "remove", "w2").code == 0
    text = (tmp_path / "inventories" / "test" / "nexus.yml").read_text()
    assert "# a comment" in text
    assert "# the workers" in text
    assert "w2" not in text


def test_inventory_check(intent: Intent, call: Call) -> None:
    assert call("inventory", "--check").code == 1
    assert call("inventory").code == 0
    assert call("inventory", "--check").code == 0


def test_init_makes_a_valid_environment(call: Call, tmp_path: Path) -> None:
    nodes = ["--manager", "n1=192.0.2.1", "--lb", "n1=192.0.2.1", "--worker", "n1=192.0.2.1"]
    called = call("init", "prod", *nodes, "--virtual-ip", "192.0.2.100/24", "--tls", "internal")
    assert called.code == 0, called
    secrets = tmp_path / "inventories" / "prod" / "secrets"
    assert secrets.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in secrets.iterdir()} == {0o600}
    before = {path.name: path.read_bytes() for path in secrets.iterdir()}
    (secrets / "dashboard_password").unlink()
    assert call("inventory").code == 0
    after = {path.name: path.read_bytes() for path in secrets.iterdir()}
    for name in ("dashboard_password", "dashboard_password.bcrypt"):
        assert after.pop(name) != before.pop(name), "only the missing one is made again, and its hash"
    assert after == before
    assert call("node", "list", "--json").document["nodes"]["n1"]["roles"] == ["lb", "manager", "worker"]


def test_half_of_an_authority_is_never_completed(intent: Intent, call: Call, tmp_path: Path) -> None:
    assert call("inventory").code == 0
    secrets = tmp_path / "inventories" / "test" / "secrets"
    key = (secrets / "ca.key").read_bytes()
    (secrets / "ca.crt").unlink()
    called = call("inventory")
    assert called.code == 2
    assert "ca.crt is missing" in called.err
    assert (secrets / "ca.key").read_bytes() == key


def test_a_foreign_inventory_is_named(intent: Intent, call: Call, tmp_path: Path) -> None:
    for text in ("[]", "all: {hosts: {}}", "all: {hosts: {}, children: {lb: []}}", "\xff: [", "all:"):
        (tmp_path / "inventories" / "test" / "hosts.yml").write_bytes(text.encode("latin-1"))
        called = call("inventory")
        assert called.code == 2, called
        assert "not an inventory that nexus-ops wrote" in called.err


def test_init_without_a_manager(call: Call) -> None:
    called = call("init", "prod", "--lb", "l1=192.0.2.1", "--worker", "w1=192.0.2.2")
    assert called.code == 0, called


def test_help_and_version_import_little() -> None:
    for argument in ("--help", "--version"):
        script = (
            "import sys; sys.argv = ['nexus-ops', sys.argv[1]]\n"
            "from nexus_ops.__main__ import main\n"
            "try: main()\n"
            "except SystemExit as end: assert not end.code\n"
            "heavy = {'ansible', 'ansible_runner', 'rich', 'requests', 'yaml', 'cryptography'} & set(sys.modules)\n"
            "assert not heavy, heavy\n"
        )
        done = run([sys.executable, "-c", script, argument], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def test_a_bug_is_no_traceback(intent: Intent, call: Call, tmp_path: Path) -> None:
    (tmp_path / "inventories" / "test" / "secrets").write_text("a file in the way\n")
    called = call("inventory")
    assert called.code == 1
    assert len(called.err.splitlines()) == 1


def test_every_command_has_help(call: Call) -> None:
    listed = call("--help").out.split("Commands:")[1]
    names = [line.split()[0] for line in listed.splitlines() if line.startswith("  ") and line[2] != " "]
    assert {"init", "bootstrap", "inventory", "plan", "apply", "node", "runs", "sandbox", "demo"} <= set(names)
    for name in names:
        assert call(name, "--help").code == 0
