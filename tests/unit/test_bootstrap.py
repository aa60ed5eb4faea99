"""Bootstrap: which nodes it is about, and how its end is judged."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml

from nexus_ops.bootstrap import PASSWORD_VARIABLE, bootstrap_nodes, question, refuse_skipped
from nexus_ops.environment import Environment
from nexus_ops.errors import ExitCode
from nexus_ops.hostkeys import Survey
from nexus_ops.intent.model import Intent
from nexus_ops.inventory import build_inventory, render_inventory
from nexus_ops.operation import Result
from nexus_ops.runner import Outcome

PLAYBOOK = Path(__file__).parents[2] / "playbooks" / "bootstrap.yml"


def read_playbook() -> list[dict[str, Any]]:
    plays: list[dict[str, Any]] = yaml.safe_load(PLAYBOOK.read_text())
    return plays


def test_playbook_is_about_every_node_of_the_intent(environment: Environment, intent: Intent) -> None:
    """One that lost a role is still a node; one that left the intent is not."""
    before = build_inventory(intent, environment.folder)
    before["all"]["children"]["lb"]["hosts"]["w1"] = {}
    before["all"]["hosts"]["w9"] = {"ansible_host": "192.0.2.39"}
    before["all"]["children"]["worker"]["hosts"]["w9"] = {}
    inventory = build_inventory(intent, environment.folder, before)
    assert "w1" in inventory["all"]["children"]["retired_lb"]["hosts"]
    environment.hosts.write_text(render_inventory(inventory))
    for play in read_playbook():
        listed = subprocess.run(
            [sys.executable, "-m", "ansible", "adhoc", "-i", str(environment.hosts), play["hosts"], "--list-hosts"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        assert set(listed.split()[2:]) == set(intent.nodes)


def test_sudo_reads_the_file_of_every_user() -> None:
    """It skips files whose name has a dot in it (sudoers(5))."""
    (task,) = (task for task in read_playbook()[0]["tasks"] if task["name"] == "Managed user can sudo")
    (file,) = task["node_state"]["files"]
    path = jinja2.Template(file["path"]).render(__bootstrap_managed_user="john.doe")
    assert path == "/etc/sudoers.d/nexus-ops-john_doe"
    assert jinja2.Template(file["content"]).render(__bootstrap_managed_user="john.doe").startswith("john.doe ALL=")


def test_node_that_was_passed_over_is_a_failure(intent: Intent) -> None:
    nodes = [intent.nodes["w1"], intent.nodes["w2"]]
    columns = {"ok": 1, "changed": 0, "failed": 0, "unreachable": 0}
    done = Result("id", Outcome(returned=0, stats={"w1": columns, "w2": columns}), ExitCode.DONE, ())
    assert refuse_skipped(done, nodes) is done
    result = refuse_skipped(replace(done, outcome=Outcome(returned=0, stats={"w1": columns})), nodes)
    assert result.exit_code is ExitCode.FAILED
    assert [problem.node for problem in result.problems] == ["w2"]
    assert result.document()["ok"] is False
    ended = replace(done, outcome=Outcome(), exit_code=ExitCode.INTERRUPTED)
    assert refuse_skipped(ended, nodes) is ended


@pytest.mark.parametrize("password", ["s3cret {{ 1 }} '\"", None])
def test_password_is_never_on_a_disk(
    environment: Environment, intent: Intent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, password: str | None
) -> None:
    """A run that is killed removes no file; so there must be none that holds it."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    monkeypatch.setattr("nexus_ops.bootstrap.public_key", lambda *_: "ssh-ed25519 AAAA")
    monkeypatch.setenv(PASSWORD_VARIABLE, "of somebody else")
    seen: list[str | None] = []

    def run(*_: object, **arguments: Any) -> Result:
        assert arguments["extra_variables_file"].is_relative_to(temporary)
        written = "".join(path.read_text() for path in temporary.rglob("*") if path.is_file())
        assert "ssh-ed25519 AAAA" in written
        assert "s3cret" not in written
        seen.append(os.environ.get(PASSWORD_VARIABLE))
        raise KeyboardInterrupt

    monkeypatch.setattr("nexus_ops.bootstrap.run_playbook", run)
    with pytest.raises(KeyboardInterrupt):
        bootstrap_nodes(environment, intent, [intent.nodes["w1"]], user="root", password=password, stream=sys.stdout)
    assert seen == [password]
    assert PASSWORD_VARIABLE not in os.environ
    assert not any(temporary.iterdir())


def test_playbook_reads_the_password_from_the_environment(tmp_path: Path) -> None:
    """As it is, even where it looks like a template."""
    variables = read_playbook()[0]["vars"]
    content = "{{ password }}|{{ become_password }}"
    play = {
        "hosts": "localhost",
        "gather_facts": False,
        "connection": "local",
        "vars": {
            "password": variables["ansible_password"],
            "become_password": variables["ansible_become_password"],
            "ansible_python_interpreter": sys.executable,
        },
        "tasks": [{"ansible.builtin.copy": {"content": content, "dest": str(tmp_path / "read"), "mode": "0600"}}],
    }
    (tmp_path / "play.yml").write_text(yaml.safe_dump([play]))
    for password in ("", "{{ 1 }} '"):
        subprocess.run(
            [sys.executable, "-m", "ansible", "playbook", str(tmp_path / "play.yml")],
            env={**os.environ, PASSWORD_VARIABLE: password},
            capture_output=True,
            check=True,
        )
        assert (tmp_path / "read").read_text() == f"{password}|{password}"


def test_question_is_about_keys_only_when_some_are_new(intent: Intent) -> None:
    node = intent.nodes["w1"]
    assert question(Survey(known=[node]), [node]) == "Bootstrap w1?"
    assert question(Survey(new={"w1": (node, frozenset())}), [node]) == "Pin these host keys and bootstrap w1?"
